//! What a worker has read, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a worker has read since it started, all its shards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReadCounts {
    /// Kinesis records in the service's answers, re-read ones included.
    pub kinesis_records: u64,
    /// User records handed on to user code, or waiting for it.
    pub records: u64,
    /// The bytes of their data.
    pub bytes: u64,
    /// User records that were dropped, because the shard does not hold the hash keys of their whole aggregate. The
    /// producer sees where such an aggregate landed and sends it again.
    pub misrouted_records: u64,
    /// Kinesis records that look like an aggregate and are none; handed on as they are.
    pub damaged_aggregates: u64,
    /// User records whose explicit hash key is no hash key; handed on, since nobody can say which shard they belong to.
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
