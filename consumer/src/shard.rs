//! What exists: shards, their lineage, and their discovery.

pub(crate) mod absence;
pub(crate) mod discover;
pub(crate) mod failure;
pub(crate) mod identity;
pub(crate) mod lineage;
#[expect(clippy::module_inception, reason = "a file per concern, and this one is the shard itself")]
pub(crate) mod shard;
pub(crate) mod stream;

pub use self::discover::DiscoverError;
pub use self::shard::ListedShard;

pub use crate::record::ShardId;
