//! The shards of the stream by hash key, as far as they are known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinesis_aggregation::{HashKey, HashKeyRange};

use super::shard_queue::ShardQueue;
use crate::clock::Tick;
use crate::stream::listing::Listing;

/// The shards of the stream at one time. A map never changes. A newer map replaces it whole, and until then this one is
/// used.
pub(crate) struct ShardMap {
    /// The upper ends of the open shards, in order. Separate from the queues, so that a look-up touches few cache
    /// lines.
    ends: Box<[HashKey]>,
    queues: Box<[Arc<ShardQueue>]>,
    /// All shards with known ranges, by ID, to judge late answers.
    known: HashMap<Arc<str>, Known>,
    /// Whether the producer routes the records. If not, the service distributes them, and there is one queue for all.
    routed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    range: HashKeyRange,
    last_listed: Tick,
}

impl ShardMap {
    /// Makes a map for a service that distributes the records itself. It keeps the known shards, because requests that
    /// were routed before may still be answered.
    pub(crate) fn unrouted(queue: Arc<ShardQueue>, previous: Option<&Self>) -> Self {
        let known = previous.map(|map| map.known.clone()).unwrap_or_default();
        Self { ends: [HashKey::MAX].into(), queues: [queue].into(), known, routed: false }
    }

    /// Returns the same map with more known shards.
    pub(crate) fn with_known(&self, listing: Listing, now: Tick) -> Self {
        let mut known = self.known.clone();
        known.extend(listing.all.into_iter().map(|(id, range)| (id, Known { range, last_listed: now })));
        Self { ends: self.ends.clone(), queues: self.queues.clone(), known, routed: self.routed }
    }

    /// Makes the map after `previous`. Shards that stay keep their queues. Also returns the queues of shards that are
    /// no longer open.
    ///
    /// Shards that are no longer listed are remembered for the time `remember`, because an answer may still name them.
    pub(crate) fn next(
        previous: Option<&Self>,
        listing: Listing,
        now: Tick,
        remember: Duration,
        mut new_queue: impl FnMut(Arc<str>, HashKeyRange) -> Arc<ShardQueue>,
    ) -> (Self, Vec<Arc<ShardQueue>>) {
        let mut known: HashMap<Arc<str>, Known> = previous.map(|map| map.known.clone()).unwrap_or_default();
        known.retain(|_, shard| now.since(shard.last_listed) <= remember);
        known.extend(listing.all.into_iter().map(|(id, range)| (id, Known { range, last_listed: now })));

        let by_id: HashMap<&str, &Arc<ShardQueue>> =
            previous.iter().flat_map(|map| &map.queues).filter_map(|queue| Some((queue.shard()?, queue))).collect();
        let queues: Box<[Arc<ShardQueue>]> = listing
            .open
            .into_iter()
            .map(|(id, range)| match by_id.get(&*id) {
                // A shard with the same ID and another range is another shard: the stream was deleted and created
                // again.
                Some(queue) if queue.range() == range => Arc::clone(queue),
                _ => new_queue(id, range),
            })
            .collect();
        let ends = queues.iter().map(|queue| queue.range().end).collect();
        let map = Self { ends, queues, known, routed: true };
        let retired = previous.iter().flat_map(|map| &map.queues).filter(|queue| !map.has(queue)).cloned().collect();
        (map, retired)
    }

    /// Returns the queue of the shard that holds the hash key.
    pub(crate) fn queue(&self, hash_key: HashKey) -> &Arc<ShardQueue> {
        &self.queues[self.ends.partition_point(|end| *end < hash_key)]
    }

    pub(crate) fn queues(&self) -> &[Arc<ShardQueue>] {
        &self.queues
    }

    /// Returns `true` if the producer routes the records, and `false` if the service distributes them.
    pub(crate) const fn is_routed(&self) -> bool {
        self.routed
    }

    /// Returns `true` if the queue's shard is open by this map.
    pub(crate) fn has(&self, queue: &Arc<ShardQueue>) -> bool {
        Arc::ptr_eq(self.queue(queue.range().start), queue)
    }

    /// Returns the range of an open or a closed shard.
    pub(crate) fn range_of(&self, shard: &str) -> Option<HashKeyRange> {
        self.known.get(shard).map(|known| known.range)
    }
}

#[cfg(test)]
mod tests;
