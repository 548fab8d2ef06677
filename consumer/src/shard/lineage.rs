//! Who comes after whom.

use super::shard::ListedShard;
use crate::record::ShardId;

/// The shards of a listing that were split or merged from this one.
pub(crate) fn children_of(shard: &ShardId, listing: &[ListedShard]) -> Vec<ListedShard> {
    listing.iter().filter(|listed| listed.parents.contains(shard)).cloned().collect()
}

/// Whether these can be all children of one shard: two or more from a split, or one from a merge, which then has two
/// parents. Right after a reshard a listing can show the first child of a split without the second.
pub(crate) fn are_whole(children: &[ListedShard]) -> bool {
    match children {
        [] => false,
        [only] => only.parents.len() == 2,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use kinesis_aggregation::HashKeyRange;

    use super::*;

    fn shard(id: &str, parents: &[&str]) -> ListedShard {
        ListedShard {
            id: ShardId::from(id),
            parents: parents.iter().map(|id| ShardId::from(*id)).collect(),
            range: HashKeyRange::FULL,
            starting: "1".parse().expect("a number"),
            ending: None,
        }
    }

    #[test]
    fn a_split_has_two_children_and_a_merge_one_of_two_parents() {
        let listing =
            [shard("0", &[]), shard("1", &[]), shard("2", &["0"]), shard("3", &["0"]), shard("4", &["3", "1"])];
        let children = |id: &str| children_of(&ShardId::from(id), &listing);
        assert_eq!(children("0"), [listing[2].clone(), listing[3].clone()]);
        assert_eq!(children("3"), [listing[4].clone()]);
        assert_eq!(children("4"), []);
        assert!(are_whole(&children("0")) && are_whole(&children("3")) && are_whole(&children("1")));
        assert!(!are_whole(&children("4")) && !are_whole(&children("0")[..1]));
    }
}
