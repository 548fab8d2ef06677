use kinesis_aggregation::{HashKey, HashKeyRange};

use super::*;
use crate::lease::{Checkpoint, LeaseKey};
use crate::record::Position;

fn id(number: usize) -> String {
    format!("shardId-{number:012}")
}

fn lease(key: &str) -> Lease {
    let mut lease = Lease::new(LeaseKey::from(key), Checkpoint::TrimHorizon);
    lease.range = Some(HashKeyRange::FULL);
    lease
}

fn at(shard: usize, number: &str) -> Checkpoint {
    let sequence_number = number.parse().expect("a number");
    Checkpoint::At(Position { sequence_number, sub_sequence: 0, shard: ShardId::from(id(shard)) })
}

fn shard(number: usize) -> ListedShard {
    ListedShard {
        id: ShardId::from(id(number)),
        parents: Vec::new(),
        range: HashKeyRange::FULL,
        starting: "100".parse().expect("a number"),
        ending: None,
    }
}

fn rows(leases: impl IntoIterator<Item = Lease>) -> Rows {
    let mut rows = Rows::default();
    rows.leases.extend(leases);
    rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

#[test]
fn a_lease_is_odd_by_its_key_its_counts_or_its_family() {
    let change = |change: fn(&mut Lease)| {
        let mut lease = lease(&id(7));
        change(&mut lease);
        oddity(&lease)
    };
    assert_eq!(change(|_| {}), None);
    assert_eq!(change(|lease| lease.parents = vec![ShardId::from("shardId-00000001762977746092-57349606")]), None);
    assert_eq!(change(|lease| lease.counter = 15_505_989), None);
    for odd in ["orders-0", "Leader", "shardId-", "", "shardId-1\n", "shardId-\u{1b}", "12:s:1:shardId-000000000000"] {
        assert!(oddity(&lease(odd)).is_some(), "{odd:?}");
    }
    assert!(oddity(&lease(&format!("shardId-{}", "0".repeat(200)))).is_some());
    for changed in [
        change(|lease| lease.counter = u64::MAX),
        change(|lease| lease.counter = i64::MAX as u64),
        change(|lease| lease.owner_switches = i64::MAX as u64 + 1),
        change(|lease| lease.parents = vec![lease.key.shard()]),
        change(|lease| lease.parents = vec![ShardId::from("x")]),
        change(|lease| lease.children = vec![ShardId::from("x")]),
        change(|lease| lease.stream = Some("123456789012:orders:1".to_owned())),
    ] {
        assert!(changed.is_some());
    }
}

#[test]
fn a_circle_of_parents_is_set_apart_and_what_lies_above_or_below_it_is_not() {
    let with = |number: usize, parents: &[usize]| {
        let mut lease = lease(&id(number));
        lease.parents = parents.iter().map(|parent| ShardId::from(id(*parent))).collect();
        lease
    };
    // 1 → 2 → 3 → 1, with 0 above and 4 below; 6 has a parent that has no row.
    let judged = judge(
        rows([with(0, &[]), with(1, &[0, 3]), with(2, &[1]), with(3, &[2]), with(4, &[3]), with(6, &[5])]),
        None,
        false,
        |_| false,
    );
    let used: Vec<String> = judged.usable.leases.iter().map(|lease| lease.key.to_string()).collect();
    assert_eq!(used, [id(0), id(4), id(6)]);
    let odd: Vec<&str> = judged.odd.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(odd, [id(1), id(2), id(3)]);
    assert_eq!(judged.usable.unreadable, judged.odd, "counted as leases that cannot be read");
}

#[test]
fn one_lease_that_does_not_fit_is_set_apart_where_another_shows_whose_table_it_is() {
    let listing = [shard(0), shard(1), shard(2)];
    let foreign = |leases: Vec<Lease>| {
        let is_anothers = |lease: &Lease| lease.bound_to.is_some();
        let judged = judge(rows(leases.clone()), Some(&listing), false, is_anothers);
        let bound = judge(rows(leases), Some(&listing), true, is_anothers);
        assert!(!bound.is_foreign, "a bound table is never another stream's for a row of it");
        assert_eq!((&bound.usable, &bound.mismatches), (&judged.usable, &judged.mismatches));
        (judged.mismatches.len(), judged.is_foreign, judged.usable.leases.len())
    };
    let at_number = |number: usize, checkpoint: &str| {
        let mut lease = lease(&id(number));
        lease.checkpoint = at(number, checkpoint);
        lease
    };
    let other_range = |mut lease: Lease| {
        lease.range = Some(HashKeyRange::new(HashKey::new(0), HashKey::new(7)));
        lease
    };
    assert_eq!(foreign(vec![at_number(0, "7"), at_number(1, "100"), lease(&id(2))]), (1, false, 2));
    // A range that agrees proves nothing for a number that does not.
    assert_eq!(foreign(vec![at_number(0, "7"), lease(&id(1)), lease(&id(2))]), (1, true, 2));
    assert_eq!(foreign(vec![at_number(0, "7"), at_number(1, "8"), at_number(2, "9")]), (3, true, 0));
    assert_eq!(foreign(vec![other_range(lease(&id(0))), lease(&id(1))]), (1, false, 1));
    assert_eq!(foreign(vec![other_range(lease(&id(0))), other_range(lease(&id(1)))]), (2, true, 0));
    let mut of_several = lease("123456789012:orders:1:shardId-000000000000");
    of_several.stream = Some("123456789012:orders:1".to_owned());
    assert_eq!(foreign(vec![of_several.clone()]), (1, true, 0));
    assert_eq!(foreign(vec![of_several, lease(&id(1))]), (1, false, 1));
    let mut anothers = lease(&id(0));
    anothers.bound_to = Some("arn:aws:kinesis:us-east-1:123456789012:stream/orders 1".into());
    assert_eq!(foreign(vec![anothers.clone()]), (1, true, 0));
    assert_eq!(foreign(vec![anothers, lease(&id(1))]), (1, false, 1));
    assert_eq!(foreign(vec![]), (0, false, 0));
}
