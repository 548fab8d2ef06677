//! P7: no window of time in which a shard gets more than its rate and one second's burst.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::sim::history::{History, What};

/// What is acknowledged was sent one and the same time before, for as long as nothing is wrong with the producer's network.
pub(crate) fn shards(history: &History) -> Vec<Violation> {
    let Some(limit) = history.shape.rate_limit else { return Vec::new() };
    let mut records: BTreeMap<(&str, &str), Duration> = BTreeMap::new();
    for event in history.events.iter().filter(|event| event.at < history.producer_well_until) {
        if let What::Acked { position, .. } = &event.what {
            // The records of an aggregate are one for the service.
            records.entry((&event.shard, position.sequence_number.as_str())).or_insert(event.at);
        }
    }
    let mut sent: Vec<(&str, Duration)> = records.into_iter().map(|((shard, _), at)| (shard, at)).collect();
    sent.sort_by_key(|(_, at)| *at);
    let token = Duration::from_secs(1).div_f64(limit as f64);
    let mut full_at: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut violations = Vec::new();
    let mut first: BTreeMap<&str, Duration> = BTreeMap::new();
    for (shard, at) in sent {
        let first = *first.entry(shard).or_insert(at);
        // What is meant for its parents lands on a merged shard too, until the producer knows.
        let is_merged = history.shards.get(shard).is_some_and(|lineage| lineage.parents.len() > 1);
        if is_merged && at < first + KNOWN_WITHIN {
            continue;
        }
        let full_at = full_at.entry(shard).or_default();
        *full_at = (*full_at).max(at) + token;
        if *full_at > at + BURST + TIMERS {
            let what =
                format!("more than {limit} records a second, and a burst of as many: by {:?}", *full_at - at - BURST);
            violations.push(Violation::new("P7", at, shard, what));
            *full_at = at + BURST;
        }
    }
    violations
}

/// How long the bucket of a shard takes to fill.
const BURST: Duration = Duration::from_secs(1);

/// How soon after the first record on a new shard the producer has listed the shards.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Timers ring at whole milliseconds: one may be late, and the next not.
const TIMERS: Duration = Duration::from_millis(2);
