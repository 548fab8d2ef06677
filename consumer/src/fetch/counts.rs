//! Counters of what a worker has read.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a worker has read since it started, over all its shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReadCounts {
    /// Kinesis records in the service's responses, including those read again.
    pub kinesis_records: u64,
    /// User records that user code has received, or that wait for it.
    pub records: u64,
    /// The bytes of data in those user records.
    pub bytes: u64,
    /// User records that were dropped because the shard does not own the hash keys of their whole aggregate. The producer sees
    /// where such an aggregate landed and sends it again.
    pub misrouted_records: u64,
    /// Kinesis records that look like an aggregate but are not valid; they are delivered as they are.
    pub damaged_aggregates: u64,
    /// User records with an invalid explicit hash key. They are delivered, since their shard cannot be determined.
    pub unknown_hash_keys: u64,
}

/// The counters behind [`ReadCounts`].
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; 6]);

impl Counters {
    pub(crate) fn add(&self, counts: &ReadCounts) {
        let ReadCounts { kinesis_records, records, bytes, misrouted_records, damaged_aggregates, unknown_hash_keys } =
            *counts;
        let added = [kinesis_records, records, bytes, misrouted_records, damaged_aggregates, unknown_hash_keys];
        for (counter, added) in self.0.iter().zip(added) {
            counter.fetch_add(added, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> ReadCounts {
        let [kinesis_records, records, bytes, misrouted_records, damaged_aggregates, unknown_hash_keys] =
            [0, 1, 2, 3, 4, 5].map(|i: usize| self.0[i].load(Ordering::Relaxed));
        ReadCounts { kinesis_records, records, bytes, misrouted_records, damaged_aggregates, unknown_hash_keys }
    }
}
