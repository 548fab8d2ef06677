//! The assignment of leases: the leader's decisions, based on which rows it has seen change.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::table::lease::{LeaseKey, Owners, Seen, WorkerId};
use crate::lease::table::store::{Rows, UnixSeconds};

use self::fleet::Fleet;
use self::refusals::Refusals;
use self::watched::Watched;

mod fleet;
mod refusals;
mod watched;

/// A leader's knowledge of the table, and its decisions.
///
/// All times are this process's own. A lease has expired when its counter has not moved for a lease duration while we watched
/// it. A worker is alive while its row or one of its counters moves. Wall clocks are compared only for a row that is seen for
/// the first time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Assignment {
    me: WorkerId,
    /// The lease duration of the fleet.
    duration: Duration,
    /// How many leases a worker may have.
    max_leases: usize,
    leases: BTreeMap<LeaseKey, Watched>,
    fleet: Fleet,
}

/// A change of owner to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// Assigns a lease without a holder, with `seen` at the counter that stopped moving. Or assigns a lease from a hand-off
    /// that did not finish, at any counter.
    Assign { key: LeaseKey, seen: Seen, to: WorkerId },
    /// Hands over a lease that its owner holds: the owner finishes with it first.
    HandOff { key: LeaseKey, from: WorkerId, to: WorkerId },
}

/// The result of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) moves: Vec<Move>,
    /// Leases for which no worker has room: these shards are not read.
    pub(crate) spill: Vec<LeaseKey>,
    /// Leases that have been released without progress more than once.
    pub(crate) refused: Vec<Refused>,
}

/// A lease that no worker keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) key: LeaseKey,
    /// How often the lease was released.
    pub(crate) times: u32,
    /// When it may be assigned again to a worker that has released it.
    pub(crate) again_at: Tick,
}

impl Assignment {
    pub(crate) fn new(me: WorkerId, duration: Duration, max_leases: usize) -> Self {
        let fleet = Fleet::new(me.clone(), duration);
        Self { me, duration, max_leases, leases: BTreeMap::new(), fleet }
    }

    /// Sets the hand-off time of this worker's settings: the least for a worker that announces none.
    pub(crate) const fn with_handoff_time(mut self, own: Duration) -> Self {
        self.fleet.expect_handoff_time(own);
        self
    }

    /// Applies the table as just read: `now` is after the read. `wall_clock` is this worker's, and used only for rows that are
    /// seen for the first time.
    pub(crate) fn observe(&mut self, now: Tick, wall_clock: UnixSeconds, rows: &Rows) {
        self.fleet.observe(now, wall_clock, &rows.workers);
        self.leases.retain(|key, _| rows.leases.binary_search_by(|lease| lease.key.cmp(key)).is_ok());
        for lease in &rows.leases {
            let Some(watched) = self.leases.get_mut(&lease.key) else {
                self.leases.insert(lease.key.clone(), Watched::first(now, lease));
                continue;
            };
            if let Some(writer) = watched.observe(now, lease, self.duration, &self.fleet) {
                self.fleet.saw_life(now, &writer);
            }
        }
    }

    /// Decides the assignments. `now` is from before the last read: a counter may have moved during the read, so it is known to
    /// be unchanged only until then.
    pub(crate) fn round(&mut self, now: Tick) -> Round {
        self.suspect_owners(now);
        let mut loads = self.loads(now);
        let mut round = Round::default();
        self.place_free(now, &mut loads, &mut round);
        self.end_handoffs(now, &mut loads, &mut round);
        self.balance(now, &mut loads, &mut round);
        let refused = self.leases.iter().filter(|(_, watched)| watched.refusals().times() > 1);
        let refused = refused.map(|(key, watched)| (key.clone(), watched.refusals()));
        round.refused = refused
            .map(|(key, refusals)| Refused { key, times: refusals.times(), again_at: refusals.again_at() })
            .collect();
        round
    }

    /// Records that a move was accepted, and the counter that it left.
    pub(crate) fn moved(&mut self, now: Tick, change: &Move, counter: u64) {
        let (key, owners) = match change {
            Move::Assign { key, to, .. } => (key, Owners { owner: Some(to.clone()), checkpoint_owner: None }),
            Move::HandOff { key, from, to } => {
                (key, Owners { owner: Some(to.clone()), checkpoint_owner: Some(from.clone()) })
            }
        };
        if let Some(watched) = self.leases.get_mut(key) {
            watched.moved_by_us(now, owners, counter, self.duration);
        }
    }

    /// Returns `true` if a worker has shown no heartbeat for as long as one can count as alive.
    pub(crate) fn is_dead(&self, now: Tick, worker: &WorkerId) -> bool {
        self.fleet.is_dead(now, worker)
    }

    /// Returns when the next lease expires if nothing moves, after a round at `now`.
    pub(crate) fn next_expiry(&self, now: Tick) -> Option<Tick> {
        let unfinished = self.leases.values().filter(|watched| !watched.is_settled());
        let refused =
            |watched: &Watched| Some(watched.refusals().again_at()).filter(|_| !watched.refusals().is_empty());
        let ends = unfinished
            .flat_map(|watched| [watched.runs_out(self.duration), self.given_up_at(now, watched), refused(watched)]);
        ends.flatten().filter(|end| *end > now).min()
    }

    /// Returns the workers that can be assigned leases, with their loads.
    fn loads(&self, now: Tick) -> Loads {
        let able = self.fleet.able(now).map(|worker| {
            let (sure, just_seen) = (self.fleet.is_sure(now, worker), self.fleet.was_just_seen(now, worker));
            (worker.clone(), Load { leases: 0, refused: 0, sure, just_seen })
        });
        let mut loads: BTreeMap<WorkerId, Load> = able.collect();
        for watched in self.leases.values().filter(|watched| !watched.is_settled() && !self.is_free(now, watched)) {
            if let Some(load) = watched.owner().and_then(|owner| loads.get_mut(owner)) {
                load.add(watched.refusals());
            }
        }
        Loads { loads, max: self.max_leases }
    }

    /// Suspects the owners of leases that have just expired: such a worker may be dead, although its row looks alive for
    /// another minute.
    fn suspect_owners(&mut self, now: Tick) {
        for watched in self.leases.values_mut().filter(|watched| !watched.is_settled()) {
            if watched.has_just_run_out(now, self.duration)
                && let Some(owner) = watched.actual_owner()
                && *owner != self.me
            {
                self.fleet.suspect(owner);
            }
        }
    }

    /// Returns `true` if no worker holds the lease.
    fn is_free(&self, now: Tick, watched: &Watched) -> bool {
        watched.actual_owner().is_none()
            || self.given_up_at(now, watched).is_some_and(|at| at <= now)
            || watched.has_run_out(now, self.duration)
    }

    /// Returns when to stop waiting for the worker that was assigned this lease and has not been seen to write to it: it has
    /// left or crashed, or has missed the heartbeat interval that it announced.
    fn given_up_at(&self, now: Tick, watched: &Watched) -> Option<Tick> {
        let holder = watched.actual_owner().filter(|_| watched.is_awaited())?;
        let gone = if self.fleet.is_able(now, holder) { self.fleet.silent_at(holder)? } else { now };
        Some(gone.max(watched.takeable_at(self.duration)))
    }

    /// Assigns free leases to the workers with the fewest leases, the longest waiting leases first.
    fn place_free(&self, now: Tick, loads: &mut Loads, round: &mut Round) {
        let is_free = |(_, watched): &(&LeaseKey, &Watched)| !watched.is_settled() && self.is_free(now, watched);
        let mut free: Vec<(&LeaseKey, &Watched)> = self.leases.iter().filter(is_free).collect();
        free.sort_by_key(|(key, watched)| (watched.last_moved(), *key));
        for (key, watched) in free {
            let before = watched.actual_owner();
            // A hand-off keeps its target.
            let target = watched.target().filter(|target| Some(*target) != before && loads.has_room(target)).cloned();
            let refusals = watched.refusals();
            let Some(to) = target.or_else(|| loads.least_refusing(before, refusals)) else {
                // When the last worker leaves, there is no worker left that could lack room.
                if !loads.loads.is_empty() {
                    round.spill.push(key.clone());
                }
                continue;
            };
            if refusals.by(&to).is_some() && now < refusals.again_at() {
                continue;
            }
            loads.add(&to, refusals);
            // If the owner still holds the lease, a write would only disturb it: an owner finds its own leases.
            if Some(&to) != before || watched.is_in_handoff() {
                round.moves.push(Move::Assign { key: key.clone(), seen: watched.seen(), to });
            }
        }
    }

    /// Ends hand-offs whose source is alive but does not release the lease.
    fn end_handoffs(&self, now: Tick, loads: &mut Loads, round: &mut Round) {
        for (key, watched) in &self.leases {
            if watched.is_settled() || self.is_free(now, watched) {
                continue;
            }
            let (source, target) = (watched.actual_owner(), watched.target());
            let takes = source.map_or(Duration::ZERO, |source| self.fleet.handoff_time(source));
            if !watched.is_handoff_overdue(now, takes.saturating_add(self.duration)) {
                continue;
            }
            let to = match target.filter(|target| Some(*target) != source && self.fleet.is_able(now, target)) {
                Some(target) => Some(target.clone()),
                None => {
                    let least = loads.least(source).filter(|to| Some(to) != source);
                    least.inspect(|to| loads.add(to, watched.refusals()))
                }
            };
            if let Some(to) = to {
                let seen = watched.seen().owners.into();
                round.moves.push(Move::Assign { key: key.clone(), seen, to });
            }
        }
    }

    /// Moves leases from the workers with the most to those with the fewest, as long as that evens them out. With a difference
    /// of one, a move would only reverse it.
    fn balance(&self, now: Tick, loads: &mut Loads, round: &mut Round) {
        let mut movable: BTreeMap<&WorkerId, Vec<(Tick, &LeaseKey)>> = BTreeMap::new();
        for (key, watched) in &self.leases {
            // A lease that was released without progress does not count as load, and so is not moved for balance.
            if let Some(since) = watched.movable_since(now, self.duration)
                && watched.refusals().is_empty()
                && !self.is_free(now, watched)
                && let Some(owner) = watched.owner()
            {
                movable.entry(owner).or_default().push((since, key));
            }
        }
        for leases in movable.values_mut() {
            // Popped from the end: the lease held longest moves first.
            leases.sort_by(|a, b| b.cmp(a));
        }
        while let Some(to) = loads.least_just_seen() {
            let worth_it = |from: &WorkerId| loads.of(from) >= loads.of(&to) + 2;
            let donors = movable.iter().filter(|(from, leases)| !leases.is_empty() && worth_it(from));
            let most = donors.max_by_key(|(from, _)| (loads.of(from), std::cmp::Reverse(**from)));
            let Some(from) = most.map(|(from, _)| *from) else { return };
            let given = movable.get_mut(from).and_then(Vec::pop);
            let (_, key) = given.expect("the donor has a lease to give");
            loads.move_one(from, &to);
            round.moves.push(Move::HandOff { key: key.clone(), from: from.clone(), to });
        }
    }
}

/// The workers that can be assigned leases.
#[derive(Debug)]
struct Loads {
    loads: BTreeMap<WorkerId, Load>,
    max: usize,
}

#[derive(Debug)]
struct Load {
    /// The unfinished leases that it has, or will have once its hand-offs are done.
    leases: usize,
    /// Further leases that have been released without progress. They take room, and do not cause other leases to move.
    refused: usize,
    /// `true` if its heartbeat is recent enough to count on the worker.
    sure: bool,
    /// `true` if its heartbeat was seen in this round or the one before.
    just_seen: bool,
}

impl Load {
    const fn all(&self) -> usize {
        self.leases + self.refused
    }

    fn add(&mut self, refusals: &Refusals) {
        let count = if refusals.is_empty() { &mut self.leases } else { &mut self.refused };
        *count += 1;
    }
}

impl Loads {
    /// Returns the worker with the fewest leases among those with room. A worker with a recent heartbeat comes before others,
    /// and `last` comes last.
    fn least(&self, last: Option<&WorkerId>) -> Option<WorkerId> {
        self.least_refusing(last, &Refusals::default())
    }

    /// Does the same for a lease that some workers have released: prefers a worker that has not, then the one that did so
    /// longest ago.
    fn least_refusing(&self, last: Option<&WorkerId>, refusals: &Refusals) -> Option<WorkerId> {
        let with_room = self.loads.iter().filter(|(_, load)| load.all() < self.max);
        let weight = |load: &Load| if refusals.is_empty() { load.leases } else { load.all() };
        with_room
            .min_by_key(|(worker, load)| {
                (refusals.by(worker), Some(*worker) == last, !load.sure, weight(load), *worker)
            })
            .map(|(worker, _)| worker.clone())
    }

    /// Returns the worker with the fewest leases among those with room, if its heartbeat was just seen. Otherwise a lease that
    /// is being read could move to a crashed worker, and the shard would not be read until the lease expires.
    fn least_just_seen(&self) -> Option<WorkerId> {
        self.least(None).filter(|worker| self.loads.get(worker).is_some_and(|load| load.just_seen))
    }

    fn has_room(&self, worker: &WorkerId) -> bool {
        self.loads.get(worker).is_some_and(|load| load.all() < self.max)
    }

    fn of(&self, worker: &WorkerId) -> usize {
        self.loads.get(worker).map_or(0, |load| load.leases)
    }

    /// Counts a lease with these refusals for the worker.
    fn add(&mut self, worker: &WorkerId, refusals: &Refusals) {
        if let Some(load) = self.loads.get_mut(worker) {
            load.add(refusals);
        }
    }

    /// Counts one lease of `from` for `to` instead.
    fn move_one(&mut self, from: &WorkerId, to: &WorkerId) {
        if let Some(load) = self.loads.get_mut(from) {
            load.leases = load.leases.saturating_sub(1);
        }
        self.add(to, &Refusals::default());
    }
}

#[cfg(test)]
mod tests;
