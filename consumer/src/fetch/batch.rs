//! The batch that user code receives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::budget::Permit;
use crate::lease::Epoch;
use crate::record::{Position, Record};
use crate::shard::ShardId;

/// Consecutive user records of one shard: never empty, in order, and later than those of the previous batch.
///
/// Clones share the records. The bytes count against the worker's budget (`max_buffered_bytes`) until the last clone is
/// dropped, and a shard with three undropped batches reads no further. Drop a batch when it is done, and keep single records
/// instead.
#[derive(Clone)]
pub struct Batch(Arc<Inner>);

struct Inner {
    shard: ShardId,
    epoch: Epoch,
    records: Vec<Record>,
    last: Position,
    behind_latest: Duration,
    bytes: u64,
    /// Held until the batch is dropped.
    _permit: Permit,
}

impl Batch {
    /// Returns a batch of these records, or `None` if there are none.
    pub(crate) fn new(
        shard: ShardId,
        epoch: Epoch,
        records: Vec<Record>,
        behind_latest: Duration,
        permit: Permit,
    ) -> Option<Self> {
        let last = records.last()?.position();
        let bytes = records.iter().map(|record| record.data().len() as u64).sum();
        Some(Self(Arc::new(Inner { shard, epoch, records, last, behind_latest, bytes, _permit: permit })))
    }

    /// Returns the shard that the records come from.
    #[must_use]
    pub fn shard(&self) -> &ShardId {
        &self.0.shard
    }

    /// Returns the epoch of the ownership under which the shard is read: a fencing token for writes caused by these records.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Returns the records, at least one.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.0.records
    }

    /// Returns the position of the first record.
    pub(crate) fn first(&self) -> &Position {
        self.records().first().expect("a batch is never empty").at()
    }

    /// Returns the position of the last record: the checkpoint when the whole batch is done.
    #[must_use]
    pub fn last(&self) -> &Position {
        &self.0.last
    }

    /// Returns how far the end of this batch was behind the newest record of the shard when it was read, in time: the service's
    /// `MillisBehindLatest`.
    #[must_use]
    pub fn behind_latest(&self) -> Duration {
        self.0.behind_latest
    }

    /// Returns how many bytes of data the records hold.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Record;
    type IntoIter = std::slice::Iter<'a, Record>;

    fn into_iter(self) -> Self::IntoIter {
        self.records().iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("shard", self.shard())
            .field("epoch", &self.epoch().0)
            .field("records", &self.records().len())
            .field("last", self.last())
            .finish_non_exhaustive()
    }
}
