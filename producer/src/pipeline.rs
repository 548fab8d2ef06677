//! The order of the stages, and what they share.
//!
//! ```text
//! put ─ admit ─ shard map ─ aggregate ┐ closed by size, or by time
//!  (the caller's task)                │
//!       ┌─────────────────────────────┘
//!     limit ─ collect ─ send ─ judge ─ report ─ Delivery
//!       ▲   (dispatch)    (request)  │
//!       └────── again ──────────────┘ the only way back: Dispatcher::back
//! ```
//!
//! The front half, [`Pipeline::submit`], runs in the task of whoever puts; the back half is one [dispatcher](dispatch) a producer and one task a
//! request in flight. Between them lie the queues, one a shard.

pub(crate) mod admit;
mod aggregate;
mod batch;
mod collect;
pub(crate) mod dispatch;
mod judge;
mod limit;
mod request;
mod reroute;
pub(crate) mod send;
pub(crate) mod shard_map;
mod shard_queue;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_sdk_kinesis::Client;
use kinesis_aggregation::{HashKey, HashKeyRange};
use tokio::sync::Notify;

use self::shard_map::ShardMap;
use self::shard_queue::{Access, QueueRules, ShardQueue};
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::contents::Route;
use crate::delivery::Delivery;
use crate::error::Closed;
use crate::record::Record;
use crate::settings::{RateLimit, Settings};
use crate::stream::Stream;
use crate::stream::info::StreamInfo;
use crate::stream::listing::Listing;
use crate::watch::tally::Tally;

/// What the producer's handles, its dispatcher and its requests share.
pub(crate) struct Pipeline {
    pub(crate) settings: Settings,
    /// The stream's maximum record size, as far as is known.
    max_record_bytes: AtomicUsize,
    clock: Clock,
    /// Read for each record without a lock, and swapped whole.
    map: ArcSwap<ShardMap>,
    /// The place in the map where keyless records go now.
    keyless: AtomicUsize,
    queues_made: AtomicU64,
    seed: u64,
    pub(crate) accounts: Arc<Accounts>,
    /// Records admitted to queues that are gone.
    admitted_before: AtomicU64,
    wake_list: WakeList,
    client: Client,
    stream: Stream,
    /// What the stream was at the start; what it is now the dispatcher knows.
    first_info: StreamInfo,
}

/// How a pipeline is to be made.
pub(crate) struct PipelineConfig {
    pub(crate) settings: Settings,
    pub(crate) info: StreamInfo,
    /// `None`: the service routes the records.
    pub(crate) listing: Option<Listing>,
    pub(crate) client: Client,
    pub(crate) stream: Stream,
    pub(crate) seed: u64,
}

impl Pipeline {
    pub(crate) fn new(config: PipelineConfig) -> Arc<Self> {
        let PipelineConfig { settings, info, listing, client, stream, seed } = config;
        let rules = queue_rules(&settings, &info);
        let queues_made = AtomicU64::new(0);
        let serial = || queues_made.fetch_add(1, Ordering::Relaxed);
        let clock = Clock::start();
        let map = match listing {
            None => {
                ShardMap::unrouted(ShardQueue::new(serial(), None, HashKeyRange::FULL, rules, Access::Open, seed), None)
            }
            Some(listing) => {
                let queue = |id, range| ShardQueue::new(serial(), Some(id), range, rules, Access::Open, seed);
                ShardMap::next(None, listing, clock.now(), settings.record_ttl, queue).0
            }
        };
        Arc::new(Self {
            max_record_bytes: AtomicUsize::new(info.max_record_bytes),
            clock,
            map: ArcSwap::from_pointee(map),
            keyless: AtomicUsize::new(0),
            queues_made,
            seed,
            accounts: Accounts::new(&settings, stream.to_string()),
            admitted_before: AtomicU64::new(0),
            wake_list: WakeList::default(),
            client,
            stream,
            first_info: info,
            settings,
        })
    }

    /// Puts a record that has been checked into its shard's open aggregate. There is room for it: the caller has seen to that.
    pub(crate) fn submit(&self, record: &Record<'_>) -> Result<Delivery, Closed> {
        // Hashed once, whatever happens to the map.
        let mut hashed = None;
        loop {
            let map = self.map.load();
            let (queue, route) = match record.partition_key {
                Some(key) if map.is_routed() => {
                    let route = *hashed.get_or_insert_with(|| Route::keyed(key, record.explicit_hash_key));
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
            };
            let mut state = queue.state();
            match state.access() {
                Access::Open => {}
                // The newer map is there before the queues that it lacks are retired.
                Access::Retired => continue,
                Access::Closed => return Err(Closed),
            }
            let put = state.put(record, &route, || self.clock.now(), &self.accounts, map.is_routed());
            drop(state);
            if put.wake {
                self.wake_list.add(queue);
            }
            if put.closed && record.partition_key.is_none() {
                self.move_keyless(&map);
            }
            return Ok(put.delivery);
        }
    }

    /// A record was too large for what is known of the stream, which may have changed: the dispatcher looks whether to ask.
    pub(crate) fn doubt(&self) {
        self.wake_list.wake.notify_one();
    }

    /// Closes all open aggregates now.
    pub(crate) fn close_open(&self) {
        let now = self.clock.now();
        for queue in self.map.load().queues() {
            if queue.state().close_now(now) {
                self.wake_list.add(queue);
            }
        }
    }

    /// Waits until everything admitted before is settled. Returns how it ended, as far as no flush before has told.
    pub(crate) async fn flush(&self) -> Tally {
        let cut = self.accounts.pending.cut();
        self.close_open();
        self.accounts.pending.settled(cut).await
    }

    /// Records admitted so far.
    pub(crate) fn admitted(&self) -> u64 {
        let here: u64 = self.map.load().queues().iter().map(|queue| queue.state().admitted()).sum();
        here + self.admitted_before.load(Ordering::Relaxed)
    }

    /// The stream's maximum record size, as far as is known.
    pub(crate) fn max_record_bytes(&self) -> usize {
        self.max_record_bytes.load(Ordering::Relaxed)
    }

    /// Has keyless records go to another shard from now on, one with room if there is one near.
    fn move_keyless(&self, map: &ShardMap) {
        let from = self.keyless.load(Ordering::Relaxed);
        self.keyless.store(self.roomy(map, from), Ordering::Relaxed);
    }

    /// The next place in the map with room, else just the next.
    fn roomy(&self, map: &ShardMap, from: usize) -> usize {
        let queues = map.queues();
        let now = self.clock.now();
        let mut places = (1..=queues.len().min(MOST_ASKED)).map(|step| (from + step) % queues.len());
        places.find(|place| queues[*place].state().has_room(now)).unwrap_or((from + 1) % queues.len())
    }
}

fn queue_rules(settings: &Settings, info: &StreamInfo) -> QueueRules {
    QueueRules {
        linger: settings.linger,
        record_ttl: settings.record_ttl,
        // Where the service distributes the records, nobody knows which shard's limit one counts against.
        rate_limit: if info.routed_by_us { settings.rate_limit } else { RateLimit::UNLIMITED },
        max_aggregate_bytes: info.max_aggregate_bytes(settings),
    }
}

/// The queues the dispatcher is to look at. No longer than there are queues: each is in it at most once.
#[derive(Default)]
struct WakeList {
    queues: Mutex<Vec<Arc<ShardQueue>>>,
    wake: Notify,
}

impl WakeList {
    fn add(&self, queue: &Arc<ShardQueue>) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(queue));
        self.wake.notify_one();
    }

    fn take(&self) -> Vec<Arc<ShardQueue>> {
        std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Looking for room is not worth more than a few locks.
const MOST_ASKED: usize = 8;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fixture;
