//! Checks the stream before a lease is adopted, whether a leader or an operator has named this worker as the owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::clock::Tick;
use crate::lease::holder::held::HoldContext;
use crate::lease::table::belonging::Fit;
use crate::lease::{Lease, LeaseKey};
use crate::shard::DiscoverError;
use crate::watch::{FindingKind, Report};

/// Judges leases before the first write to them (rule `adoption`), and refreshes an outdated listing of the stream.
pub(super) struct Lookout {
    hold: HoldContext,
    /// The refresh under way; the leases of `unsure` wait for it.
    look: Option<BoxFuture<'static, Result<(), DiscoverError>>>,
    unsure: BTreeSet<LeaseKey>,
    untold: Untold,
    /// Leases that are among the findings.
    said: BTreeSet<LeaseKey>,
    /// When the last refresh began.
    looked: Option<Tick>,
}

impl Lookout {
    pub(super) fn new(hold: HoldContext) -> Self {
        Self {
            hold,
            look: None,
            unsure: BTreeSet::new(),
            untold: Untold::default(),
            said: BTreeSet::new(),
            looked: None,
        }
    }

    /// Returns `true` if the lease is one of our stream. A lease that cannot be judged yet is among those that [`Self::looked`]
    /// returns.
    pub(super) fn admits(&mut self, lease: &Lease) -> bool {
        match self.hold.belonging.judge_lease(lease) {
            Fit::Ours => {
                self.untold.judged(&lease.key);
                self.mended(&lease.key);
                return true;
            }
            Fit::AskAgain => {
                self.unsure.insert(lease.key.clone());
                let now = self.hold.clock.now();
                if self.untold.is_to_be_said(now, &lease.key) {
                    self.say(&lease.key, UNTOLD, UNTOLD_NEXT);
                }
                if self.look.is_none() && self.looked.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
                    self.looked = Some(now);
                    let belonging = Arc::clone(&self.hold.belonging);
                    self.look = Some(Box::pin(async move { belonging.refresh().await }));
                }
            }
            Fit::Foreign(why) => {
                self.untold.judged(&lease.key);
                self.say(&lease.key, &why, FOREIGN_NEXT);
            }
        }
        false
    }

    /// Removes the findings of leases that do not name this worker any more.
    pub(super) fn forget(&mut self, still_named: impl Fn(&LeaseKey) -> bool) {
        for key in self.said.iter().filter(|key| !still_named(key)).cloned().collect::<Vec<_>>() {
            self.untold.judged(&key);
            self.mended(&key);
        }
    }

    fn say(&mut self, key: &LeaseKey, seen: &str, next: &'static str) {
        self.hold.findings.report(Report::new(FindingKind::LeaseMismatch, key, seen, next));
        self.said.insert(key.clone());
    }

    fn mended(&mut self, key: &LeaseKey) {
        if self.said.remove(key) {
            self.hold.findings.mended(FindingKind::LeaseMismatch, key);
        }
    }

    /// Resolves when a refresh has ended, with the leases to judge again. Cancel safe.
    pub(super) async fn looked(&mut self) -> BTreeSet<LeaseKey> {
        let looked = match &mut self.look {
            Some(look) => look.await,
            None => std::future::pending().await,
        };
        self.look = None;
        if let Err(error) = looked {
            error.log("looking at the stream before leases are taken");
        }
        std::mem::take(&mut self.unsure)
    }
}

/// Leases that may or may not be our stream's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Untold {
    /// When each lease was first and last undecided.
    leases: BTreeMap<LeaseKey, (Tick, Tick)>,
}

impl Untold {
    /// Records that a lease could not be judged at `now`. Returns `true` if that has been so for long.
    fn is_to_be_said(&mut self, now: Tick, key: &LeaseKey) -> bool {
        let (since, last) = self.leases.entry(key.clone()).or_insert((now, now));
        // Another worker owned it meanwhile.
        if now.since(*last) >= 2 * LONG {
            *since = now;
        }
        *last = now;
        now.since(*since) >= LONG
    }

    fn judged(&mut self, key: &LeaseKey) {
        self.leases.remove(key);
    }
}

/// A lease that cannot be judged for this long is reported.
const LONG: Duration = Duration::from_secs(30);
const FOREIGN_NEXT: &str = "left alone, though this worker is named as its owner: correct or delete its row";
const UNTOLD: &str =
    "the stream does not list its shard, or cannot be listed, and the table is not known to be this stream's";
const UNTOLD_NEXT: &str = "asked again until it is known: if the table is this stream's, start a worker with `adopt_table`, and allow \
     kinesis:DescribeStreamSummary and kinesis:ListShards";

/// The shortest time between two refreshes for leases of unknown shards.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_another_worker_had_in_between_has_not_been_untold_all_the_time() {
        let at = |seconds| Tick::new(Duration::from_secs(seconds));
        let (key, other) = (LeaseKey::from("shardId-000000000000"), LeaseKey::from("shardId-000000000001"));
        let mut untold = Untold::default();
        for second in (0..30).step_by(2) {
            assert!(!untold.is_to_be_said(at(second), &key));
        }
        assert!(untold.is_to_be_said(at(30), &key));
        assert!(!untold.is_to_be_said(at(30), &other));
        // Both are undecided again after hours.
        for second in (9_000..9_030).step_by(2) {
            assert!(!untold.is_to_be_said(at(second), &key) && !untold.is_to_be_said(at(second), &other), "{second}");
        }
        assert!(untold.is_to_be_said(at(9_030), &key));
        untold.judged(&key);
        assert!(!untold.is_to_be_said(at(9_032), &key));
    }
}
