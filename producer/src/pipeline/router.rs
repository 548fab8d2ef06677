//! Finds the queue for a record: by its key, or for a keyless record by where there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use kinesis_aggregation::{HashKey, HashKeyRange};

use super::batch::Batch;
use super::reroute::{divide, move_to_shard, reroute};
use super::settle::{Cause, Returned};
use super::shard_map::ShardMap;
use super::shard_queue::{Access, QueueRules, ShardQueue};
use crate::clock::Tick;
use crate::contents::Route;
use crate::record::Record;
use crate::stream::listing::Listing;

/// The shard map in use, and the queues that it leads to.
pub(crate) struct Router {
    /// Read for each record without a lock, and replaced whole.
    map: ArcSwap<ShardMap>,
    /// The position in the map where keyless records go now.
    keyless: AtomicUsize,
    queues_made: AtomicU64,
    /// Records admitted to queues that were retired.
    admitted_before: AtomicU64,
    seed: u64,
}

impl Router {
    /// Makes the first map. Without a listing, the service distributes the records itself.
    pub(crate) fn new(listing: Option<Listing>, rules: QueueRules, now: Tick, seed: u64) -> Self {
        let queues_made = AtomicU64::new(0);
        let queue = |shard, range| {
            let serial = queues_made.fetch_add(1, Ordering::Relaxed);
            ShardQueue::new(serial, shard, range, rules, Access::Open, seed)
        };
        let map = match listing {
            None => ShardMap::unrouted(queue(None, HashKeyRange::FULL), None),
            Some(listing) => ShardMap::next(None, listing, now, Duration::ZERO, |id, range| queue(Some(id), range)).0,
        };
        let (keyless, admitted_before) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { map: ArcSwap::from_pointee(map), keyless, queues_made, admitted_before, seed }
    }

    #[inline]
    pub(crate) fn map(&self) -> Guard<Arc<ShardMap>> {
        self.map.load()
    }

    /// Returns the map, to be kept for longer than a few instructions.
    pub(crate) fn map_to_keep(&self) -> Arc<ShardMap> {
        self.map.load_full()
    }

    /// Returns the queue for a record by this map. A key is hashed only once: `keyed` keeps the route in case of a
    /// newer map.
    #[inline]
    pub(crate) fn route<'m, 'a>(
        &self,
        map: &'m ShardMap,
        record: &Record<'a>,
        keyed: &mut Option<Route<'a>>,
    ) -> (&'m Arc<ShardQueue>, Route<'a>) {
        match record.partition_key {
            Some(key) if map.is_routed() => {
                let route = *keyed.get_or_insert_with(|| Route::keyed(key, record.explicit_hash_key));
                (map.queue(route.hash_key), route)
            }
            Some(key) => {
                let route = Route { hash_key: HashKey::MIN, partition_key: key, explicit_hash_key: None };
                (map.queue(route.hash_key), route)
            }
            None => {
                let queues = map.queues();
                let queue = &queues[self.keyless.load(Ordering::Relaxed) % queues.len()];
                (queue, Route::keyless(queue.range().start))
            }
        }
    }

    /// Moves keyless records to another shard from now on, to one with room if one of the next few has room.
    pub(crate) fn move_keyless(&self, map: &ShardMap, now: Tick) {
        let from = self.keyless.load(Ordering::Relaxed);
        self.keyless.store(roomy(map, from, now), Ordering::Relaxed);
    }

    /// Returns the number of records admitted so far.
    pub(crate) fn admitted(&self) -> u64 {
        let here: u64 = self.map.load().queues().iter().map(|queue| queue.state().admitted()).sum();
        here + self.admitted_before.load(Ordering::Relaxed)
    }

    /// Makes a queue for a shard. Without a shard, the service distributes the records itself.
    pub(crate) fn new_queue(
        &self,
        shard: Option<Arc<str>>,
        range: HashKeyRange,
        rules: QueueRules,
        access: Access,
    ) -> Arc<ShardQueue> {
        let serial = self.queues_made.fetch_add(1, Ordering::Relaxed);
        ShardQueue::new(serial, shard, range, rules, access, self.seed)
    }

    /// Puts the next map in place, and moves the batches of the retired queues to where they belong now. Returns the
    /// queues that changed.
    ///
    /// The map is replaced before the queues are retired. A walk-through of the race:
    ///
    /// 1. A put reads the old map and finds a queue.
    /// 2. The map is replaced, and the queue is retired.
    /// 3. The put takes the queue's lock, finds it retired, and reads the map again. It finds the new one.
    ///
    /// In the other order, step 3 could find the old map for a while, and the put would spin.
    pub(crate) fn replace(&self, map: &Arc<ShardMap>, retired: &[Arc<ShardQueue>], now: Tick) -> Vec<Arc<ShardQueue>> {
        self.map.store(Arc::clone(map));
        // A service that distributes the records has no rate per shard to inherit.
        for queue in retired.iter().filter(|_| map.is_routed()) {
            let limiter = queue.state().limiter();
            for child in map.queues().iter().filter(|child| child.range().overlaps(&queue.range())) {
                child.state().inherit(now, &limiter);
            }
        }
        let mut changed = retired.to_vec();
        for queue in retired {
            let mut state = queue.state();
            let left = state.retire(Access::Retired);
            self.admitted_before.fetch_add(state.admitted(), Ordering::Relaxed);
            drop(state);
            for (at, batch) in left {
                for (queue, batch) in reroute(batch, map) {
                    match at {
                        Some(at) => queue.state().retry_at(at, batch),
                        None => queue.state().enqueue(batch),
                    }
                    changed.push(queue);
                }
            }
        }
        changed
    }

    /// The one way back: puts a batch into the queue from which it will be sent again. Returns the queues that changed.
    pub(crate) fn take_back(&self, returned: Returned, now: Tick) -> Vec<Arc<ShardQueue>> {
        let Returned { queue, batch, cause } = returned;
        let map = self.map.load_full();
        if !map.has(&queue) {
            let put = |(queue, batch): (Arc<ShardQueue>, Batch)| {
                // The batch was sent by an older map. The new shard has not failed, so there is no reason for a
                // backoff.
                match cause {
                    Cause::Misrouted => queue.state().enqueue(batch),
                    _ => queue.state().retry(now, batch),
                }
                queue
            };
            return reroute(batch, &map).into_iter().map(put).collect();
        }
        if cause == Cause::TooLarge {
            divide(batch).into_iter().for_each(|part| queue.state().enqueue(part));
            return vec![queue];
        }
        if batch.keyless && cause == Cause::Throttled && queue.shard().is_some() {
            let from = map.queues().iter().position(|other| Arc::ptr_eq(other, &queue)).unwrap_or_default();
            let roomier = &map.queues()[roomy(&map, from, now)];
            if !Arc::ptr_eq(roomier, &queue) {
                // Before the lock: the move returns room to the budget, and a waker that gets it may put into this
                // queue.
                let batch = move_to_shard(batch, roomier);
                roomier.state().retry(now, batch);
                return vec![Arc::clone(roomier)];
            }
        }
        queue.state().retry(now, batch);
        vec![queue]
    }

    /// Removes all batches and admits no more records.
    pub(crate) fn drain(&self) -> Vec<Batch> {
        let map = self.map.load_full();
        let left = map.queues().iter().flat_map(|queue| queue.state().retire(Access::Closed));
        left.map(|(_, batch)| batch).collect()
    }
}

/// Returns the next position in the map with room, or else the next position.
fn roomy(map: &ShardMap, from: usize, now: Tick) -> usize {
    let queues = map.queues();
    let mut places = (1..=queues.len().min(MAX_ASKED)).map(|step| (from + step) % queues.len());
    places.find(|place| queues[*place].state().has_room(now)).unwrap_or((from + 1) % queues.len())
}

/// More locks than this are not worth the search.
const MAX_ASKED: usize = 8;

#[cfg(test)]
mod tests;
