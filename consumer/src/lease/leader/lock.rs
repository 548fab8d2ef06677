//! The leader's lock as a state: when to read it, when to take it, and how long this worker holds it.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::{LeaderLock, WorkerId};

/// One worker's view of the lock. Nothing in the lock is a time of day. A candidate takes the lock after it has seen one
/// version unchanged for the duration that the lock names, by its own clock. The holder stops before that, counted from the
/// sending of its last accepted write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leadership {
    me: WorkerId,
    duration: Duration,
    state: State,
    /// A take without a response. Its version is used again, so that the worker recognises the lock as its own whichever
    /// attempt takes effect, even much later.
    attempt: Option<Attempt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Not read yet, or lost to an unknown worker.
    Unknown,
    /// Another worker's, seen in this version since then.
    Watching { lock: LeaderLock, since: Tick },
    /// This worker's.
    Leading { held: Attempt, in_doubt: Option<Attempt> },
}

/// A write to the lock, and when it was first sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    lock: LeaderLock,
    sent: Tick,
}

/// How a conditional write to the lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// The condition held.
    Accepted,
    /// The condition did not hold.
    Refused,
    /// Nothing was written.
    NotWritten,
    /// It may have been written.
    Unknown,
}

/// What to do after reading the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    /// Nothing.
    Wait,
    /// Take the lock, under the condition that it is as seen.
    Take { seen: Option<LeaderLock> },
}

/// A worker's role in the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LeaderRole {
    /// Another worker leads.
    Following,
    /// Another worker led, but has missed a heartbeat. Read the leases, so that expired ones are known if this worker takes
    /// over.
    Observing,
    /// This worker leads, until then.
    Leading { until: Tick },
}

impl Leadership {
    pub(crate) const fn new(me: WorkerId, duration: Duration) -> Self {
        Self { me, duration, state: State::Unknown, attempt: None }
    }

    /// Records that the lock was released, or may have been.
    pub(crate) fn forget(&mut self) {
        (self.state, self.attempt) = (State::Unknown, None);
    }

    pub(crate) fn role(&self, now: Tick) -> LeaderRole {
        match &self.state {
            State::Leading { held, .. } if now < self.until(held.sent) => {
                LeaderRole::Leading { until: self.until(held.sent) }
            }
            State::Watching { lock, since } if now.since(*since) >= lock.duration.mul_f64(MISSED) => {
                LeaderRole::Observing
            }
            _ => LeaderRole::Following,
        }
    }

    /// Applies the lock as just read.
    pub(crate) fn looked(&mut self, now: Tick, found: Option<LeaderLock>) -> Look {
        let Some(found) = found else {
            self.state = State::Unknown;
            return Look::Take { seen: None };
        };
        let ours = self.writes().find(|write| write.lock.version == found.version).cloned();
        if let Some(Attempt { lock, sent }) = ours {
            self.attempt = None;
            if now < self.until(sent) {
                self.state = State::Leading { held: Attempt { lock, sent }, in_doubt: None };
                return Look::Wait;
            }
            // This worker released the lock, or acquired it too late. It is unchanged since then, for only this worker knows
            // this version. A write under that condition acquires it again.
            self.state = State::Watching { lock: found.clone(), since: now };
            return Look::Take { seen: Some(found) };
        }
        let since = match &self.state {
            State::Watching { lock, since } if lock.version == found.version => *since,
            _ => now,
        };
        let run_out = found.released || now.since(since) >= found.duration;
        self.state = State::Watching { lock: found.clone(), since };
        if run_out { Look::Take { seen: Some(found) } } else { Look::Wait }
    }

    /// Returns the lock to write for a take, with a new version unless an attempt is in doubt.
    pub(crate) fn next_take(&self, version: impl FnOnce() -> String) -> LeaderLock {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.lock.clone());
        attempt.unwrap_or_else(|| self.lock(version()))
    }

    /// Records the outcome of an attempt to take the lock, sent at `sent`.
    pub(crate) fn took(&mut self, sent: Tick, lock: LeaderLock, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => {
                self.attempt = None;
                self.state = State::Leading { held: Attempt { lock, sent }, in_doubt: None };
            }
            Outcome::Unknown => {
                self.attempt.get_or_insert(Attempt { lock, sent });
            }
            // Another worker was faster, or an attempt in doubt had taken effect: the next read tells.
            Outcome::Refused | Outcome::NotWritten => {}
        }
    }

    /// Returns the held lock and its next version, for a heartbeat; `None` if this worker does not hold it (any more).
    pub(crate) fn next_heartbeat(
        &self,
        now: Tick,
        version: impl FnOnce() -> String,
    ) -> Option<(LeaderLock, LeaderLock)> {
        let LeaderRole::Leading { .. } = self.role(now) else { return None };
        let State::Leading { held, in_doubt } = &self.state else { return None };
        let next = in_doubt.as_ref().map(|attempt| attempt.lock.clone());
        Some((held.lock.clone(), next.unwrap_or_else(|| self.lock(version()))))
    }

    /// Records the outcome of a heartbeat, sent at `sent`. Returns `true` if the lock must be read to find its holder.
    pub(crate) fn beat(&mut self, sent: Tick, next: LeaderLock, outcome: Outcome) -> bool {
        let State::Leading { held, in_doubt } = &mut self.state else { return false };
        match outcome {
            Outcome::Accepted => {
                *held = Attempt { lock: next, sent };
                *in_doubt = None;
                false
            }
            Outcome::Unknown => {
                in_doubt.get_or_insert(Attempt { lock: next, sent });
                false
            }
            Outcome::NotWritten => false,
            Outcome::Refused if in_doubt.is_some() => true,
            Outcome::Refused => {
                self.state = State::Unknown;
                true
            }
        }
    }

    /// Returns when the next heartbeat is due; `None` if this worker does not hold the lock.
    pub(crate) fn next_heartbeat_at(&self) -> Option<Tick> {
        match &self.state {
            State::Leading { held, .. } => Some(held.sent + self.duration / HEARTBEATS),
            _ => None,
        }
    }

    /// Returns when the watched lock can be taken.
    pub(crate) fn runs_out(&self) -> Option<Tick> {
        match &self.state {
            State::Watching { lock, since } => Some(*since + lock.duration),
            _ => None,
        }
    }

    /// Returns the locks to release: one of them is in the table if this worker holds the lock.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &LeaderLock> {
        self.writes().map(|write| &write.lock)
    }

    /// Returns the writes of this worker that may be in the table, each with when it was first sent.
    fn writes(&self) -> impl Iterator<Item = &Attempt> {
        let (held, in_doubt) = match &self.state {
            State::Leading { held, in_doubt } => (Some(held), in_doubt.as_ref()),
            State::Unknown | State::Watching { .. } => (None, None),
        };
        held.into_iter().chain(in_doubt).chain(&self.attempt)
    }

    fn until(&self, sent: Tick) -> Tick {
        sent + self.duration.mul_f64(HOLD)
    }

    fn lock(&self, version: String) -> LeaderLock {
        LeaderLock { owner: self.me.clone(), duration: self.duration, version, released: false }
    }
}

/// Three heartbeats in a lock's duration: two can fail.
const HEARTBEATS: u32 = 3;
/// The part of the duration after which a holder stops. A tenth is kept for clocks that run at different rates (up to 5 %
/// each).
const HOLD: f64 = 0.9;
/// The part of a lock's duration after which a heartbeat has been missed. Our heartbeats come after a third, Java's after a
/// quarter; a read may come a little after either.
const MISSED: f64 = 0.4;

#[cfg(test)]
mod tests;
