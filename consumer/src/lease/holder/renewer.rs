//! The one renewer through which a worker writes a lease that it holds: renewals, checkpoints, and the end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::clock::Tick;
use crate::lease::holder::held::{CheckpointError, Command, Expiry, Failed, HeldLease, HoldContext, LeaseState};
use crate::lease::holder::renew::{Answer, LostReason, Ownership, Verdict, Write};
use crate::lease::holder::shutdown::Shutdown;
use crate::lease::holder::throughput::Throughput;
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Owners, Seen};
use crate::lease::table::odd;
use crate::lease::table::store::{Renewal, StoreError, Written};

mod finished;

/// The worker's side of a held lease.
#[derive(Debug)]
pub(crate) struct LeaseRenewer {
    context: HoldContext,
    lease: Arc<Lease>,
    state: Ownership,
    lease_state: watch::Sender<LeaseState>,
    /// Set by the worker when it shuts down: give the lease up by then.
    shutdown: Shutdown,
    commands: mpsc::Receiver<Command>,
    delivered: Arc<AtomicU64>,
    expiry: Expiry,
    /// Set when the shard's end is stored: the lease has no reader any more.
    finished: Arc<AtomicBool>,
    /// Set by the shard's task: the lease is released when that lets go of it.
    failed: Failed,
    /// Set when the row has been seen to be one that cannot be used.
    unusable: bool,
    throughput: Throughput,
    rng: fastrand::Rng,
}

/// Makes a lease that the table names as ours really ours, by a conditional renewal before anything is read: two
/// processes under one worker ID cannot both succeed. `Err`: somebody was faster, or the table did not answer in time.
pub(crate) async fn adopt(
    context: HoldContext,
    lease: Lease,
    shutdown: Shutdown,
    finished: Arc<AtomicBool>,
    mut rng: fastrand::Rng,
) -> Result<(HeldLease, LeaseRenewer), LostReason> {
    let now = context.clock.now();
    let state = Ownership::adopting(&lease, context.me.clone(), context.duration, rng.u64(STRIDES), now);
    let (lease_state, watched) = watch::channel(LeaseState::Held);
    // One command at a time: the shard's task waits for its answer before it sends the next.
    let (sender, commands) = mpsc::channel(1);
    let delivered = Arc::new(AtomicU64::new(0));
    let expiry = Expiry::new(Arc::clone(&context.clock));
    let throughput = Throughput::starting(lease.throughput_kib_per_s, now);
    let lease = Arc::new(lease);
    let mut renewer = LeaseRenewer {
        context: context.clone(),
        lease: Arc::clone(&lease),
        state,
        lease_state,
        shutdown,
        commands,
        delivered: Arc::clone(&delivered),
        expiry: expiry.clone(),
        finished,
        failed: Failed::default(),
        unusable: false,
        throughput,
        rng,
    };
    renewer.write(&Write::Renew).await?;
    renewer.is_usable()?;
    let epoch = renewer.state.counter();
    let held = HeldLease::new(context, lease, epoch, watched, sender, delivered, expiry);
    renewer.failed = held.failed();
    Ok((held, renewer))
}

enum Next {
    Renew,
    GiveUp,
    Revoke,
    Serve(Command),
    Abandoned,
}

impl LeaseRenewer {
    pub(crate) fn key(&self) -> &LeaseKey {
        &self.lease.key
    }

    /// Renews, checkpoints and finally gives up the lease; returns why it is not held any more, and the last counter.
    pub(crate) async fn run(mut self) -> (LostReason, u64) {
        let reason = loop {
            if let Err(reason) = self.step().await {
                break reason;
            }
        };
        self.lease_state.send_replace(LeaseState::Lost(reason.clone()));
        (reason, self.state.counter())
    }

    async fn step(&mut self) -> Result<(), LostReason> {
        self.is_usable()?;
        self.publish();
        match self.next().await {
            Next::Renew => self.write(&Write::Renew).await,
            Next::GiveUp => {
                tracing::warn!(lease = %self.key(), "deadline passed before the processor released the shard; giving it up");
                // Before the table names another, who may begin long before the answer is here.
                self.lease_state.send_replace(LeaseState::Lost(LostReason::Released));
                Err(self.give_up().await)
            }
            Next::Revoke => Ok(()),
            Next::Serve(Command::Checkpoint(checkpoint, reply)) => self.serve_checkpoint(checkpoint, reply).await,
            Next::Serve(Command::Release(reply)) => {
                let reason = self.give_up().await;
                // Told before the answer, so that a task that released its shard never sees it as still held.
                self.lease_state.send_replace(LeaseState::Lost(reason.clone()));
                let released = match &reason {
                    LostReason::Released => Ok(()),
                    other => Err(CheckpointError::LeaseLost { lease: self.key().clone(), reason: other.clone() }),
                };
                let _gone = reply.send(released);
                Err(reason)
            }
            Next::Abandoned if self.is_finished() => self.keep_finished().await,
            // The worker leaves, or cannot read the shard: the lease need not run out first.
            Next::Abandoned if self.shutdown.deadline().is_some() || self.failed.why().is_some() => {
                Err(self.give_up().await)
            }
            Next::Abandoned => Err(LostReason::Dropped),
        }
    }

    /// Waits for what comes first.
    async fn next(&mut self) -> Next {
        let renew_at = self.context.clock.instant(self.state.renew_at());
        let revoked_at = self.revoked_at().map(|deadline| self.context.clock.instant(deadline));
        let give_up = async {
            match revoked_at {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // A renewal that is due goes before user code's wishes: throttled or not, the lease must not run out.
        tokio::select! { biased;
            () = tokio::time::sleep_until(renew_at) => Next::Renew,
            () = give_up => Next::GiveUp,
            () = self.shutdown.begun(), if self.shutdown.deadline().is_none() => Next::Revoke,
            command = self.commands.recv() => command.map_or(Next::Abandoned, Next::Serve),
        }
    }

    /// The earlier of the worker's shutdown deadline and the hand-off's.
    fn revoked_at(&self) -> Option<Tick> {
        let handoff = self.state.handoff().map(|handoff| handoff.deadline);
        let shutdown = self.shutdown.deadline();
        match (handoff, shutdown) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn publish(&self) {
        let lease_state = self.revoked_at().map_or(LeaseState::Held, |deadline| LeaseState::Revoking { deadline });
        self.lease_state.send_if_modified(|now| {
            let changed = *now != lease_state;
            *now = lease_state;
            changed
        });
    }

    async fn serve_checkpoint(
        &mut self,
        checkpoint: Checkpoint,
        reply: oneshot::Sender<Result<(), CheckpointError>>,
    ) -> Result<(), LostReason> {
        if checkpoint <= *self.state.checkpoint() {
            // Nothing new (C6: checkpoints never go back).
            let answer = if checkpoint == *self.state.checkpoint() {
                Ok(())
            } else {
                Err(CheckpointError::Refused {
                    lease: self.key().clone(),
                    position: format!("{checkpoint:?}"),
                    reason: format!("the shard is already at {:?}", self.state.checkpoint()),
                })
            };
            let _gone = reply.send(answer);
            return Ok(());
        }
        let written = self.write(&Write::Checkpoint(checkpoint)).await;
        if let Err(reason) = &written {
            self.lease_state.send_replace(LeaseState::Lost(reason.clone()));
        }
        let lost = |reason| CheckpointError::LeaseLost { lease: self.key().clone(), reason };
        let _gone = reply.send(written.clone().map_err(lost));
        written
    }

    /// Repeats a write until it is accepted or the lease is lost.
    async fn write(&mut self, write: &Write) -> Result<(), LostReason> {
        let mut attempt = 0;
        loop {
            let sent = self.context.clock.now();
            if self.state.has_expired(sent) {
                return Err(LostReason::Expired);
            }
            let mut answer = self.attempt(write).await;
            let mut verdict = self.state.judge(write, sent, &answer, self.context.handoff_time);
            if verdict == Verdict::ReadBack {
                answer = self.read_back().await;
                verdict = self.state.judge(write, sent, &answer, self.context.handoff_time);
            }
            match verdict {
                Verdict::Accepted => {
                    self.note_accepted(sent);
                    self.unusable = self.shows_unusable(answer).await;
                    self.throughput.sample(self.context.clock.now(), self.delivered.load(Ordering::Relaxed));
                    return Ok(());
                }
                Verdict::RetryInHandoff => {}
                Verdict::Retry | Verdict::ReadBack => {
                    let pause = pause(&mut self.rng, self.context.duration, attempt);
                    tokio::time::sleep(pause.min(self.left())).await;
                    attempt += 1;
                }
                Verdict::Lost(reason) => return Err(reason),
            }
        }
    }

    async fn attempt(&self, write: &Write) -> Answer {
        let renewal = Renewal {
            next: self.state.next(),
            in_handoff: self.state.handoff().is_some(),
            throughput_kib_per_s: self.throughput.kib_per_s(),
            ..Renewal::by(&self.context.me, &self.lease.key, self.state.counter())
        };
        let call = async {
            match write {
                Write::Renew => self.context.store.renew(renewal).await,
                Write::Checkpoint(checkpoint) => self.context.store.checkpoint(renewal, checkpoint).await,
            }
        };
        self.answer_in_time(call).await
    }

    /// After a refusal without a row: what a consistent read shows. A read that fails says nothing, and wrote nothing.
    async fn read_back(&self) -> Answer {
        match timeout(self.attempt_time(), self.context.store.read(&self.lease.key)).await {
            Ok(Ok(row)) => Answer::ReadBack(row.map(Box::new)),
            Ok(Err(StoreError::Unreadable { .. })) => Answer::Unusable,
            Ok(Err(error)) => {
                error.log_for(self.key(), "reading the lease back");
                Answer::NotWritten
            }
            Err(_) => Answer::NotWritten,
        }
    }

    async fn answer_in_time(&self, call: impl Future<Output = Result<Written, StoreError>> + Send) -> Answer {
        match timeout(self.attempt_time(), call).await {
            Ok(answer) => {
                if let Err(error) = &answer {
                    error.log_for(self.key(), "writing the lease");
                }
                answer.into()
            }
            Err(_) => Answer::Unknown,
        }
    }

    /// Whether the row, as an accepted write left it, is one that this worker would not have taken: somebody has edited it.
    async fn shows_unusable(&self, answer: Answer) -> bool {
        let (Answer::Accepted(Some(row)) | Answer::Refused(Some(row)) | Answer::ReadBack(Some(row))) = answer else {
            // It did not come back, for it cannot be read, or the store never gives it.
            return matches!(self.read_back().await, Answer::Unusable);
        };
        let other_keys = row.range.zip(self.lease.range).is_some_and(|(now, before)| now != before);
        other_keys || odd::oddity(&row).is_some() || self.context.belonging.is_foreign(&row)
    }

    /// By the rule *one row*: a row that cannot be used is neither renewed nor read on. Where it is said is where leases are found.
    const fn is_usable(&self) -> Result<(), LostReason> {
        if self.unusable { Err(LostReason::Unusable) } else { Ok(()) }
    }

    fn note_accepted(&self, sent: Tick) {
        self.expiry.set(self.state.expires_at());
        self.context.moved.note(sent);
        self.finished.store(self.is_finished(), Ordering::Relaxed);
    }

    /// A third of the lease's life: one attempt may hang without costing the lease. And none outlives the lease: a holder
    /// that waited for the answer would go on delivering meanwhile (C7).
    fn attempt_time(&self) -> Duration {
        (self.context.duration / 3).min(self.left())
    }

    /// How long the lease has to live.
    fn left(&self) -> Duration {
        self.state.expires_at().since(self.context.clock.now())
    }

    /// Writes who is next: the one the leader named, or nobody. After this the lease is not ours, whether the write
    /// was accepted, refused (then somebody has it already), or never answered (then it runs out).
    ///
    /// Holds for the counters of this epoch only: an attempt that arrives seconds late must not take the lease from an epoch of this
    /// worker that has begun since. A renewal whose answer was lost may have moved the counter by one.
    async fn give_up(&mut self) -> LostReason {
        let me = Some(self.context.me.clone());
        let (owners, mut to) = match self.state.handoff() {
            Some(handoff) => {
                (Owners { owner: Some(handoff.to.clone()), checkpoint_owner: me }, Some(handoff.to.clone()))
            }
            None => (Owners { owner: me, checkpoint_owner: None }, None),
        };
        let counter = self.state.counter();
        let is_of_this_epoch = |row: &Lease| (counter..=counter.saturating_add(1)).contains(&row.counter);
        let mut seen = Seen { owners, counter: Some(counter) };
        for attempt in 0.. {
            if self.state.has_expired(self.context.clock.now()) {
                return LostReason::Expired;
            }
            let call = async {
                match &to {
                    Some(to) => self.context.store.assign(&self.lease.key, &seen, to).await,
                    None => self.context.store.evict(&self.lease.key, &seen).await,
                }
            };
            let mut answer = self.answer_in_time(call).await;
            if matches!(answer, Answer::Refused(None)) {
                answer = self.read_back().await;
            }
            match answer {
                Answer::NotWritten | Answer::Unknown => {
                    let pause = pause(&mut self.rng, self.context.duration, attempt);
                    tokio::time::sleep(pause.min(self.left())).await;
                }
                // It names us still: a renewal has landed whose answer was lost, or a hand-off began or changed in this very
                // moment, which is completed.
                Answer::Refused(Some(row)) | Answer::ReadBack(Some(row))
                    if row.actual_owner() == Some(&self.context.me) && is_of_this_epoch(&row) && row.seen() != seen =>
                {
                    seen = row.seen();
                    to = row.owner.filter(|_| row.checkpoint_owner.is_some());
                }
                _ => break,
            }
        }
        LostReason::Released
    }

    const fn is_finished(&self) -> bool {
        self.state.checkpoint().is_shard_end()
    }
}

/// By how much an adoption moves the counter. Never by one, as a renewal does, and hardly ever as another adoption.
const STRIDES: std::ops::RangeInclusive<u64> = 2..=1 << 16;

/// Full jitter up to a bound that doubles from 50 ms to a tenth of the lease's life, so that even many failures in a
/// row leave room for several more tries before it ends.
pub(crate) fn pause(rng: &mut fastrand::Rng, duration: Duration, attempt: u32) -> Duration {
    let bound = Duration::from_millis(50).saturating_mul(1 << attempt.min(10)).min(duration / 10);
    bound.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests;
