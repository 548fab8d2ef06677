//! What people got wrong: who writes where it has nothing to write, what comes to an end that is open, what one mistake stops.

use super::*;
use crate::sim::fleet::STRANGER;
use crate::sim::mistakes::{Denial, Mistake, ODD_KEY};
use crate::sim::schedule::{Timed, Trouble};
use crate::sim::table::OtherWrite;

fn mistake(at: u64, mistake: Mistake) -> Timed {
    Timed { at: Duration::from_secs(at), lasts: Duration::from_secs(30), what: Trouble::Mistake(mistake) }
}

#[test]
fn a_write_by_a_worker_of_another_stream_is_caught() {
    let written = |network: &str, key: &str| {
        let (at, network, key) = (Duration::from_secs(9), network.to_owned(), key.to_owned());
        broken(|history| history.others.push(OtherWrite { at, network, key }))
    };
    assert_eq!(written("stranger0", PARENT), ["C11"]);
    assert_eq!(written("stranger0", "Leader"), ["C11"], "whatever the row");
    assert_eq!(written("w0", ODD_KEY), ["C12"], "a row that is none of the stream's");
}

#[test]
fn a_worker_of_another_stream_that_starts_is_caught_and_one_that_is_refused_is_not() {
    let life = format!("{STRANGER}0.0");
    let says = |what| broken(|history| history.events.insert(20, event(9, &life, "", what)));
    assert_eq!(says(What::Up(format!("{STRANGER}0-0"))), ["C11"]);
    assert_eq!(says(What::Trouble("cannot start: the table is another stream's".to_owned())), [""; 0]);
    assert_eq!(says(What::Down("crash".to_owned())), [""; 0]);
}

#[test]
fn the_end_of_an_open_shard_is_caught() {
    // All of it is done: no other oracle minds.
    let end = |history: &mut History| history.writes.push(renewed(13, CHILD, "w1.0", 2, Mark::ShardEnd));
    assert_eq!(broken(end), ["C11"]);
    let closed = broken(|history| {
        end(history);
        history.shards.get_mut(CHILD).expect("it is there").open = false;
    });
    assert!(!closed.contains(&"C11"), "{closed:?}");
}

/// The sound history, with what comes after the first records of the parent so much later.
fn silent_for(seconds: u64, schedule: &[Timed], change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    broken(|history| {
        history.schedule = schedule.to_vec();
        let later = Duration::from_secs(seconds);
        let is_late = |at: &Duration| *at > Duration::from_secs(5);
        history.events.iter_mut().filter(|event| is_late(&event.at)).for_each(|event| event.at += later);
        history.writes.iter_mut().filter(|write| is_late(&write.at)).for_each(|write| write.at += later);
        // Renewed all the time.
        for (second, counter) in (6..5 + seconds).zip(100..) {
            let at = history.writes.partition_point(|write| write.at <= Duration::from_secs(second));
            history.writes.insert(at, renewed(second, PARENT, "w0.0", counter, Mark::At(position(1))));
        }
        for write in history.writes.iter_mut().filter(|write| is_late(&write.at) && write.shard == PARENT) {
            write.row.iter_mut().for_each(|row| row.counter += if row.counter < 100 { 10_000 } else { 0 });
        }
        for event in &mut history.events {
            if let What::Begin { epoch: Some(epoch), .. } = &mut event.what
                && *epoch == 4
            {
                *epoch += 10_000;
            }
        }
        change(history);
    })
}

#[test]
fn a_shard_that_a_mistake_elsewhere_silences_is_caught() {
    let odd_row = [mistake(3, Mistake::OddRow)];
    let silent = |seconds, schedule: &[Timed]| silent_for(seconds, schedule, |_| {});
    // A lease's life, two rounds and two seconds; a hand-off, and two rounds more.
    assert_eq!(silent(30, &odd_row), [""; 0]);
    assert_eq!(silent(40, &odd_row), ["C12"]);
    assert_eq!(silent(40, &[]), [""; 0], "nobody got anything wrong");
    let crash = Timed { what: Trouble::Crash { worker: 0 }, ..odd_row[0].clone() };
    assert_eq!(silent(40, &[odd_row[0].clone(), crash]), [""; 0], "who knows which of them it was");
}

#[test]
fn what_a_mistake_concerns_may_be_silent() {
    let damaged = |history: &mut History, for_good| {
        history.events.insert(1, event(1, "", PARENT, What::Damaged { for_good }));
    };
    let odd_row = [mistake(3, Mistake::OddRow)];
    assert_eq!(silent_for(60, &odd_row, |history| damaged(history, false)), [""; 0]);
    let what = Denial { code: "AccessDeniedException", operation: Some("GetRecords") };
    let denied = |worker| [mistake(20, Mistake::Denied { worker: Some(worker), what })];
    assert_eq!(silent_for(60, &denied(0), |_| {}), [""; 0], "it holds the shard");
    assert_eq!(silent_for(60, &denied(2), |_| {}), ["C12"], "it has nothing to do with the shard");
}

#[test]
fn what_cannot_be_read_is_not_waited_for() {
    let unread = |for_good| {
        broken(|history| {
            let at = of_call(history, 5, true);
            history.events.drain(at..=at + 1);
            history.events.insert(1, event(1, "", CHILD, What::Damaged { for_good }));
        })
    };
    assert_eq!(unread(true), [""; 0]);
    assert_eq!(unread(false), ["C1"]);
}

#[test]
fn a_put_that_is_given_up_before_its_time_is_caught() {
    let given_up = |at| {
        broken(|history| {
            let of_put = history.events.remove(1);
            assert!(matches!(of_put.what, What::Acked { put: 0, .. }));
            history.stored.remove(0);
            deliver(history, 1, &[1]);
            history.events.push(event(at, "producer", "", What::GivenUp { put: 0, unknown: false, ambiguous: 0 }));
        })
    };
    assert_eq!(given_up(31), [""; 0]);
    assert_eq!(given_up(20), ["P1"]);
}

#[test]
fn what_is_sent_when_the_producer_is_closed_is_caught() {
    let closed = |within, sent_before, sent| {
        broken(|history| {
            history.sent = vec![Duration::from_secs(1), Duration::from_millis(sent)];
            let within = Duration::from_secs(within);
            history.events.push(event(19, "producer", "", What::Closing { within, sent_before }));
        })
    };
    assert_eq!(closed(1, 1, 19_999), [""; 0]);
    assert_eq!(closed(1, 1, 20_000), ["P8"]);
    assert_eq!(closed(0, 1, 19_000), ["P8"]);
    assert_eq!(closed(0, 2, 19_000), [""; 0], "sent in that instant, before the close");
    // What is not written by then may be given up sooner than after its time.
    let given_up = broken(|history| {
        history.events.push(event(19, "producer", "", What::Put(9)));
        history.events.push(event(19, "producer", "", What::Closing { within: Duration::ZERO, sent_before: 0 }));
        history.events.push(event(19, "producer", "", What::GivenUp { put: 9, unknown: false, ambiguous: 0 }));
    });
    assert_eq!(given_up, [""; 0]);
}
