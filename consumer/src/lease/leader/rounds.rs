//! The leader's rounds: read the table, assign owners, delete finished leases; now and then, list the stream.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use crate::clock::Tick;
use crate::lease::leader::LeaderContext;
use crate::lease::leader::assign::{Assignment, Move, Refused, Round};
use crate::lease::leader::campaign::LOCK_DURATION;
use crate::lease::leader::cleanup;
use crate::lease::leader::lock::LeaderRole;
use crate::lease::leader::shards::{Shards, Synced};
use crate::lease::table::belonging::ClaimError;
use crate::lease::table::odd::Judged;
use crate::lease::table::store::LeaseStore;
use crate::lease::{Checkpoint, Lease, LeaseKey, Mismatch, Rows, StoreError, WorkerRow, Written};
use crate::watch::{FindingKind, Report};

pub(super) struct Rounds {
    role: watch::Receiver<LeaderRole>,
    assignment: Assignment,
    shards: Shards,
    /// Leases that a sync has just created, and when: a read of the table may not show them yet.
    just_made: Vec<(Tick, Lease)>,
    /// `true` once the table has been read since this worker started. A worker that has never held a lease or led cannot tell a
    /// new table from one whose leases an operator has deleted.
    has_looked: bool,
    /// `true` once the table's binding has been read since this worker began to lead.
    knows_the_table: bool,
    /// Since when this worker leads without being able to read the table, or its binding.
    blind_since: Option<Tick>,
    /// Notified when another worker should lead.
    resign: Arc<Notify>,
    context: LeaderContext,
}

impl Rounds {
    pub(super) fn new(context: LeaderContext, role: watch::Receiver<LeaderRole>, resign: Arc<Notify>) -> Self {
        let hold = &context.hold;
        Self {
            assignment: Assignment::new(hold.me.clone(), hold.duration, context.max_leases)
                .with_handoff_time(hold.handoff_time),
            shards: Shards::new(&context),
            just_made: Vec::new(),
            has_looked: false,
            knows_the_table: false,
            blind_since: None,
            resign,
            role,
            context,
        }
    }

    pub(super) async fn run(mut self) {
        let mut next = Some(self.context.hold.clock.now());
        let wake = Arc::clone(&self.context.wake);
        loop {
            let due = next.map(|next| self.context.hold.clock.instant(next));
            let round_due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            // The role first: no work begins under an outdated role. New leases come before the round that assigns them.
            tokio::select! { biased;
                changed = self.role.changed() => match changed {
                    Ok(()) => next = self.stand(next),
                    Err(_) => return,
                },
                synced = self.shards.synced() => {
                    self.take_in(synced);
                    next = Some(self.context.hold.clock.now());
                }
                () = wake.notified(), if next.is_some() => next = Some(self.context.hold.clock.now()),
                () = round_due => next = self.round().await,
            }
        }
    }

    /// Applies a change of this worker's role; returns when a round is due.
    fn stand(&mut self, next: Option<Tick>) -> Option<Tick> {
        let role = *self.role.borrow_and_update();
        let now = self.context.hold.clock.now();
        if !matches!(role, LeaderRole::Leading { .. }) {
            self.shards.stop();
            self.just_made.clear();
            self.report(&Judged::default(), &Round::default());
            self.context.hold.findings.replace(FindingKind::EndedOpen, []);
            self.knows_the_table = false;
        }
        match role {
            LeaderRole::Following => next.filter(|_| !self.has_looked),
            // A worker that has been observing continues with what it knows.
            LeaderRole::Observing => next.or(Some(now)),
            LeaderRole::Leading { .. } if self.shards.are_looked_after() => next.or(Some(now)),
            LeaderRole::Leading { .. } => {
                self.shards.begin();
                Some(now)
            }
        }
    }

    fn leads(&self) -> bool {
        let now = self.context.hold.clock.now();
        matches!(*self.role.borrow(), LeaderRole::Leading { until } if now < until)
    }

    /// Reads the table, and acts on it if this worker leads. Returns when to read it again.
    async fn round(&mut self) -> Option<Tick> {
        let clock = Arc::clone(&self.context.hold.clock);
        let asked = clock.now();
        let mut rows = match self.context.hold.store.scan().await {
            Ok(rows) => rows,
            Err(error) => {
                error.log("reading the lease table");
                self.consider_resigning(asked);
                return Some(clock.now() + RETRY);
            }
        };
        self.has_looked = true;
        if !rows.leases.is_empty() {
            self.context.hold.belonging.note_leases();
        }
        if matches!(*self.role.borrow(), LeaderRole::Following) {
            return None;
        }
        self.add_just_made(asked, &mut rows);
        // Only usable rows are assigned, balanced, cleaned up and synced: one bad row stops nothing else (C12).
        let judged = self.shards.judge(rows);
        self.assignment.observe(clock.now(), (self.context.wall_clock)(), &judged.usable);
        if self.leads() && self.is_our_table().await {
            self.blind_since = None;
            self.lead(asked, &judged).await;
        } else {
            self.consider_resigning(asked);
        }
        let next = (asked + ROUND).max(clock.now() + RETRY);
        Some(self.assignment.next_expiry(asked).map_or(next, |expiry| next.min(expiry)))
    }

    /// Gives up the lock if this worker has not been able to do its rounds for long, for example because its policy lacks Scan.
    /// Otherwise it would hold the lock and do nothing.
    fn consider_resigning(&mut self, asked: Tick) {
        if !self.leads() {
            self.blind_since = None;
            return;
        }
        let now = self.context.hold.clock.now();
        if now.since(*self.blind_since.get_or_insert(asked)) >= BLIND {
            tracing::warn!(
                "this worker leads and cannot read the lease table, or find out whose it is: it gives up the leader's lock for a while"
            );
            self.blind_since = None;
            self.resign.notify_one();
        }
    }

    /// Returns `true` if the table is our stream's, as far as can be told. Reads the binding again before a leader's first
    /// write (rule `binding`).
    async fn is_our_table(&mut self) -> bool {
        let belonging = &self.context.hold.belonging;
        if !self.knows_the_table {
            match belonging.look_again().await {
                Ok(()) => self.knows_the_table = true,
                // Logged where it was found.
                Err(ClaimError::Another(_)) => {}
                Err(ClaimError::Store(error)) => error.log("looking whose the lease table is"),
                Err(ClaimError::Stream(error)) => error.log("finding out whose the lease table is"),
            }
        }
        self.knows_the_table && belonging.another().is_none()
    }

    /// Adds new leases that the read of the table does not show yet. A lease that stays missing for long has been deleted.
    fn add_just_made(&mut self, asked: Tick, rows: &mut Rows) {
        rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
        self.just_made.retain(|(made, lease)| {
            asked.since(*made) < SCAN_LAG && rows.leases.binary_search_by(|row| row.key.cmp(&lease.key)).is_err()
        });
        if !self.just_made.is_empty() {
            rows.leases.extend(self.just_made.iter().map(|(_, lease)| lease.clone()));
            rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }

    async fn lead(&mut self, asked: Tick, judged: &Judged) {
        let rows = &judged.usable;
        let mut round = Round::default();
        if !judged.is_foreign {
            round = self.assignment.round(asked);
            self.make(std::mem::take(&mut round.moves)).await;
            self.clean(rows).await;
        }
        self.report(judged, &round);
        let ended_open = self.shards.ended_open(rows);
        self.context.hold.findings.replace(FindingKind::EndedOpen, ended_open.iter().map(ended_open_lease));
        self.delete_stale_workers(&rows.workers).await;
        if self.leads() {
            self.shards.look(judged);
        }
    }

    /// Writes changes of owner, several at a time. A change that is refused or fails is decided again in the next round.
    async fn make(&mut self, moves: Vec<Move>) {
        let store = Arc::clone(&self.context.hold.store);
        let mut writes = futures::stream::iter(moves)
            .map(|change| {
                let store = Arc::clone(&store);
                async move {
                    let written = write(&*store, &change).await;
                    (change, written)
                }
            })
            .buffered(WRITES_AT_A_TIME);
        let mut ours = Vec::new();
        while let Some((change, written)) = writes.next().await {
            match written {
                Ok(Written::Accepted(Some(row))) => {
                    tracing::info!(?change, "lease given");
                    self.assignment.moved(self.context.hold.clock.now(), &change, row.counter);
                    if row.actual_owner() == Some(&self.context.hold.me) {
                        ours.push(row.key);
                    }
                }
                Ok(Written::Accepted(None)) => tracing::info!(?change, "lease given"),
                Ok(Written::Refused(_)) => tracing::debug!(?change, "the lease has changed meanwhile"),
                Err(error) => error.log("giving a lease"),
            }
            if !self.leads() {
                break;
            }
        }
        if !ours.is_empty() {
            self.context.hold.hints.look_at(ours);
        }
    }

    /// Deletes finished leases, parents first. Stops at the first that cannot be deleted, since its children must then stay
    /// too.
    async fn clean(&mut self, rows: &Rows) {
        // A parent whose second child has no lease yet looks done by its own row alone.
        if self.shards.listing().is_none() {
            return;
        }
        let expired = self.shards.expired(rows);
        for key in cleanup::deletable(rows, self.shards.listing(), &expired) {
            if !self.leads() {
                return;
            }
            match self.context.hold.store.delete_finished(&key).await {
                Ok(Written::Accepted(_)) => tracing::info!(lease = %key, "finished lease deleted"),
                Ok(Written::Refused(_)) => return,
                Err(error) => return error.log("deleting a finished lease"),
            }
        }
    }

    /// Deletes the rows of workers that have been dead for long.
    async fn delete_stale_workers(&mut self, workers: &[WorkerRow]) {
        let now = self.context.hold.clock.now();
        let wall_clock = (self.context.wall_clock)();
        for row in workers {
            let Some(last_update) = row.last_update else { continue };
            let is_old = wall_clock.0.saturating_sub(last_update.0) >= OLD_ROW.as_secs();
            if is_old && self.assignment.is_dead(now, &row.worker) && self.leads() {
                match self.context.hold.store.withdraw(&row.worker, Some(last_update)).await {
                    Ok(()) => tracing::info!(worker = %row.worker, "row of a worker deleted that is long gone"),
                    Err(error) => return error.log("deleting the row of a worker"),
                }
            }
        }
    }

    fn take_in(&mut self, synced: Synced) {
        let now = self.context.hold.clock.now();
        self.just_made = synced.made.iter().map(|lease| (now, lease.clone())).collect();
        self.shards.take_in(synced);
    }

    /// Reports problems that a leader sees and cannot fix by itself. A worker that does not lead reports none of them.
    fn report(&self, judged: &Judged, round: &Round) {
        let findings = &self.context.hold.findings;
        let odd = judged.odd.iter().map(|(key, problem)| odd_row(key, problem));
        let without_start = judged.usable.leases.iter().filter(|lease| lease.checkpoint == Checkpoint::Missing);
        let odd = odd.chain(without_start.map(|lease| odd_row(lease.key.as_str(), NO_START)));
        findings.replace(FindingKind::RowUnusable, odd);
        let next = if judged.is_foreign { ALL_LEFT_ALONE } else { LEFT_ALONE };
        let foreign = |mismatch: &Mismatch| Report::new(FindingKind::LeaseMismatch, mismatch.key(), mismatch, next);
        findings.replace(FindingKind::LeaseMismatch, judged.mismatches.iter().map(foreign));
        findings.replace(FindingKind::NoRoom, round.spill.iter().map(without_room));
        findings.replace(FindingKind::LeaseRefused, round.refused.iter().map(refused));
    }
}

fn odd_row(key: &str, problem: &str) -> Report {
    Report::new(FindingKind::RowUnusable, key, problem, LEFT_ALONE)
}

fn refused(Refused { key, times, again_at }: &Refused) -> Report {
    let seen = format!("released {times} times without a checkpoint; the workers that did so say why");
    let next = "given first to workers that have not released it, then to the others after a pause that doubles";
    Report::new(FindingKind::LeaseRefused, key, seen, next).again_at(*again_at)
}

fn ended_open_lease(key: &LeaseKey) -> Report {
    let seen = "its checkpoint is SHARD_END, and two listings of the stream show its shard open";
    let next = "left as it is: what the shard holds is read when its row gets a checkpoint";
    Report::new(FindingKind::EndedOpen, key, seen, next)
}

fn without_room(key: &LeaseKey) -> Report {
    let seen = "every worker has as many leases as it may have";
    Report::new(
        FindingKind::NoRoom,
        key,
        seen,
        "given to the first worker that has room: start one, or raise max_leases",
    )
}

/// Writes a change of owner. The counter in an assignment's condition detects two races:
/// - The read on which it is based lagged.
/// - The owner renewed after that read and before the write was applied.
pub(super) async fn write(store: &dyn LeaseStore, change: &Move) -> Result<Written, StoreError> {
    match change {
        Move::Assign { key, seen, to } => store.assign(key, seen, to).await,
        Move::HandOff { key, from, to } => store.start_handoff(key, from, to).await,
    }
}

const LEFT_ALONE: &str = "left alone until somebody corrects or deletes the row; looked at in every round";
const ALL_LEFT_ALONE: &str =
    "nothing in the table shows that it is this stream's: no lease is made or given until that is put right";
const NO_START: &str = "it has no checkpoint, so where to start is unknown: give it one, and its shard is read";
/// How often the leader reads the table. With a lease duration of 10 s, a crashed worker's leases are taken over within 22 s
/// (C8).
const ROUND: Duration = Duration::from_secs(5);
/// The pause after a failed read, and the shortest between two reads.
const RETRY: Duration = Duration::from_secs(1);
/// As long as a leader's heartbeats may be missing before another worker takes the lock.
const BLIND: Duration = LOCK_DURATION;
/// Longer than DynamoDB's eventually consistent reads lag in practice.
const SCAN_LAG: Duration = Duration::from_secs(5);
/// A thousand leases are assigned in a second or two.
const WRITES_AT_A_TIME: usize = 16;
/// The KCL's age at which a row is deleted. The row is of no use after a minute; for a day, operators can inspect it.
const OLD_ROW: Duration = Duration::from_secs(24 * 3600);
