//! Which shard holds a hash key, as far as is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kinesis_aggregation::{HashKey, HashKeyRange};

use super::shard_queue::ShardQueue;
use crate::clock::Tick;
use crate::stream::listing::Listing;

/// The shards of the stream at one time. Never changed: a newer one takes its place whole, and until it does this one serves.
pub(crate) struct ShardMap {
    /// The upper ends of the open shards, in order; apart from the queues, so that a look-up stays in few cache lines.
    ends: Box<[HashKey]>,
    queues: Box<[Arc<ShardQueue>]>,
    /// All shards whose ranges are known, by id, to judge late answers by.
    known: HashMap<Arc<str>, Known>,
    /// Whether we route the records; if not, the service does, and there is one queue for all.
    routed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    range: HashKeyRange,
    last_listed: Tick,
}

impl ShardMap {
    /// A map for a service that distributes the records itself. What was sent while we did may still be answered: its shards stay known.
    pub(crate) fn unrouted(queue: Arc<ShardQueue>, previous: Option<&Self>) -> Self {
        let known = previous.map(|map| map.known.clone()).unwrap_or_default();
        Self { ends: [HashKey::MAX].into(), queues: [queue].into(), known, routed: false }
    }

    /// The same map, which knows these shards too.
    pub(crate) fn knowing(&self, listing: Listing, now: Tick) -> Self {
        let mut known = self.known.clone();
        known.extend(listing.all.into_iter().map(|(id, range)| (id, Known { range, last_listed: now })));
        Self { ends: self.ends.clone(), queues: self.queues.clone(), known, routed: self.routed }
    }

    /// The map after `previous`. Shards that stay keep their queues; the queues of those that do not come back beside the map.
    ///
    /// Shards that are listed no more are remembered for `remember`: an answer may still name them.
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
                // An id with another range is another shard: the stream was deleted and made again.
                Some(queue) if queue.range() == range => Arc::clone(queue),
                _ => new_queue(id, range),
            })
            .collect();
        let ends = queues.iter().map(|queue| queue.range().end).collect();
        let map = Self { ends, queues, known, routed: true };
        let retired = previous.iter().flat_map(|map| &map.queues).filter(|queue| !map.has(queue)).cloned().collect();
        (map, retired)
    }

    /// The queue of the shard that holds the hash key.
    pub(crate) fn queue(&self, hash_key: HashKey) -> &Arc<ShardQueue> {
        &self.queues[self.ends.partition_point(|end| *end < hash_key)]
    }

    pub(crate) fn queues(&self) -> &[Arc<ShardQueue>] {
        &self.queues
    }

    /// Whether we route the records; if not, the service does.
    pub(crate) const fn is_routed(&self) -> bool {
        self.routed
    }

    /// Whether the queue's shard is open as far as this map knows.
    pub(crate) fn has(&self, queue: &Arc<ShardQueue>) -> bool {
        Arc::ptr_eq(self.queue(queue.range().start), queue)
    }

    /// The range of an open or a closed shard.
    pub(crate) fn range_of(&self, shard: &str) -> Option<HashKeyRange> {
        self.known.get(shard).map(|known| known.range)
    }
}

#[cfg(test)]
mod tests;
