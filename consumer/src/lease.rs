//! Leases, the table that holds them, and the protocol of the KCL 3.x around it.
//!
//! `table` defines the rows, and reads and writes them. `holder` is the part of a worker that owns leases. `leader` is
//! the one worker that assigns owners. Each imports only from those before it.

pub(crate) mod table;

pub(crate) mod holder;

pub(crate) mod leader;

#[cfg(test)]
mod model;

pub(crate) use self::holder::hints::Hints;

pub use self::holder::held::{CheckpointError, Epoch};
pub use self::holder::renew::LostReason;
pub use self::table::belonging::OtherStream;
#[cfg(any(test, feature = "conformance"))]
pub use self::table::conformance;
pub use self::table::dynamodb::{DynamoDbLeaseStore, TableOptions};
pub use self::table::lease::{Checkpoint, Lease, LeaseKey, Owners, PendingCheckpoint, Seen, WorkerId};
pub use self::table::memory::MemoryLeaseStore;
pub use self::table::mismatch::Mismatch;
pub use self::table::store::{
    Binding, BoxError, Claim, Entry, LeaderLock, LeaseStore, PrepareError, Renewal, Rows, StoreError, UnixSeconds,
    WorkerReport, WorkerRow, Written,
};
