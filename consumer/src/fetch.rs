//! Reading: from a shard's start position to batches of user records, within one budget of bytes.

pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod counts;
pub(crate) mod deaggregate;
pub(crate) mod polling;
pub(crate) mod read;
pub(crate) mod start_position;

pub use self::batch::Batch;
pub use self::counts::ReadCounts;
pub use self::read::{ForeignCheckpoint, ReadError};
