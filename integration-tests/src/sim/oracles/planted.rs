//! Each oracle is shown a sound history, and histories with one thing wrong that it must catch.

use std::time::Duration;

use kinesis_consumer::Position;

use super::{Duplicates, duplicates, judge, longest_overlap};
use crate::sim::history::{Delivered, Event, History, Lineage, Stored, What};
use crate::sim::shape::{Face, Shape};
use crate::sim::table::{Mark, Row};
use crate::sim::workload::Put;

const PARENT: &str = "shardId-000000000000";
const CHILD: &str = "shardId-000000000001";

fn position(number: u32) -> Position {
    Position { sequence_number: (1000 + number).to_string().parse().expect("a number"), sub_sequence: 0 }
}

fn put(number: u32) -> Put {
    Put { number, key: "user".to_owned(), of_key: number.into(), bytes: 20 }
}

/// Puts 0 to 3 lie in the parent, 4 and 5 in its child.
fn shard(put: u32) -> &'static str {
    if put < 4 { PARENT } else { CHILD }
}

fn stored(number: u32) -> Stored {
    Stored { shard: shard(number).to_owned(), position: position(number), put: Some(number), misrouted: false }
}

fn event(at: u64, worker: &str, shard: &str, what: What) -> Event {
    Event { at: Duration::from_secs(at), worker: worker.to_owned(), shard: shard.to_owned(), what }
}

fn begin(at: u64, worker: &str, epoch: u64, call: u64, puts: &[u32]) -> Event {
    let records = puts.iter().map(|put| Delivered { position: position(*put), put: Some(*put) }).collect();
    event(at, worker, shard(puts[0]), What::Begin { call, epoch: Some(epoch), records })
}

fn done(at: u64, worker: &str, shard: &str, call: u64) -> Event {
    event(at, worker, shard, What::Done(call))
}

fn lease(at: u64, shard: &str, owner: &str, counter: u64, checkpoint: Mark) -> Event {
    let row = Row { owner: Some(owner.to_owned()), checkpoint_owner: None, counter, checkpoint };
    event(at, owner, shard, What::Lease(row))
}

fn acked(at: u64, number: u32) -> Event {
    event(at, "producer", shard(number), What::Acked { put: number, position: position(number), attempts: 1 })
}

/// Worker a takes a shard, hands over to b, which brings it to its end and goes on with its child.
fn sound() -> History {
    let mut events = Vec::new();
    for number in 0..6 {
        events.push(event(1, "producer", "", What::Put(number)));
        events.push(acked(2, number));
    }
    events.extend([
        lease(3, PARENT, "a", 1, Mark::Nothing),
        begin(3, "a", 1, 1, &[0, 1]),
        done(4, "a", PARENT, 1),
        lease(5, PARENT, "a", 2, Mark::At(position(1))),
        lease(6, PARENT, "b", 3, Mark::At(position(1))),
        begin(6, "b", 3, 2, &[2]),
        event(7, "b", PARENT, What::Failed(2)),
        begin(8, "b", 3, 3, &[2]),
        done(9, "b", PARENT, 3),
        begin(9, "b", 3, 4, &[3]),
        done(10, "b", PARENT, 4),
        lease(11, PARENT, "b", 4, Mark::ShardEnd),
        lease(11, CHILD, "b", 1, Mark::Nothing),
        begin(11, "b", 1, 5, &[4, 5]),
        done(12, "b", CHILD, 5),
        event(13, "", "", What::Phase("liveness")),
        event(18, "", "", What::Converged),
    ]);
    let mut shape = Shape::of(0);
    (shape.face, shape.failing_calls, shape.slowest_call) = (Face::Batches, 0, Duration::ZERO);
    (shape.lease_duration, shape.handoff_time) = (Duration::from_secs(10), Duration::from_secs(5));
    let lineage =
        |parents: &[&str], open| Lineage { parents: parents.iter().map(|id| (*id).to_owned()).collect(), open };
    History {
        shape,
        events,
        puts: (0..6).map(put).collect(),
        stored: (0..6).map(stored).collect(),
        shards: [(PARENT.to_owned(), lineage(&[], false)), (CHILD.to_owned(), lineage(&[PARENT], true))].into(),
    }
}

/// The promises that are broken when the sound history is changed in this way.
fn broken(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = sound();
    change(&mut history);
    let mut promises: Vec<_> = judge(&history).iter().map(|violation| violation.promise).collect();
    promises.dedup();
    promises
}

/// The place of the event that begins or ends this call.
fn of_call(history: &History, wanted: u64, begins: bool) -> usize {
    let is_it = |event: &Event| match event.what {
        What::Begin { call, .. } => begins && call == wanted,
        What::Done(call) | What::Failed(call) => !begins && call == wanted,
        _ => false,
    };
    history.events.iter().position(is_it).expect("the history has that call")
}

fn deliver(history: &mut History, call: u64, puts: &[u32]) {
    let at = of_call(history, call, true);
    let What::Begin { records, .. } = &mut history.events[at].what else { return };
    *records = puts.iter().map(|put| Delivered { position: position(*put), put: Some(*put) }).collect();
}

#[test]
fn a_sound_history_breaks_nothing() {
    assert_eq!(judge(&sound()), []);
    assert_eq!(longest_overlap(&sound()), Duration::ZERO);
    assert_eq!(duplicates(&sound()), Duplicates { records: 0, changes: 1 });
}

#[test]
fn a_put_that_is_resolved_late_twice_or_never() {
    assert_eq!(broken(|history| history.events.push(acked(19, 0))), ["P1"]);
    assert_eq!(broken(|history| history.events.push(event(19, "producer", "", What::Put(9)))), ["P1"]);
    let late = broken(|history| {
        let resolved = history.events.remove(1);
        history.events.push(Event { at: Duration::from_secs(38), ..resolved });
    });
    assert_eq!(late, ["P1"]);
}

#[test]
fn a_receipt_for_what_is_not_there() {
    // Lost by the stream, given the receipt of another, put where consumers drop it, or altered on the way.
    assert!(broken(|history| _ = history.stored.remove(5)).contains(&"P2"));
    let exchanged =
        |history: &mut History| history.events[1].what = What::Acked { put: 0, position: position(1), attempts: 1 };
    assert_eq!(broken(exchanged), ["P2"]);
    assert!(broken(|history| history.stored[5].misrouted = true).contains(&"P2"));
    assert!(broken(|history| history.stored[5].put = None).contains(&"P2"));
    assert!(broken(|history| history.stored[5].put = Some(4)).contains(&"P2"));
}

#[test]
fn a_record_that_was_said_not_to_be_written() {
    let given_up = |unknown, ambiguous| {
        broken(move |history| history.events[1].what = What::GivenUp { put: 0, unknown, ambiguous })
    };
    assert_eq!(given_up(true, 1), [""; 0]);
    assert_eq!(given_up(false, 1), ["P3"]);
    assert_eq!(given_up(true, 0), ["P4"]);
}

#[test]
fn more_copies_than_attempts() {
    let twice = broken(|history| {
        history.stored.push(Stored { position: position(6), ..stored(5) });
        deliver(history, 5, &[4, 5]);
        let at = of_call(history, 5, true);
        let What::Begin { records, .. } = &mut history.events[at].what else { return };
        records.push(Delivered { position: position(6), put: Some(5) });
    });
    assert_eq!(twice, ["P4"]);
}

#[test]
fn a_record_that_is_never_done() {
    // Left out at the end of the child: no checkpoint covers it, only the ledger sees it.
    assert_eq!(broken(|history| deliver(history, 5, &[4])), ["C1"]);
    // Begun, and dropped.
    let dropped = broken(|history| {
        let at = of_call(history, 5, false);
        history.events[at].what = What::Dropped(5);
    });
    assert_eq!(dropped, ["C1"]);
}

#[test]
fn a_record_that_was_never_put() {
    let foreign = broken(|history| {
        let at = of_call(history, 5, true);
        let What::Begin { records, .. } = &mut history.events[at].what else { return };
        records[1].put = None;
    });
    assert_eq!(foreign, ["P2"]);
}

#[test]
fn records_out_of_order_or_left_out_within_an_epoch() {
    assert!(broken(|history| deliver(history, 5, &[5, 4])).contains(&"C3"));
    assert!(broken(|history| deliver(history, 4, &[2])).contains(&"C3"));
    let gap = broken(|history| {
        history.stored.insert(3, Stored { position: Position { sub_sequence: 7, ..position(2) }, ..stored(2) });
        history.events[5].what = What::Acked { put: 2, position: position(2), attempts: 2 };
    });
    assert!(gap.contains(&"C3"), "{gap:?}");
}

#[test]
fn one_epoch_of_two_workers_or_one_that_comes_too_late() {
    let shared = broken(|history| {
        let at = of_call(history, 4, true);
        history.events[at].worker = "a".to_owned();
        history.events[at + 1].worker = "a".to_owned();
    });
    assert!(shared.contains(&"C6"), "{shared:?}");
    let late = broken(|history| {
        history.events.extend([begin(19, "c", 2, 9, &[2]), done(19, "c", PARENT, 9)]);
    });
    assert!(late.contains(&"C6"), "{late:?}");
}

#[test]
fn a_child_before_the_end_of_its_parent() {
    let early = broken(|history| {
        let end = history
            .events
            .iter()
            .position(|event| matches!(&event.what, What::Lease(row) if row.checkpoint == Mark::ShardEnd));
        history.events.remove(end.expect("the parent ends"));
    });
    assert_eq!(early, ["C4"]);
}

#[test]
fn two_workers_at_one_shard() {
    let mut history = sound();
    let ended = of_call(&history, 1, false);
    let ended = history.events.remove(ended);
    let at = of_call(&history, 3, true);
    history.events.insert(at, Event { at: Duration::from_secs(8), ..ended });
    assert_eq!(longest_overlap(&history), Duration::from_secs(1));
    assert!(judge(&history).iter().any(|violation| violation.promise == "C7"));
    // All the same if it stood still meanwhile; but not for longer.
    let life = history.events[at].worker.clone();
    let stop = |millis, what| Event { at: Duration::from_millis(millis), ..event(0, &life, "", what) };
    history.events.insert(at, stop(5500, What::Frozen));
    history.events.push(stop(6900, What::Thawed));
    assert_eq!(longest_overlap(&history), Duration::from_millis(100));
    // One that never comes back from its call.
    let hung = broken(|history| _ = history.events.remove(of_call(history, 1, false)));
    assert!(hung.contains(&"C7"), "{hung:?}");
}

#[test]
fn a_checkpoint_ahead_of_what_is_done() {
    let ahead = |mark| broken(move |history| history.events.insert(13, lease(3, PARENT, "a", 1, mark)));
    assert!(ahead(Mark::At(position(0))).contains(&"C2"));
    assert!(ahead(Mark::ShardEnd).contains(&"C2"));
    // The later of two is done, the earlier is not: the checkpoint may not pass it.
    let passed = broken(|history| deliver(history, 1, &[1]));
    assert!(passed.contains(&"C2"), "{passed:?}");
}

#[test]
fn a_checkpoint_or_a_counter_that_goes_back() {
    let back = |counter, mark| broken(move |history| history.events.push(lease(19, PARENT, "b", counter, mark)));
    assert_eq!(back(5, Mark::ShardEnd), [""; 0]);
    assert_eq!(back(5, Mark::At(position(3))), ["C6"]);
    assert_eq!(back(2, Mark::ShardEnd), ["C6"]);
}

#[test]
fn an_epoch_that_begins_elsewhere_than_after_the_checkpoint() {
    let again = broken(|history| {
        deliver(history, 2, &[1, 2]);
        deliver(history, 3, &[1, 2]);
    });
    assert_eq!(again, ["C5"]);
    assert!(broken(|history| deliver(history, 2, &[3])).contains(&"C5"));
}

#[test]
fn records_that_come_twice_although_nobody_died() {
    let twice = |trouble: Option<&str>| {
        broken(|history| {
            let at = of_call(history, 1, true);
            let before = Event { worker: "z".to_owned(), ..begin(3, "z", 0, 8, &[0, 1]) };
            history.events.splice(at..at, [before, event(3, "z", PARENT, What::Dropped(8))]);
            let trouble = trouble.map(|trouble| event(3, "", "", What::Trouble(trouble.to_owned())));
            history.events.splice(at..at, trouble);
        })
    };
    assert_eq!(twice(None), ["C5"]);
    assert_eq!(twice(Some("Split { shard: 1 }")), ["C5"]);
    assert_eq!(twice(Some("Crash { worker: 1 }")), [""; 0]);
}

#[test]
fn a_fleet_that_converges_late_or_never_or_ends_by_itself() {
    assert_eq!(broken(|history| _ = history.events.pop()), ["C8"]);
    let late = |after| {
        broken(move |history| history.events.last_mut().expect("it has events").at += Duration::from_secs(after))
    };
    assert_eq!(late(27), [""; 0]);
    assert_eq!(late(28), ["C8"]);
    let ended = event(14, "b", "", What::Down("error: reading a shard failed for good".to_owned()));
    assert_eq!(broken(|history| history.events.insert(28, ended)), ["C8"]);
}
