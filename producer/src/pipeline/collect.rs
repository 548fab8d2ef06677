//! The entries of one PutRecords request.

use std::sync::Arc;

use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::batch::Batch;
use super::shard_queue::ShardQueue;
use crate::clock::Tick;

/// A request that is being filled. It may carry batches of several shards.
#[derive(Default)]
pub(crate) struct Request {
    entries: Vec<Entry>,
    bytes: usize,
}

/// A batch in flight, and the queue of the shard on which it is expected.
pub(crate) struct Entry {
    queue: Arc<ShardQueue>,
    batch: Batch,
}

impl Entry {
    /// Begins an attempt. Returns the entry of the request.
    pub(crate) fn begin(&mut self, now: Tick) -> PutRecordsRequestEntry {
        let record = self.batch.build().entry();
        self.batch.sent(now);
        record
    }

    /// Tells the queue that the batch has its answer, and returns both. The batch cannot be reached in another way, so
    /// the queue is told of every answer.
    pub(crate) fn answered(self) -> (Arc<ShardQueue>, Batch) {
        self.queue.state().answered();
        (self.queue, self.batch)
    }
}

impl Request {
    /// Returns `true` if the batch may join. The first batch always may: a record above the size limit is sent in a
    /// request of its own.
    pub(crate) fn has_room(&self, batch: &Batch) -> bool {
        let Some(first) = self.entries.first() else { return true };
        !first.batch.alone
            && !batch.alone
            && self.entries.len() < MAX_ENTRIES
            && self.bytes + batch.wire_len() <= MAX_BYTES
    }

    pub(crate) fn push(&mut self, queue: &Arc<ShardQueue>, batch: Batch) {
        self.bytes += batch.wire_len();
        self.entries.push(Entry { queue: Arc::clone(queue), batch });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// The service's limit.
const MAX_ENTRIES: usize = 500;
/// Data and partition keys. The documented limit has been 10 MiB since October 2025, and was 5 MiB before. This
/// producer and the KPL stay at 5 MiB. A larger request saves nothing, because a hundred aggregates already share its
/// cost. A larger request that is lost or throttled costs twice as much.
const MAX_BYTES: usize = 5 << 20;

#[cfg(test)]
mod tests;
