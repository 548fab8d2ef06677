//! The entry points: a consumer and its handle.

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

/// One worker of an application: takes its part of the stream's shards and hands out their records.
///
/// It runs from [`build`](ConsumerBuilder::build) on. Choose one entry point: [`run`](Self::run) for a closure per batch,
/// [`run_records`](Self::run_records) for a closure per record, [`next_shard`](Self::next_shard) for shards as values. Dropping
/// it without a [shutdown](ConsumerHandle::shutdown) stops the worker at once; other workers take its shards when the leases
/// have expired.
pub struct Consumer {
    worker: WorkerHandle,
    read: ReadContext,
    on_error: OnError,
    checkpoint_every: Duration,
    end_at_unreadable_shard: bool,
    worker_id: WorkerId,
    rng: fastrand::Rng,
}

/// A handle to shut down and inspect a running consumer. Clones refer to the same consumer.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    control: WorkerControl,
    read: ReadContext,
    worker_id: WorkerId,
}

impl Consumer {
    /// Returns a builder for a consumer of this stream, given by name or ARN.
    ///
    /// Workers with the same `application` share the stream's shards, and each continues from the others' checkpoints. The
    /// application is the name of the lease table (the KCL's `applicationName`).
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

    /// Returns a handle. Take it before the consumer is run.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle { control: self.worker.control(), read: self.read.clone(), worker_id: self.worker_id.clone() }
    }

    /// Passes the batches of every shard of this worker to the closure, until [shut down](ConsumerHandle::shutdown).
    ///
    /// Each shard is a task of its own. Within a shard, the next batch comes when the closure has finished the previous one.
    /// Batches for which the closure returned `Ok` are checkpointed every
    /// [`checkpoint_every`](crate::Settings::checkpoint_every), and at shard end, hand-off and shutdown. When the closure
    /// returns an error or panics, [`OnError`] decides. When the shard's lease is lost, the future of the current batch is
    /// dropped.
    ///
    /// A closure that blocks its thread (a driver without async, long computation) costs no lease: leases are renewed on a
    /// thread of their own. But the shards and other tasks on the blocked thread wait. At the deadline of a hand-off, the shard
    /// goes to another worker while the closure still runs. Put blocking code into
    /// [`spawn_blocking`](tokio::task::spawn_blocking). A closure that blocks for a lease duration, or for ten seconds, is
    /// logged.
    ///
    /// Dropping this future stops the worker at once.
    ///
    /// # Errors
    /// - [`RunError::Read`] when a shard cannot be read and
    ///   [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard) is set. Otherwise the other shards go on, and
    ///   [`findings`](ConsumerHandle::findings) lists the shard.
    /// - [`RunError::LeaseTableGone`] when the lease table has not existed for 30 s.
    ///
    /// Errors returned by the closure do not end this call.
    pub async fn run<H, F, E>(self, closure: H) -> Result<(), RunError>
    where
        H: Fn(Batch) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (handler, on_error) = (Arc::new(closure), self.on_error.clone());
        self.run_work(move |shard, rng| Batches::new(Arc::clone(&handler), shard, on_error.clone(), rng)).await
    }

    /// Passes records to the closure one by one, several of each shard at a time.
    ///
    /// Works like [`run`](Self::run), but records may finish in any order. The checkpoint is the last record before the first
    /// unfinished one. After a crash, records that the closure had finished can be delivered again; none is skipped.
    ///
    /// All records of a shard run on one thread at a time; for closures that block see [`run`](Self::run).
    ///
    /// Dropping this future stops the worker at once.
    ///
    /// # Errors
    /// - [`RunError::Read`] when a shard cannot be read and
    ///   [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard) is set. Otherwise the other shards go on, and
    ///   [`findings`](ConsumerHandle::findings) lists the shard.
    /// - [`RunError::Setting`] for a concurrency of more than 10 000.
    /// - [`RunError::LeaseTableGone`] when the lease table has not existed for 30 s.
    ///
    /// Errors returned by the closure do not end this call.
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

    /// Returns the next shard that this worker has taken, as a value that the caller owns.
    ///
    /// Returns `None` when the worker has been shut down and has left the fleet. A worker leaves by itself when the lease table
    /// belongs to [another stream](ConsumerHandle::other_stream), or has not existed for 30 s; the
    /// [findings](ConsumerHandle::findings) say so. Shards come and go while the worker runs: keep calling.
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
            // Finished shards first, so that an error is known before another shard is started.
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
    /// Shuts the consumer down: takes no new shards, has each shard finish, checkpoints and releases it, and leaves the fleet.
    /// Other workers take the shards at once. (`run` and `run_records` finish the records they have begun.)
    ///
    /// Resolves when all that is done: at the latest `within` from now, plus the time of a few writes. Shards that are not
    /// finished by then are abandoned as they are. The first call sets the deadline. Cancel safe: the shutdown goes on.
    ///
    /// Returns how each shard was left; unfinished ones are also logged at WARN. With `Duration::ZERO` no further record is
    /// begun, and with `Duration::MAX` there is no limit.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        self.control.begin_shutdown(within);
        self.control.stopped().await;
        self.control.left.report()
    }

    /// Returns how each shard has been left so far, once a shutdown has begun: the same report as [`shutdown`](Self::shutdown)
    /// returns, for another part of the program.
    #[must_use]
    pub fn shutdown_report(&self) -> ShutdownReport {
        self.control.left.report()
    }

    /// Returns the worker ID, under which this worker owns leases.
    #[must_use]
    pub const fn worker_id(&self) -> &WorkerId {
        &self.worker_id
    }

    /// Returns the stream that the lease table belongs to, if it is not the stream that this worker reads. That happens, for
    /// example, when the stream was deleted and created again under its name. The worker ends then.
    #[must_use]
    pub fn other_stream(&self) -> Option<OtherStream> {
        self.read.belonging.another().map(|other| (*other).clone())
    }

    /// Returns how many bytes of [`max_buffered_bytes`](crate::Settings::max_buffered_bytes) are in use: for records that are
    /// read and not yet processed, and for responses to requests in flight.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.read.budget.held()
    }

    /// Returns what is wrong now, as far as this worker can tell: for the shards that it reads and, while it is the leader, for
    /// the whole application. Each finding is logged when it appears, at the level of its
    /// [severity](crate::FindingKind::severity), and again every ten minutes while it stays.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.read.findings.list()
    }

    /// Returns how much this worker has read since it started.
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

/// Returns the error that a shard's task ended with, if the caller must act on it.
fn error_of(ended: Result<Result<(), ReadError>, tokio::task::JoinError>) -> Option<ReadError> {
    match ended {
        Ok(result) => result.err(),
        Err(error) => {
            // Panics of user code are caught earlier. The lease was dropped with its task, and expires.
            tracing::error!(%error, "the task of a shard ended early");
            None
        }
    }
}

/// As long as an ordinary hand-off.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
