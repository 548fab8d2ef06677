//! What a run is judged by. Each oracle reads the history and nothing else, so that each is shown what it must catch.

mod belongs;
mod checkpoints;
mod leases;
mod ledger;
mod leftovers;
mod lineage;
mod liveness;
mod order;
mod overlap;
#[cfg(test)]
mod planted;
mod rates;
mod reach;
mod restarts;

use std::fmt;
use std::time::Duration;

use super::history::History;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// As the README names it.
    pub(crate) promise: &'static str,
    pub(crate) at: Duration,
    /// The shard concerned, if it is one.
    pub(crate) shard: String,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, at: Duration, shard: &str, what: String) -> Self {
        Self { promise, at, shard: shard.to_owned(), what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = if self.shard.is_empty() { "" } else { " of " };
        write!(f, "{} broken at {:.6} s{shard}{}: {}", self.promise, self.at.as_secs_f64(), self.shard, self.what)
    }
}

/// All promises that were broken, in the order of time.
pub(crate) fn judge(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for oracle in ORACLES {
        violations.extend(oracle(history));
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}

type Oracle = fn(&History) -> Vec<Violation>;

const ORACLES: [Oracle; 22] = [
    ledger::flushes,
    ledger::closings,
    ledger::buffers,
    ledger::puts,
    ledger::stream,
    ledger::deliveries,
    rates::shards,
    order::epochs,
    lineage::children,
    overlap::processors,
    checkpoints::writes,
    leases::epochs,
    leases::families,
    leftovers::finished,
    leftovers::tasks,
    restarts::starts,
    restarts::alarms,
    liveness::convergence,
    belongs::strangers,
    belongs::ends,
    reach::odd_rows,
    reach::silences,
];

pub(crate) use liveness::{after_a_death, took};
pub(crate) use overlap::longest as longest_overlap;
pub(crate) use restarts::{Duplicates, duplicates};
