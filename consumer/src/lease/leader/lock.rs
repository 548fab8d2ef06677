//! The leader's lock as a state: when to look, when to take it, and how long it is ours.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::{LeaderLock, WorkerId};

/// One worker's role towards the lock. Nothing in the lock is a time of day: a candidate takes it after it has
/// watched one version for the duration that the lock names, by its own clock; the holder gives up before that, counted
/// from the sending of its last accepted write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leadership {
    me: WorkerId,
    duration: Duration,
    state: State,
    /// A take that ended without an answer. Its version is used again, so that whichever attempt takes effect, even
    /// much later, is known for ours.
    attempt: Option<Attempt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Not looked yet, or lost it and do not know to whom.
    Unknown,
    /// Somebody else's, seen in this version since then.
    Watching { lock: LeaderLock, since: Tick },
    /// Ours.
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
    /// It did not.
    Refused,
    /// Nothing was written.
    NotWritten,
    /// It may have been written.
    Unknown,
}

/// What to do after a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    /// Nothing.
    Wait,
    /// Take the lock, under the condition that it is as seen.
    Take { seen: Option<LeaderLock> },
}

/// What a worker is to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LeaderRole {
    /// Another leads.
    Following,
    /// Another led, but has missed a heartbeat: look at the leases, so that we know which stand still if we take over.
    Observing,
    /// We lead, for so long.
    Leading { until: Tick },
}

impl Leadership {
    pub(crate) const fn new(me: WorkerId, duration: Duration) -> Self {
        Self { me, duration, state: State::Unknown, attempt: None }
    }

    /// The lock was given up, or may have been.
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

    /// Records the lock as just read.
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
            // It was ours and we gave it up, or it became ours too late. Nobody has touched it since, for only we know
            // this version: a write under that condition makes it ours again.
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

    /// The lock to take, with a version of its own unless an attempt is in doubt.
    pub(crate) fn next_take(&self, version: impl FnOnce() -> String) -> LeaderLock {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.lock.clone());
        attempt.unwrap_or_else(|| self.lock(version()))
    }

    /// Records how an attempt to take the lock, sent at `sent`, has ended.
    pub(crate) fn took(&mut self, sent: Tick, lock: LeaderLock, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => {
                self.attempt = None;
                self.state = State::Leading { held: Attempt { lock, sent }, in_doubt: None };
            }
            Outcome::Unknown => {
                self.attempt.get_or_insert(Attempt { lock, sent });
            }
            // Somebody was faster, or an attempt in doubt had worked: the next look tells.
            Outcome::Refused | Outcome::NotWritten => {}
        }
    }

    /// The lock that is ours and its next version, for a heartbeat. `None`: it is not ours (any more).
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

    /// Records how a heartbeat, sent at `sent`, has ended. Returns whether the lock has to be read to know who holds it.
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

    /// When a heartbeat, or a look, is due; `None`: at once.
    pub(crate) fn next_heartbeat_at(&self) -> Option<Tick> {
        match &self.state {
            State::Leading { held, .. } => Some(held.sent + self.duration / HEARTBEATS),
            _ => None,
        }
    }

    /// When the lock that is being watched can be taken.
    pub(crate) fn runs_out(&self) -> Option<Tick> {
        match &self.state {
            State::Watching { lock, since } => Some(*since + lock.duration),
            _ => None,
        }
    }

    /// The locks to release: one of these is in the table if it is ours.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &LeaderLock> {
        self.writes().map(|write| &write.lock)
    }

    /// Our writes that may be what is in the table, each with when it was first sent.
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

/// Three heartbeats in a lock's duration: two can be lost.
const HEARTBEATS: u32 = 3;
/// The part of the duration after which a holder gives up: a tenth is kept for clocks that run at different rates (up to
/// 5 % each).
const HOLD: f64 = 0.9;
/// The part of a lock's duration after which a heartbeat has been missed. Ours come after a third, Java's after a
/// quarter; a look may come a little after either.
const MISSED: f64 = 0.4;

#[cfg(test)]
mod tests;
