//! The queue of one shard: its open aggregates, the batches to be sent, and its limiter.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use kinesis_aggregation::{HashKeyRange, is_marked};

use super::aggregate::OpenAggregate;
use super::batch::{ACCEPTED_BY_ALL, Batch};
use super::limit::Limiter;
use crate::accounts::Accounts;
use crate::backoff;
use crate::clock::Tick;
use crate::contents::{Plain, Route};
use crate::delivery::Delivery;
use crate::record::Record;
use crate::settings::{Linger, RateLimit, Settings};
use crate::stream::info::StreamInfo;

/// The queue of one shard.
pub(crate) struct ShardQueue {
    /// Distinguishes queues, and orders queues with the same alarm.
    serial: u64,
    /// `None` if the service distributes the records itself.
    shard: Option<Arc<str>>,
    range: HashKeyRange,
    /// Held while one record's bytes are copied or a batch is moved. A std mutex, because no task awaits under it.
    state: Mutex<QueueState>,
}

/// The rules of a queue, set when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueRules {
    pub(crate) linger: Linger,
    pub(crate) record_ttl: Duration,
    pub(crate) rate_limit: RateLimit,
    /// `None` means no aggregation.
    pub(crate) max_aggregate_bytes: Option<usize>,
}

impl QueueRules {
    pub(crate) fn new(settings: &Settings, info: &StreamInfo) -> Self {
        Self {
            linger: settings.linger,
            record_ttl: settings.record_ttl,
            // If the service distributes the records, the producer cannot know which shard's limit a record counts
            // against.
            rate_limit: if info.routed_by_us { settings.rate_limit } else { RateLimit::UNLIMITED },
            max_aggregate_bytes: info.max_aggregate_bytes(settings),
        }
    }
}

/// The part of a queue that its lock protects.
pub(crate) struct QueueState {
    rules: QueueRules,
    access: Access,
    keyed: OpenAggregate,
    /// Separate from the others, so that keyless records can move to another shard together.
    keyless: OpenAggregate,
    /// Closed batches to be sent, oldest first.
    batches: VecDeque<Batch>,
    /// Batches to be sent again, by the end of their backoff. The number distinguishes equal times.
    retries: BTreeMap<(Tick, u64), Batch>,
    retry_serial: u64,
    limiter: Limiter,
    /// Batches that were popped and have no answer yet.
    in_flight: usize,
    rng: fastrand::Rng,
    /// Records put into this queue. The queue's lock protects the count, because an atomic shared by all queues would
    /// be slow.
    admitted: u64,
    /// The queue is in the wake list, and the dispatcher has not refreshed it yet.
    pub(crate) in_wake_list: bool,
    /// The dispatcher's: the queue is in its list of ready queues.
    pub(crate) in_ready: bool,
    /// The dispatcher's: when it refreshes the queue next.
    pub(crate) alarm: Option<Tick>,
}

/// Whether records can be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Records can be put.
    Open,
    /// The shard is closed. A newer map has the queues of its children.
    Retired,
    /// The producer is closed.
    Closed,
}

impl ShardQueue {
    pub(crate) fn new(
        serial: u64,
        shard: Option<Arc<str>>,
        range: HashKeyRange,
        rules: QueueRules,
        access: Access,
        seed: u64,
    ) -> Arc<Self> {
        let state = QueueState {
            rules,
            access,
            keyed: OpenAggregate::default(),
            keyless: OpenAggregate::default(),
            batches: VecDeque::new(),
            retries: BTreeMap::new(),
            retry_serial: 0,
            limiter: Limiter::new(rules.rate_limit),
            in_flight: 0,
            rng: fastrand::Rng::with_seed(seed ^ serial),
            admitted: 0,
            in_wake_list: false,
            in_ready: false,
            alarm: None,
        };
        Arc::new(Self { serial, shard, range, state: Mutex::new(state) })
    }

    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn shard(&self) -> Option<&str> {
        self.shard.as_deref()
    }

    pub(crate) const fn range(&self) -> HashKeyRange {
        self.range
    }

    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.state.try_lock(), Err(std::sync::TryLockError::WouldBlock))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, QueueState> {
        // A panic under this lock can at worst drop a batch, which then fails as abandoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a put into a queue.
pub(crate) struct Put {
    pub(crate) delivery: Delivery,
    /// The dispatcher must refresh the queue: a batch is to be sent, or to be closed later.
    pub(crate) wake: bool,
    /// An aggregate was full and is closed.
    pub(crate) closed: bool,
}

impl QueueState {
    pub(crate) const fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn put(
        &mut self,
        record: &Record<'_>,
        route: &Route<'_>,
        now: impl Fn() -> Tick,
        accounts: &Arc<Accounts>,
        routed: bool,
    ) -> Put {
        self.admitted += 1;
        let keyless = record.partition_key.is_none();
        let (delivery, closed, news) = match self.rules.max_aggregate_bytes {
            Some(max_bytes) if record.data().len() < max_bytes || wants_envelope(record) => {
                let aggregate = if keyless { &mut self.keyless } else { &mut self.keyed };
                let added = aggregate.add(record, route, now, accounts, max_bytes);
                (added.delivery, added.closed, added.opened)
            }
            _ => {
                let plain = Plain {
                    partition_key: record.partition_key.map(ByteString::from),
                    explicit_hash_key: record.explicit_hash_key,
                    keyless_to: (keyless && routed).then_some(route.hash_key),
                    data: record.data.to_bytes(),
                };
                let batch = Batch::plain(accounts, plain, now(), keyless);
                (batch.delivery(0), Some(batch), true)
            }
        };
        let is_closed = closed.is_some();
        if let Some(batch) = closed {
            self.enqueue(batch);
        }
        Put { delivery, wake: news && !std::mem::replace(&mut self.in_wake_list, true), closed: is_closed }
    }

    /// Adds a closed batch. The batches are in order of age, so the first one expires first.
    pub(crate) fn enqueue(&mut self, batch: Batch) {
        let place = match self.batches.back() {
            Some(last) if last.opened > batch.opened => {
                self.batches.partition_point(|other| other.opened <= batch.opened)
            }
            _ => self.batches.len(),
        };
        self.batches.insert(place, batch);
    }

    /// Keeps a batch whose attempt failed until its backoff is over, but not beyond its time to live.
    pub(crate) fn retry(&mut self, now: Tick, batch: Batch) {
        let wait = backoff::full_jitter(backoff::ENTRIES, batch.history.count(), &mut self.rng);
        self.retry_at((now + wait).min(self.expires_at(&batch)), batch);
    }

    pub(crate) fn retry_at(&mut self, at: Tick, batch: Batch) {
        self.retry_serial += 1;
        self.retries.insert((at, self.retry_serial), batch);
    }

    /// Closes the open aggregates now. Returns `true` if the dispatcher must refresh the queue.
    pub(crate) fn close_now(&mut self, now: Tick) -> bool {
        let open = [self.keyed.close(now), self.keyless.close(now)];
        let any = open.iter().any(Option::is_some);
        open.into_iter().flatten().for_each(|batch| self.enqueue(batch));
        any && !std::mem::replace(&mut self.in_wake_list, true)
    }

    /// Brings the queue up to now: closes the aggregates that are due and adds the retries whose backoff is over.
    /// Returns the batches whose time to live is over.
    pub(crate) fn advance(&mut self, now: Tick) -> Vec<Batch> {
        let linger = self.rules.linger;
        let due = [self.keyed.close_if_due(now, linger), self.keyless.close_if_due(now, linger)];
        due.into_iter().flatten().for_each(|batch| self.enqueue(batch));
        while let Some(retry) = self.retries.first_entry()
            && retry.key().0 <= now
        {
            let batch = retry.remove();
            self.enqueue(batch);
        }
        let mut expired = Vec::new();
        while self.batches.front().is_some_and(|batch| self.expires_at(batch) <= now) {
            expired.extend(self.batches.pop_front());
        }
        expired
    }

    /// Returns `true` if a batch can be sent now.
    pub(crate) fn is_ready(&self, now: Tick) -> bool {
        self.batches.front().is_some_and(|batch| self.limiter.ready_at(batch.wire_len()) <= now)
    }

    /// Returns when the queue must be refreshed next. Sending what [is ready](Self::is_ready) is not a reason.
    pub(crate) fn wake_at(&self, now: Tick) -> Option<Tick> {
        let linger = self.rules.linger;
        let head = self.batches.front();
        let expiry = head.map(|batch| self.expires_at(batch));
        let tokens = head.map(|batch| self.limiter.ready_at(batch.wire_len())).filter(|at| *at > now);
        let retry = self.retries.first_key_value().map(|((at, _), _)| *at);
        [self.keyed.close_at(linger), self.keyless.close_at(linger), expiry, tokens, retry].into_iter().flatten().min()
    }

    /// Removes the oldest batch and takes its tokens, if the batch can be sent now and fits.
    pub(crate) fn pop_ready(&mut self, now: Tick, fits: impl FnOnce(&Batch) -> bool) -> Option<Batch> {
        if !self.is_ready(now) || !self.batches.front().is_some_and(fits) {
            return None;
        }
        let batch = self.batches.pop_front()?;
        self.limiter.take(now, batch.wire_len());
        self.in_flight += 1;
        Some(batch)
    }

    /// Counts the answer for a batch that was [popped](Self::pop_ready). Every kind of answer counts.
    pub(crate) fn answered(&mut self) {
        debug_assert!(self.in_flight > 0, "an answer for a batch that was not popped");
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    #[cfg(test)]
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns `true` if a record that is put now does not wait for earlier ones.
    pub(crate) fn has_room(&self, now: Tick) -> bool {
        self.access == Access::Open && self.batches.is_empty() && self.limiter.ready_at(0) <= now
    }

    /// Removes all batches and admits no more records. Retries keep their times.
    pub(crate) fn retire(&mut self, access: Access) -> Vec<(Option<Tick>, Batch)> {
        self.access = access;
        let open = [self.keyed.close(Tick::ZERO), self.keyless.close(Tick::ZERO)];
        let retries = std::mem::take(&mut self.retries).into_iter().map(|((at, _), batch)| (Some(at), batch));
        let waiting = std::mem::take(&mut self.batches).into_iter().chain(open.into_iter().flatten());
        waiting.map(|batch| (None, batch)).chain(retries).collect()
    }

    /// Returns a copy of the limiter: what the shard was sent.
    pub(crate) fn limiter(&self) -> Limiter {
        self.limiter.clone()
    }

    /// Inherits what a parent shard was sent.
    pub(crate) fn inherit(&mut self, now: Tick, parent: &Limiter) {
        self.limiter.inherit(now, parent);
    }

    /// Returns the number of records put into this queue.
    pub(crate) const fn admitted(&self) -> u64 {
        self.admitted
    }

    /// Changes the largest aggregate. With `None` records are sent alone. Closes the open aggregates. Returns `true` if
    /// the dispatcher must refresh the queue.
    pub(crate) fn aggregate_to(&mut self, now: Tick, max_aggregate_bytes: Option<usize>) -> bool {
        self.rules.max_aggregate_bytes = max_aggregate_bytes;
        self.close_now(now)
    }

    /// Admits no more records. The batches in the queue are still sent.
    pub(crate) fn shut(&mut self) {
        if self.access == Access::Open {
            self.access = Access::Closed;
        }
    }

    fn expires_at(&self, batch: &Batch) -> Tick {
        batch.opened + self.rules.record_ttl
    }
}

/// Returns `true` if the record's data is an aggregate itself, which readers would deaggregate, and an envelope around
/// it surely fits into a record.
fn wants_envelope(record: &Record<'_>) -> bool {
    is_marked(record.data()) && record.wire_len() + ENVELOPE <= ACCEPTED_BY_ALL
}

/// More than the envelope of one record and its explicit hash key.
const ENVELOPE: usize = 128;

#[cfg(test)]
mod tests;
