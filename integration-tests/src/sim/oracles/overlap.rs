//! C7: never are two workers at one shard. The meter counts from the moment when user code is called on one worker while
//! a call on another has not ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::sim::history::{History, What};

/// A time in which two lives processed one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Overlap {
    from: Duration,
    until: Duration,
    shard: String,
    workers: [String; 2],
}

/// In this world all clocks run at one rate, and a call is dropped when its lease is lost: nothing may overlap.
pub(crate) fn processors(history: &History) -> Vec<Violation> {
    let long = overlaps(history).into_iter().filter(|overlap| overlap.until - overlap.from > PERMITTED);
    long.map(|Overlap { from, until, shard, workers: [one, other] }| {
        Violation::new("C7", from, &shard, format!("{one} and {other} were at it together for {:?}", until - from))
    })
    .collect()
}

/// The longest time in which a shard had two processors.
pub(crate) fn longest(history: &History) -> Duration {
    overlaps(history).iter().map(|overlap| overlap.until - overlap.from).max().unwrap_or_default()
}

fn overlaps(history: &History) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    // By shard and life the calls that are under way.
    let mut calls: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut together: BTreeMap<(&str, [&str; 2]), Duration> = BTreeMap::new();
    for event in &history.events {
        let key = (event.shard.as_str(), event.worker.as_str());
        match &event.what {
            What::Begin { .. } => {
                let at_it = calls.entry(key).or_default();
                *at_it += 1;
                if *at_it > 1 {
                    continue;
                }
                for (_, other) in calls.keys().filter(|(shard, worker)| *shard == key.0 && *worker != key.1) {
                    together.entry((key.0, [other, key.1])).or_insert(event.at);
                }
            }
            What::Done(_) | What::Failed(_) | What::Dropped(_) => {
                let Some(at_it) = calls.get_mut(&key) else { continue };
                *at_it -= 1;
                if *at_it > 0 {
                    continue;
                }
                calls.remove(&key);
                together.retain(|(shard, workers), from| {
                    let ends = *shard == key.0 && workers.contains(&key.1);
                    if ends {
                        let workers = workers.map(str::to_owned);
                        overlaps.push(Overlap { from: *from, until: event.at, shard: (*shard).to_owned(), workers });
                    }
                    !ends
                });
            }
            _ => {}
        }
    }
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    overlaps.extend(together.into_iter().map(|((shard, workers), from)| Overlap {
        from,
        until: end,
        shard: shard.to_owned(),
        workers: workers.map(str::to_owned),
    }));
    overlaps
}

/// Tasks of one virtual instant run in some order: a call may be dropped after another has begun, without time between.
const PERMITTED: Duration = Duration::ZERO;
