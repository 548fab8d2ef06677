use kinesis_aggregation::HashKeyRange;

use super::*;
use crate::lease::Checkpoint;

fn id(number: u32) -> ShardId {
    ShardId::from(format!("shardId-{number:012}"))
}

fn lease(number: u32, checkpoint: &str, parents: &[u32], children: &[u32]) -> Lease {
    let mut lease = Lease::new(
        LeaseKey::of(&id(number)),
        match checkpoint {
            "end" => Checkpoint::ShardEnd,
            "trim" => Checkpoint::TrimHorizon,
            "time" => Checkpoint::AtTimestamp,
            "latest" => Checkpoint::Latest,
            "missing" => Checkpoint::Missing,
            number => Checkpoint::At(crate::record::Position {
                sequence_number: number.parse().expect("a number"),
                sub_sequence: 0,
                shard: "shardId-000000000000".into(),
            }),
        },
    );
    lease.parents = parents.iter().copied().map(id).collect();
    lease.children = children.iter().copied().map(id).collect();
    lease
}

fn rows(leases: impl IntoIterator<Item = Lease>) -> Rows {
    Rows { leases: leases.into_iter().collect(), ..Rows::default() }
}

fn listed(number: u32, parents: &[u32], closed: bool) -> ListedShard {
    ListedShard {
        id: id(number),
        parents: parents.iter().copied().map(id).collect(),
        range: HashKeyRange::FULL,
        starting: "1".parse().expect("a number"),
        ending: closed.then(|| "2".parse().expect("a number")),
    }
}

fn deleted(rows: &Rows, listing: Option<&[ListedShard]>) -> Vec<ShardId> {
    let expired = listing.map(|listing| lacked(rows, listing)).unwrap_or_default();
    deletable(rows, listing, &expired).iter().map(LeaseKey::shard).collect()
}

/// 0 → 1, 2.
fn split() -> [ListedShard; 3] {
    [listed(0, &[], true), listed(1, &[0], false), listed(2, &[0], false)]
}

#[test]
fn a_finished_lease_goes_when_all_children_have_moved() {
    for (one, two, gone) in [
        ("5", "5", true),
        ("5", "latest", true),
        ("end", "5", true),
        ("5", "trim", false),
        ("5", "time", false),
        ("5", "missing", false),
    ] {
        let rows = rows([lease(0, "end", &[], &[1, 2]), lease(1, one, &[0], &[]), lease(2, two, &[0], &[])]);
        assert_eq!(!deleted(&rows, Some(&split())).is_empty(), gone, "{one} {two}");
        assert_eq!(!deleted(&rows, None).is_empty(), gone, "{one} {two} without a listing");
    }
}

/// The listing was made before shard 1 was created by a split: its absence does not mean that it has expired.
#[test]
fn a_shard_newer_than_the_listing_has_not_expired() {
    let rows = rows([lease(1, "end", &[0], &[3, 4]), lease(3, "trim", &[1], &[]), lease(4, "trim", &[1], &[])]);
    let before = [listed(0, &[], false)];
    assert_eq!(deleted(&rows, Some(&before)), []);
    let long_after = [listed(3, &[1], false), listed(4, &[1], false)];
    assert_eq!(deleted(&rows, Some(&long_after)), [id(1)]);
}

#[test]
fn an_unfinished_lease_stays() {
    let rows = rows([lease(0, "7", &[], &[1, 2]), lease(1, "5", &[0], &[]), lease(2, "5", &[0], &[])]);
    assert_eq!(deleted(&rows, Some(&split())), []);
    assert_eq!(deleted(&rows, Some(&[])), [], "also where the shard is listed no more");
}

/// S101: one child's lease is missing, whether the lease or the listing names it.
#[test]
fn a_missing_child_keeps_its_parent() {
    let named = rows([lease(0, "end", &[], &[1, 2]), lease(1, "5", &[0], &[])]);
    assert_eq!(deleted(&named, Some(&split())), []);
    assert_eq!(deleted(&named, None), []);
    let unnamed = rows([lease(0, "end", &[], &[]), lease(1, "5", &[0], &[])]);
    assert_eq!(deleted(&unnamed, Some(&split())), []);
}

/// S89: a shard without a lease whose child has one had a lease before.
#[test]
fn a_child_that_has_been_there_counts_as_moved() {
    let listing = [listed(0, &[], true), listed(1, &[0], true), listed(2, &[0], false), listed(3, &[1], false)];
    let rows = rows([lease(0, "end", &[], &[1, 2]), lease(2, "5", &[0], &[]), lease(3, "trim", &[1], &[])]);
    assert_eq!(deleted(&rows, Some(&listing)), [id(0)]);
}

/// S103: the other parent of a merge is still being read.
#[test]
fn a_merge_waits_for_its_child() {
    let rows = rows([lease(0, "end", &[], &[2]), lease(1, "7", &[], &[]), lease(2, "trim", &[0, 1], &[])]);
    assert_eq!(deleted(&rows, None), []);
}

/// 0 → 1 and 2; 1 and 3 → 4, which has not begun. Without the lease of 1, the end of 0 says where 1 begins.
#[test]
fn a_child_whose_lease_was_deleted_by_hand_keeps_its_parent() {
    for (four, gone) in [("trim", vec![]), ("5", vec![id(0), id(3)])] {
        let rows = rows([
            lease(0, "end", &[], &[1, 2]),
            lease(2, "5", &[0], &[]),
            lease(3, "end", &[], &[4]),
            lease(4, four, &[1, 3], &[]),
        ]);
        let listing = [
            listed(0, &[], true),
            listed(1, &[0], true),
            listed(2, &[0], false),
            listed(3, &[], true),
            listed(4, &[1, 3], false),
        ];
        assert_eq!(deleted(&rows, Some(&listing)), gone, "{four}");
    }
}

#[test]
fn parents_go_before_their_children() {
    let chain = rows([
        lease(0, "end", &[3], &[5]),
        lease(3, "end", &[9], &[0]),
        lease(5, "7", &[0], &[]),
        lease(9, "end", &[9], &[3]),
    ]);
    assert_eq!(deleted(&chain, None), [id(9), id(3), id(0)]);
    let held_up = rows([lease(0, "end", &[1], &[5]), lease(1, "end", &[], &[0, 2]), lease(5, "7", &[0], &[])]);
    assert_eq!(deleted(&held_up, None), [], "1 waits for 2, so 0 stays too");
}

#[test]
fn nobody_knows_the_children_of_a_closed_shard_that_the_listing_has_not_caught_up_with() {
    let rows = rows([lease(0, "end", &[], &[])]);
    assert_eq!(deleted(&rows, None), []);
    assert_eq!(deleted(&rows, Some(&[listed(0, &[], true)])), []);
}

#[test]
fn an_expired_shard_s_lease_goes_unless_a_listed_child_lacks_its_own() {
    let alone = rows([lease(0, "end", &[], &[])]);
    assert_eq!(deleted(&alone, Some(&[listed(7, &[], false)])), [id(0)]);
    assert_eq!(deleted(&alone, Some(&[])), [], "a stream has open shards: this is no listing to go by");
    let with_child = rows([lease(0, "end", &[], &[1]), lease(1, "trim", &[0], &[])]);
    assert_eq!(deleted(&with_child, Some(&[listed(1, &[0], false)])), [id(0)], "its child starts without it");
    assert_eq!(deleted(&alone, Some(&[listed(1, &[0], false)])), [], "its child has no lease yet");
}

#[test]
fn a_row_that_cannot_be_read_keeps_its_family() {
    let mut rows = rows([lease(0, "end", &[], &[1]), lease(1, "end", &[0], &[2]), lease(3, "5", &[2], &[])]);
    rows.unreadable.push((id(2).to_string(), "no counter".to_owned()));
    assert_eq!(deleted(&rows, None), [id(0)]);
}
