//! The port to the lease table: a handful of verbs, each with its condition.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backoff::StartPatience;
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Seen, WorkerId};
use crate::settings::SettingError;
use crate::shard::ShardId;

pub(crate) use self::error::Answered;
pub use self::error::{BoxError, PrepareError, StoreError};

mod error;

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
    async fn withdraw(&self, worker: &WorkerId, last_update: Option<UnixSeconds>) -> Result<(), StoreError>;

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
    pub now: UnixSeconds,
    /// The stream that it reads, as text that names it for ever. `None`: it could not find out.
    pub stream: Option<&'a str>,
    /// The patience of the start that this is part of.
    pub(crate) patience: Option<&'a StartPatience>,
}

impl<'a> Entry<'a> {
    /// Of a worker that does not know which stream it reads.
    #[must_use]
    pub const fn of(worker: &'a WorkerId, now: UnixSeconds) -> Self {
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
pub struct UnixSeconds(pub u64);

/// The content of a lease table.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rows {
    /// The leases, in order of their keys.
    pub leases: Vec<Lease>,
    /// The rows of workers, in order of their IDs.
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
    pub now: UnixSeconds,
    /// Something of the worker, its row or the counter of a lease that it holds, moves at least once in this time.
    pub heartbeat_interval: Duration,
    /// How long the worker takes at most to hand a lease over. `None`: it does not say.
    pub handoff_time: Option<Duration>,
}

impl WorkerReport {
    /// A report with what every worker has to say.
    #[must_use]
    pub const fn new(worker: WorkerId, now: UnixSeconds, heartbeat_interval: Duration) -> Self {
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
    pub last_update: Option<UnixSeconds>,
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
    pub const fn new(worker: WorkerId, last_update: UnixSeconds) -> Self {
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
