//! The back half of the pipeline: one task a producer, woken only when there is something to do.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Pipeline;
use super::batch::Batch;
use super::collect::{Entry, Request};
use super::request::{Cause, Completed, UnknownShard, send_request};
use super::reroute::{divide, move_to_shard, reroute};
use super::shard_map::ShardMap;
use super::shard_queue::{Access, ShardQueue};
use crate::clock::Tick;
use crate::error::Failure;
use crate::foreign::log;
use crate::outcome::DeliveryErrorKind;
use crate::stream::listing::Listing;
use crate::watch::operator_log::OperatorLog;

use self::monitor::StreamMonitor;

mod monitor;

/// Stop after delivering what is there, at the latest at this instant.
pub(crate) struct Close {
    pub(crate) deadline: Instant,
    /// Gets what was left over.
    pub(crate) reply: oneshot::Sender<Vec<Arc<Failure>>>,
}

/// Takes batches out of the queues into requests, and puts those back that must be sent again.
pub(crate) struct Dispatcher {
    pipeline: Arc<Pipeline>,
    closes: mpsc::Receiver<Close>,
    /// When to look at which queue; a queue has at most one place here, the one in its state.
    alarms: BTreeMap<(Tick, u64), Arc<ShardQueue>>,
    /// Lanes with something to send, each at most once: they take turns.
    ready: VecDeque<Arc<ShardQueue>>,
    requests: JoinSet<Completed>,
    /// When requests were sent last.
    launched: Option<Tick>,
    /// Written on shards that the map does not know.
    unknown_shards: Vec<UnknownShard>,
    /// A listing of shards under way: one at a time.
    listing: Option<Pin<Box<dyn Future<Output = Listing> + Send>>>,
    monitor: StreamMonitor,
    log: OperatorLog,
    closing: Option<Closing>,
    /// From when on nothing is sent.
    end: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
struct Closing {
    /// `None` while nobody but the drop of the last handle has asked: then all that is there is delivered, or expires.
    deadline: Option<Instant>,
    replies: Vec<oneshot::Sender<Vec<Arc<Failure>>>>,
    no_handles: bool,
}

impl Dispatcher {
    pub(crate) fn new(pipeline: Arc<Pipeline>, closes: mpsc::Receiver<Close>) -> Self {
        let monitor = StreamMonitor::new(&pipeline);
        let (stream, losses) = (pipeline.stream.to_string(), Arc::clone(&pipeline.accounts.losses));
        let fail_fast = pipeline.settings.fail_fast;
        Self {
            pipeline,
            closes,
            alarms: BTreeMap::new(),
            ready: VecDeque::new(),
            requests: JoinSet::new(),
            launched: None,
            unknown_shards: Vec::new(),
            listing: None,
            monitor,
            log: OperatorLog::new(stream, fail_fast, losses),
            closing: None,
            end: watch::Sender::new(None),
        }
    }

    /// Runs until everything is settled after a close, or its deadline.
    pub(crate) async fn run(mut self) {
        // At the deadline nothing is launched any more.
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
                // In this order: the deadline holds whatever else there is to do, and an answer frees a request and room for the rest.
                biased;
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
                Some(completed) = self.requests.join_next() => self.on_completed(completed),
                listing = pending(&mut self.listing) => self.remap(listing),
                summary = pending(&mut self.monitor.summary) => self.learn(summary),
                close = self.closes.recv(), if !no_handles => self.close(close),
                () = self.pipeline.wake_list.wake.notified() => {}
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {}
            }
        }
        let left = self.give_up().await;
        self.log.rest(self.pipeline.clock.now());
        for reply in self.closing.take().unwrap_or_default().replies {
            // The caller of the close may have gone: the deliveries have been told all the same.
            drop(reply.send(left.clone()));
        }
    }

    fn is_over(&self) -> bool {
        let deadline = self.closing.as_ref().and_then(|closing| closing.deadline);
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Looks at every queue that asked for it, or whose time has come.
    fn refresh_due(&mut self) {
        for queue in self.pipeline.wake_list.take() {
            self.refresh(&queue);
        }
        let now = self.pipeline.clock.now();
        while let Some(alarm) = self.alarms.first_entry()
            && alarm.key().0 <= now
        {
            let queue = alarm.remove();
            queue.state().alarm = None;
            self.refresh(&queue);
        }
        let ttl = self.pipeline.settings.record_ttl;
        let (expired, still): (Vec<_>, _) =
            std::mem::take(&mut self.unknown_shards).into_iter().partition(|unknown| unknown.opened() + ttl <= now);
        self.unknown_shards = still;
        for unknown in expired {
            unknown.into_batch(&self.pipeline).failed(DeliveryErrorKind::Expired);
        }
        self.ask_if_due(now);
        self.log.losses(now);
    }

    /// Brings a queue up to now, sets its alarm, and puts it in line if it has something to send.
    fn refresh(&mut self, queue: &Arc<ShardQueue>) {
        let now = self.pipeline.clock.now();
        let mut state = queue.state();
        state.in_wake_list = false;
        let expired = state.advance(now);
        let joins = state.is_ready(now) && !std::mem::replace(&mut state.in_ready, true);
        let wake_at = state.wake_at(now);
        let alarm = std::mem::replace(&mut state.alarm, wake_at);
        drop(state);
        for batch in expired {
            batch.failed(DeliveryErrorKind::Expired);
        }
        if joins {
            self.ready.push_back(Arc::clone(queue));
        }
        if alarm != wake_at {
            if let Some(at) = alarm {
                self.alarms.remove(&(at, queue.serial()));
            }
            if let Some(at) = wake_at {
                self.alarms.insert((at, queue.serial()), Arc::clone(queue));
            }
        }
    }

    /// Sends requests while there is something to send and one more may be under way. Tokens are taken only now: what waits for a free
    /// request has not used up its shard's rate, and does not come in one burst later.
    ///
    /// What comes shortly after the last request waits for company: one that carries little costs as much CPU as one that is full.
    fn launch(&mut self) {
        let now = self.pipeline.clock.now();
        if self.next_launch().is_some_and(|next| now < next) {
            return;
        }
        while self.requests.len() < self.pipeline.settings.max_requests_in_flight {
            let request = self.collect();
            if request.is_empty() {
                break;
            }
            self.launched = Some(now);
            self.requests.spawn(send_request(Arc::clone(&self.pipeline), request.into_entries(), self.end.subscribe()));
        }
    }

    /// When what is ready may be sent; `None`: at once, or nothing is.
    fn next_launch(&self) -> Option<Tick> {
        let is_paced = !self.ready.is_empty() && self.closing.is_none();
        let pause = self.pipeline.settings.linger.duration() / COMPANY;
        self.launched.filter(|_| is_paced).map(|launched| launched + pause.min(LONGEST_COMPANY))
    }

    fn collect(&mut self) -> Request {
        let mut request = Request::default();
        while let Some(queue) = self.ready.pop_front() {
            let had_company = !request.is_empty();
            let now = self.pipeline.clock.now();
            let mut state = queue.state();
            if state.fill(&queue, now, &mut request) {
                state.in_ready = false;
                drop(state);
                self.refresh(&queue);
                continue;
            }
            drop(state);
            // The request is full. Whoever filled it alone goes to the end of the line, whoever found it nearly full is the next one's first.
            if had_company {
                self.ready.push_front(queue);
            } else {
                self.ready.push_back(queue);
            }
            break;
        }
        request
    }

    fn on_completed(&mut self, completed: Result<Completed, JoinError>) {
        match completed {
            Ok(completed) => self.take_over(completed),
            // Its batches were dropped on the way, and so told as abandoned.
            Err(error) => log(|| tracing::error!(%error, "a request's task ended early")),
        }
    }

    fn take_over(&mut self, completed: Completed) {
        let Completed { again, unknown_shards, map_is_stale, unmended, gone, refused } = completed;
        if let Some((failed, batches)) = unmended {
            self.log.refused(self.pipeline.clock.now(), &failed.code, &failed.message, batches);
        }
        if map_is_stale || refused {
            self.monitor.unexpected += 1;
        }
        if map_is_stale || gone || !unknown_shards.is_empty() {
            // Where the stream is gone this goes on until there is one.
            self.ask_for_shards();
        }
        self.unknown_shards.extend(unknown_shards);
        for (entry, cause) in again {
            self.back(entry, cause);
        }
    }

    /// The way back: a batch is put where it is to be sent from again.
    fn back(&mut self, entry: Entry, cause: Cause) {
        let Entry { queue, batch } = entry;
        let now = self.pipeline.clock.now();
        let map = self.pipeline.map.load_full();
        if !map.has(&queue) {
            for (queue, batch) in reroute(batch, &map) {
                // What was sent by an older map is not the new shard's fault, and there is no reason to wait.
                if cause == Cause::Misrouted {
                    queue.state().enqueue(batch)
                } else {
                    queue.state().retry(now, batch)
                }
                self.refresh(&queue);
            }
            return;
        }
        if cause == Cause::TooLarge {
            divide(batch).into_iter().for_each(|part| queue.state().enqueue(part));
            self.refresh(&queue);
            return;
        }
        if batch.keyless && cause == Cause::Throttled && queue.shard().is_some() {
            let from = map.queues().iter().position(|other| Arc::ptr_eq(other, &queue)).unwrap_or_default();
            let roomier = &map.queues()[self.pipeline.roomy(&map, from)];
            if !Arc::ptr_eq(roomier, &queue) {
                roomier.state().retry(now, move_to_shard(batch, roomier));
                self.refresh(roomier);
                return;
            }
        }
        queue.state().retry(now, batch);
        self.refresh(&queue);
    }

    /// Lets no more records in and sends what is there. `None`: the last handle was dropped.
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
        for queue in self.pipeline.map.load_full().queues() {
            let mut state = queue.state();
            state.shut();
            state.close_now(now);
            drop(state);
            self.refresh(queue);
        }
    }

    /// Ends everything that is left, and says what it was.
    async fn give_up(&mut self) -> Vec<Arc<Failure>> {
        self.end.send_replace(Some(Instant::now()));
        let mut left: Vec<Batch> = Vec::new();
        while let Some(completed) = self.requests.join_next().await {
            if let Ok(completed) = completed {
                left.extend(completed.again.into_iter().map(|(entry, _)| entry.batch));
                self.unknown_shards.extend(completed.unknown_shards);
            }
        }
        let unknown_shards = std::mem::take(&mut self.unknown_shards);
        left.extend(unknown_shards.into_iter().map(|unknown| unknown.into_batch(&self.pipeline)));
        left.extend(self.empty_queues());
        left.into_iter().map(|batch| batch.failed(DeliveryErrorKind::Closed)).collect()
    }

    fn empty_queues(&self) -> Vec<Batch> {
        let map: Arc<ShardMap> = self.pipeline.map.load_full();
        let left = map.queues().iter().flat_map(|queue| queue.state().retire(Access::Closed));
        left.map(|(_, batch)| batch).collect()
    }

    fn next_alarm(&self) -> Option<Instant> {
        let queue = self.alarms.first_key_value().map(|((at, _), _)| *at);
        let has_slots = self.requests.len() < self.pipeline.settings.max_requests_in_flight;
        let launch = self.next_launch().filter(|_| has_slots);
        let ttl = self.pipeline.settings.record_ttl;
        let unknown_shards = self.unknown_shards.iter().map(|unknown| unknown.opened() + ttl).min();
        // A producer that is not used asks nothing: it does when it is used again.
        let is_used = !self.pipeline.accounts.pending.is_empty();
        let monitor = self.monitor.due_at(self.closing.is_some()).filter(|_| is_used);
        let others = [monitor, self.log.due_at()];
        let next = queue.into_iter().chain(launch).chain(unknown_shards).chain(others.into_iter().flatten()).min()?;
        Some(self.pipeline.clock.instant(next))
    }
}

/// The runtime is going down, or the dispatcher panicked: nobody is left who would send anything. Dropping the batches tells their deliveries.
impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.pipeline.accounts.budget.close();
        drop(self.empty_queues());
    }
}

/// Of the linger, which is what the user grants for fewer requests, what is ready waits so large a part for company.
const COMPANY: u32 = 6;
/// As long as the KPL's collector waits.
const LONGEST_COMPANY: Duration = Duration::from_millis(20);

/// Waits for the future if there is one, else for ever.
async fn pending<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
