//! Who owns what: leases, the table that holds them, and the protocol of the KCL 3.x around it.

#[expect(clippy::module_inception, reason = "a file per concern, and this one is the row itself")]
pub(crate) mod lease;
pub(crate) mod store;

mod assign;
pub(crate) mod belonging;
mod cleanup;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dynamodb;
pub(crate) mod leader;
mod memory;
#[cfg(test)]
mod model;
pub(crate) mod odd;
mod parents;
mod sync;

pub(crate) mod find;
pub(crate) mod held;
mod hints;
pub(crate) mod lane;
mod renew;
mod shard_end;
pub(crate) mod shutdown;
mod starting;
mod throughput;
pub(crate) mod watched;

pub(crate) use self::hints::Hints;

pub use self::belonging::OtherStream;
pub use self::dynamodb::{DynamoDbLeaseStore, TableOptions};
pub use self::held::{CheckpointError, Epoch};
pub use self::lease::{Checkpoint, Lease, LeaseKey, Owners, PendingCheckpoint, Seen, WorkerId};
pub use self::memory::MemoryLeaseStore;
pub use self::renew::LostReason;
pub use self::store::{
    Binding, BoxError, Claim, Entry, EpochTime, LeaderLock, LeaseStore, PrepareError, Renewal, Rows, StoreError,
    WorkerReport, WorkerRow, Written,
};
pub use self::sync::Mismatch;
