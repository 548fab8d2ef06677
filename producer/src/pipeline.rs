//! The order of the stages, and what they share.
//!
//! ```text
//! put ─ admit ─ route ─ aggregate ┐ closed by size, or by time
//!  (the caller's task)            │
//!       ┌─────────────────────────┘
//!     limit ─ collect ─ send ─ judge ─ settle ─ Delivery
//!       ▲   (dispatch)   (request)  │
//!       └────── again ──────────────┘ the only way back: Router::take_back
//! ```
//!
//! The front half, [`Pipeline::submit`], runs in the caller's task. The back half is one [dispatcher](dispatch) per
//! producer and one task per request in flight. Between the halves are the queues, one per shard.

pub(crate) mod admit;
mod aggregate;
mod batch;
mod collect;
pub(crate) mod dispatch;
mod judge;
mod limit;
mod request;
mod reroute;
mod router;
mod send;
mod settle;
mod shard_map;
mod shard_queue;
mod wake_list;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::Client;

use self::router::Router;
use self::shard_queue::{Access, QueueRules};
use self::wake_list::WakeList;
use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::error::Closed;
use crate::record::Record;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::info::StreamInfo;
use crate::stream::listing::Listing;
use crate::watch::tally::Tally;

/// The state that the producer's handles, its dispatcher and its requests share.
pub(crate) struct Pipeline {
    pub(crate) settings: Settings,
    /// The stream's maximum record size, as far as is known.
    max_record_bytes: AtomicUsize,
    clock: Clock,
    router: Router,
    pub(crate) accounts: Arc<Accounts>,
    wake_list: WakeList,
    client: Client,
    stream: Stream,
    /// The kind of the stream at the start. The dispatcher knows what it is now.
    first_info: StreamInfo,
    seed: u64,
}

/// The parts of a new pipeline.
pub(crate) struct PipelineConfig {
    pub(crate) settings: Settings,
    pub(crate) info: StreamInfo,
    /// `None` if the service distributes the records.
    pub(crate) listing: Option<Listing>,
    pub(crate) client: Client,
    pub(crate) stream: Stream,
    pub(crate) seed: u64,
}

impl Pipeline {
    pub(crate) fn new(config: PipelineConfig) -> Arc<Self> {
        let PipelineConfig { settings, info, listing, client, stream, seed } = config;
        let clock = Clock::start();
        Arc::new(Self {
            max_record_bytes: AtomicUsize::new(info.max_record_bytes),
            router: Router::new(listing, QueueRules::new(&settings, &info), clock.now(), seed),
            clock,
            accounts: Accounts::new(&settings, stream.to_string()),
            wake_list: WakeList::default(),
            client,
            stream,
            first_info: info,
            seed,
            settings,
        })
    }

    /// Puts a valid record into its shard's open aggregate. The caller has checked that there is room.
    pub(crate) fn submit(&self, record: &Record<'_>) -> Result<Delivery, Closed> {
        let mut keyed = None;
        loop {
            let map = self.router.map();
            let (queue, route) = self.router.route(&map, record, &mut keyed);
            let mut state = queue.state();
            match state.access() {
                Access::Open => {}
                // A newer map was put in place before this queue was retired, see [`Router::replace`].
                Access::Retired => continue,
                Access::Closed => return Err(Closed),
            }
            let put = state.put(record, &route, || self.clock.now(), &self.accounts, map.is_routed());
            drop(state);
            if put.wake {
                self.wake_list.add(queue);
            }
            if put.closed && record.partition_key.is_none() {
                self.router.move_keyless(&map, self.clock.now());
            }
            return Ok(put.delivery);
        }
    }

    /// Wakes the dispatcher after a record was too large for the stream as it is known. The stream may have changed.
    pub(crate) fn check_limit(&self) {
        self.wake_list.wake();
    }

    /// Closes all open aggregates now.
    pub(crate) fn close_open(&self) {
        let now = self.clock.now();
        for queue in self.router.map().queues() {
            if queue.state().close_now(now) {
                self.wake_list.add(queue);
            }
        }
    }

    /// Waits until every record that was admitted before is settled. Returns the results that no earlier flush has
    /// reported.
    pub(crate) async fn flush(&self) -> Tally {
        let point = self.accounts.pending.begin_flush();
        self.close_open();
        self.accounts.pending.settled(point).await
    }

    /// Returns the number of records admitted so far.
    pub(crate) fn admitted(&self) -> u64 {
        self.router.admitted()
    }

    /// Returns the stream's maximum record size, as far as is known.
    pub(crate) fn max_record_bytes(&self) -> usize {
        self.max_record_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fixture;
