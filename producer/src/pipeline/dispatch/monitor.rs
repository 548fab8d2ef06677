//! What the dispatcher asks about the stream while it runs, and when: its shards, and its kind.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kinesis_service_errors::{Address, Causes, Kind, Recovery};
use tokio::time::sleep_until;

use crate::backoff;
use crate::clock::Tick;
use crate::failed_call::message_of;
use crate::foreign::{caught, log};
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::stream::info::{StreamInfo, Summary};
use crate::stream::listing::{Listing, Pages};
use crate::watch::log_limiter::LogLimiter;

/// A question in flight.
pub(super) type Question<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// What is known of the stream, when it was asked, and the questions in flight: at most one of each kind.
pub(super) struct StreamMonitor {
    pub(super) info: StreamInfo,
    pub(super) summary: Question<Result<Summary, Recovery>>,
    pub(super) listing: Question<Listing>,
    last_asked: Tick,
    /// When to ask next what kind of stream it is.
    next: Tick,
    /// Answers since the last question that do not fit the known kind of stream.
    unexpected: u32,
    last_listed: Tick,
    rng: fastrand::Rng,
}

impl StreamMonitor {
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        let now = pipeline.clock.now();
        let mut rng = fastrand::Rng::with_seed(pipeline.seed);
        let next = now + spread(PERIOD, &mut rng);
        let info = pipeline.first_info;
        Self { info, summary: None, listing: None, last_asked: now, next, unexpected: 0, last_listed: now, rng }
    }

    /// Returns when to ask what kind of stream it is. `None` if the question is in flight, or the producer is closing.
    pub(super) fn due_at(&self, closing: bool) -> Option<Tick> {
        if closing || self.summary.is_some() {
            return None;
        }
        let soon = (self.unexpected >= UNEXPECTED_ENOUGH).then(|| self.last_asked + MIN_DISTANCE);
        Some(soon.map_or(self.next, |soon| soon.min(self.next)))
    }

    /// Counts an answer that does not fit the known kind of stream.
    pub(super) const fn unexpected(&mut self) {
        self.unexpected += 1;
    }

    /// Asks what kind of stream it is, if the question is due.
    pub(super) fn ask_if_due(&mut self, pipeline: &Arc<Pipeline>, closing: bool, now: Tick) {
        if self.due_at(closing).is_none_or(|due| due > now) {
            return;
        }
        self.last_asked = now;
        self.unexpected = 0;
        let pipeline = Arc::clone(pipeline);
        self.summary = Some(Box::pin(async move {
            let address = Address::new();
            let (recovery, error) = match caught(Summary::ask(&pipeline.client, &pipeline.stream, &address)).await {
                Ok(Ok(summary)) => return Ok(summary),
                Ok(Err(error)) => (Kind::of_error(&error).map_or(Recovery::Soon, Kind::recovery), message_of(&error)),
                Err(panicked) => (Recovery::Soon, panicked.to_string()),
            };
            log(|| tracing::debug!(stream = %pipeline.stream, error, "DescribeStreamSummary failed"));
            Err(recovery)
        }));
    }

    /// Applies the answer. An error says how soon the question makes sense again. Returns the previous kind, if it has
    /// changed.
    pub(super) fn learn(&mut self, summary: Result<Summary, Recovery>, now: Tick) -> Option<StreamInfo> {
        self.summary = None;
        let pause = if summary == Err(Recovery::Soon) { RETRY_PERIOD } else { PERIOD };
        self.next = now + spread(pause, &mut self.rng);
        let Ok(Summary { info, is_creating: false }) = summary else { return None };
        let before = std::mem::replace(&mut self.info, info);
        (info != before).then_some(before)
    }

    /// Begins to list the shards, unless a listing is in flight. Listings keep a minimum distance.
    pub(super) fn ask_for_shards(&mut self, pipeline: &Arc<Pipeline>) {
        if self.listing.is_some() {
            return;
        }
        let pipeline = Arc::clone(pipeline);
        let mut rng = self.rng.fork();
        // All producers of a fleet notice a reshard at the same moment.
        let first = backoff::full_jitter(backoff::LISTINGS, 1, &mut rng);
        let start = (self.last_listed + backoff::LISTING_GAP).max(pipeline.clock.now() + first);
        let start = pipeline.clock.instant(start);
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
                    let text = "the stream's shards cannot be listed; the last known ones stay in use";
                    log(|| tracing::warn!(stream = %pipeline.stream, error, times, "{text}"));
                }
                tokio::time::sleep(backoff::full_jitter(backoff::LISTINGS, retry, &mut rng)).await;
            }
            unreachable!("tried for ever")
        }));
    }

    /// Records that the shards were listed.
    pub(super) fn listed(&mut self, now: Tick) {
        self.listing = None;
        self.last_listed = now;
    }
}

/// Returns how late an answer can name a shard.
pub(super) const fn answer_lifetime(settings: &Settings) -> Duration {
    settings.record_ttl.saturating_add(settings.request_timeout)
}

/// Returns the time before which closed shards do not matter, because no answer can name them any more. The clock may
/// be wrong, hence the margin.
fn oldest_of_interest(pipeline: &Pipeline) -> Option<SystemTime> {
    let now = pipeline.client.config().time_source().unwrap_or_default().now();
    now.checked_sub(answer_lifetime(&pipeline.settings).saturating_add(CLOCK_MARGIN))
        .filter(|time| *time > SystemTime::UNIX_EPOCH)
}

/// Draws a slightly different pause, so that a fleet does not ask at one moment.
fn spread(pause: Duration, rng: &mut fastrand::Rng) -> Duration {
    pause.mul_f64(0.9 + 0.2 * rng.f64())
}

/// The service answers 20 of these questions a second per account, and a stream rarely changes its kind.
const PERIOD: Duration = Duration::from_secs(300);
/// After a failure that passes.
const RETRY_PERIOD: Duration = Duration::from_secs(15);
/// This many unexpected answers are a reason to ask at once. Every reshard causes one or two.
const UNEXPECTED_ENOUGH: u32 = 3;
/// The minimum distance between two questions.
const MIN_DISTANCE: Duration = Duration::from_secs(2);
/// More than the error of a clock that goes unnoticed.
const CLOCK_MARGIN: Duration = Duration::from_secs(3600);
