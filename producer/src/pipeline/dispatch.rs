//! The back half of the pipeline: one task per producer, which wakes only when there is something to do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kinesis_aggregation::HashKeyRange;
use kinesis_service_errors::Recovery;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Pipeline;
use super::request::send_request;
use super::settle::{self, Completed, Rules, UnknownShard};
use super::shard_map::ShardMap;
use super::shard_queue::{Access, QueueRules, ShardQueue};
use crate::clock::Tick;
use crate::error::Failure;
use crate::foreign::log;
use crate::stream::info::Summary;
use crate::stream::listing::Listing;
use crate::watch::operator_log::OperatorLog;

use self::monitor::{StreamMonitor, answer_lifetime};
use self::schedule::Schedule;

mod monitor;
mod schedule;

/// The request to deliver the admitted records and stop, at the latest at this instant.
pub(crate) struct Close {
    pub(crate) deadline: Instant,
    /// Receives the failures of the records that are left.
    pub(crate) reply: oneshot::Sender<Vec<Arc<Failure>>>,
}

/// Fills requests from the queues, and returns batches to them that must be sent again.
pub(crate) struct Dispatcher {
    pipeline: Arc<Pipeline>,
    closes: mpsc::Receiver<Close>,
    schedule: Schedule,
    requests: JoinSet<Completed>,
    /// When the latest request was sent.
    launched: Option<Tick>,
    /// Batches written on shards that the map does not know.
    unknown_shards: Vec<UnknownShard>,
    monitor: StreamMonitor,
    log: OperatorLog,
    closing: Option<Closing>,
    /// The instant from which on nothing is sent.
    end: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
struct Closing {
    /// `None` if only the last handle was dropped. Then every admitted record is delivered or expires.
    deadline: Option<Instant>,
    replies: Vec<oneshot::Sender<Vec<Arc<Failure>>>>,
    no_handles: bool,
}

impl Dispatcher {
    pub(crate) fn new(pipeline: Arc<Pipeline>, closes: mpsc::Receiver<Close>) -> Self {
        let monitor = StreamMonitor::new(&pipeline);
        let (stream, losses) = (pipeline.stream.to_string(), Arc::clone(&pipeline.accounts.losses));
        let log = OperatorLog::new(stream, pipeline.settings.fail_fast, losses);
        Self {
            pipeline,
            closes,
            schedule: Schedule::default(),
            requests: JoinSet::new(),
            launched: None,
            unknown_shards: Vec::new(),
            monitor,
            log,
            closing: None,
            end: watch::Sender::new(None),
        }
    }

    /// Runs until everything is settled after a close, or until its deadline.
    pub(crate) async fn run(mut self) {
        // At the deadline no request is sent any more.
        while !self.is_over() {
            self.refresh_due();
            self.launch();
            if self.closing.is_some() && self.requests.is_empty() && self.pipeline.accounts.pending.is_empty() {
                break;
            }
            let deadline = self.closing.as_ref().and_then(|closing| closing.deadline);
            let no_handles = self.closing.as_ref().is_some_and(|closing| closing.no_handles);
            let alarm = self.next_alarm();
            tokio::select! {
                // In this order: first the deadline, whatever else there is to do. Then answers, which free requests
                // and room.
                biased;
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                Some(completed) = self.requests.join_next() => self.on_completed(completed),
                listing = pending(&mut self.monitor.listing) => self.remap(listing),
                summary = pending(&mut self.monitor.summary) => self.learn(summary),
                close = self.closes.recv(), if !no_handles => self.close(close),
                () = self.pipeline.wake_list.woken() => {}
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {}
            }
        }
        let left = self.give_up().await;
        self.log.rest(self.pipeline.clock.now());
        for reply in self.closing.take().unwrap_or_default().replies {
            // The caller of the close may have been dropped. The deliveries have resolved in any case.
            drop(reply.send(left.clone()));
        }
    }

    fn is_over(&self) -> bool {
        let deadline = self.closing.as_ref().and_then(|closing| closing.deadline);
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Refreshes the queues of the wake list and those whose alarm has come, and does what else is due.
    fn refresh_due(&mut self) {
        self.refresh(&self.pipeline.wake_list.take());
        let now = self.pipeline.clock.now();
        self.schedule.refresh_due(now);
        let ttl = self.pipeline.settings.record_ttl;
        let expired = self.unknown_shards.extract_if(.., |unknown| unknown.opened() + ttl <= now).collect();
        settle::expired_unknown(expired, now);
        self.monitor.ask_if_due(&self.pipeline, self.closing.is_some(), now);
        self.log.losses(now);
    }

    fn refresh(&mut self, queues: &[Arc<ShardQueue>]) {
        let now = self.pipeline.clock.now();
        queues.iter().for_each(|queue| self.schedule.refresh(queue, now));
    }

    /// Sends requests while queues are ready and more requests are allowed in flight.
    ///
    /// Tokens are taken only now. A batch that waits for a free request has not used its shard's rate, so the batches
    /// that wait do not add up to a burst.
    ///
    /// A batch that becomes ready shortly after a request waits for others, because a small request costs as much CPU
    /// as a full one.
    fn launch(&mut self) {
        let now = self.pipeline.clock.now();
        if self.next_launch().is_some_and(|next| now < next) {
            return;
        }
        while self.requests.len() < self.pipeline.settings.max_requests_in_flight {
            let request = self.schedule.collect(self.pipeline.clock.now());
            if request.is_empty() {
                break;
            }
            self.launched = Some(now);
            self.requests.spawn(send_request(Arc::clone(&self.pipeline), request.into_entries(), self.end.subscribe()));
        }
    }

    /// Returns when the ready queues may be sent. `None` means at once, or that no queue is ready.
    fn next_launch(&self) -> Option<Tick> {
        let is_paced = self.schedule.has_ready() && self.closing.is_none();
        let pause = self.pipeline.settings.linger.duration() / LINGER_FRACTION;
        self.launched.filter(|_| is_paced).map(|launched| launched + pause.min(MAX_WAIT))
    }

    fn on_completed(&mut self, completed: Result<Completed, JoinError>) {
        match completed {
            Ok(completed) => self.take_over(completed),
            // Its batches were dropped in the panic, and failed as abandoned.
            Err(error) => log(|| tracing::error!(%error, "a request's task ended early")),
        }
    }

    fn take_over(&mut self, completed: Completed) {
        let Completed { returned, unknown_shards, map_is_stale, needs_action, stream_is_gone, refused } = completed;
        let now = self.pipeline.clock.now();
        if let Some((failed, batches)) = needs_action {
            self.log.refused(now, &failed.code, &failed.message, batches);
        }
        if map_is_stale || refused {
            self.monitor.unexpected();
        }
        if map_is_stale || stream_is_gone || !unknown_shards.is_empty() {
            // If the stream is missing, this repeats until there is one.
            self.monitor.ask_for_shards(&self.pipeline);
        }
        self.unknown_shards.extend(unknown_shards);
        for returned in returned {
            let changed = self.pipeline.router.take_back(returned, now);
            self.refresh(&changed);
        }
    }

    /// Applies the answer to the question what kind of stream it is.
    fn learn(&mut self, summary: Result<Summary, Recovery>) {
        let Some(before) = self.monitor.learn(summary, self.pipeline.clock.now()) else { return };
        let info = self.monitor.info;
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
            // The service distributes the records from now on.
            let previous = self.pipeline.router.map_to_keep();
            let map = ShardMap::unrouted(self.new_queue(None, HashKeyRange::FULL), Some(&previous));
            self.replace_map(map, previous.queues().to_vec());
        } else if info.routed_by_us && (!before.routed_by_us || info.made != before.made) {
            // Until the shards are listed, the service distributes the records as before. If the stream was created
            // again, the old map stays in use.
            self.monitor.ask_for_shards(&self.pipeline);
        }
        let now = self.pipeline.clock.now();
        let max_aggregate_bytes = info.max_aggregate_bytes(&self.pipeline.settings);
        let map = self.pipeline.router.map_to_keep();
        for queue in map.queues().iter().filter(|queue| queue.shard().is_some()) {
            queue.state().aggregate_to(now, max_aggregate_bytes);
            self.schedule.refresh(queue, now);
        }
    }

    /// Applies a listing of the shards.
    fn remap(&mut self, listing: Listing) {
        let now = self.pipeline.clock.now();
        self.monitor.listed(now);
        let previous = self.pipeline.router.map_to_keep();
        let (map, retired) = if self.monitor.info.routed_by_us {
            // A request of a shard's last moment may be answered this much later.
            let remember = answer_lifetime(&self.pipeline.settings);
            ShardMap::next(Some(&previous), listing, now, remember, |id, range| self.new_queue(Some(id), range))
        } else {
            (previous.with_known(listing, now), Vec::new())
        };
        self.replace_map(map, retired);
    }

    fn new_queue(&self, shard: Option<Arc<str>>, range: HashKeyRange) -> Arc<ShardQueue> {
        let access = if self.closing.is_some() { Access::Closed } else { Access::Open };
        let rules = QueueRules::new(&self.pipeline.settings, &self.monitor.info);
        self.pipeline.router.new_queue(shard, range, rules, access)
    }

    /// Puts a newer map in place, moves what waits for closed shards, and judges again what could not be judged.
    fn replace_map(&mut self, map: ShardMap, retired: Vec<Arc<ShardQueue>>) {
        let (map, now) = (Arc::new(map), self.pipeline.clock.now());
        let changed = self.pipeline.router.replace(&map, &retired, now);
        self.refresh(&changed);
        if !retired.is_empty() {
            let gone = retired.iter().filter_map(|queue| queue.shard()).collect::<Vec<_>>().join(", ");
            let (stream, open) = (&self.pipeline.stream, map.queues().len());
            log(|| tracing::info!(%stream, gone, open, "the stream was resharded"));
        }
        let mut completed = Completed::default();
        let rules = Rules { map: &map, now, fail_fast: self.pipeline.settings.fail_fast };
        completed.judge_again(&rules, std::mem::take(&mut self.unknown_shards));
        self.take_over(completed);
    }

    /// Admits no more records and sends the admitted ones. `None` means that the last handle was dropped.
    fn close(&mut self, close: Option<Close>) {
        let closing = self.closing.get_or_insert_default();
        match close {
            None => closing.no_handles = true,
            Some(Close { deadline, reply }) => {
                closing.deadline = Some(closing.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
                closing.replies.push(reply);
                self.end.send_replace(closing.deadline);
            }
        }
        self.pipeline.accounts.budget.close();
        let now = self.pipeline.clock.now();
        for queue in self.pipeline.router.map_to_keep().queues() {
            let mut state = queue.state();
            state.shut();
            state.close_now(now);
            drop(state);
            self.schedule.refresh(queue, now);
        }
    }

    /// Fails everything that is left, and returns the failures.
    async fn give_up(&mut self) -> Vec<Arc<Failure>> {
        self.end.send_replace(Some(Instant::now()));
        let mut completed = Vec::new();
        while let Some(request) = self.requests.join_next().await {
            // If a task panicked, its batches were dropped and failed as abandoned.
            completed.extend(request.ok());
        }
        let unknown_shards = std::mem::take(&mut self.unknown_shards);
        completed.push(Completed { unknown_shards, ..Completed::default() });
        settle::closed(completed, self.pipeline.router.drain(), self.pipeline.clock.now())
    }

    fn next_alarm(&self) -> Option<Instant> {
        let has_slots = self.requests.len() < self.pipeline.settings.max_requests_in_flight;
        let launch = self.next_launch().filter(|_| has_slots);
        let ttl = self.pipeline.settings.record_ttl;
        let unknown = self.unknown_shards.iter().map(|unknown| unknown.opened() + ttl).min();
        // An unused producer asks nothing. It asks when it is used again.
        let is_used = !self.pipeline.accounts.pending.is_empty();
        let monitor = self.monitor.due_at(self.closing.is_some()).filter(|_| is_used);
        let alarms = [self.schedule.next_alarm(), launch, unknown, monitor, self.log.due_at()];
        Some(self.pipeline.clock.instant(alarms.into_iter().flatten().min()?))
    }
}

/// The runtime is shut down, or the dispatcher panicked, so no batch will be sent any more. The batches are dropped,
/// which resolves their deliveries.
impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.pipeline.accounts.budget.close();
        drop(self.pipeline.router.drain());
    }
}

/// A ready batch waits for others for this fraction of the linger, which is the wait that the user accepts for fewer
/// requests.
const LINGER_FRACTION: u32 = 6;
/// The wait in the KPL's collector.
const MAX_WAIT: Duration = Duration::from_millis(20);

/// Waits for the future, or for ever if there is none.
async fn pending<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
