//! The steps of a leader, and whether it treats silent workers correctly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::lease::holder::renew::Answer;
use crate::lease::leader::assign::{Assignment, Move};
use crate::lease::model::world::{BEAT, Call, D, Message, World};
use crate::lease::table::lease::{LeaseKey, WorkerId};

/// The worker that did the last round, and its knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    pub(super) name: WorkerId,
    assignment: Assignment,
    pub(super) look_on: LookOn,
}

/// The observer's record of what this leader has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LookOn {
    /// Workers whose row or counter has moved since the last round.
    pub(super) stirred: BTreeSet<WorkerId>,
    /// The beat of each worker's last heartbeat that a round saw.
    signs: BTreeMap<WorkerId, u8>,
    /// Leases that this leader assigned, and whose new owner has not written since.
    given: BTreeSet<LeaseKey>,
}

/// Half a lease duration, plus seven seconds for the leader to see it.
const SILENCE: Duration = Duration::from_secs(D.as_secs() / 2 + 7);
/// How many beats pass between two writes of a Java worker's row: half a minute.
const JAVA_BEATS: u8 = 6;

impl World {
    /// Returns all combinations of workers that can write their rows at the next beat.
    pub(super) fn reporters(&self) -> Vec<Vec<WorkerId>> {
        let mut sets = vec![Vec::new()];
        for (name, worker) in &self.workers {
            if worker.alive && (worker.promises || self.beat + 1 - worker.reported >= JAVA_BEATS) {
                let with = |set: &Vec<WorkerId>| set.iter().chain([name]).cloned().collect();
                let more: Vec<_> = sets.iter().map(with).collect();
                sets.extend(more);
            }
        }
        sets
    }

    pub(super) fn beat(&mut self, reporters: &[WorkerId]) {
        self.beat += 1;
        for name in reporters {
            self.workers.get_mut(name).expect("it is there").reported = self.beat;
        }
        if let Some(leader) = &mut self.leader {
            leader.look_on.stirred.extend(reporters.iter().cloned());
        }
    }

    pub(super) fn lead(&mut self, name: WorkerId) {
        let (now, wall_clock, rows) = (self.now(), self.wall_clock(), self.rows());
        let led = self.leader.take().filter(|leader| leader.name == name);
        let mut leader = led.unwrap_or_else(|| {
            let signs = self.workers.iter().map(|(name, worker)| (name.clone(), worker.reported)).collect();
            let look_on = LookOn { signs, ..LookOn::default() };
            Leader { name: name.clone(), assignment: Assignment::new(name.clone(), D, usize::MAX), look_on }
        });
        for stirred in std::mem::take(&mut leader.look_on.stirred) {
            leader.look_on.signs.insert(stirred, self.beat);
        }
        leader.look_on.given.retain(|key| !self.epochs.contains_key(key));
        leader.assignment.observe(now, wall_clock, &rows);
        let moves = leader.assignment.round(now).moves;
        self.judge_moves(&leader, &moves);
        let from = (name.clone(), self.workers[&name].life);
        for change in moves {
            let (Move::Assign { key, .. } | Move::HandOff { key, .. }) = &change;
            let key = key.clone();
            self.network.push(Message { from: from.clone(), key, call: Call::Lead(change), late: false });
        }
        self.leader = Some(leader);
    }

    fn judge_moves(&mut self, leader: &Leader, moves: &[Move]) {
        let silent = |worker: &WorkerId| {
            let quiet = u64::from(self.beat - leader.look_on.signs[worker]) * BEAT;
            *worker != leader.name && Duration::from_secs(quiet) >= SILENCE
        };
        for change in moves {
            self.seen.silent_preferred |= match change {
                Move::HandOff { to, .. } => silent(to),
                // The leader itself is alive and comes before silent workers, unless it has just let this lease expire. A
                // hand-off keeps its target.
                Move::Assign { seen, to, .. } => {
                    let former = seen.owners.checkpoint_owner.as_ref().or(seen.owners.owner.as_ref());
                    silent(to) && former != Some(&leader.name) && seen.owners.checkpoint_owner.is_none()
                }
            };
        }
        for key in &leader.look_on.given {
            let row = &self.table[key].0;
            let Some(holder) = row.actual_owner().filter(|holder| silent(holder)) else { continue };
            let moved = moves.iter().any(|change| matches!(change, Move::Assign { key: moved, .. } if moved == key));
            let promises = self.workers[holder].promises;
            self.seen.silent_waited_for |= promises && !moved;
            self.seen.silent_passed_over |= promises && moved;
            self.seen.java_waited_for |= !promises && !moved;
        }
    }

    pub(super) fn move_answered(&mut self, message: &Message, change: &Move, answer: &Answer) {
        let now = self.now();
        match (answer, &mut self.leader) {
            (Answer::Accepted(Some(row)), Some(leader)) if leader.name == message.from.0 => {
                leader.assignment.moved(now, change, row.counter);
                if let Move::Assign { key, .. } = change {
                    leader.look_on.given.insert(key.clone());
                }
            }
            (Answer::Refused(_), _) => self.seen.leader_refused = true,
            _ => {}
        }
    }
}
