//! Each oracle is shown a sound history, and histories with one thing wrong that it must catch.

use std::time::Duration;

use kinesis_consumer::Position;

use super::{Duplicates, duplicates, judge, longest_overlap};
use crate::sim::fleet::place_of_life;
use crate::sim::history::{Delivered, Event, History, Lineage, Stored, What};
use crate::sim::shape::{Face, Shape};
use crate::sim::table::{LeaseWrite, Mark, Row};
use crate::sim::workload::Put;

mod deadlines;
mod gauges;
mod mistakes;
mod puts;
mod twins;

const PARENT: &str = "shardId-000000000000";
const CHILD: &str = "shardId-000000000001";

fn position(number: u32) -> Position {
    let sequence_number = (1000 + number).to_string().parse().expect("a number");
    Position { sequence_number, sub_sequence: 0, shard: PARENT.into() }
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

/// A write that leaves the lease so, by the place of this life.
fn write(at: u64, by: &str, lease: Event) -> LeaseWrite {
    let What::Lease(row) = lease.what else { panic!("a write leaves a lease") };
    LeaseWrite {
        at: Duration::from_secs(at),
        place: Some(place_of_life(by).to_owned()),
        network: Some(place_of_life(by).to_owned()),
        shard: lease.shard,
        row: Some(row),
    }
}

/// The write by which its owner leaves its lease so.
fn renewed(at: u64, shard: &str, owner: &str, counter: u64, checkpoint: Mark) -> LeaseWrite {
    write(at, owner, lease(at, shard, owner, counter, checkpoint))
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
        lease(3, PARENT, "w0.0", 1, Mark::Nothing),
        begin(3, "w0.0", 1, 1, &[0, 1]),
        done(4, "w0.0", PARENT, 1),
        lease(5, PARENT, "w0.0", 2, Mark::At(position(1))),
        lease(6, PARENT, "w1.0", 4, Mark::At(position(1))),
        begin(6, "w1.0", 4, 2, &[2]),
        event(7, "w1.0", PARENT, What::Failed(2)),
        begin(8, "w1.0", 4, 3, &[2]),
        done(9, "w1.0", PARENT, 3),
        begin(9, "w1.0", 4, 4, &[3]),
        done(10, "w1.0", PARENT, 4),
        lease(11, PARENT, "w1.0", 5, Mark::ShardEnd),
        lease(11, CHILD, "w1.0", 1, Mark::Nothing),
        begin(11, "w1.0", 1, 5, &[4, 5]),
        done(12, "w1.0", CHILD, 5),
        event(13, "", "", What::Phase("liveness")),
        event(18, "", "", What::Converged),
    ]);
    let mut shape = Shape::of(0);
    (shape.face, shape.failing_calls, shape.slowest_call) = (Face::Batches, 0, Duration::ZERO);
    (shape.lease_duration, shape.handoff_time) = (Duration::from_secs(10), Duration::from_secs(5));
    let lineage =
        |parents: &[&str], open| Lineage { parents: parents.iter().map(|id| (*id).to_owned()).collect(), open };
    let writes = vec![
        renewed(2, PARENT, "w0.0", 0, Mark::Nothing),
        renewed(3, PARENT, "w0.0", 1, Mark::Nothing),
        renewed(5, PARENT, "w0.0", 2, Mark::At(position(1))),
        // Given away, and made its own by the new owner.
        write(6, "w0.0", lease(6, PARENT, "w1.0", 3, Mark::At(position(1)))),
        renewed(6, PARENT, "w1.0", 4, Mark::At(position(1))),
        renewed(10, CHILD, "w1.0", 0, Mark::Nothing),
        renewed(11, PARENT, "w1.0", 5, Mark::ShardEnd),
        renewed(11, CHILD, "w1.0", 1, Mark::Nothing),
    ];
    History {
        shape,
        schedule: Vec::new(),
        producer_well_until: Duration::MAX,
        events,
        writes,
        others: Vec::new(),
        puts: (0..6).map(put).collect(),
        sent: Vec::new(),
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
        history.events[at].worker = "w0.0".to_owned();
        history.events[at + 1].worker = "w0.0".to_owned();
    });
    assert!(shared.contains(&"C6"), "{shared:?}");
    let late = broken(|history| {
        history.events.extend([begin(19, "w2.0", 2, 9, &[2]), done(19, "w2.0", PARENT, 9)]);
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
fn a_checkpoint_ahead_of_what_is_done() {
    let ahead = |mark| broken(move |history| history.writes.insert(2, renewed(3, PARENT, "w0.0", 2, mark)));
    assert!(ahead(Mark::At(position(0))).contains(&"C2"));
    assert!(ahead(Mark::ShardEnd).contains(&"C2"));
    // The later of two is done, the earlier is not: the checkpoint may not pass it.
    let passed = broken(|history| deliver(history, 1, &[1]));
    assert!(passed.contains(&"C2"), "{passed:?}");
}

#[test]
fn a_checkpoint_or_a_counter_that_goes_back() {
    let back = |counter, mark| broken(move |history| history.writes.push(renewed(19, PARENT, "w1.0", counter, mark)));
    assert_eq!(back(6, Mark::ShardEnd), [""; 0]);
    assert_eq!(back(6, Mark::At(position(3))), ["C6"]);
    assert_eq!(back(2, Mark::ShardEnd), ["C6"]);
}

/// The child's first checkpoint: all of it is done.
fn checkpointed() -> LeaseWrite {
    renewed(13, CHILD, "w1.0", 2, Mark::At(position(5)))
}

#[test]
fn a_lease_that_is_renewed_by_another_than_its_holder() {
    assert_eq!(broken(|history| history.writes.push(checkpointed())), [""; 0]);
    let other = broken(|history| history.writes.push(LeaseWrite { place: Some("w0".to_owned()), ..checkpointed() }));
    assert_eq!(other, ["C6"]);
}

#[test]
fn an_epoch_without_a_renewal_or_beyond_its_lease() {
    // The epoch is as the leader's write left the lease.
    assert!(broken(|history| _ = history.writes.remove(4)).contains(&"C6"));
    let late = broken(|history| {
        let taken = |write: &mut LeaseWrite| write.at = Duration::from_millis(10_500);
        history.writes.insert(5, write(7, "w2.0", lease(7, PARENT, "w2.0", 5, Mark::At(position(1)))));
        history.writes.iter_mut().skip(6).for_each(taken);
    });
    assert!(late.contains(&"C7"), "{late:?}");
}

#[test]
fn an_epoch_that_ends_though_its_lease_is_held() {
    let again = |at| {
        let mut history = sound();
        history.writes.push(checkpointed());
        history.writes.extend(
            [14, 14, at]
                .into_iter()
                .zip(3..)
                .map(|(at, counter)| renewed(at, CHILD, "w1.0", counter, Mark::At(position(5)))),
        );
        history.events.push(begin(at, "w1.0", 5, 6, &[5]));
        judge(&history).into_iter().filter(|violation| violation.what.contains("takes anew")).count()
    };
    // It had renewed in the thirteenth second for sure, for nine.
    assert_eq!((again(21), again(22)), (1, 0));
}

#[test]
fn a_hand_off_that_leaves_something_open() {
    let handed_over = |checkpoint| {
        let mut history = sound();
        let mut asked = lease(4, PARENT, "w1.0", 1, Mark::Nothing);
        let What::Lease(row) = &mut asked.what else { unreachable!("made so") };
        row.checkpoint_owner = Some("w0.0".to_owned());
        let mut held = asked.clone();
        let What::Lease(row) = &mut held.what else { unreachable!("made so") };
        (row.counter, row.checkpoint) = (2, Mark::At(position(checkpoint)));
        history.writes.splice(2..3, [write(4, "w1.0", asked), write(5, "w0.0", held)]);
        let given = history.writes[4].row.as_mut().expect("it is given away");
        given.checkpoint = Mark::At(position(checkpoint));
        judge(&history).into_iter().filter(|violation| violation.what.contains("hands over")).count()
    };
    // It was given two records.
    assert_eq!((handed_over(1), handed_over(0)), (0, 1));
}

#[test]
fn a_finished_lease_that_goes_before_its_children_have_begun() {
    let deleted = |after: usize, place: Option<&str>| {
        broken(move |history| {
            history.writes.push(checkpointed());
            let at = history.writes[after - 1].at;
            history.writes.insert(
                after,
                LeaseWrite {
                    at,
                    place: place.map(str::to_owned),
                    network: place.map(str::to_owned),
                    shard: PARENT.to_owned(),
                    row: None,
                },
            );
        })
    };
    assert_eq!(deleted(9, Some("w0")), [""; 0]);
    assert_eq!(deleted(8, Some("w0")), ["C4"]);
    assert_eq!(deleted(8, None), [""; 0], "an operator may");
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
            let before = Event { worker: "w3.0".to_owned(), ..begin(3, "w3.0", 0, 8, &[0, 1]) };
            history.events.splice(at..at, [before, event(3, "w3.0", PARENT, What::Dropped(8))]);
            let trouble = trouble.map(|trouble| event(3, "", "", What::Trouble(trouble.to_owned())));
            history.events.splice(at..at, trouble);
        })
    };
    // The table knows nothing of the first one's epoch, which is another matter.
    let twice = |trouble| twice(trouble).into_iter().filter(|promise| *promise != "C6").collect::<Vec<_>>();
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
    let ended = event(14, "w1.0", "", What::Down("error: reading a shard failed for good".to_owned()));
    assert_eq!(broken(|history| history.events.insert(28, ended)), ["C8"]);
}
