//! The workers as a leader sees them live.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::{EpochTime, WorkerId, WorkerRow};

/// The workers that have a row in the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fleet {
    me: WorkerId,
    /// Whether our own row has been in the table. At shutdown a worker's row goes first.
    i_was_there: bool,
    lives: BTreeMap<WorkerId, Life>,
    last_look: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Life {
    last_update: Option<EpochTime>,
    /// When its row, or the counter of a lease of its, was last seen to have moved. `None`: never.
    moved: Option<Tick>,
    fit: bool,
    /// A lease of its ran out, and nothing of it has moved since.
    suspect: bool,
}

impl Fleet {
    pub(super) const fn new(me: WorkerId) -> Self {
        Self { me, i_was_there: false, lives: BTreeMap::new(), last_look: None }
    }

    pub(super) fn observe(&mut self, now: Tick, wall_clock: EpochTime, rows: &[WorkerRow]) {
        // After a long time of not looking, a change says nothing about when it came about.
        let looked_on = self.last_look.is_some_and(|last| now.since(last) < ALIVE);
        let mut before = std::mem::take(&mut self.lives);
        for row in rows {
            let known = before.remove(&row.worker).filter(|_| looked_on);
            let life = match known {
                Some(life) if life.last_update == row.last_update => Life { fit: row.fit, ..life },
                // A new row, or one that has moved, under our eyes.
                _ if looked_on => Life::seen(row, Some(now)),
                // The first look of a leader: of a row that may be an hour old, only its time tells. The KCL judges so
                // at every look. A worker whose clock is wrong has to wait until its row moves, half a minute.
                _ => Life::seen(
                    row,
                    row.last_update.filter(|at| at.0.abs_diff(wall_clock.0) <= ALIVE.as_secs()).map(|_| now),
                ),
            };
            self.lives.insert(row.worker.clone(), life);
        }
        self.i_was_there |= self.lives.contains_key(&self.me);
        self.last_look = Some(now);
    }

    /// A counter of the worker has moved.
    pub(super) fn saw_life(&mut self, now: Tick, worker: &WorkerId) {
        if let Some(life) = self.lives.get_mut(worker) {
            life.moved = Some(now);
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
            let alive = life.moved.is_some_and(|moved| now.since(moved) < ALIVE);
            alive && life.fit && !life.suspect && life.last_update.is_some()
        })
    }

    /// Whether nothing of the worker has moved for as long as a row can be taken for alive.
    pub(super) fn is_dead(&self, now: Tick, worker: &WorkerId) -> bool {
        *worker != self.me
            && self.lives.get(worker).is_none_or(|life| life.moved.is_none_or(|moved| now.since(moved) >= ALIVE))
    }

    /// The workers that live and can take leases.
    pub(super) fn able(&self, now: Tick) -> impl Iterator<Item = &WorkerId> {
        let me = Some(&self.me).filter(|me| !self.lives.contains_key(me));
        self.lives.keys().chain(me).filter(move |worker| self.is_able(now, worker))
    }
}

impl Life {
    const fn seen(row: &WorkerRow, moved: Option<Tick>) -> Self {
        Self { last_update: row.last_update, moved, fit: row.fit, suspect: false }
    }
}

/// How long a worker lives on after its row last moved: twice the 30 s in which the KCL writes it.
const ALIVE: Duration = Duration::from_secs(60);
