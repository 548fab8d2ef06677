//! A look at the stream before a lease is adopted, whoever has named this worker as its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::clock::Tick;
use crate::lease::belonging::Fit;
use crate::lease::held::HoldContext;
use crate::lease::{Lease, LeaseKey};
use crate::shard::DiscoverError;
use crate::watch::{FindingKind, Report};

/// Judges leases before the first write to them (rule `adoption`), and looks at the stream where what is known is too old.
pub(super) struct Lookout {
    hold: HoldContext,
    /// Under way, and the leases that wait for it.
    look: Option<BoxFuture<'static, Result<(), DiscoverError>>>,
    unsure: BTreeSet<LeaseKey>,
    /// Leases that could not be judged: since when, and when last.
    waiting: BTreeMap<LeaseKey, (Tick, Tick)>,
    /// When the last look began.
    looked: Option<Tick>,
}

impl Lookout {
    pub(super) const fn new(hold: HoldContext) -> Self {
        Self { hold, look: None, unsure: BTreeSet::new(), waiting: BTreeMap::new(), looked: None }
    }

    /// Whether the lease is one of our stream. Where that cannot be told yet, it is among those that [`Self::looked`] gives back.
    pub(super) fn admits(&mut self, lease: &Lease) -> bool {
        match self.hold.belonging.judge_lease(lease) {
            Fit::Ours => {
                if self.waiting.remove(&lease.key).is_some() {
                    self.hold.findings.mended(FindingKind::LeaseMismatch, lease.key.as_str());
                }
                return true;
            }
            Fit::AskAgain => {
                self.unsure.insert(lease.key.clone());
                let now = self.hold.clock.now();
                let (since, last) = self.waiting.entry(lease.key.clone()).or_insert((now, now));
                // Given to somebody else in between.
                if now.since(*last) >= 2 * LONG {
                    *since = now;
                }
                *last = now;
                if now.since(*since) >= LONG {
                    self.hold.findings.report(Report::new(FindingKind::LeaseMismatch, &lease.key, UNTOLD, UNTOLD_NEXT));
                }
                if self.look.is_none() && self.looked.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
                    self.looked = Some(now);
                    let belonging = Arc::clone(&self.hold.belonging);
                    self.look = Some(Box::pin(async move { belonging.refresh().await }));
                }
            }
            Fit::Foreign(why) => {
                let next = "left alone, though this worker is named as its owner: correct or delete its row";
                self.hold.findings.report(Report::new(FindingKind::LeaseMismatch, &lease.key, why, next));
            }
        }
        false
    }

    /// Resolves when a look has ended, with the leases to judge again. Cancel safe.
    pub(super) async fn looked(&mut self) -> BTreeSet<LeaseKey> {
        let looked = match &mut self.look {
            Some(look) => look.await,
            None => std::future::pending().await,
        };
        self.look = None;
        if let Err(error) = looked {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "looking at the stream before leases are taken failed"
            );
        }
        std::mem::take(&mut self.unsure)
    }
}

/// What is not known after this is said.
const LONG: Duration = Duration::from_secs(30);
const UNTOLD: &str =
    "the stream does not list its shard, or cannot be listed, and the table is not known to be this stream's";
const UNTOLD_NEXT: &str = "asked again until it is known: if the table is this stream's, start a worker with `adopt_table`, and allow \
     kinesis:DescribeStreamSummary and kinesis:ListShards";

/// How often at the most, because of leases of shards that are not known.
const LOOK_EVERY: Duration = Duration::from_millis(500);
