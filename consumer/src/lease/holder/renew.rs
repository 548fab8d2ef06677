//! One ownership of a lease as a state: what to write next, and what an answer means.

use std::time::Duration;

use crate::clock::Tick;
use crate::lease::table::lease::{Checkpoint, Lease, WorkerId};
use crate::lease::table::store::{StoreError, Written};

/// The ownership of one lease by one worker, from its first accepted renewal to its loss.
///
/// Only one write is under way at a time, and it is repeated until it is accepted, the lease is lost, or it has run
/// out. So the counter in the table is `counter`, or [`next`](Self::next) while an attempt has ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ownership {
    me: WorkerId,
    duration: Duration,
    /// The counter after the last accepted write.
    counter: u64,
    /// By how much the next accepted write moves the counter: an adoption by a number that it has drawn, every other by one.
    /// A second process that adopts the lease under our ID thus leaves a row that no renewal of ours would have made, even
    /// if it is only then that we learn that a renewal had no answer.
    stride: u64,
    /// When the last accepted write was *sent*: a taker may have counted from any moment after that.
    renewed: Tick,
    /// When the first attempt of the write under way that ended without an answer was sent.
    in_doubt: Option<Tick>,
    checkpoint: Checkpoint,
    handoff: Option<Handoff>,
}

/// A hand-off that the leader asked of us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handoff {
    pub(crate) to: WorkerId,
    /// When the lease is handed over whether the processor has drained or not.
    pub(crate) deadline: Tick,
}

/// What a holder writes. Both move the counter, so a checkpoint is a renewal too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Renew,
    Checkpoint(Checkpoint),
}

/// How one attempt of a write ended.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Accepted(Option<Box<Lease>>),
    Refused(Option<Box<Lease>>),
    /// The row as a consistent read after a refusal without a row showed it.
    ReadBack(Option<Box<Lease>>),
    /// The row cannot be read as a lease.
    Unusable,
    /// Nothing was written.
    NotWritten,
    /// It may have been written.
    Unknown,
}

/// What to do after an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It is in the table.
    Accepted,
    /// The same write again, after a pause.
    Retry,
    /// The same write again at once: a hand-off had begun, which the condition did not allow for.
    RetryInHandoff,
    /// The table did not say what is in the row: read it.
    ReadBack,
    /// The lease is somebody else's, or nobody's.
    Lost(LostReason),
}

/// Why a worker no longer holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// Another worker has it, or a leader gave it away, or a second process runs under the same worker ID.
    Taken {
        /// The owner in the table.
        by: Option<WorkerId>,
    },
    /// No write was accepted for almost a lease duration: others may have taken it.
    Expired,
    /// Its row is gone, or another has been made in its place.
    Deleted,
    /// Its row was edited so that it cannot be used. It is left alone until it is corrected.
    Unusable,
    /// The row names one worker as both sides of a hand-off, which no worker of any kind writes.
    Contradictory,
    /// This worker gave it away, in a hand-off or at shutdown.
    Released,
    /// The program dropped the shard without releasing it; the lease runs out by itself.
    Dropped,
}

impl Ownership {
    /// The ownership of a lease that the table names as ours, before the renewal that makes it so.
    pub(crate) fn adopting(lease: &Lease, me: WorkerId, duration: Duration, stride: u64, now: Tick) -> Self {
        let (counter, checkpoint) = (lease.counter, lease.checkpoint.clone());
        Self { me, duration, counter, stride, renewed: now, in_doubt: None, checkpoint, handoff: None }
    }

    pub(crate) const fn counter(&self) -> u64 {
        self.counter
    }

    /// The counter that the next accepted write leaves.
    pub(crate) const fn next(&self) -> u64 {
        self.counter + self.stride
    }

    pub(crate) const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub(crate) const fn handoff(&self) -> Option<&Handoff> {
        self.handoff.as_ref()
    }

    /// When to renew, if nothing else has been written by then: the KCL's period, a third of the duration.
    pub(crate) fn renew_at(&self) -> Tick {
        self.renewed + self.duration / 3
    }

    /// When to give up. A taker waits a whole duration after the last change it saw; a tenth is kept for clocks that
    /// run at different rates (up to 5 % each).
    pub(crate) fn expires_at(&self) -> Tick {
        self.renewed + self.duration.mul_f64(0.9)
    }

    pub(crate) fn has_expired(&self, now: Tick) -> bool {
        now >= self.expires_at()
    }

    /// Judges the answer to an attempt of `write` that was sent at `sent`.
    pub(crate) fn judge(&mut self, write: &Write, sent: Tick, answer: &Answer, handoff_time: Duration) -> Verdict {
        match answer {
            Answer::NotWritten => Verdict::Retry,
            Answer::Unknown => {
                self.in_doubt.get_or_insert(sent);
                Verdict::Retry
            }
            Answer::Accepted(row) => {
                self.accept(write, sent);
                row.as_deref().map_or(Verdict::Accepted, |row| self.note_owners(row, sent + handoff_time))
            }
            Answer::Refused(None) => Verdict::ReadBack,
            Answer::ReadBack(None) => Verdict::Lost(LostReason::Deleted),
            Answer::Unusable => Verdict::Lost(LostReason::Unusable),
            Answer::Refused(Some(row)) | Answer::ReadBack(Some(row)) => self.judge_row(write, row, sent + handoff_time),
        }
    }

    /// The condition did not hold; `row` is what is in the table.
    fn judge_row(&mut self, write: &Write, row: &Lease, deadline: Tick) -> Verdict {
        if row.actual_owner() != Some(&self.me) {
            return Verdict::Lost(LostReason::Taken { by: row.owner.clone() });
        }
        let landed = row.counter == self.next()
            && match write {
                Write::Renew => row.checkpoint == self.checkpoint,
                Write::Checkpoint(checkpoint) => row.checkpoint == *checkpoint,
            };
        match self.in_doubt {
            // An attempt of this very write got no answer, and the row is what it would have made of it: it landed.
            // Counted from when the first such attempt left.
            Some(sent) if landed => {
                self.accept(write, sent);
                self.note_owners(row, deadline)
            }
            // A counter only grows while its row is there.
            _ if row.counter < self.counter => Verdict::Lost(LostReason::Deleted),
            _ if row.counter != self.counter => Verdict::Lost(LostReason::Taken { by: row.owner.clone() }),
            // The counter is ours, so only the absence of `checkpointOwner` can have failed: a hand-off has begun.
            // Otherwise the row changed back between the refusal and the read; the same write can go through now.
            _ => match self.note_owners(row, deadline) {
                Verdict::Accepted if self.handoff.is_some() => Verdict::RetryInHandoff,
                Verdict::Accepted => Verdict::Retry,
                lost => lost,
            },
        }
    }

    fn accept(&mut self, write: &Write, sent: Tick) {
        self.counter = self.next();
        self.stride = 1;
        self.renewed = self.renewed.max(sent);
        self.in_doubt = None;
        if let Write::Checkpoint(checkpoint) = write {
            self.checkpoint = checkpoint.clone();
        }
    }

    /// Every row that comes back is looked at for a hand-off: one leaves the counter alone, so an owner that only
    /// checkpoints would otherwise never see it.
    fn note_owners(&mut self, row: &Lease, deadline: Tick) -> Verdict {
        match (&row.owner, &row.checkpoint_owner) {
            (Some(owner), None) if *owner == self.me => {
                self.handoff = None;
                Verdict::Accepted
            }
            (owner, Some(holder)) if *holder == self.me => match owner {
                Some(to) if *to == self.me => Verdict::Lost(LostReason::Contradictory),
                None => Verdict::Lost(LostReason::Contradictory),
                Some(to) => {
                    if self.handoff.as_ref().is_none_or(|known| known.to != *to) {
                        self.handoff = Some(Handoff { to: to.clone(), deadline });
                    }
                    Verdict::Accepted
                }
            },
            (by, _) => Verdict::Lost(LostReason::Taken { by: by.clone() }),
        }
    }
}

impl From<Result<Written, StoreError>> for Answer {
    fn from(answer: Result<Written, StoreError>) -> Self {
        match answer {
            Ok(Written::Accepted(row)) => Self::Accepted(row),
            Ok(Written::Refused(row)) => Self::Refused(row),
            Err(e) if e.is_unknown() => Self::Unknown,
            Err(_) => Self::NotWritten,
        }
    }
}

#[cfg(test)]
mod tests;
