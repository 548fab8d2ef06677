//! The workers as a leader sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::{UnixSeconds, WorkerId, WorkerRow};

/// The workers that have a row in the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fleet {
    me: WorkerId,
    /// The lease duration of the fleet.
    duration: Duration,
    /// The hand-off time of this worker's settings.
    handoff_time: Duration,
    /// `true` once this worker's own row has been in the table. At shutdown a worker deletes its row first.
    i_was_there: bool,
    lives: BTreeMap<WorkerId, Life>,
    last_look: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Life {
    last_update: Option<UnixSeconds>,
    /// Its last heartbeat: its row, or the counter of one of its leases, has moved. `None` if there was none.
    sign: Option<Sign>,
    /// The heartbeat interval that the worker announced, if any.
    shows: Option<Duration>,
    /// The hand-off time that the worker announced, if any.
    handoff_time: Option<Duration>,
    fit: bool,
    /// `true` if one of its leases expired, and neither its row nor a counter has moved since.
    suspect: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sign {
    seen: Tick,
    /// How old it was when seen; for a row that is seen for the first time, by the wall clocks.
    age: Duration,
}

impl Sign {
    const fn at(seen: Tick) -> Self {
        Self { seen, age: Duration::ZERO }
    }

    fn age(self, now: Tick) -> Duration {
        now.since(self.seen) + self.age
    }
}

impl Fleet {
    pub(super) const fn new(me: WorkerId, duration: Duration) -> Self {
        Self { me, duration, handoff_time: HANDOFF, i_was_there: false, lives: BTreeMap::new(), last_look: None }
    }

    pub(super) const fn expect_handoff_time(&mut self, own: Duration) {
        self.handoff_time = own;
    }

    /// Returns how long the worker may take for a hand-off once it knows of it: what it announced, up to the setting's limit. A
    /// Java worker announces nothing. It ends hand-offs by itself after a configured time, and gets long enough for that.
    pub(super) fn handoff_time(&self, worker: &WorkerId) -> Duration {
        if *worker == self.me {
            return self.handoff_time;
        }
        let announced = self.lives.get(worker).and_then(|life| life.handoff_time);
        announced.map_or_else(|| self.handoff_time.max(JAVA_HANDOFF), |announced| announced.min(LONGEST_HANDOFF))
    }

    pub(super) fn observe(&mut self, now: Tick, wall_clock: UnixSeconds, rows: &[WorkerRow]) {
        // After a long time without reads, a change does not tell when it happened.
        let looked_on = self.last_look.is_some_and(|last| now.since(last) < ALIVE);
        let mut before = std::mem::take(&mut self.lives);
        for row in rows {
            let known = before.remove(&row.worker).filter(|_| looked_on);
            let life = match known {
                Some(life) if life.last_update == row.last_update => {
                    Life { fit: row.fit, shows: row.heartbeat_interval, handoff_time: row.handoff_time, ..life }
                }
                // A row that is new, or that has moved while we watched.
                _ if looked_on => Life::seen(row, Some(Sign::at(now))),
                // The first read of a leader: the row may be an hour old, and only its time tells. The KCL judges every read
                // so. A worker whose clock is wrong must wait until its row moves, half a minute.
                _ => {
                    let age = row.last_update.map(|at| Duration::from_secs(at.0.abs_diff(wall_clock.0)));
                    Life::seen(row, age.filter(|age| *age <= ALIVE).map(|age| Sign { seen: now, age }))
                }
            };
            self.lives.insert(row.worker.clone(), life);
        }
        self.i_was_there |= self.lives.contains_key(&self.me);
        self.last_look = Some(now);
    }

    /// Returns `true` if the worker has a row.
    pub(super) fn has(&self, worker: &WorkerId) -> bool {
        self.lives.contains_key(worker)
    }

    /// Records that a counter of the worker has moved.
    pub(super) fn saw_life(&mut self, now: Tick, worker: &WorkerId) {
        if let Some(life) = self.lives.get_mut(worker) {
            life.sign = Some(Sign::at(now));
            life.suspect = false;
        }
    }

    pub(super) fn suspect(&mut self, worker: &WorkerId) {
        if let Some(life) = self.lives.get_mut(worker) {
            life.suspect = true;
        }
    }

    /// Returns `true` if the worker is alive and can take leases. This worker itself counts as alive, whatever its row says,
    /// until the row is deleted.
    pub(super) fn is_able(&self, now: Tick, worker: &WorkerId) -> bool {
        if *worker == self.me {
            return !self.i_was_there || self.lives.contains_key(worker);
        }
        self.lives.get(worker).is_some_and(|life| {
            let alive = life.sign.is_some_and(|sign| sign.age(now) < ALIVE);
            alive && life.fit && !life.suspect && life.last_update.is_some()
        })
    }

    /// Returns `true` if the worker's heartbeat is recent enough to count on it. A crashed worker cannot be told from one
    /// without leases whose row moves every half minute (a Java worker's does); so such a worker gets leases last.
    pub(super) fn is_sure(&self, now: Tick, worker: &WorkerId) -> bool {
        let is_fresh = |life: &Life| life.sign.is_some_and(|sign| sign.age(now) < life.silence(self.duration));
        *worker == self.me || self.lives.get(worker).is_some_and(is_fresh)
    }

    /// Returns `true` if its heartbeat was seen in this round or the one before.
    pub(super) fn was_just_seen(&self, now: Tick, worker: &WorkerId) -> bool {
        let is_new = |life: &Life| life.sign.is_some_and(|sign| sign.age(now) < JUST);
        *worker == self.me || self.lives.get(worker).is_some_and(is_new)
    }

    /// Returns when a worker that announced a heartbeat interval counts as silent; `None` if it announced none.
    pub(super) fn silent_at(&self, worker: &WorkerId) -> Option<Tick> {
        let life = self.lives.get(worker).filter(|life| life.shows.is_some() && *worker != self.me)?;
        let sign = life.sign?;
        Some(sign.seen + life.silence(self.duration).saturating_sub(sign.age))
    }

    /// Returns `true` if the worker has shown no heartbeat for as long as a row can count as alive.
    pub(super) fn is_dead(&self, now: Tick, worker: &WorkerId) -> bool {
        *worker != self.me
            && self.lives.get(worker).is_none_or(|life| life.sign.is_none_or(|sign| sign.age(now) >= ALIVE))
    }

    /// Returns the workers that are alive and can take leases.
    pub(super) fn able(&self, now: Tick) -> impl Iterator<Item = &WorkerId> {
        let me = Some(&self.me).filter(|me| !self.lives.contains_key(me));
        self.lives.keys().chain(me).filter(move |worker| self.is_able(now, worker))
    }
}

impl Life {
    const fn seen(row: &WorkerRow, sign: Option<Sign>) -> Self {
        let (shows, handoff_time) = (row.heartbeat_interval, row.handoff_time);
        Self { last_update: row.last_update, sign, shows, handoff_time, fit: row.fit, suspect: false }
    }

    /// Returns how long it can be silent and still be counted on.
    fn silence(&self, lease_duration: Duration) -> Duration {
        self.shows.unwrap_or(lease_duration / 2).min(ALIVE) + SEEN_LATE
    }
}

/// A round, plus its possible delay.
const JUST: Duration = Duration::from_secs(6);

/// A leader reads every five seconds, and reads and writes take their time.
const SEEN_LATE: Duration = Duration::from_secs(7);

/// How long a worker counts as alive after its row last moved: twice the 30 s at which the KCL writes it.
const ALIVE: Duration = Duration::from_secs(60);

/// The setting's default, and the KCL's.
const HANDOFF: Duration = Duration::from_secs(30);

/// `gracefulLeaseHandoffTimeoutMillis` is 30 s by default, and 120 s are in use.
const JAVA_HANDOFF: Duration = Duration::from_secs(120);

/// The most that the setting `handoff_time` allows.
const LONGEST_HANDOFF: Duration = Duration::from_secs(15 * 60);
