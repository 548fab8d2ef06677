//! What one PutRecords request carries.

use std::sync::Arc;

use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use super::batch::Batch;
use super::shard_queue::ShardQueue;
use crate::clock::Tick;

/// A request being put together. It may carry batches of several shards.
#[derive(Default)]
pub(crate) struct Request {
    entries: Vec<Entry>,
    bytes: usize,
}

/// A batch on its way, and the queue that predicted where to.
pub(crate) struct Entry {
    queue: Arc<ShardQueue>,
    batch: Batch,
}

impl Entry {
    /// Begins an attempt and returns what the request carries for it.
    pub(crate) fn begin(&mut self, now: Tick) -> PutRecordsRequestEntry {
        let record = self.batch.build().entry();
        self.batch.sent(now);
        record
    }

    /// Tells the queue that the batch has its answer. There is no other way to the batch, so no answer passes the queue by.
    pub(crate) fn answered(self) -> (Arc<ShardQueue>, Batch) {
        self.queue.state().answered();
        (self.queue, self.batch)
    }
}

impl Request {
    /// Whether the batch may join. The first always may: a record larger than the rest of this limit goes in a request of its own.
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
/// Data and partition keys. The service's documented limit is 10 MiB since October 2025 and was 5 MiB before; the KPL and we stay at 5: a
/// larger request saves nothing any more (the cost of a request is spread over a hundred aggregates), and one that is lost or throttled
/// costs twice as much.
const MAX_BYTES: usize = 5 << 20;

#[cfg(test)]
mod tests;
