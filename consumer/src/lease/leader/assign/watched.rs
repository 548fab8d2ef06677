//! One lease as a leader sees it change.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::leader::assign::fleet::Fleet;
use crate::lease::leader::assign::refusals::Refusals;
use crate::lease::{Checkpoint, Lease, Owners, Seen, WorkerId};

/// The observations of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Watched {
    owners: Owners,
    counter: u64,
    /// When the counter was last seen to have moved; initially, when the lease was first seen.
    moved: Tick,
    /// Since when the current holder has had it.
    since: Tick,
    /// When a new holder must have written for the first time; `None` after that write.
    awaited: Option<Tick>,
    /// Since when a hand-off has been under way.
    handoff_since: Option<Tick>,
    /// `true` if the counter is the one that our own write left, so its new owner has not written yet.
    untouched: bool,
    /// `true` once its expiry has been noticed.
    noticed: bool,
    /// `true` if it is finished or has no start position: it must not be assigned.
    settled: bool,
    /// Its checkpoint when it was last seen.
    checkpoint: Checkpoint,
    refusals: Refusals,
}

impl Watched {
    pub(super) fn first(now: Tick, lease: &Lease) -> Self {
        Self {
            owners: lease.owners(),
            counter: lease.counter,
            moved: now,
            since: now,
            awaited: None,
            handoff_since: lease.in_handoff().then_some(now),
            untouched: false,
            noticed: false,
            settled: is_settled(lease),
            checkpoint: lease.checkpoint.clone(),
            refusals: Refusals::default(),
        }
    }

    /// Applies the row as just read. Returns the worker that was seen to write.
    pub(super) fn observe(&mut self, now: Tick, lease: &Lease, duration: Duration, fleet: &Fleet) -> Option<WorkerId> {
        // A lagging read: counters do not go back. A counter that an operator has set back is accepted after a lease duration.
        if lease.counter < self.counter && now.since(self.moved) < duration {
            return None;
        }
        let moved = lease.counter != self.counter;
        self.settled = is_settled(lease);
        if lease.checkpoint != self.checkpoint {
            self.checkpoint = lease.checkpoint.clone();
            self.refusals.forget();
        } else if self.awaited.is_none() && self.actual_owner().is_some() && now.since(self.since) >= KEPT {
            self.refusals.forget();
        }
        if lease.owners() != self.owners {
            self.note_release(now, lease, fleet);
            self.changed_hands(now, lease.owners(), lease.counter, duration);
            return None;
        }
        if !moved {
            return None;
        }
        self.counter = lease.counter;
        self.moved = now;
        self.awaited = None;
        self.untouched = false;
        self.noticed = false;
        lease.actual_owner().cloned()
    }

    /// Records that its owner has released it without progress and keeps running. A worker that leaves deletes its row first.
    fn note_release(&mut self, now: Tick, lease: &Lease, fleet: &Fleet) {
        if let (Some(owner), None) = (self.actual_owner(), lease.actual_owner())
            && fleet.has(owner)
        {
            self.refusals.note(now, owner.clone());
        }
    }

    pub(super) const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Records that we have changed its owners, and the counter after that.
    pub(super) fn moved_by_us(&mut self, now: Tick, owners: Owners, counter: u64, duration: Duration) {
        let untouched = self.untouched;
        let before = self.actual_owner().cloned();
        self.changed_hands(now, owners, counter, duration);
        self.untouched = untouched || self.actual_owner() != before.as_ref();
    }

    /// Records new owners and their counter. The new owner may already have renewed it before this scan.
    fn changed_hands(&mut self, now: Tick, owners: Owners, counter: u64, duration: Duration) {
        let holder = owners.checkpoint_owner.as_ref().or(owners.owner.as_ref());
        if holder != self.actual_owner() {
            self.since = now;
            self.awaited = holder.map(|_| now + duration + SLOWEST_FIRST_WRITE);
        }
        self.untouched = false;
        if counter != self.counter {
            self.counter = counter;
            self.moved = now;
            self.noticed = false;
        }
        self.handoff_since = owners.checkpoint_owner.as_ref().map(|_| now);
        self.owners = owners;
    }

    /// Returns the row as last seen, for the condition of a write.
    pub(super) fn seen(&self) -> Seen {
        Seen { owners: self.owners.clone(), counter: Some(self.counter) }
    }

    /// Returns the owner; during a hand-off, the future one.
    pub(super) const fn owner(&self) -> Option<&WorkerId> {
        self.owners.owner.as_ref()
    }

    /// Returns the worker that holds it now.
    pub(super) fn actual_owner(&self) -> Option<&WorkerId> {
        self.owners.checkpoint_owner.as_ref().or(self.owners.owner.as_ref())
    }

    /// Returns the target of a hand-off.
    pub(super) fn target(&self) -> Option<&WorkerId> {
        self.owners.owner.as_ref().filter(|_| self.is_in_handoff())
    }

    pub(super) const fn is_in_handoff(&self) -> bool {
        self.owners.checkpoint_owner.is_some()
    }

    /// Returns `true` if a hand-off has been under way for at least `takes`.
    pub(super) fn is_handoff_overdue(&self, now: Tick, takes: Duration) -> bool {
        self.handoff_since.is_some_and(|since| now >= since + takes)
    }

    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) const fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    pub(super) const fn last_moved(&self) -> Tick {
        self.moved
    }

    /// Returns when it expires if nothing moves; `None` if no worker holds it.
    pub(super) fn runs_out(&self, duration: Duration) -> Option<Tick> {
        self.actual_owner()?;
        Some(self.awaited.unwrap_or_else(|| self.moved + duration))
    }

    pub(super) fn has_run_out(&self, now: Tick, duration: Duration) -> bool {
        self.runs_out(duration).is_some_and(|at| now >= at)
    }

    /// Returns when it may be taken from an owner that was not seen to write: at once if the counter is still the one of our
    /// own write, otherwise after a lease duration, as for any lease.
    pub(super) fn takeable_at(&self, duration: Duration) -> Tick {
        if self.untouched { self.moved } else { self.moved + duration }
    }

    /// Returns `true` if it has expired, once.
    pub(super) fn has_just_run_out(&mut self, now: Tick, duration: Duration) -> bool {
        let first = !self.noticed && self.has_run_out(now, duration);
        self.noticed |= first;
        first
    }

    /// Returns since when its owner has had it, if it may move to another: it is being renewed, and has stayed for a while.
    pub(super) fn movable_since(&self, now: Tick, duration: Duration) -> Option<Tick> {
        let resident = now.since(self.since) >= duration / RESIDENCE;
        (resident && !self.settled && !self.is_in_handoff() && self.awaited.is_none()).then_some(self.since)
    }
}

fn is_settled(lease: &Lease) -> bool {
    matches!(lease.checkpoint, Checkpoint::ShardEnd | Checkpoint::Missing)
}

/// A Java worker looks for its leases every 10 s and first writes up to 3.3 s later.
const SLOWEST_FIRST_WRITE: Duration = Duration::from_secs(14);
/// After this time with one owner, a lease no longer counts as one that no worker keeps.
const KEPT: Duration = Duration::from_secs(60);
/// The least stay of a lease with an owner is a lease duration divided by this: one renewal's time.
const RESIDENCE: u32 = 3;
