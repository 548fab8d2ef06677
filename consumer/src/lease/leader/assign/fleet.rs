//! The workers as a leader sees them live.

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
    /// Our own hand-off time.
    handoff_time: Duration,
    /// Whether our own row has been in the table. At shutdown a worker's row goes first.
    i_was_there: bool,
    lives: BTreeMap<WorkerId, Life>,
    last_look: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Life {
    last_update: Option<UnixSeconds>,
    /// Its last sign of life: its row, or the counter of a lease of its, has moved. `None`: there was none.
    sign: Option<Sign>,
    /// How often something of it moves at the least, where its row says so.
    shows: Option<Duration>,
    /// How long it takes to hand a lease over, where its row says so.
    handoff_time: Option<Duration>,
    fit: bool,
    /// A lease of its ran out, and nothing of it has moved since.
    suspect: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sign {
    seen: Tick,
    /// How old it was by then: of a row that is seen for the first time, by the wall clocks.
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

    /// How long the worker may take to hand a lease over, from when it learns of that: what it announced, within what can be set. A Java
    /// worker does not say; it ends its hand-offs by itself after a time that its users configure, and is waited for long enough for that.
    pub(super) fn handoff_time(&self, worker: &WorkerId) -> Duration {
        if *worker == self.me {
            return self.handoff_time;
        }
        let announced = self.lives.get(worker).and_then(|life| life.handoff_time);
        announced.map_or_else(|| self.handoff_time.max(JAVA_HANDOFF), |announced| announced.min(LONGEST_HANDOFF))
    }

    pub(super) fn observe(&mut self, now: Tick, wall_clock: UnixSeconds, rows: &[WorkerRow]) {
        // After a long time of not looking, a change says nothing about when it came about.
        let looked_on = self.last_look.is_some_and(|last| now.since(last) < ALIVE);
        let mut before = std::mem::take(&mut self.lives);
        for row in rows {
            let known = before.remove(&row.worker).filter(|_| looked_on);
            let life = match known {
                Some(life) if life.last_update == row.last_update => {
                    Life { fit: row.fit, shows: row.heartbeat_interval, handoff_time: row.handoff_time, ..life }
                }
                // A new row, or one that has moved, under our eyes.
                _ if looked_on => Life::seen(row, Some(Sign::at(now))),
                // The first look of a leader: of a row that may be an hour old, only its time tells. The KCL judges so
                // at every look. A worker whose clock is wrong has to wait until its row moves, half a minute.
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

    /// Whether the worker has a row.
    pub(super) fn has(&self, worker: &WorkerId) -> bool {
        self.lives.contains_key(worker)
    }

    /// A counter of the worker has moved.
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

    /// Whether the worker lives and can take leases. We ourselves live, whatever our row says, until it is gone again.
    pub(super) fn is_able(&self, now: Tick, worker: &WorkerId) -> bool {
        if *worker == self.me {
            return !self.i_was_there || self.lives.contains_key(worker);
        }
        self.lives.get(worker).is_some_and(|life| {
            let alive = life.sign.is_some_and(|sign| sign.age(now) < ALIVE);
            alive && life.fit && !life.suspect && life.last_update.is_some()
        })
    }

    /// Whether the worker has been seen to live so short a time ago that it can be counted on. One that dies cannot be told
    /// from one without leases whose row moves every half minute, as a Java worker's does; so that one gets leases last.
    pub(super) fn is_sure(&self, now: Tick, worker: &WorkerId) -> bool {
        let is_fresh = |life: &Life| life.sign.is_some_and(|sign| sign.age(now) < life.silence(self.duration));
        *worker == self.me || self.lives.get(worker).is_some_and(is_fresh)
    }

    /// Whether it has been seen to live in this round or the one before.
    pub(super) fn was_just_seen(&self, now: Tick, worker: &WorkerId) -> bool {
        let is_new = |life: &Life| life.sign.is_some_and(|sign| sign.age(now) < JUST);
        *worker == self.me || self.lives.get(worker).is_some_and(is_new)
    }

    /// When a worker that shows life often has been silent for too long. `None`: it is not known to.
    pub(super) fn silent_at(&self, worker: &WorkerId) -> Option<Tick> {
        let life = self.lives.get(worker).filter(|life| life.shows.is_some() && *worker != self.me)?;
        let sign = life.sign?;
        Some(sign.seen + life.silence(self.duration).saturating_sub(sign.age))
    }

    /// Whether nothing of the worker has moved for as long as a row can be taken for alive.
    pub(super) fn is_dead(&self, now: Tick, worker: &WorkerId) -> bool {
        *worker != self.me
            && self.lives.get(worker).is_none_or(|life| life.sign.is_none_or(|sign| sign.age(now) >= ALIVE))
    }

    /// The workers that live and can take leases.
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

    /// How long it can be silent and still be counted on.
    fn silence(&self, lease_duration: Duration) -> Duration {
        self.shows.unwrap_or(lease_duration / 2).min(ALIVE) + SEEN_LATE
    }
}

/// A round, and what it may be late.
const JUST: Duration = Duration::from_secs(6);

/// A leader looks every five seconds, and reads and writes take their time.
const SEEN_LATE: Duration = Duration::from_secs(7);

/// How long a worker lives on after its row last moved: twice the 30 s in which the KCL writes it.
const ALIVE: Duration = Duration::from_secs(60);

/// The default of that setting, and the KCL's.
const HANDOFF: Duration = Duration::from_secs(30);

/// `gracefulLeaseHandoffTimeoutMillis` is 30 s by default, and 120 s are in use.
const JAVA_HANDOFF: Duration = Duration::from_secs(120);

/// The most that the setting of that name allows.
const LONGEST_HANDOFF: Duration = Duration::from_secs(15 * 60);
