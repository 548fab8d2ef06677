use std::time::Duration;

use super::*;
use crate::pipeline::fixture::{accounts, at};

const LINGER: Linger = Linger::SinceLastClose(Duration::from_millis(120));
const FROM_FIRST: Linger = Linger::FromFirstPut(Duration::from_millis(100));

fn add(aggregate: &mut OpenAggregate, accounts: &Arc<Accounts>, now: u64, len: usize) -> (bool, bool) {
    let data = vec![0; len];
    let record = Record::new("k", &data);
    let added = aggregate.add(&record, &Route::keyed("k", None), || at(now), accounts, 1000);
    (added.opened, added.closed.is_some())
}

#[test]
fn a_lone_record_leaves_at_once_and_a_steady_trickle_once_a_linger() {
    let accounts = accounts();
    let mut aggregate = OpenAggregate::default();
    assert_eq!(aggregate.close_at(LINGER), None);
    let mut closes = Vec::new();
    // A record each 10 ms for a second, and a check for the close each millisecond.
    for now in 0..1000 {
        if now % 10 == 0 {
            add(&mut aggregate, &accounts, now, 10);
        }
        if aggregate.close_if_due(at(now), LINGER).is_some() {
            closes.push(now);
        }
    }
    assert_eq!(closes, [0, 120, 240, 360, 480, 600, 720, 840, 960]);
}

#[test]
fn from_the_first_put_every_record_waits() {
    let accounts = accounts();
    let mut aggregate = OpenAggregate::default();
    add(&mut aggregate, &accounts, 5, 10);
    assert_eq!(aggregate.close_at(FROM_FIRST), Some(at(105)));
    assert!(aggregate.close_if_due(at(104), FROM_FIRST).is_none());
    assert!(aggregate.close_if_due(at(105), FROM_FIRST).is_some());
    add(&mut aggregate, &accounts, 300, 10);
    assert_eq!(aggregate.close_at(FROM_FIRST), Some(at(400)), "when the last one was closed does not matter");
}

#[test]
fn a_zero_linger_closes_at_once() {
    let accounts = accounts();
    let mut aggregate = OpenAggregate::default();
    for now in [1, 2] {
        add(&mut aggregate, &accounts, now, 10);
        assert!(aggregate.close_if_due(at(now), Duration::ZERO.into()).is_some());
    }
}

#[test]
fn a_full_aggregate_makes_way_and_the_linger_counts_from_then() {
    let accounts = accounts();
    let mut aggregate = OpenAggregate::default();
    assert_eq!(add(&mut aggregate, &accounts, 0, 600), (true, false));
    assert_eq!(add(&mut aggregate, &accounts, 1, 300), (false, false));
    assert_eq!(add(&mut aggregate, &accounts, 2, 300), (true, true));
    assert_eq!(aggregate.close_at(LINGER), Some(at(122)));
}

#[test]
fn used_buffers_are_pooled_and_all_room_is_returned() {
    let accounts = accounts();
    let mut aggregate = OpenAggregate::default();
    for round in 0..5 {
        add(&mut aggregate, &accounts, round, 900);
        let held = accounts.budget.held();
        assert!(held >= 900, "capacity counts: {held}");
        let mut batch = aggregate.close(at(round)).expect("open");
        batch.build();
        assert_eq!(accounts.pool.kept(), 1, "round {round}");
        batch.written("shard-0".into(), "1".into());
        assert_eq!(accounts.budget.held(), 0);
    }
}
