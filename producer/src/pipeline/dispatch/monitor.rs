//! What the dispatcher learns of the stream while it runs: its shards, and what kind of stream it is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use kinesis_aggregation::HashKeyRange;
use kinesis_service_errors::{Address, Causes, Kind, Recovery};
use tokio::time::sleep_until;

use super::Dispatcher;
use crate::backoff;
use crate::clock::Tick;
use crate::failed_call::said;
use crate::foreign::{caught, log};
use crate::pipeline::request::Completed;
use crate::pipeline::reroute::reroute;
use crate::pipeline::shard_map::ShardMap;
use crate::pipeline::shard_queue::{Access, ShardQueue};
use crate::pipeline::{Pipeline, queue_rules};
use crate::settings::Settings;
use crate::stream::info::{StreamInfo, Summary};
use crate::stream::listing::{Listing, Pages};
use crate::watch::log_limiter::LogLimiter;

/// What kind of stream it is.
type Question = Pin<Box<dyn Future<Output = Result<Summary, Recovery>> + Send>>;

/// What is known of the stream, how fresh it is, and the question under way.
pub(super) struct StreamMonitor {
    pub(super) info: StreamInfo,
    /// `Err`: not learned; whether and how soon the question makes sense again.
    pub(super) summary: Option<Question>,
    last_asked: Tick,
    /// When to ask again.
    next: Tick,
    /// Answers since the last question that a stream of the known kind does not give.
    pub(super) unexpected: u32,
    last_listed: Tick,
    rng: fastrand::Rng,
}

impl StreamMonitor {
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        let now = pipeline.clock.now();
        let mut rng = fastrand::Rng::with_seed(pipeline.seed);
        let next = now + spread(EVERY, &mut rng);
        let info = pipeline.first_info;
        Self { info, summary: None, last_asked: now, next, unexpected: 0, last_listed: now, rng }
    }

    /// When to ask what kind of stream it is. `None`: it is being asked, or is of no interest any more.
    pub(super) fn due_at(&self, closing: bool) -> Option<Tick> {
        if closing || self.summary.is_some() {
            return None;
        }
        let soon = (self.unexpected >= FEW).then(|| self.last_asked + GAP);
        Some(soon.map_or(self.next, |soon| soon.min(self.next)))
    }
}

impl Dispatcher {
    pub(super) fn ask_if_due(&mut self, now: Tick) {
        if self.monitor.due_at(self.closing.is_some()).is_none_or(|due| due > now) {
            return;
        }
        self.monitor.last_asked = now;
        self.monitor.unexpected = 0;
        let pipeline = Arc::clone(&self.pipeline);
        self.monitor.summary = Some(Box::pin(async move {
            let address = Address::new();
            let (recovery, error) = match caught(Summary::ask(&pipeline.client, &pipeline.stream, &address)).await {
                Ok(Ok(summary)) => return Ok(summary),
                Ok(Err(error)) => (Kind::of_error(&error).map_or(Recovery::Soon, Kind::recovery), said(&error)),
                Err(panicked) => (Recovery::Soon, panicked.to_string()),
            };
            log(|| tracing::debug!(stream = %pipeline.stream, error, "DescribeStreamSummary failed"));
            Err(recovery)
        }));
    }

    /// Takes over what kind of stream it is now.
    pub(super) fn learn(&mut self, summary: Result<Summary, Recovery>) {
        self.monitor.summary = None;
        let pause = if summary == Err(Recovery::Soon) { SOON } else { EVERY };
        self.monitor.next = self.pipeline.clock.now() + spread(pause, &mut self.monitor.rng);
        let Ok(Summary { info, is_creating: false }) = summary else { return };
        let before = std::mem::replace(&mut self.monitor.info, info);
        if info == before {
            return;
        }
        log(|| {
            tracing::info!(
                stream = %self.pipeline.stream,
                max_record_bytes = info.max_record_bytes,
                remark = info.remark().as_deref().unwrap_or("records go by their partition keys"),
                "the stream has changed",
            );
        });
        self.pipeline.max_record_bytes.store(info.max_record_bytes, Ordering::Relaxed);
        if before.routed_by_us && !info.routed_by_us {
            self.unroute();
        } else if info.routed_by_us && (!before.routed_by_us || info.made != before.made) {
            // Until the shards are known the service distributes on, as it did; or what is known of another stream of this name serves on.
            self.ask_for_shards();
        }
        let now = self.pipeline.clock.now();
        let max_aggregate_bytes = info.max_aggregate_bytes(&self.pipeline.settings);
        let map = self.pipeline.map.load_full();
        for queue in map.queues().iter().filter(|queue| queue.shard().is_some()) {
            queue.state().aggregate_to(now, max_aggregate_bytes);
            self.refresh(queue);
        }
    }

    /// Lists the shards, unless that is under way, and not too often.
    pub(super) fn ask_for_shards(&mut self) {
        if self.listing.is_some() {
            return;
        }
        let pipeline = Arc::clone(&self.pipeline);
        let mut rng = self.monitor.rng.fork();
        // All producers of a fleet notice a reshard in the same moment.
        let first = backoff::full_jitter(backoff::LISTINGS, 1, &mut rng);
        let start =
            pipeline.clock.instant((self.monitor.last_listed + backoff::LISTING_GAP).max(pipeline.clock.now() + first));
        self.listing = Some(Box::pin(async move {
            sleep_until(start).await;
            let mut pages = Pages::since(oldest_of_interest(&pipeline));
            let mut warned = LogLimiter::default();
            for retry in 1.. {
                let address = Address::new();
                let error = match caught(pages.fetch(&pipeline.client, &pipeline.stream, &address)).await {
                    Ok(Ok(listing)) => return listing,
                    Ok(Err(error)) => Causes(&error).to_string(),
                    Err(panicked) => panicked.to_string(),
                };
                if let Some(times) = warned.happened(1, pipeline.clock.now()) {
                    let text = "the stream's shards cannot be listed; the last known ones serve on";
                    log(|| tracing::warn!(stream = %pipeline.stream, error, times, "{text}"));
                }
                tokio::time::sleep(backoff::full_jitter(backoff::LISTINGS, retry, &mut rng)).await;
            }
            unreachable!("tried for ever")
        }));
    }

    /// A newer map takes the old one's place. What waits for shards that are gone is put where it belongs now, and what could not be
    /// judged is judged again.
    pub(super) fn remap(&mut self, listing: Listing) {
        self.listing = None;
        let now = self.pipeline.clock.now();
        self.monitor.last_listed = now;
        let previous = self.pipeline.map.load_full();
        let (map, retired) = if self.monitor.info.routed_by_us {
            // A request of a shard's last moment may be answered this much later.
            let remember = lasting(&self.pipeline.settings);
            ShardMap::next(Some(&previous), listing, now, remember, |id, range| self.new_queue(Some(id), range))
        } else {
            (previous.knowing(listing, now), Vec::new())
        };
        self.replace_map(map, retired);
    }

    /// The service distributes the records from now on.
    fn unroute(&mut self) {
        let previous = self.pipeline.map.load_full();
        let map = ShardMap::unrouted(self.new_queue(None, HashKeyRange::FULL), Some(&previous));
        self.replace_map(map, previous.queues().to_vec());
    }

    fn new_queue(&self, shard: Option<Arc<str>>, range: HashKeyRange) -> Arc<ShardQueue> {
        let access = if self.closing.is_some() { Access::Closed } else { Access::Open };
        let rules = queue_rules(&self.pipeline.settings, &self.monitor.info);
        let serial = self.pipeline.queues_made.fetch_add(1, Ordering::Relaxed);
        ShardQueue::new(serial, shard, range, rules, access, self.pipeline.seed)
    }

    fn replace_map(&mut self, map: ShardMap, retired: Vec<Arc<ShardQueue>>) {
        let now = self.pipeline.clock.now();
        let map = Arc::new(map);
        // First the map, then the retirement: whoever finds a queue retired finds the map that replaces it.
        self.pipeline.map.store(Arc::clone(&map));
        // Where the service distributes the records there are no rates to inherit.
        for queue in retired.iter().filter(|_| map.is_routed()) {
            let limiter = queue.state().limiter();
            for child in map.queues().iter().filter(|child| child.range().overlaps(&queue.range())) {
                child.state().inherit(now, &limiter);
            }
        }
        for queue in &retired {
            let mut state = queue.state();
            let left = state.retire(Access::Retired);
            self.pipeline.admitted_before.fetch_add(state.admitted(), Ordering::Relaxed);
            drop(state);
            self.refresh(queue);
            for (at, batch) in left {
                for (queue, batch) in reroute(batch, &map) {
                    match at {
                        Some(at) => queue.state().retry_at(at, batch),
                        None => queue.state().enqueue(batch),
                    }
                    self.refresh(&queue);
                }
            }
        }
        if !retired.is_empty() {
            let gone = retired.iter().filter_map(|queue| queue.shard()).collect::<Vec<_>>().join(", ");
            let (stream, open) = (&self.pipeline.stream, map.queues().len());
            log(|| tracing::info!(%stream, gone, open, "the stream was resharded"));
        }
        let mut completed = Completed::default();
        completed.decide(&self.pipeline, &map, std::mem::take(&mut self.unknown_shards));
        self.take_over(completed);
    }
}

/// How long an answer can be late that names a shard.
const fn lasting(settings: &Settings) -> Duration {
    settings.record_ttl.saturating_add(settings.request_timeout)
}

/// Shards that were closed before this time cannot be named by an answer any more. By a clock that may go wrong, hence the margin.
fn oldest_of_interest(pipeline: &Pipeline) -> Option<SystemTime> {
    let now = pipeline.client.config().time_source().unwrap_or_default().now();
    now.checked_sub(lasting(&pipeline.settings).saturating_add(CLOCK_MARGIN))
        .filter(|time| *time > SystemTime::UNIX_EPOCH)
}

/// A little sooner or later, so that a fleet does not ask in one moment.
fn spread(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    pause.mul_f64(0.9 + 0.2 * rng.f64())
}

/// The service answers 20 of these questions a second for a whole account, and a stream changes its kind seldom.
const EVERY: Duration = Duration::from_secs(300);
/// After a failure that passes.
const SOON: Duration = Duration::from_secs(15);
/// So many answers that do not fit are reason enough to ask at once; one or two come with every reshard.
const FEW: u32 = 3;
/// But not more often than this.
const GAP: Duration = Duration::from_secs(2);
/// More than clocks go wrong that nobody noticed.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
