//! What was put, what was said of it, and what the stream holds.

use super::*;

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
fn a_flush_that_leaves_something() {
    let flushed =
        |bytes| move |history: &mut History| history.events.push(event(19, "producer", "", What::Flushed { bytes }));
    assert_eq!(broken(flushed(0)), [""; 0]);
    assert_eq!(broken(flushed(7)), ["P6"]);
    let pending = broken(|history| {
        history
            .events
            .extend([event(18, "producer", "", What::Put(9)), event(19, "producer", "", What::Flushed { bytes: 7 })]);
    });
    assert!(pending.contains(&"P8"), "{pending:?}");
    // Noted a moment later.
    assert_eq!(
        broken(|history| history.events.insert(1, event(1, "producer", "", What::Flushed { bytes: 0 }))),
        ["P8"]
    );
    assert_eq!(
        broken(|history| history.events.insert(12, event(2, "producer", "", What::Flushed { bytes: 0 }))),
        [""; 0]
    );
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
        broken(move |history| {
            history.events.remove(1);
            history.events.push(event(31, "producer", "", What::GivenUp { put: 0, unknown, ambiguous }));
        })
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
