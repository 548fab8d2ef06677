//! A batch: the user records of one Kinesis record, and the ways in which it ends.

use std::sync::Arc;
use std::time::Duration;

use kinesis_aggregation::Aggregator;

use super::judge::Failed;
use crate::accounts::Accounts;
use crate::accounts::budget::{BATCH_BYTES, CHARGE_STEP, RECORD_BYTES};
use crate::clock::Tick;
use crate::contents::{Contents, Plain, Route};
use crate::delivery::{Completion, Delivery, Written};
use crate::error::Failure;
use crate::outcome::{Attempt, DeliveryErrorKind, History, Outcome, code};
use crate::record::Record;
use crate::watch::tally::Tally;

/// The records of one Kinesis record, from the first put until all their deliveries have resolved.
///
/// A batch ends in exactly one way: [`written`](Self::written), [`failed`](Self::failed) or
/// [`forwarded`](Self::forwarded). If a task panics or the runtime is shut down, the batch is dropped, and fails as
/// abandoned. So every delivery resolves.
pub(crate) struct Batch {
    /// When its first record was admitted. The age of the batch counts from here.
    pub(crate) opened: Tick,
    /// Whether all its records are keyless, so that the batch may move to another shard.
    pub(crate) keyless: bool,
    /// Whether it must be sent in a request of its own. Its last request was refused because of one entry, maybe this
    /// one.
    pub(crate) alone: bool,
    pub(crate) history: History,
    body: Body,
    /// The length of the partition key with which a single record is sent.
    first_key_len: usize,
    completion: Arc<Completion>,
    accounts: Arc<Accounts>,
    generation: u64,
    charged: usize,
    settled: bool,
    /// When the current attempt began, counted from the opening.
    sent: Option<Duration>,
}

enum Body {
    /// Accepts more records.
    Open(Box<Aggregator>),
    /// Accepts no more records, and is not yet in its final form.
    Closed(Box<Aggregator>),
    /// The final bytes. Every attempt sends the same bytes.
    Built(Contents),
    /// Moved out while the form changes or the batch ends.
    Gone,
}

impl Batch {
    /// Opens a batch for many records.
    pub(crate) fn open(accounts: &Arc<Accounts>, aggregator: Box<Aggregator>, opened: Tick, keyless: bool) -> Self {
        Self::new(accounts, Body::Open(aggregator), opened, keyless, accounts.pending.enter())
    }

    /// Makes a batch of one record, which is sent unchanged.
    pub(crate) fn plain(accounts: &Arc<Accounts>, plain: Plain, opened: Tick, keyless: bool) -> Self {
        let body = Body::Built(Contents::Plain(plain));
        let mut batch = Self::new(accounts, body, opened, keyless, accounts.pending.enter());
        batch.recharge();
        batch
    }

    /// Makes a batch that receives records of this one. This one must then be [`forwarded`](Self::forwarded).
    pub(crate) fn successor(&self, contents: Contents) -> Self {
        self.accounts.pending.join(self.generation);
        let mut batch = Self::new(&self.accounts, Body::Built(contents), self.opened, self.keyless, self.generation);
        batch.history = self.history.clone();
        batch.recharge();
        batch
    }

    fn new(accounts: &Arc<Accounts>, body: Body, opened: Tick, keyless: bool, generation: u64) -> Self {
        Self {
            opened,
            keyless,
            alone: false,
            history: History::default(),
            body,
            first_key_len: 0,
            completion: Completion::new(),
            accounts: Arc::clone(accounts),
            generation,
            charged: 0,
            settled: false,
            sent: None,
        }
    }

    /// Adds a record if it fits. Returns its delivery.
    pub(crate) fn try_add(&mut self, record: &Record<'_>, route: &Route<'_>) -> Option<Delivery> {
        let Body::Open(aggregator) = &mut self.body else { return None };
        let index = aggregator.len();
        if !aggregator.try_add_hashed(route.hash_key, route.partition_key, route.explicit_hash_key, record.data()) {
            return None;
        }
        if index == 0 {
            self.first_key_len = route.partition_key.len();
        }
        self.recharge();
        Some(self.delivery(index as u32))
    }

    pub(crate) fn delivery(&self, index: u32) -> Delivery {
        Delivery::new(Arc::clone(&self.completion), index)
    }

    /// Returns the bytes of data and partition key that a request carries for the batch.
    pub(crate) fn wire_len(&self) -> usize {
        match &self.body {
            Body::Open(aggregator) | Body::Closed(aggregator) => {
                let key_len = if aggregator.len() == 1 { self.first_key_len } else { OUTER_KEY_LEN };
                aggregator.encoded_len() + key_len
            }
            Body::Built(contents) => contents.wire_len(),
            Body::Gone => 0,
        }
    }

    /// Brings the records into their final form. This hashes the aggregate, which is most of the work. So the sending
    /// tasks do it, in parallel, and not the caller that puts the last record.
    pub(crate) fn build(&mut self) -> &Contents {
        self.body = match std::mem::replace(&mut self.body, Body::Gone) {
            Body::Open(mut aggregator) | Body::Closed(mut aggregator) => {
                let record = aggregator.take().expect("a batch is opened with a record");
                self.accounts.pool.put(aggregator);
                Body::Built(Contents::Aggregate { record, keyless: self.keyless })
            }
            built => built,
        };
        self.recharge();
        match &self.body {
            Body::Built(contents) => contents,
            _ => unreachable!("built above, and gone only when the batch ends"),
        }
    }

    /// Accepts no more records.
    ///
    /// The unused capacity of the buffers is returned only when the batch is [built](Self::build). Here the batch's
    /// queue is locked, and to return room can wake a caller that puts into this very queue.
    pub(crate) fn close(&mut self) {
        if let Body::Open(aggregator) = std::mem::replace(&mut self.body, Body::Gone) {
            self.body = Body::Closed(aggregator);
        }
    }

    /// Returns `true` if the batch is larger than every stream accepts and its single records may not be.
    pub(crate) fn is_divisible(&self) -> bool {
        matches!(&self.body, Body::Built(Contents::Aggregate { record, .. }) if record.len() > 1)
            && self.wire_len() > ACCEPTED_BY_ALL
    }

    /// Sends the same records in another form from now on.
    pub(crate) fn replace(&mut self, contents: Contents) {
        self.body = Body::Built(contents);
    }

    /// Ends the batch: all records are in the stream.
    pub(crate) fn written(mut self, shard: Arc<str>, sequence_number: Arc<str>) {
        let attempts = self.history.count() + 1;
        let records = self.build().len() as u64;
        self.completion.written(Written { shard, sequence_number, attempts });
        self.settle(Tally { written: records, ..Tally::default() });
    }

    /// Ends the batch: the records are given up.
    pub(crate) fn failed(mut self, kind: DeliveryErrorKind) -> Arc<Failure> {
        self.fail(kind)
    }

    /// Ends the batch: its records moved to other batches. `to` has the new place of each record, by index.
    pub(crate) fn forwarded(mut self, to: Vec<(&Self, u32)>) {
        let to = to.into_iter().map(|(batch, index)| (Arc::clone(&batch.completion), index)).collect();
        self.completion.forwarded(to);
        self.settle(Tally::default());
    }

    /// Records the beginning of an attempt.
    pub(crate) fn sent(&mut self, now: Tick) {
        self.sent = Some(now.since(self.opened));
    }

    /// Records the failure of the current attempt.
    pub(crate) fn attempted(&mut self, now: Tick, failed: Failed) {
        let age = now.since(self.opened);
        let after = self.sent.take().unwrap_or(age);
        let Failed { code, message, outcome, .. } = failed;
        self.history.add(Attempt { after, took: age.saturating_sub(after), code, message, outcome });
    }

    fn fail(&mut self, kind: DeliveryErrorKind) -> Arc<Failure> {
        if let Some(after) = self.sent.take() {
            // The request was dropped in flight. The reason and the time are not known here.
            let (code, message) = (code::ABORTED.into(), "the request was given up".into());
            self.history.add(Attempt { after, took: Duration::ZERO, code, message, outcome: Outcome::Unknown });
        }
        self.build();
        let Body::Built(contents) = std::mem::replace(&mut self.body, Body::Gone) else {
            unreachable!("built in the line above")
        };
        let history = std::mem::take(&mut self.history);
        let (outcome, count, records) = (history.outcome(), history.count(), contents.len() as u64);
        let losses = Arc::clone(&self.accounts.losses);
        let attempts = history.into_attempts();
        let origin = Arc::clone(&self.accounts.origin);
        let failure = Arc::new(Failure { kind, outcome, attempts, count, contents, origin, losses });
        failure.unwatched(self.completion.failed(Arc::clone(&failure)));
        self.settle(Tally::failed(outcome, records));
        failure
    }

    /// Returns the room and counts the batch as settled. The deliveries have resolved before, so a task that is woken
    /// by a flush or by room finds them resolved.
    fn settle(&mut self, tally: Tally) {
        self.settled = true;
        self.accounts.budget.release(self.charged);
        self.accounts.pending.settle(self.generation, tally);
    }

    /// Charges the bytes that the batch holds now: in steps while it grows, and exactly once it is built.
    fn recharge(&mut self) {
        let held = match &self.body {
            Body::Open(aggregator) | Body::Closed(aggregator) => held_by(aggregator).next_multiple_of(CHARGE_STEP),
            Body::Built(contents) => BATCH_BYTES + contents.capacity_bytes() + contents.len() * RECORD_BYTES,
            Body::Gone => 0,
        };
        self.accounts.budget.charge(held.saturating_sub(self.charged));
        self.accounts.budget.release(self.charged.saturating_sub(held));
        self.charged = held;
    }
}

fn held_by(aggregator: &Aggregator) -> usize {
    BATCH_BYTES + aggregator.capacity_bytes() + aggregator.len() * RECORD_BYTES
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.settled {
            self.fail(DeliveryErrorKind::Abandoned);
        }
    }
}

/// The smallest maximum record size that a stream can have.
pub(crate) const ACCEPTED_BY_ALL: usize = 1 << 20;
/// The partition key of an aggregate has one letter.
pub(crate) const OUTER_KEY_LEN: usize = 1;
