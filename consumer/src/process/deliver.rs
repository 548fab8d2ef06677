//! The loop of `run` and `run_records`: delivers one shard to user code and writes checkpoints.

use std::ops::Range;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::attempt::{BoxError, Outcome};
use super::left::{Left, Unfinished};
use super::shard_task::{End, Event, Shard};
use crate::checkpoint::commit::Commit;
use crate::checkpoint::tracker::{Delivery, Tracker};
use crate::clock::Tick;
use crate::fetch::{Batch, ReadError};
use crate::lease::holder::held::{Expiry, LeaseState};
use crate::lease::{CheckpointError, LostReason};
use crate::record::Position;

/// User code that processes the records of one shard.
pub(crate) trait Work: Send {
    /// Accepts a batch whose records have these numbers.
    fn accept(&mut self, numbers: Range<u64>, batch: Batch);

    /// Returns `true` if another batch can be accepted now.
    fn has_room(&self) -> bool;

    /// Returns `true` if all accepted records are done or abandoned.
    fn is_idle(&self) -> bool;

    /// Works until some records are done or abandoned; never resolves when idle. Cancel safe: the work goes on with the next
    /// call.
    fn progress(&mut self) -> impl Future<Output = Progress> + Send;

    /// Returns further progress that is available without waiting.
    fn ready(&mut self) -> Option<Progress>;

    /// Finishes the records that are begun and abandons the rest, and every record that fails from now on.
    fn wind_up(&mut self);
}

/// How the processing of some records ended.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) numbers: Range<u64>,
    pub(crate) outcome: Outcome,
}

impl Delivery for Batch {
    fn len(&self) -> u64 {
        self.records().len() as u64
    }

    fn position(&self, index: u64) -> Position {
        let index = usize::try_from(index).expect("an index into a batch that is in memory");
        self.records()[index].position()
    }
}

/// Delivers a shard until it ends, is released, or is lost. Returns an error if the shard cannot be read.
pub(crate) async fn deliver<W: Work>(
    shard: Shard,
    work: W,
    checkpoint_every: Duration,
    left: Left,
) -> Result<(), ReadError> {
    let commit = Commit::starting(checkpoint_every, shard.clock().now());
    let (lease_state, expiry) = (shard.lease_state(), shard.expiry());
    let task = Task {
        shard,
        work,
        tracker: Tracker::default(),
        commit,
        lease_state,
        seen: LeaseState::Held,
        phase: Phase::Reading,
        expiry,
        give_up_at: None,
        writing: None,
        left,
    };
    task.run().await
}

struct Task<W> {
    shard: Shard,
    work: W,
    tracker: Tracker<Batch>,
    commit: Commit,
    lease_state: watch::Receiver<LeaseState>,
    seen: LeaseState,
    phase: Phase,
    expiry: Expiry,
    /// When unfinished records are left to the next owner.
    give_up_at: Option<Instant>,
    /// A checkpoint being written while the work goes on.
    writing: Option<BoxFuture<'static, Result<(), CheckpointError>>>,
    /// Where unfinished records are reported.
    left: Left,
}

/// The phases of the loop, in their order.
#[derive(Debug)]
enum Phase {
    /// Batches are accepted.
    Reading,
    /// No more batches are accepted; the accepted ones are being finished.
    Draining(Reason),
}

/// Why no more batches come.
#[derive(Debug)]
enum Reason {
    Ended(Box<End>),
    Revoked,
    Stopped(BoxError),
    Failed(ReadError),
}

/// The events that the task waits for.
enum Next {
    LeaseState(LeaseState),
    GiveUp,
    Written(Result<(), CheckpointError>),
    CommitDue,
    Progress(Progress),
    Event(Option<Event>),
}

impl<W: Work> Task<W> {
    async fn run(mut self) -> Result<(), ReadError> {
        loop {
            if matches!(self.phase, Phase::Draining(_)) && self.work.is_idle() && self.writing.is_none() {
                return self.finish().await;
            }
            match self.next().await {
                // Running work is dropped here: the new owner may have begun already (C7).
                Next::LeaseState(LeaseState::Lost(_)) => return Ok(()),
                Next::LeaseState(LeaseState::Revoking { deadline }) => self.revoke(deadline),
                Next::LeaseState(LeaseState::Held) => self.seen = LeaseState::Held,
                Next::GiveUp => return self.finish().await,
                Next::Written(written) => {
                    self.writing = None;
                    if is_lost(&self.shard, &written) {
                        return Ok(());
                    }
                }
                Next::CommitDue => {
                    let position = self.commit.take(self.now());
                    self.writing = position.map(|position| Box::pin(self.shard.commit(position)) as _);
                }
                Next::Progress(progress) => {
                    self.progressed(progress);
                    // Many small records often finish at once, and polling all timers costs more than they do.
                    while let Some(progress) = self.work.ready() {
                        self.progressed(progress);
                    }
                }
                Next::Event(Some(event)) => self.event(event),
                // The lease is lost, or its reader ended: the shard is dropped, and the lease with it.
                Next::Event(None) => return Ok(()),
            }
        }
    }

    async fn next(&mut self) -> Next {
        let reading = matches!(self.phase, Phase::Reading) && self.work.has_room();
        let due = self.commit.due().filter(|_| self.writing.is_none()).map(|due| self.shard.clock().instant(due));
        let (give_up_at, seen) = (self.give_up_at, &self.seen);
        // Deadlines first, then running work, then new work. The race:
        // 1. The process is frozen while it processes a record, and the lease expires.
        // 2. It resumes because the record finished, before its renewer has noticed the expiry.
        // 3. With work polled first, the next record would begin without a lease.
        tokio::select! { biased;
            lease_state = self.lease_state.wait_for(|lease_state| lease_state != seen) => match lease_state {
                Ok(lease_state) => Next::LeaseState(lease_state.clone()),
                Err(_) => Next::LeaseState(LeaseState::Lost(LostReason::Dropped)),
            },
            () = self.expiry.look() => Next::LeaseState(LeaseState::Lost(LostReason::Expired)),
            () = sleep_or_never(give_up_at) => Next::GiveUp,
            written = written(&mut self.writing) => Next::Written(written),
            () = sleep_or_never(due) => Next::CommitDue,
            progress = self.work.progress() => Next::Progress(progress),
            event = self.shard.next(), if reading => Next::Event(event),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Batch(batch) => {
                let numbers = self.tracker.deliver(batch.clone());
                self.left.set(self.shard.id(), unfinished(&self.tracker));
                self.work.accept(numbers, batch);
            }
            Event::Ended(end) => self.phase = Phase::Draining(Reason::Ended(Box::new(end))),
            Event::Failed(error) => self.drain(Reason::Failed(error)),
            // The lease state says the same, with the time by the lease's clock.
            Event::Revoking { .. } => {}
        }
    }

    fn revoke(&mut self, deadline: Tick) {
        self.seen = LeaseState::Revoking { deadline };
        let left = deadline.since(self.now());
        self.give_up_at = Some(self.shard.clock().instant(deadline - (left / 10).min(LAST_WRITES)));
        // Also at shard end: a record that fails there would otherwise be retried until the deadline, or without limit.
        match self.phase {
            Phase::Reading => self.drain(Reason::Revoked),
            Phase::Draining(_) => self.work.wind_up(),
        }
    }

    fn progressed(&mut self, Progress { numbers, outcome }: Progress) {
        match outcome {
            Outcome::Done => {
                if let Some(position) = self.tracker.done(numbers) {
                    self.commit.done(position);
                }
            }
            Outcome::Stopped(error) => {
                // Also at shard end: the next owner, which processes the rest, has not reached its end.
                if !matches!(self.phase, Phase::Draining(Reason::Stopped(_))) {
                    self.drain(Reason::Stopped(error));
                }
            }
            Outcome::GivenUp => {}
        }
    }

    fn drain(&mut self, reason: Reason) {
        self.phase = Phase::Draining(reason);
        self.work.wind_up();
    }

    /// Writes the last checkpoint, then releases or completes the shard. Drops running work first: the new owner may start as
    /// soon as the release is applied, long before the response arrives (C7).
    async fn finish(self) -> Result<(), ReadError> {
        let Self { mut shard, work, tracker, mut commit, phase, writing, left, .. } = self;
        drop(work);
        left.set(shard.id(), unfinished(&tracker));
        if let Some(writing) = writing
            && is_lost(&shard, &writing.await)
        {
            return Ok(());
        }
        if let Some(position) = commit.take(shard.clock().now()) {
            let written = shard.commit(position).await;
            if is_lost(&shard, &written) {
                return Ok(());
            }
        }
        let done = tracker.is_done();
        let mut unreadable = None;
        let result = match phase {
            Phase::Draining(Reason::Ended(end)) if done => end.complete().await,
            Phase::Draining(Reason::Failed(error)) => {
                unreadable = Some(error);
                shard.release().await
            }
            Phase::Draining(Reason::Stopped(error)) => {
                shard.fail(format_args!("processing failed: {error}"));
                shard.release().await
            }
            Phase::Draining(Reason::Ended(_) | Reason::Revoked) | Phase::Reading => shard.release().await,
        };
        match result {
            // The lease was released at shard end, because the shard had to be handed over.
            Ok(()) | Err(CheckpointError::LeaseLost { reason: LostReason::Released, .. }) => {}
            Err(error) => tracing::warn!(shard = %shard.id(), %error, "the shard was lost before it was let go"),
        }
        unreadable.map_or(Ok(()), Err)
    }

    fn now(&self) -> Tick {
        self.shard.clock().now()
    }
}

fn unfinished(tracker: &Tracker<Batch>) -> Option<Unfinished> {
    tracker.unfinished().map(|(first, records)| Unfinished { first, records })
}

/// Returns `true` if the shard was lost with this checkpoint.
fn is_lost(shard: &Shard, written: &Result<(), CheckpointError>) -> bool {
    match written {
        Ok(()) => false,
        Err(error) => {
            tracing::warn!(shard = %shard.id(), %error, "checkpoint refused");
            matches!(error, CheckpointError::LeaseLost { .. })
        }
    }
}

async fn sleep_or_never(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn written(writing: &mut Option<BoxFuture<'static, Result<(), CheckpointError>>>) -> Result<(), CheckpointError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

/// Time kept for the checkpoint and the release: two writes, and one retry of each.
const LAST_WRITES: Duration = Duration::from_secs(1);
