//! The children that an answer of GetRecords names at the end of a shard.

use aws_sdk_kinesis::types::ChildShard;
use kinesis_aggregation::HashKeyRange;

use crate::record::SequenceNumber;
use crate::shard::{ListedShard, ShardId};

/// The children named beside the last records, in the form of a listing; `None` if one of them lacks something.
pub(super) fn parse_children(children: Vec<ChildShard>) -> Option<Vec<ListedShard>> {
    children
        .into_iter()
        .map(|child| {
            let range = child.hash_key_range?;
            let parents: Vec<_> = child.parent_shards.iter().map(|id| ShardId::from(id.as_str())).collect();
            Some(ListedShard {
                id: ShardId::from(child.shard_id),
                parents: (!parents.is_empty()).then_some(parents)?,
                range: HashKeyRange::parse(&range.starting_hash_key, &range.ending_hash_key).ok()?,
                // Not said here; and no number is lower.
                starting: lowest(),
                ending: None,
            })
        })
        .collect()
}

/// In place of a number that is not said.
pub(super) fn lowest() -> SequenceNumber {
    "0".parse().expect("a digit is a number")
}
