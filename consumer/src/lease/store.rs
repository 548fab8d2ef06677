//! The port to the lease table: a handful of verbs, each with its condition.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_service_errors::Kind;

use super::lease::{Checkpoint, Lease, LeaseKey, Seen, WorkerId};
use crate::backoff::StartPatience;
use crate::failed_call::FailedCall;
use crate::settings::SettingError;
use crate::shard::ShardId;

/// A lease table: leases, the rows by which workers show that they live, and the leader's lock.
///
/// Every write to a lease is conditional, and its answer says whether the condition held. Within one row writes are
/// linearisable and [`read`](Self::read) sees all of them; [`scan`](Self::scan) and [`owned_by`](Self::owned_by) may
/// lag. Retries are the caller's: an implementation sends each call at most once, so that an answer is always about
/// this attempt.
///
/// A worker makes all its calls from a thread of its own, which runs nothing else, so that no other code of the program delays a renewal.
/// A call that blocks this thread delays all renewals of the worker, and so does one that waits for a task of another runtime.
#[async_trait]
pub trait LeaseStore: fmt::Debug + Send + Sync + 'static {
    /// The same table through connections that nobody else uses, for the thread of a worker: a connection that was opened on another runtime
    /// stands still with it. `None`, the default: this store is used as it is.
    fn apart(&self) -> Option<Arc<dyn LeaseStore>> {
        None
    }

    /// Whether the store's own settings can work. `build` asks this first, before anything is sent.
    ///
    /// # Errors
    /// The setting, its value and its limit.
    fn validate(&self) -> Result<(), SettingError> {
        Ok(())
    }

    /// What the table is called, for errors. `None`, the default: as the application.
    fn table_name(&self) -> Option<&str> {
        None
    }

    /// Where the table is, for errors: region and endpoint, say.
    fn place(&self) -> String {
        "a lease store of the program's own".to_owned()
    }

    /// Makes the table ready for use, creating it if it does not exist, and joins the protocol's version row. Where there is
    /// no such row yet it is written, bound to the stream of `entry` if that is known.
    ///
    /// # Errors
    /// [`PrepareError::Refused`] for a table that is not ours to write to; it is unchanged then.
    async fn prepare(&self, entry: Entry<'_>) -> Result<(), PrepareError>;

    /// Which stream the table belongs to, strongly consistent. Writes nothing, also where there is no table.
    async fn binding(&self) -> Result<Binding, StoreError>;

    /// Binds the table to a stream. Condition: it has its version row, and is bound to `in_place_of`. `Ok(false)`: it
    /// is not.
    async fn bind(&self, claim: Claim<'_>) -> Result<bool, StoreError>;

    /// Deletes a lease of another stream, when an operator has this one take the table over. Condition: the lease does
    /// not say that it belongs to `stream`. A row that is not there counts as deleted.
    async fn delete_foreign(&self, key: &LeaseKey, stream: &str) -> Result<Written, StoreError>;

    /// Everything in the table, eventually consistent. A row that cannot be read is reported, not an error.
    async fn scan(&self) -> Result<Rows, StoreError>;

    /// The leases whose `leaseOwner` is `worker`, through the index: eventually consistent. [`StoreError::NoIndex`] where there is no
    /// such index: a worker then finds its leases by a [`scan`](Self::scan) now and then.
    async fn owned_by(&self, worker: &WorkerId) -> Result<Vec<LeaseKey>, StoreError>;

    /// One lease, strongly consistent.
    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError>;

    /// Writes a lease with all its attributes, as given. Condition: there is no row of that key.
    async fn create(&self, lease: &Lease) -> Result<Written, StoreError>;

    /// Sets the counter to `next`, and the throughput if given. Condition: the counter is `counter`, `holder` is the
    /// [actual owner](Lease::actual_owner), and, unless `in_handoff`, there is no `checkpointOwner`.
    async fn renew(&self, renewal: Renewal<'_>) -> Result<Written, StoreError>;

    /// Sets the counter to `next`, the checkpoint, `ownerSwitchesSinceCheckpoint` to 0, and the throughput if given; removes a
    /// pending checkpoint. Condition: the counter is `counter`, and `holder` is the actual owner.
    async fn checkpoint(&self, renewal: Renewal<'_>, checkpoint: &Checkpoint) -> Result<Written, StoreError>;

    /// Makes `to` the owner, ends a hand-off, adds 1 to the counter; adds 1 to the owner switches if there was an owner
    /// other than `to`, or if `to` was the `checkpointOwner`. Condition: the row exists and its owners, and its counter
    /// if given, are `seen`.
    async fn assign(&self, key: &LeaseKey, seen: &Seen, to: &WorkerId) -> Result<Written, StoreError>;

    /// Starts a hand-off: `to` becomes the owner and `from` the `checkpointOwner`; the counter stays.
    /// Condition: the row exists, its owner is `from`, and there is no `checkpointOwner`.
    async fn start_handoff(&self, key: &LeaseKey, from: &WorkerId, to: &WorkerId) -> Result<Written, StoreError>;

    /// Ends an ownership: removes the `checkpointOwner` if there is one, else the owner; adds 1 to the counter.
    /// Condition: the row exists and its owners, and its counter if given, are `seen`.
    async fn evict(&self, key: &LeaseKey, seen: &Seen) -> Result<Written, StoreError>;

    /// Sets the children; the counter stays. Condition: `holder` is the actual owner.
    async fn set_children(
        &self,
        key: &LeaseKey,
        holder: &WorkerId,
        children: &[ShardId],
    ) -> Result<Written, StoreError>;

    /// Deletes a finished lease. Condition: its checkpoint is `SHARD_END`. A row that is not there counts as deleted.
    async fn delete_finished(&self, key: &LeaseKey) -> Result<Written, StoreError>;

    /// Writes the row by which a worker shows that it lives, without condition.
    async fn report(&self, report: &WorkerReport) -> Result<(), StoreError>;

    /// Deletes the row of a worker that leaves, or of one long gone. Condition, if given: its time is `last_update`.
    async fn withdraw(&self, worker: &WorkerId, last_update: Option<EpochTime>) -> Result<(), StoreError>;

    /// The leader's lock, strongly consistent.
    async fn leader(&self) -> Result<Option<LeaderLock>, StoreError>;

    /// Takes the leader's lock. Condition: there is no lock if `seen` is `None`, else its version is the one seen.
    /// `Ok(false)`: somebody else was faster.
    async fn take_leadership(&self, lock: &LeaderLock, seen: Option<&LeaderLock>) -> Result<bool, StoreError>;

    /// Gives the lock the version and duration of `next`. Condition: `held` is in the table, by version and owner.
    async fn renew_leadership(&self, held: &LeaderLock, next: &LeaderLock) -> Result<bool, StoreError>;

    /// Deletes the lock. Condition: `held` is in the table, by version and owner.
    async fn release_leadership(&self, held: &LeaderLock) -> Result<bool, StoreError>;
}

/// A worker that makes a table ready.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// Its wall clock.
    pub now: EpochTime,
    /// The stream that it reads, as text that names it for ever. `None`: it could not find out.
    pub stream: Option<&'a str>,
    /// The patience of the start that this is part of.
    pub(crate) patience: Option<&'a StartPatience>,
}

impl<'a> Entry<'a> {
    /// Of a worker that does not know which stream it reads.
    #[must_use]
    pub const fn of(worker: &'a WorkerId, now: EpochTime) -> Self {
        Self { worker, now, stream: None, patience: None }
    }
}

/// Which stream a table belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// To none yet: there is no table, or no version row in it.
    New,
    /// It does not say: its version row was made by a library that keeps no such note.
    Unbound,
    /// To the stream of this text.
    To(String),
}

/// A table is to belong to a stream from now on.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The stream, as text that names it for ever.
    pub stream: &'a str,
    /// What the table must be bound to now. `None`: to nothing.
    pub in_place_of: Option<&'a str>,
}

/// A write by the holder of a lease, fenced by the counter and the holder's name.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// The lease.
    pub key: &'a LeaseKey,
    /// The writer, whom the row must name as its [actual owner](Lease::actual_owner).
    pub holder: &'a WorkerId,
    /// The counter that the writer last saw.
    pub counter: u64,
    /// The counter that the write leaves: one more, or some more where it begins an epoch.
    pub next: u64,
    /// Whether the writer knows that a hand-off is under way and goes on renewing until it has drained.
    pub in_handoff: bool,
    /// The delivery rate to publish, in KiB per second.
    pub throughput_kib_per_s: Option<f64>,
}

impl<'a> Renewal<'a> {
    /// By a holder who knows of no hand-off, without a throughput; the counter becomes one more.
    #[must_use]
    pub const fn by(holder: &'a WorkerId, key: &'a LeaseKey, counter: u64) -> Self {
        Self { key, holder, counter, next: counter + 1, in_handoff: false, throughput_kib_per_s: None }
    }
}

/// The answer to a conditional write.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The condition held; this is the row as it is now (`None` for a deletion).
    Accepted(Option<Box<Lease>>),
    /// The condition did not hold and nothing was written. The row as it is, where the store gave it.
    Refused(Option<Box<Lease>>),
}

/// Seconds since 1970 by the worker's wall clock. Workers never compare theirs with each other's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochTime(pub u64);

/// The content of a lease table.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rows {
    /// The leases, in order of their keys.
    pub leases: Vec<Lease>,
    /// The rows of workers, in order of their ids.
    pub workers: Vec<WorkerRow>,
    /// Rows that could not be read: their key and what is wrong with them. They are left alone.
    pub unreadable: Vec<(String, String)>,
}

/// What a worker writes to its row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerReport {
    /// The worker.
    pub worker: WorkerId,
    /// The time by its wall clock.
    pub now: EpochTime,
    /// Something of the worker, its row or the counter of a lease that it holds, moves at least once in this time.
    pub heartbeat_interval: Duration,
    /// How long the worker takes at most to hand a lease over. `None`: it does not say.
    pub handoff_time: Option<Duration>,
}

impl WorkerReport {
    /// A report with what every worker has to say.
    #[must_use]
    pub const fn new(worker: WorkerId, now: EpochTime, heartbeat_interval: Duration) -> Self {
        Self { worker, now, heartbeat_interval, handoff_time: None }
    }
}

/// The row by which a worker shows that it lives, as others read it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkerRow {
    /// The worker.
    pub worker: WorkerId,
    /// When it last wrote the row, by its own wall clock. `None`: the row has no such attribute and does not count.
    pub last_update: Option<EpochTime>,
    /// The heartbeat interval that the worker announced ([`WorkerReport::heartbeat_interval`]). `None`: it announced none, as the KCL.
    pub heartbeat_interval: Option<Duration>,
    /// The hand-off time that the worker announced ([`WorkerReport::handoff_time`]). `None`: it announced none, as the KCL.
    pub handoff_time: Option<Duration>,
    /// Whether it can take leases: its last measurement did not fail and its row is well formed.
    pub fit: bool,
}

impl WorkerRow {
    /// A row of a worker that can take leases.
    #[must_use]
    pub const fn new(worker: WorkerId, last_update: EpochTime) -> Self {
        Self { worker, last_update: Some(last_update), heartbeat_interval: None, handoff_time: None, fit: true }
    }
}

/// The leader's lock, in the format of Amazon's DynamoDB lock client. Nothing in it is a time of day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaderLock {
    /// Who leads.
    pub owner: WorkerId,
    /// How long the lock holds after its version was last seen to change.
    pub duration: Duration,
    /// New at every write.
    pub version: String,
    /// Released without being deleted: free to take.
    pub released: bool,
}

/// A call to the lease table that gave no answer about its condition.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The table's capacity or rate limit was exceeded. Nothing was written.
    #[error("the lease table is throttled")]
    Throttled(#[source] BoxError),
    /// The request was refused, or never left. Nothing was written.
    #[error("the lease table refused {operation}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// What the table said.
        #[source]
        source: BoxError,
    },
    /// Refused for want of permission, credentials, a key or the right time, or with a code that nobody knows: the same call can succeed
    /// when somebody acts. Nothing was written.
    #[error("the lease table does not allow {operation}")]
    Denied {
        /// The operation.
        operation: &'static str,
        /// What the table said.
        #[source]
        source: BoxError,
    },
    /// The table does not exist (any more). Nothing was written.
    #[error("the lease table does not exist")]
    NoTable(#[source] BoxError),
    /// The table has no index of leases by their owners (any more), or the index cannot be read yet.
    #[error("the lease table has no index of leases by their owners")]
    NoIndex(#[source] BoxError),
    /// The row cannot be read as what it should be. Nothing was written.
    #[error("a row of the lease table cannot be read: {problem}")]
    Unreadable {
        /// The attribute, and what is wrong with it.
        problem: String,
    },
    /// No answer came, or one that does not tell: the write may have happened.
    #[error("{operation} on the lease table ended without an answer")]
    Unknown {
        /// The operation.
        operation: &'static str,
        /// What happened.
        #[source]
        source: BoxError,
    },
}

impl StoreError {
    /// Whether the write may have happened.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether a start goes on trying.
    pub(crate) const fn may_pass(&self) -> bool {
        self.is_retryable() || matches!(self, Self::Denied { .. })
    }

    /// The service's code, where it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.answered().map(|answered| answered.code.as_str())
    }

    /// What the service's answer means, where it gave one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.answered().map(|answered| answered.kind)
    }

    fn answered(&self) -> Option<&Answered> {
        match self {
            Self::Throttled(source) | Self::NoTable(source) | Self::NoIndex(source) => source.downcast_ref(),
            Self::Refused { source, .. } | Self::Denied { source, .. } | Self::Unknown { source, .. } => {
                source.downcast_ref()
            }
            Self::Unreadable { .. } => None,
        }
    }

    /// Whether the action is not allowed, so that it passes when somebody acts. A worker that runs has it among its findings.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. }) && self.kind() != Some(Kind::Clock)
    }

    /// Logs that a worker that runs could not do something and goes on. What is denied is among its findings already.
    pub(crate) fn log(&self, what: &'static str) {
        let error = self as &dyn std::error::Error;
        match self.is_denied() {
            true => tracing::debug!(error, "{what} failed"),
            false => tracing::warn!(error, "{what} failed"),
        }
    }

    /// The same about one lease. A row that cannot be read is among the findings too, of the leader and of the worker that it names.
    pub(crate) fn log_for(&self, lease: &LeaseKey, what: &'static str) {
        let error = self as &dyn std::error::Error;
        match self.is_denied() || matches!(self, Self::Unreadable { .. }) {
            true => tracing::debug!(%lease, error, "{what} failed"),
            false => tracing::warn!(%lease, error, "{what} failed"),
        }
    }

    /// The call, where the error says which.
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Refused { operation, .. } | Self::Denied { operation, .. } | Self::Unknown { operation, .. } => {
                operation
            }
            Self::Unreadable { .. } => "read",
            Self::Throttled(_) | Self::NoTable(_) => "a call",
            Self::NoIndex(_) => "owned_by",
        }
    }

    /// Whether the same call can succeed later without anybody changing settings or permissions.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unknown { .. })
    }
}

/// What a service answered, with the code that it gave.
#[derive(Debug, thiserror::Error)]
#[error("{code}")]
pub(crate) struct Answered {
    pub(crate) code: String,
    pub(crate) kind: Kind,
    #[source]
    pub(crate) source: BoxError,
}

/// A table could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The table is not ours to write to, and was left as it is.
    #[error("the lease table {table} cannot be used: {reason}")]
    Refused {
        /// The table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The table did not become active in time.
    #[error("the lease table {table} is still {status} after {waited:?}")]
    NotActive {
        /// The table.
        table: String,
        /// Its status, or its index's.
        status: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A call failed for half a minute.
    #[error("{call}")]
    Unavailable {
        /// Which call, and how often it was tried.
        call: Box<FailedCall>,
        /// The last failure.
        #[source]
        source: StoreError,
    },
    /// A call failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The source of an error of any kind of store.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
