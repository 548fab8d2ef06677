//! The leader's sync with the stream, which runs beside its rounds: a listing may take long and must not delay assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::{Clock, Tick};
use crate::lease::leader::LeaderContext;
use crate::lease::leader::sync::{self, Plan};
use crate::lease::table::belonging::{Belonging, ClaimError, Confirmed};
use crate::lease::table::odd::{self, Judged};
use crate::lease::table::store::LeaseStore;
use crate::lease::{Checkpoint, Lease, LeaseKey, Rows};
use crate::shard::absence::{APART, Absence, LookUp};
use crate::shard::discover::{Discover, ListFilter};
use crate::shard::{ListedShard, ShardId};
use crate::watch::{FindingKind, Findings, Report};

pub(super) struct Shards {
    looker: Looker,
    clock: Arc<Clock>,
    first_listing: ListFilter,
    /// `true` while this worker leads.
    active: bool,
    under_way: Option<Pin<Box<dyn Future<Output = Synced> + Send>>>,
    /// When the last sync ended; `None` if there was none since this worker began to lead.
    looked: Option<Tick>,
    /// The last complete listing of the whole stream.
    listing: Option<Vec<ListedShard>>,
    /// When the last complete listing was requested.
    listed: Tick,
    /// Finished shards, and children of theirs, that listings lack.
    absences: BTreeMap<ShardId, Absence>,
    /// Finished leases whose shards are listed as open, and since which listing.
    ended_open: BTreeMap<LeaseKey, Tick>,
    /// Missing leases, and when they may be created.
    missing: BTreeMap<LeaseKey, Tick>,
    findings: Findings,
}

/// The result of a sync.
#[derive(Debug)]
pub(super) struct Synced {
    /// Leases that are in the table now.
    pub(super) made: Vec<Lease>,
    /// Leases that are missing and were not created, and when they may be.
    missing: BTreeMap<LeaseKey, Tick>,
    /// The listing and when it was requested, if it covered the whole stream.
    listing: Option<(Tick, Vec<ListedShard>)>,
}

/// The parts that a sync needs; it runs concurrently with everything else.
#[derive(Clone)]
struct Looker {
    belonging: Arc<Belonging>,
    store: Arc<dyn LeaseStore>,
    discover: Arc<Discover>,
    clock: Arc<Clock>,
    start: Checkpoint,
    /// How long an owner may keep reading when it cannot renew.
    duration: Duration,
    rng: fastrand::Rng,
}

impl Shards {
    pub(super) fn new(context: &LeaderContext) -> Self {
        let hold = &context.hold;
        Self {
            looker: Looker {
                belonging: Arc::clone(&hold.belonging),
                store: Arc::clone(&hold.store),
                discover: Arc::clone(&context.discover),
                clock: Arc::clone(&hold.clock),
                start: context.start.clone(),
                duration: hold.duration,
                rng: fastrand::Rng::with_seed(hold.seed ^ SEED),
            },
            clock: Arc::clone(&hold.clock),
            first_listing: context.first_listing,
            active: false,
            under_way: None,
            looked: None,
            listing: None,
            listed: Tick::default(),
            absences: BTreeMap::new(),
            ended_open: BTreeMap::new(),
            missing: BTreeMap::new(),
            findings: hold.findings.clone(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.active = true;
    }

    pub(super) const fn are_looked_after(&self) -> bool {
        self.active
    }

    /// Drops all state: another worker leads.
    pub(super) fn stop(&mut self) {
        self.active = false;
        self.under_way = None;
        self.looked = None;
        self.listing = None;
        self.absences.clear();
        self.ended_open.clear();
        self.missing.clear();
        self.findings.mended(FindingKind::LeasesGone, self.looker.belonging.table());
    }

    /// Returns the last listing of the whole stream.
    pub(super) fn listing(&self) -> Option<&[ListedShard]> {
        self.listing.as_deref()
    }

    /// Returns the shards of finished leases, and their children, that have expired (rule `expiry`).
    pub(super) fn expired(&mut self, rows: &Rows) -> BTreeSet<ShardId> {
        let Some(listing) = &self.listing else { return BTreeSet::new() };
        let finished = rows.leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
        let ids: BTreeSet<ShardId> =
            finished.flat_map(|lease| lease.children.iter().cloned().chain([lease.key.shard()])).collect();
        self.absences.retain(|id, _| ids.contains(id));
        let (asked, absences) = (self.listed, &mut self.absences);
        let has_expired =
            |id: &ShardId| absences.entry(id.clone()).or_default().is_proven(asked, LookUp::of(id, listing));
        ids.into_iter().filter(has_expired).collect()
    }

    /// Returns finished leases whose shards are open in two listings half a minute apart (rule `ended-open`).
    pub(super) fn ended_open(&mut self, rows: &Rows) -> Vec<LeaseKey> {
        let Some(listing) = &self.listing else { return Vec::new() };
        let open: BTreeSet<&ShardId> =
            listing.iter().filter(|shard| !shard.is_closed()).map(|shard| &shard.id).collect();
        let finished = rows.leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
        let keys: BTreeSet<&LeaseKey> =
            finished.filter(|lease| open.contains(&lease.key.shard())).map(|lease| &lease.key).collect();
        self.ended_open.retain(|key, _| keys.contains(key));
        for key in keys {
            self.ended_open.entry(key.clone()).or_insert(self.listed);
        }
        let listed = self.listed;
        self.ended_open.iter().filter(|(_, since)| listed.since(**since) >= APART).map(|(key, _)| key.clone()).collect()
    }

    /// Separates the usable rows of the table from the others.
    pub(super) fn judge(&self, rows: Rows) -> Judged {
        // Before the first sync, use the listing that the worker made before it led.
        let known = self.looker.belonging.last_listing();
        let listing = self.listing().or_else(|| (!known.is_empty()).then_some(&known[..]));
        self.looker.judge(rows, listing)
    }

    /// Starts a sync if one is due, for the table as just read.
    pub(super) fn look(&mut self, Judged { usable: rows, is_foreign, .. }: &Judged) {
        let is_empty = is_without_leases(rows);
        if is_empty && self.looker.belonging.had_leases() {
            let next = "not starting over from the configured position: put the leases back, or restart the workers";
            let table = self.looker.belonging.table();
            let report = Report::new(FindingKind::LeasesGone, table, "all leases have vanished from the table", next);
            self.findings.report(report);
            return;
        }
        self.findings.mended(FindingKind::LeasesGone, self.looker.belonging.table());
        if !is_empty {
            self.looker.belonging.note_leases();
        }
        if self.under_way.is_some() || !self.is_due(is_empty, rows) {
            return;
        }
        if !is_empty && self.looked.is_none() {
            tracing::info!(
                leases = rows.leases.len(), start = ?self.looker.start,
                "the table has leases: they go on from their checkpoints, and the configured start is for shards without one"
            );
        }
        let filter = if is_empty { self.first_listing } else { ListFilter::All };
        let mut looker = self.looker.clone();
        self.looker.rng = self.looker.rng.fork();
        let (rows, missing, may_make) = (rows.clone(), self.missing.clone(), !is_foreign);
        self.under_way = Some(Box::pin(async move { looker.look(filter, rows, missing, may_make).await }));
    }

    /// Resolves when the running sync has ended. Cancel safe.
    pub(super) async fn synced(&mut self) -> Synced {
        let synced = match &mut self.under_way {
            Some(look) => look.as_mut().await,
            None => std::future::pending().await,
        };
        self.under_way = None;
        synced
    }

    pub(super) fn take_in(&mut self, synced: Synced) {
        self.looked = Some(self.clock.now());
        self.missing = synced.missing;
        if !synced.made.is_empty() {
            self.looker.belonging.note_leases();
        }
        if let Some((asked, listing)) = synced.listing {
            self.listed = asked;
            self.listing = Some(listing);
        }
    }

    fn is_due(&self, is_empty: bool, rows: &Rows) -> bool {
        let Some(looked) = self.looked else { return true };
        let is_urgent = is_empty || !self.missing.is_empty() || lacks_children(rows) || self.lacks_leases(rows);
        let wait = if is_urgent { URGENT } else { LOOK };
        self.clock.now().since(looked) >= wait
    }

    /// Returns `true` if a lease is missing by the last listing, for example because an operator has deleted it.
    fn lacks_leases(&self, rows: &Rows) -> bool {
        self.listing().is_none_or(|listing| !sync::plan(listing, rows, &self.looker.start).create.is_empty())
    }
}

impl Looker {
    fn judge(&self, rows: Rows, listing: Option<&[ListedShard]>) -> Judged {
        odd::judge(rows, listing, self.belonging.is_ours(), |lease| self.belonging.is_foreign(lease))
    }

    /// Returns `true` if the table is still our stream's and the stream still the same, as far as can be told (rule `binding`).
    async fn is_of_our_stream(&self, asked: Tick) -> bool {
        match self.belonging.look_again().await {
            Ok(()) => {}
            Err(ClaimError::Another(_)) => return false,
            Err(ClaimError::Store(error)) => error.log("looking whose the lease table is"),
            Err(ClaimError::Stream(error)) => error.log("finding out whose the lease table is"),
        }
        !matches!(self.belonging.confirm(asked).await, Confirmed::Another(_))
    }

    /// Lists the stream and creates missing leases. If `may_make` is `false`, the table must not be changed, and none are
    /// created.
    async fn look(
        &mut self,
        filter: ListFilter,
        rows: Rows,
        seen_missing: BTreeMap<LeaseKey, Tick>,
        may_make: bool,
    ) -> Synced {
        let mut synced = Synced { made: Vec::new(), missing: BTreeMap::new(), listing: None };
        let asked = self.clock.now();
        if !self.is_of_our_stream(asked).await {
            return Synced { missing: seen_missing, ..synced };
        }
        let listing = match self.discover.list(filter).await {
            Ok(listing) => listing,
            Err(error) => {
                error.log("listing the shards");
                return Synced { missing: seen_missing, ..synced };
            }
        };
        let Judged { usable: rows, is_foreign, .. } = self.judge(rows, Some(&listing));
        if may_make && !is_foreign {
            let Plan { create, waiting } = sync::plan(&listing, &rows, &self.start);
            let is_new = is_without_leases(&rows);
            // The rule `missing`: for a lease duration, the deleted lease may still have an owner that does not know of the
            // deletion. A lagging read can also lack leases that exist, or that were finished and deleted.
            let may_be_made = |key: &LeaseKey| seen_missing.get(key).copied().unwrap_or(asked + self.duration);
            let (sure, unsure): (Vec<_>, Vec<_>) =
                create.into_iter().partition(|lease| is_new || asked >= may_be_made(&lease.key));
            synced.missing = unsure.into_iter().map(|lease| (lease.key.clone(), may_be_made(&lease.key))).collect();
            tracing::debug!(
                shards = listing.len(),
                create = sure.len(),
                waiting = waiting.len(),
                "looked at the stream"
            );
            let rng = &mut self.rng;
            let bound_to = self.belonging.of_new_leases();
            let leases = sure.into_iter().map(|lease| Lease { bound_to: bound_to.clone(), ..lease });
            let created = sync::create(&*self.store, leases, || BACKOFF.pauses(rng.fork())).await;
            for (key, error) in &created.failed {
                error.log_for(key, "creating a lease");
                // It has been missing for long enough: the next sync tries again.
                synced.missing.insert(key.clone(), asked);
            }
            for lease in &created.leases {
                tracing::info!(lease = %lease.key, checkpoint = ?lease.checkpoint, "lease created");
            }
            synced.made = created.leases;
        }
        if filter == ListFilter::All {
            self.belonging.listed(asked, listing.clone());
            synced.listing = Some((asked, listing));
        }
        synced
    }
}

/// Returns `true` if the table has no lease, not even an unusable one.
fn is_without_leases(rows: &Rows) -> bool {
    rows.leases.is_empty() && !rows.unreadable.iter().any(|(key, _)| odd::is_shard_id(key))
}

/// Returns `true` if a finished shard has a child without a lease: its owner crashed before creating it.
fn lacks_children(rows: &Rows) -> bool {
    let has_row = |key: &LeaseKey| rows.unreadable.iter().any(|(row, _)| row == key.as_str());
    let has_lease = |key: LeaseKey| rows.leases.binary_search_by(|lease| lease.key.cmp(&key)).is_ok() || has_row(&key);
    let finished = rows.leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
    finished.flat_map(|lease| &lease.children).any(|child| !has_lease(LeaseKey::of(child)))
}

/// How often the leader syncs when no lease seems to be missing: the owners of ended shards create their children's leases. One
/// ListShards call per thousand shards. The KCL's auditor takes four to six minutes to fill a gap.
const LOOK: Duration = Duration::from_secs(30);
/// The shortest time between two syncs when a lease is missing.
const URGENT: Duration = Duration::from_secs(3);
/// Pauses between attempts to create a lease in a throttled table.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// Separates the random numbers here from those of the worker's other tasks.
const SEED: u64 = 0x7368_6172;
