//! The front door.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::builder::ConsumerBuilder;
use crate::error::RunError;
use crate::fetch::read::ReadContext;
use crate::fetch::{Batch, ReadCounts, ReadError};
use crate::lease::{OtherStream, WorkerId};
use crate::process::batches::Batches;
use crate::process::blocked::Watched;
use crate::process::deliver::{Work, deliver};
use crate::process::parallel::Parallel;
use crate::process::{Concurrency, OnError, Shard, ShutdownReport};
use crate::record::Record;
use crate::settings::Settings;
use crate::shard::ShardId;
use crate::watch::Finding;
use crate::worker::{WorkerControl, WorkerHandle};

/// One worker of an application: it takes its part of the stream's shards and hands out their records.
///
/// It is running from [`build`](ConsumerBuilder::build) on. Choose one entry point: [`run`](Self::run) for a closure per batch,
/// [`run_records`](Self::run_records) for a closure per record, [`next_shard`](Self::next_shard) for shards as values.
/// Dropped without a [shutdown](ConsumerHandle::shutdown) it stops at once; its shards go to others when their leases
/// have run out.
pub struct Consumer {
    worker: WorkerHandle,
    read: ReadContext,
    on_error: OnError,
    checkpoint_every: Duration,
    end_at_unreadable_shard: bool,
    worker_id: WorkerId,
    rng: fastrand::Rng,
}

/// What is there beside a running consumer: shutting it down, and looking at it. Clones stand for the same consumer.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    control: WorkerControl,
    read: ReadContext,
    worker_id: WorkerId,
}

impl Consumer {
    /// A consumer of a stream, by name or ARN.
    ///
    /// Workers with the same `application` share the stream's shards among them and go on where one of them stopped. It
    /// is the name of the lease table; the KCL's `applicationName`.
    pub fn builder(application: impl Into<String>, stream: impl Into<String>) -> ConsumerBuilder {
        ConsumerBuilder::new(application.into(), stream.into())
    }

    pub(crate) const fn new(
        worker: WorkerHandle,
        read: ReadContext,
        on_error: OnError,
        settings: &Settings,
        worker_id: WorkerId,
        rng: fastrand::Rng,
    ) -> Self {
        let Settings { checkpoint_every, end_at_unreadable_shard, .. } = *settings;
        Self { worker, read, on_error, checkpoint_every, end_at_unreadable_shard, worker_id, rng }
    }

    /// A handle, to be got before the consumer is run.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle { control: self.worker.control(), read: self.read.clone(), worker_id: self.worker_id.clone() }
    }

    /// Hands batch after batch of every shard of this worker to the closure, until [shut down](ConsumerHandle::shutdown).
    ///
    /// Shards are separate tasks. In one shard, a batch comes when the closure is done with the one before. What it has
    /// returned `Ok` for is checkpointed every [`checkpoint_every`](crate::Settings::checkpoint_every), and at the end of
    /// the shard, when it goes to another worker, and at shutdown. What it returns an error for, or panics at, is seen to
    /// as [`OnError`] says. When the shard is lost, the future of the batch at hand is dropped.
    ///
    /// A closure that blocks its thread (a driver without async, long computation) costs no lease: leases are kept on a thread of their own.
    /// But the shards and other tasks that its thread serves wait, and at the deadline of a hand-off its shard goes to another worker while it
    /// still runs. Blocking code belongs into [`spawn_blocking`](tokio::task::spawn_blocking); a closure that blocks for a lease duration,
    /// or for ten seconds, is said in the log.
    ///
    /// Dropping this future stops the worker at once.
    ///
    /// # Errors
    /// [`RunError::Read`] when a shard cannot be read and [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard)
    /// is set; otherwise the other shards go on, and [`findings`](ConsumerHandle::findings) tells of it. Errors returned by the
    /// closure do not end this call. [`RunError::LeaseTableGone`] when the lease table has not existed for 30 s.
    pub async fn run<H, F, E>(self, closure: H) -> Result<(), RunError>
    where
        H: Fn(Batch) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (handler, on_error) = (Arc::new(closure), self.on_error.clone());
        self.run_work(move |shard, rng| Batches::new(Arc::clone(&handler), shard, on_error.clone(), rng)).await
    }

    /// Hands record after record to the closure, several of each shard at a time.
    ///
    /// As [`run`](Self::run), with records done in any order: the checkpoint follows the last record before the first
    /// one that is not done. So after a crash, records can be delivered again although the closure was done with them,
    /// and none is left out.
    ///
    /// All records of a shard share one thread at a time; for closures that block see [`run`](Self::run).
    ///
    /// Dropping this future stops the worker at once.
    ///
    /// # Errors
    /// [`RunError::Read`] when a shard cannot be read and [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard)
    /// is set; otherwise the other shards go on, and [`findings`](ConsumerHandle::findings) tells of it. Errors returned by the
    /// closure do not end this call. [`RunError::Setting`] for a concurrency of more than 10 000. [`RunError::LeaseTableGone`] when the lease table
    /// has not existed for 30 s.
    pub async fn run_records<H, F, E>(self, concurrency: Concurrency, closure: H) -> Result<(), RunError>
    where
        H: Fn(Record) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        concurrency.validate()?;
        let (handler, on_error) = (Arc::new(closure), self.on_error.clone());
        self.run_work(move |shard, rng| Parallel::new(Arc::clone(&handler), concurrency, shard, on_error.clone(), rng))
            .await
    }

    /// The next shard that this worker has taken, as a value of your own. `None` when the worker was shut down and has
    /// left the fleet, which it also does by itself when the lease table turns out to be
    /// [another stream's](ConsumerHandle::other_stream), or has not existed for 30 s, which the
    /// [findings](ConsumerHandle::findings) say. Shards come and go for as long as it runs: keep asking.
    ///
    /// Cancel safe.
    pub async fn next_shard(&mut self) -> Option<Shard> {
        let belonging = Arc::clone(&self.read.belonging);
        let held = tokio::select! { biased;
            held = self.worker.next_lease() => held,
            _other = belonging.found_to_be_anothers(), if !self.worker.control().is_shutting_down() => {
                self.worker.control().begin_shutdown(AFTER_FAILURE);
                self.worker.next_lease().await
            }
        };
        match held {
            Some(held) => Some(Shard::new(held, self.read.clone(), self.rng.fork())),
            None => {
                self.worker.control().stopped().await;
                None
            }
        }
    }

    async fn run_work<W: Work + 'static>(
        mut self,
        work: impl Fn(ShardId, fastrand::Rng) -> W + Send,
    ) -> Result<(), RunError> {
        let control = self.worker.control();
        let mut shards: JoinSet<Result<(), ReadError>> = JoinSet::new();
        let watched = Watched::default();
        let _watch = control.watch_blocked(&watched);
        let (mut failed, end_at_error) = (None, self.end_at_unreadable_shard);
        self.worker.want_all();
        loop {
            // Shards that are finished first, so that what went wrong is known before more is begun.
            let shard = tokio::select! { biased;
                Some(ended) = shards.join_next() => {
                    if let Some(error) = error_of(ended).filter(|_| end_at_error) {
                        tracing::error!(%error, "a shard cannot be read; shutting down, as `end_at_unreadable_shard` says");
                        failed.get_or_insert(error);
                        control.begin_shutdown(AFTER_FAILURE);
                    }
                    continue;
                }
                shard = self.next_shard() => shard,
            };
            let Some(shard) = shard else { break };
            let work = work(shard.id().clone(), self.rng.fork());
            let id = shard.id().clone();
            shards.spawn(watched.task(id, deliver(shard, work, self.checkpoint_every, control.left.clone())));
        }
        while let Some(ended) = shards.join_next().await {
            failed = failed.or_else(|| error_of(ended).filter(|_| end_at_error));
        }
        if let Some(other) = self.read.belonging.another() {
            return Err(RunError::OtherStream((*other).clone()));
        }
        match failed {
            Some(error) => Err(error.into()),
            None if control.has_lost_table() => Err(RunError::LeaseTableGone),
            None if control.is_shutting_down() => Ok(()),
            None => Err(RunError::Stopped),
        }
    }
}

impl ConsumerHandle {
    /// Shuts the consumer down: no new shards are taken, each shard is told to finish (`run` and `run_records` finish what is
    /// begun), checkpoints and is released, and the worker leaves the fleet, so that others go on at once.
    ///
    /// Resolves when all that is done, `within` and a few writes from now; shards that are not finished by then are given
    /// up as they are. The first call sets the time. Cancel safe: the shutdown goes on.
    ///
    /// Returns how each shard was left. What is not finished by then is said in the log too, at WARN. Without time (`Duration::ZERO`) nothing
    /// more is begun, and with `Duration::MAX` there is no limit.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        self.control.begin_shutdown(within);
        self.control.stopped().await;
        self.control.left.report()
    }

    /// How each shard was left so far, once the worker has been told to leave: what [`shutdown`](Self::shutdown) returned, for who runs the
    /// consumer when that is another part of the program.
    #[must_use]
    pub fn shutdown_report(&self) -> ShutdownReport {
        self.control.left.report()
    }

    /// The name under which this worker owns leases.
    #[must_use]
    pub const fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// The stream that the lease table belongs to, if that turned out to be another than this worker reads: the stream was deleted
    /// and made again under its name, say. The worker ends then.
    #[must_use]
    pub fn other_stream(&self) -> Option<OtherStream> {
        self.read.belonging.another().map(|other| (*other).clone())
    }

    /// The bytes of [`max_buffered_bytes`](crate::Settings::max_buffered_bytes) that are taken now: by records that are read and
    /// not yet processed, and for answers that are asked for.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.read.budget.held()
    }

    /// What is wrong now, as far as this worker can tell: of the shards that it reads, and, while it leads, of the whole
    /// application. Each finding is logged once when it appears, at the level of its
    /// [severity](crate::FindingKind::severity), and again every ten minutes while it stays.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.read.findings.list()
    }

    /// What this worker has read since it started.
    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        self.read.counters.read()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// What a shard's task ended with, if that is for others to see to.
fn error_of(ended: Result<Result<(), ReadError>, tokio::task::JoinError>) -> Option<ReadError> {
    match ended {
        Ok(result) => result.err(),
        Err(error) => {
            // User code's panics are caught before. The shard's lease went with its task, and runs out.
            tracing::error!(%error, "the task of a shard ended early");
            None
        }
    }
}

/// As long as an ordinary hand-over.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
