//! Runs the closure on the records of a shard, several at a time.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::coop;

use super::attempt::{Attempts, BoxError, Outcome};
use super::deliver::{Progress, Work};
use super::on_error::OnError;
use crate::fetch::Batch;
use crate::record::Record;
use crate::settings::{SettingError, check};
use crate::shard::ShardId;

/// How many records of one shard are processed at a time, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Concurrency {
    slots: usize,
    per_key: bool,
}

impl Concurrency {
    /// Processes up to `slots` records of a shard at a time, from 1 to 10 000. Records of one partition key run one after the
    /// other, in their order. 0 counts as 1.
    #[must_use]
    pub const fn per_key(slots: usize) -> Self {
        Self { slots: if slots == 0 { 1 } else { slots }, per_key: true }
    }

    /// Processes up to `slots` records of a shard at a time, from 1 to 10 000, in any order. 0 counts as 1.
    #[must_use]
    pub const fn unordered(slots: usize) -> Self {
        Self { slots: if slots == 0 { 1 } else { slots }, per_key: false }
    }

    /// Checks the number of slots against its limit: each slot of each shard costs memory, busy or not.
    pub(crate) fn validate(self) -> Result<(), SettingError> {
        check("concurrency", self.slots <= MOST_SLOTS, format_args!("{}", self.slots), "must not be more than 10000")
    }

    fn queues(self) -> usize {
        if self.per_key { self.slots } else { 1 }
    }

    /// Returns the index of the queue for a record: always the same for one key.
    fn queue_of(self, partition_key: &str) -> usize {
        if self.queues() == 1 {
            return 0;
        }
        // The hasher's keys are fixed, so the same seed gives the same run.
        let mut hasher = DefaultHasher::new();
        // A record in an aggregate can have a key of a megabyte, shared by thousands of records. Of a key this long, which no
        // AWS producer writes, only a fixed part is hashed. Equal keys still get the same queue.
        if partition_key.len() <= HASHED_WHOLE {
            partition_key.hash(&mut hasher);
        } else {
            let bytes = partition_key.as_bytes();
            let (start, end) = (&bytes[..HASHED_WHOLE / 2], &bytes[bytes.len() - HASHED_WHOLE / 2..]);
            (bytes.len(), start, end).hash(&mut hasher);
        }
        usize::try_from(hasher.finish() % self.queues() as u64).expect("less than the number of queues")
    }
}

/// The closure of [`Consumer::run_records`](crate::Consumer::run_records) for one shard.
///
/// Each slot is a future that exists as long as the shard and takes records from its queue, so that a record costs no
/// allocation. All slots of a shard run in its task; the tasks of other shards run in parallel.
pub(crate) struct Parallel<H> {
    handler: Arc<H>,
    concurrency: Concurrency,
    shard: ShardId,
    on_error: OnError,
    rng: fastrand::Rng,
    queues: Vec<Arc<Queue>>,
    slots: FuturesUnordered<BoxFuture<'static, ()>>,
    done: mpsc::UnboundedReceiver<(u64, Outcome)>,
    finished: mpsc::UnboundedSender<(u64, Outcome)>,
    unfinished: usize,
    bounds: Arc<Bounds>,
    winding_up: watch::Sender<bool>,
}

/// Records that wait for a slot, each with its number.
#[derive(Debug, Default)]
struct Queue {
    /// A std mutex: held for a push or a pop, never across an await.
    records: Mutex<VecDeque<(u64, Record)>>,
    ready: Notify,
}

/// Which records have been begun, and which must not be begun any more.
#[derive(Debug)]
struct Bounds {
    /// One more than the highest number begun.
    begun: AtomicU64,
    /// Records from this number on are abandoned instead of begun.
    cut: AtomicU64,
}

impl<H, F, E> Parallel<H>
where
    H: Fn(Record) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    pub(crate) fn new(
        handler: Arc<H>,
        concurrency: Concurrency,
        shard: ShardId,
        on_error: OnError,
        rng: fastrand::Rng,
    ) -> Self {
        let (finished, done) = mpsc::unbounded_channel();
        let bounds = Bounds { begun: AtomicU64::new(0), cut: AtomicU64::new(u64::MAX) };
        Self {
            handler,
            concurrency,
            shard,
            on_error,
            rng,
            queues: Vec::new(),
            slots: FuturesUnordered::new(),
            done,
            finished,
            unfinished: 0,
            bounds: Arc::new(bounds),
            winding_up: watch::Sender::new(false),
        }
    }

    fn told(&mut self, (number, outcome): (u64, Outcome)) -> Progress {
        self.unfinished -= 1;
        Progress { numbers: number..number + 1, outcome }
    }

    /// Creates the slots when the first records arrive: an idle shard has none.
    fn open(&mut self) {
        self.queues = (0..self.concurrency.queues()).map(|_| Arc::default()).collect();
        for slot in 0..self.concurrency.slots {
            let handler = Arc::clone(&self.handler);
            let attempts = Attempts {
                handler: move |record| handler(record),
                shard: self.shard.clone(),
                on_error: self.on_error.clone(),
                rng: self.rng.fork(),
                winding_up: self.winding_up.subscribe(),
            };
            let queue = Arc::clone(&self.queues[slot % self.queues.len()]);
            self.slots.push(Box::pin(slot_of(queue, attempts, Arc::clone(&self.bounds), self.finished.clone())));
        }
    }
}

impl<H, F, E> Work for Parallel<H>
where
    H: Fn(Record) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    fn accept(&mut self, numbers: Range<u64>, batch: Batch) {
        if self.queues.is_empty() {
            self.open();
        }
        for (number, record) in numbers.zip(batch.records()) {
            self.unfinished += 1;
            self.queues[self.concurrency.queue_of(record.partition_key())].push(number, record.clone());
        }
    }

    /// Always `true`: the budget bounds what waits, since batches are held until their records are done.
    fn has_room(&self) -> bool {
        true
    }

    fn is_idle(&self) -> bool {
        self.unfinished == 0
    }

    async fn progress(&mut self) -> Progress {
        if self.is_idle() {
            return std::future::pending().await;
        }
        loop {
            if let Some(progress) = self.ready() {
                return progress;
            }
            // Drives the slots. They never end, so this returns only when a record is finished.
            tokio::select! { biased;
                Some(()) = self.slots.next() => {}
                Some(done) = self.done.recv() => return self.told(done),
            }
        }
    }

    fn ready(&mut self) -> Option<Progress> {
        let done = self.done.try_recv().ok()?;
        Some(self.told(done))
    }

    /// Finishes the records that are begun and all before them, so that no finished record lies behind a gap. Begins no others.
    fn wind_up(&mut self) {
        self.bounds.cut.store(self.bounds.begun.load(Ordering::Relaxed), Ordering::Relaxed);
        self.winding_up.send_replace(true);
    }
}

/// Processes record after record from the queue.
async fn slot_of<H, F, E>(
    queue: Arc<Queue>,
    mut attempts: Attempts<H>,
    bounds: Arc<Bounds>,
    finished: mpsc::UnboundedSender<(u64, Outcome)>,
) where
    H: Fn(Record) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    loop {
        // Closures that are ready at once would occupy the thread for as long as there are records: let other tasks run.
        coop::consume_budget().await;
        let (number, record) = queue.pop().await;
        let outcome = if number >= bounds.cut.load(Ordering::Relaxed) {
            Outcome::GivenUp
        } else {
            bounds.begun.fetch_max(number + 1, Ordering::Relaxed);
            attempts.run(record).await
        };
        if finished.send((number, outcome)).is_err() {
            return;
        }
    }
}

impl Queue {
    fn push(&self, number: u64, record: Record) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, record));
        self.ready.notify_one();
    }

    async fn pop(&self) -> (u64, Record) {
        loop {
            // Looked at before waiting. A notification can be for a record that another slot has taken. The reverse cannot
            // happen, since a notification follows every push.
            if let Some(next) = self.records.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                return next;
            }
            self.ready.notified().await;
        }
    }
}

/// The limit of slots; so many take about 20 MB a shard.
const MOST_SLOTS: usize = 10_000;

/// The longest partition key that the service takes outside of an aggregate has 256 characters, and most of them have one byte.
const HASHED_WHOLE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_has_one_queue() {
        let queues = Concurrency::per_key(1 << 16);
        for len in [0, 1, 256, 257, 1 << 20] {
            let key = "k".repeat(len);
            assert_eq!(queues.queue_of(&key), queues.queue_of(&key.clone()), "{len} bytes");
        }
        // Whole up to 256 bytes; beyond that the length and both ends count.
        let differ = |a: String, b: String| queues.queue_of(&a) != queues.queue_of(&b);
        let with = |len: usize, at: usize| format!("{}x{}", "k".repeat(at), "k".repeat(len - at - 1));
        assert!(differ(with(256, 127), with(256, 128)));
        assert!(differ(with(1000, 0), with(1000, 1)));
        assert!(differ(with(1000, 998), with(1000, 999)));
        assert!(differ("k".repeat(1000), "k".repeat(1001)));
    }

    /// 170 000 records of one aggregate can name one key of a megabyte (Q46).
    #[test]
    fn what_is_hashed_of_a_key_is_bounded() {
        let queues = Concurrency::per_key(1 << 16);
        let mut key = "k".repeat(1 << 20);
        let before = queues.queue_of(&key);
        key.replace_range(500_000..500_001, "x");
        assert_eq!(queues.queue_of(&key), before, "the middle of a long key is not read");
        for _ in 0..170_000 {
            assert_eq!(queues.queue_of(&key), before);
        }
    }
}
