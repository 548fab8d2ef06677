//! A shard as the stream lists it.

use std::fmt;
use std::sync::Arc;

use kinesis_aggregation::HashKeyRange;

use crate::record::SequenceNumber;

/// The id of a shard, such as `shardId-000000000007`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(Arc<str>);

impl ShardId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for ShardId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One shard of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ListedShard {
    /// Its id.
    pub id: ShardId,
    /// The shards that it was split or merged from: none, one or two. A parent may have expired and be listed no more.
    pub parents: Vec<ShardId>,
    /// The hash keys that it holds, or held.
    pub range: HashKeyRange,
    /// Smaller than or equal to the number of every record in it.
    pub starting: SequenceNumber,
    /// Present once the shard is closed. Only its presence counts: emulators put nonsense here.
    pub ending: Option<SequenceNumber>,
}

impl ListedShard {
    /// Whether the shard takes no more records.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.ending.is_some()
    }
}
