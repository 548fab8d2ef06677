//! Who gets which lease: the leader's decisions, by what it has seen move.

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

/// What a leader knows of the table, and what it makes of it.
///
/// Time is this process's own: a lease has run out when its counter has stood still for a lease duration while we
/// looked on, a worker lives while its row or one of its counters moves. Nobody's wall clock is compared with ours, but
/// for a row that is seen for the first time.
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
    /// A lease that nobody holds any more: `seen` has the counter at which it stood still. Or one that a hand-off left
    /// hanging, at whatever counter.
    Assign { key: LeaseKey, seen: Seen, to: WorkerId },
    /// A lease that its owner holds: the owner finishes with it first.
    HandOff { key: LeaseKey, from: WorkerId, to: WorkerId },
}

/// What a round comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) moves: Vec<Move>,
    /// Leases for which no worker has room: nobody reads these shards.
    pub(crate) spill: Vec<LeaseKey>,
    /// Leases that have been released without progress more than once.
    pub(crate) refused: Vec<Refused>,
}

/// A lease that nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) key: LeaseKey,
    /// How often it was released.
    pub(crate) times: u32,
    /// When it goes again to a worker that has released it.
    pub(crate) again_at: Tick,
}

impl Assignment {
    pub(crate) fn new(me: WorkerId, duration: Duration, max_leases: usize) -> Self {
        let fleet = Fleet::new(me.clone(), duration);
        Self { me, duration, max_leases, leases: BTreeMap::new(), fleet }
    }

    /// With the hand-off time of our own settings: the least that a worker gets that announces none.
    pub(crate) const fn with_handoff_time(mut self, own: Duration) -> Self {
        self.fleet.expect_handoff_time(own);
        self
    }

    /// Records the table as just read: `now` is after the read. `wall_clock` is ours; it serves for rows seen for the
    /// first time only.
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

    /// Decides who gets what. `now` is from before the last read: what it showed may have changed while it went on, so
    /// that nothing stood still for longer than that.
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

    /// Whether a worker has not been seen to live for as long as one can be taken for alive.
    pub(crate) fn is_dead(&self, now: Tick, worker: &WorkerId) -> bool {
        self.fleet.is_dead(now, worker)
    }

    /// When the next lease will have run out if nothing moves, after a round at `now`.
    pub(crate) fn next_expiry(&self, now: Tick) -> Option<Tick> {
        let unfinished = self.leases.values().filter(|watched| !watched.is_settled());
        let refused =
            |watched: &Watched| Some(watched.refusals().again_at()).filter(|_| !watched.refusals().is_empty());
        let ends = unfinished
            .flat_map(|watched| [watched.runs_out(self.duration), self.given_up_at(now, watched), refused(watched)]);
        ends.flatten().filter(|end| *end > now).min()
    }

    /// The workers that can be given leases.
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

    /// A worker that let a lease run out may be dead, though its row looks alive for a minute still.
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

    /// Whether nobody holds the lease.
    fn is_free(&self, now: Tick, watched: &Watched) -> bool {
        watched.actual_owner().is_none()
            || self.given_up_at(now, watched).is_some_and(|at| at <= now)
            || watched.has_run_out(now, self.duration)
    }

    /// When a worker is given up that was given this lease and has not been seen to write to it: it has left or died, or does
    /// not show the life that it shows by its own word.
    fn given_up_at(&self, now: Tick, watched: &Watched) -> Option<Tick> {
        let holder = watched.actual_owner().filter(|_| watched.is_awaited())?;
        let gone = if self.fleet.is_able(now, holder) { self.fleet.silent_at(holder)? } else { now };
        Some(gone.max(watched.takeable_at(self.duration)))
    }

    /// Gives free leases to the workers with the fewest, those that waited longest first.
    fn place_free(&self, now: Tick, loads: &mut Loads, round: &mut Round) {
        let is_free = |(_, watched): &(&LeaseKey, &Watched)| !watched.is_settled() && self.is_free(now, watched);
        let mut free: Vec<(&LeaseKey, &Watched)> = self.leases.iter().filter(is_free).collect();
        free.sort_by_key(|(key, watched)| (watched.last_moved(), *key));
        for (key, watched) in free {
            let before = watched.actual_owner();
            // A lease on its way stays on its way.
            let target = watched.target().filter(|target| Some(*target) != before && loads.has_room(target)).cloned();
            let refusals = watched.refusals();
            let Some(to) = target.or_else(|| loads.least_refusing(before, refusals)) else {
                // When the last worker leaves, nobody is there whose room could be too small.
                if !loads.loads.is_empty() {
                    round.spill.push(key.clone());
                }
                continue;
            };
            if refusals.by(&to).is_some() && now < refusals.again_at() {
                continue;
            }
            loads.add(&to, refusals);
            // A write would only disturb its owner, should that still hold it: an owner finds its own leases.
            if Some(&to) != before || watched.is_in_handoff() {
                round.moves.push(Move::Assign { key: key.clone(), seen: watched.seen(), to });
            }
        }
    }

    /// Ends hand-offs whose source lives but does not let go.
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

    /// Moves leases from the workers with the most to those with the fewest, as long as that evens them out: with a
    /// difference of one, a move would only turn it round.
    fn balance(&self, now: Tick, loads: &mut Loads, round: &mut Round) {
        let mut movable: BTreeMap<&WorkerId, Vec<(Tick, &LeaseKey)>> = BTreeMap::new();
        for (key, watched) in &self.leases {
            // One that has been released without progress does not count as load, and so does not move to even it out.
            if let Some(since) = watched.movable_since(now, self.duration)
                && watched.refusals().is_empty()
                && !self.is_free(now, watched)
                && let Some(owner) = watched.owner()
            {
                movable.entry(owner).or_default().push((since, key));
            }
        }
        for leases in movable.values_mut() {
            // Popped from the end: the longest settled leaves first.
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

/// The workers that can be given leases.
#[derive(Debug)]
struct Loads {
    loads: BTreeMap<WorkerId, Load>,
    max: usize,
}

#[derive(Debug)]
struct Load {
    /// The unfinished leases that it has, or will have once its hand-offs are done.
    leases: usize,
    /// Those beside them that have been released without progress. They take room, and other leases do not move because of them.
    refused: usize,
    /// It can be counted on.
    sure: bool,
    /// It has been seen to live in this round or the one before.
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
    /// The worker with the fewest leases among those with room: one that surely lives if there is one, `last` only if
    /// there is no other.
    fn least(&self, last: Option<&WorkerId>) -> Option<WorkerId> {
        self.least_refusing(last, &Refusals::default())
    }

    /// The same for a lease that some workers have released: to a worker that has not, else to the one that did so longest ago.
    fn least_refusing(&self, last: Option<&WorkerId>, refusals: &Refusals) -> Option<WorkerId> {
        let with_room = self.loads.iter().filter(|(_, load)| load.all() < self.max);
        let weight = |load: &Load| if refusals.is_empty() { load.leases } else { load.all() };
        with_room
            .min_by_key(|(worker, load)| {
                (refusals.by(worker), Some(*worker) == last, !load.sure, weight(load), *worker)
            })
            .map(|(worker, _)| worker.clone())
    }

    /// The worker with the fewest leases among those that surely live and have room, as soon as it has just been seen. A lease
    /// that somebody reads goes to no other: given to one that has died in the meantime it stands still until it runs out.
    fn least_just_seen(&self) -> Option<WorkerId> {
        self.least(None).filter(|worker| self.loads.get(worker).is_some_and(|load| load.just_seen))
    }

    fn has_room(&self, worker: &WorkerId) -> bool {
        self.loads.get(worker).is_some_and(|load| load.all() < self.max)
    }

    fn of(&self, worker: &WorkerId) -> usize {
        self.loads.get(worker).map_or(0, |load| load.leases)
    }

    /// Counts a lease with these refusals.
    fn add(&mut self, worker: &WorkerId, refusals: &Refusals) {
        if let Some(load) = self.loads.get_mut(worker) {
            load.add(refusals);
        }
    }

    /// Counts a lease of the one for the other.
    fn move_one(&mut self, from: &WorkerId, to: &WorkerId) {
        if let Some(load) = self.loads.get_mut(from) {
            load.leases = load.leases.saturating_sub(1);
        }
        self.add(to, &Refusals::default());
    }
}

#[cfg(test)]
mod tests;
