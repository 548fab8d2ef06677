//! P1–P4 and C1: what was put, what the stream holds, what was acknowledged, and what was done agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Violation;
use crate::sim::history::{History, What};
use crate::sim::run::done;
use crate::sim::workload::PRODUCER;

/// P8: at the end of a flush all puts before it are resolved. P6: their room in the buffers has come back then.
pub(crate) fn flushes(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut pending = BTreeSet::new();
    // A delivery that is resolved is noted by a task of its own, in the same instant.
    let mut events = history.events.iter().peekable();
    let mut flushed = None;
    while let Some(event) = events.next() {
        match event.what {
            What::Put(put) => _ = pending.insert(put),
            What::Acked { put, .. } | What::GivenUp { put, .. } => _ = pending.remove(&put),
            What::Flushed { bytes } => flushed = Some(bytes),
            _ => {}
        }
        if events.peek().is_some_and(|next| next.at == event.at) {
            continue;
        }
        let Some(bytes) = flushed.take() else { continue };
        if let Some(put) = pending.first() {
            violations.push(broken("P8", event.at, format!("put #{put} is not resolved, and the flush has returned")));
        } else if bytes > 0 {
            violations.push(broken("P6", event.at, format!("the buffers hold {bytes} bytes of nothing")));
        }
    }
    violations
}

/// P8: a producer that is closed begins nothing at its deadline or after it.
pub(crate) fn closings(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in &history.events {
        let What::Closing { within, sent_before } = event.what else { continue };
        let late = history.sent.iter().skip(sent_before).filter(|at| **at >= event.at + within).count();
        if late > 0 {
            let what = format!("{late} requests are sent when there are none to be sent any more");
            violations.push(broken("P8", event.at + within, what));
        }
    }
    violations
}

/// P6: what is admitted is never more than the producer may hold. C9: nor is what a worker has read and not processed.
pub(crate) fn buffers(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for event in &history.events {
        let What::Holds { bytes } = event.what else { continue };
        let (promise, most) = match event.worker.as_str() {
            PRODUCER => ("P6", history.shape.buffered_bytes),
            _ => ("C9", history.shape.read_bytes),
        };
        if bytes > most {
            let what = format!("the buffers of {} hold {bytes} bytes, of {most} at the most", event.worker);
            violations.push(broken(promise, event.at, what));
        }
    }
    violations
}

/// P1: each put is resolved exactly once, in time; and given up no sooner, for what is refused here passes.
pub(crate) fn puts(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut pending = BTreeMap::new();
    let mut closing = false;
    for event in &history.events {
        match event.what {
            What::Put(put) => _ = pending.insert(put, event.at),
            What::Closing { .. } => closing = true,
            What::Acked { put, .. } | What::GivenUp { put, .. } => match pending.remove(&put) {
                None => violations.push(broken("P1", event.at, format!("put #{put} is resolved twice"))),
                Some(began) if event.at - began > history.shape.record_ttl + REQUEST_TIMEOUT => {
                    violations.push(broken(
                        "P1",
                        event.at,
                        format!("put #{put} was pending for {:?}", event.at - began),
                    ));
                }
                Some(began)
                    if matches!(event.what, What::GivenUp { .. })
                        && !closing
                        && event.at + LAST_PAUSE < began + history.shape.record_ttl =>
                {
                    let what =
                        format!("put #{put} is given up after {:?}, and nothing was wrong with it", event.at - began);
                    violations.push(broken("P1", event.at, what));
                }
                Some(_) => {}
            },
            _ => {}
        }
    }
    violations
        .extend(pending.into_iter().map(|(put, began)| broken("P1", began, format!("put #{put} is never resolved"))));
    violations
}

/// P2, P3, P4: the stream against the acknowledgements, both ways.
pub(crate) fn stream(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
    let mut placed = BTreeMap::new();
    for stored in &history.stored {
        match stored.put {
            None => violations.push(Violation::new(
                "P2",
                Duration::ZERO,
                &stored.shard,
                format!("the stream holds what was never put, at {}", stored.position),
            )),
            Some(put) => {
                *copies.entry(put).or_default() += 1;
                placed.insert((&stored.shard, &stored.position), stored);
            }
        }
    }
    for event in &history.events {
        match &event.what {
            What::Acked { put, position, attempts } => {
                match placed.get(&(&event.shard, position)) {
                    Some(stored) if stored.put == Some(*put) && !stored.misrouted => {}
                    other => violations.push(Violation::new(
                        "P2",
                        event.at,
                        &event.shard,
                        format!("put #{put} has a receipt for {position}, where the stream holds {other:?}"),
                    )),
                }
                let copies = copies.get(put).copied().unwrap_or_default();
                if copies > *attempts {
                    violations.push(broken(
                        "P4",
                        event.at,
                        format!("put #{put} is there {copies} times after {attempts} attempts"),
                    ));
                }
            }
            What::GivenUp { put, unknown, ambiguous } => {
                let copies = copies.get(put).copied().unwrap_or_default();
                if !unknown && copies > 0 {
                    violations.push(broken(
                        "P3",
                        event.at,
                        format!("put #{put} is not written, and there {copies} times"),
                    ));
                }
                if copies > *ambiguous {
                    violations.push(broken(
                        "P4",
                        event.at,
                        format!("put #{put} is there {copies} times after {ambiguous} ambiguous attempts"),
                    ));
                }
            }
            _ => {}
        }
    }
    violations
}

/// C1: each record of the stream is done; and nothing is delivered that the stream does not hold there.
pub(crate) fn deliveries(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let stored: BTreeMap<_, _> =
        history.stored.iter().map(|stored| ((&stored.shard, &stored.position), stored)).collect();
    let mut said = BTreeSet::new();
    for event in &history.events {
        let What::Begin { records, .. } = &event.what else { continue };
        for record in records {
            let right = stored.get(&(&event.shard, &record.position)).is_some_and(|stored| stored.put == record.put);
            if (record.put.is_none() || !right) && said.insert(record.position.clone()) {
                let what = format!("{} was given {record:?}, which the stream does not hold there", event.worker);
                violations.push(Violation::new("P2", event.at, &event.shard, what));
            }
        }
    }
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    let (done, out_of_use) = (done(&history.events), history.out_of_use());
    let to_be_done = history.stored.iter().filter(|stored| !stored.misrouted && !out_of_use.contains(&stored.shard));
    for stored in to_be_done.filter(|stored| !done.contains_key(&stored.position)) {
        let what = format!("put {:?} at {} is in the stream and never done", stored.put, stored.position);
        violations.push(Violation::new("C1", end, &stored.shard, what));
    }
    violations
}

fn broken(promise: &'static str, at: Duration, what: String) -> Violation {
    Violation::new(promise, at, "", what)
}

/// A sum of pauses may leave no room for another try.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The producer's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(6);
