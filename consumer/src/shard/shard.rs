//! A shard as the stream lists it.

use kinesis_aggregation::HashKeyRange;

use crate::record::{SequenceNumber, ShardId};

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
