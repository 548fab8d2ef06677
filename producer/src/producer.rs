//! The handle a user holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::task::consume_budget;
use tokio::time::Instant;

use crate::accounts::budget::footprint;
use crate::builder::Builder;
use crate::delivery::Delivery;
use crate::error::{Closed, DeliveryError, FailedRecord, PutError, Refusal, ReserveError, TryPutError};
use crate::foreign::guarded;
use crate::pipeline::Pipeline;
use crate::pipeline::admit::RecordLimits;
use crate::pipeline::dispatch::{Close, Dispatcher};
use crate::record::Record;
use crate::settings::Settings;
use crate::watch::tally::Tally;

/// Puts records into one stream: aggregated, at the rate its shards take, tried again until written, each with a receipt.
///
/// A handle: clones are cheap and put through the same buffers. The work is done by a task that starts with
/// [`build`](Builder::build) and sleeps while there is nothing to do. When the last handle is dropped that task sends what was admitted
/// and ends, within one record TTL and one request timeout; [`close`](Self::close) does the same with a deadline and an account.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    pipeline: Arc<Pipeline>,
    closes: mpsc::Sender<Close>,
}

impl Handle {
    /// As far as is known now: the stream's limit can be changed.
    fn limits(&self) -> RecordLimits {
        let max_buffered_bytes = self.pipeline.accounts.budget.total();
        RecordLimits { max_record_bytes: self.pipeline.max_record_bytes(), max_buffered_bytes }
    }

    fn refused(&self, refusal: Refusal, record: Record<'_>) -> PutError {
        if matches!(refusal, Refusal::TooLarge { .. }) {
            self.pipeline.doubt();
        }
        PutError::Refused { refusal, record: record.to_owned().into() }
    }
}

impl Producer {
    /// A producer for the stream of this name or ARN, with the client's credentials, region and endpoint.
    ///
    /// Of the client's configuration the timeouts and the retries are replaced.
    pub fn builder(client: Client, stream: impl Into<String>) -> Builder {
        Builder::new(client, stream.into())
    }

    pub(crate) fn start(pipeline: Arc<Pipeline>) -> Self {
        // One: closes are rare, and whoever closes can wait for the dispatcher to see it.
        let (closes, receiver) = mpsc::channel(1);
        tokio::spawn(Dispatcher::new(Arc::clone(&pipeline), receiver).run());
        Self { handle: Arc::new(Handle { pipeline, closes }) }
    }

    /// Admits a record, waiting for room in the buffers but never for the network.
    ///
    /// The record is on its way when this returns; the [`Delivery`] tells how that ended. A loop of puts lets other tasks run, as far as
    /// tokio's budget for a task says, although there is room.
    ///
    /// # Errors
    ///
    /// [`PutError`]: nothing was sent, and the record comes back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has admitted nothing and holds no room. Those who wait are served in order; a new try begins at the
    /// end of the line.
    pub async fn put(&self, record: Record<'_>) -> Result<Delivery, PutError> {
        consume_budget().await;
        match self.try_put(record) {
            Ok(delivery) => Ok(delivery),
            Err(TryPutError::Put(error)) => Err(error),
            Err(TryPutError::Full(record)) => {
                // The line is for the record's size, whatever the aggregate it will be in has free: otherwise small records would pass
                // by a large one for ever.
                match self.reserve(record.wire_len()).await {
                    Ok(permit) => permit.put(record),
                    // The stream takes less than it did a moment ago.
                    Err(ReserveError::TooLarge { bytes, limit }) => {
                        Err(self.handle.refused(Refusal::TooLarge { bytes, limit }, record))
                    }
                    Err(ReserveError::Closed) => Err(PutError::Closed { record: record.to_owned().into() }),
                }
            }
        }
    }

    /// Admits a record if there is room now.
    ///
    /// # Errors
    ///
    /// [`TryPutError::Full`] gives the record back as it was; otherwise as [`put`](Self::put).
    pub fn try_put<'a>(&self, record: Record<'a>) -> Result<Delivery, TryPutError<'a>> {
        let pipeline = &self.handle.pipeline;
        if let Err(refusal) = self.handle.limits().check(&record) {
            return Err(self.handle.refused(refusal, record).into());
        }
        if !pipeline.accounts.budget.has_room(footprint(record.wire_len())) {
            return Err(TryPutError::Full(record));
        }
        let closed = |Closed| PutError::Closed { record: record.to_owned().into() };
        Ok(pipeline.submit(&record).map_err(closed)?)
    }

    /// Waits for room for a record of this many bytes of data and partition key, to be put without waiting.
    ///
    /// The back-pressure by itself, for a `select!`.
    ///
    /// # Errors
    ///
    /// [`ReserveError`]: no record may be that large, or the producer is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has taken no room.
    pub async fn reserve(&self, bytes: usize) -> Result<Permit<'_>, ReserveError> {
        consume_budget().await;
        let (pipeline, limits) = (&self.handle.pipeline, self.handle.limits());
        let limit = limits.max_record_bytes.min(limits.max_buffered_bytes.saturating_sub(footprint(0)));
        if bytes > limit {
            pipeline.doubt();
            return Err(ReserveError::TooLarge { bytes, limit });
        }
        pipeline.accounts.budget.reserve(footprint(bytes)).await.map_err(|Closed| ReserveError::Closed)?;
        Ok(Permit { producer: self, bytes })
    }

    /// Admits all records and waits until all are resolved. Returns those that failed, in order.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has admitted some of the records, which are delivered all the same; which ones is not known.
    pub async fn put_all<'a>(
        &self,
        records: impl IntoIterator<Item = Record<'a>, IntoIter: Send> + Send,
    ) -> Vec<FailedRecord> {
        let mut admitted = Vec::new();
        for record in records {
            admitted.push(self.put(record).await);
        }
        self.handle.pipeline.close_open();
        let mut failed = Vec::new();
        for delivery in admitted {
            match delivery {
                Ok(delivery) => failed.extend(delivery.await.err().map(FailedRecord::from)),
                Err(error) => failed.push(error.into()),
            }
        }
        failed
    }

    /// Sends what is open now and waits until everything admitted before this call is resolved, one way or the other (P8).
    ///
    /// Records admitted meanwhile are not waited for. It takes at most one record TTL and one request timeout.
    ///
    /// The report says how the records ended that were admitted since the flush before: each is in one report at least, and where flushes
    /// overlap it may be in two.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what is open was sent with the first poll, the rest is waiting. What it would have told the next flush tells.
    pub async fn flush(&self) -> FlushReport {
        let Tally { written, not_written, unknown } = self.handle.pipeline.flush().await;
        FlushReport { written, not_written, unknown }
    }

    /// Lets no more records in, through no handle, sends what was admitted, and returns when all of it is resolved or the deadline, counted
    /// from now, has passed. What is left then is given up: its deliveries resolve with an error, and the same errors are in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, the producer is closed all the same, with the same deadline, but nobody gets the report.
    pub async fn close(self, deadline: Duration) -> CloseReport {
        let now = Instant::now();
        let deadline = now.checked_add(deadline).unwrap_or_else(|| now + FAR);
        let (reply, left) = oneshot::channel();
        // A dispatcher that is gone has left nothing: it told all deliveries when it went.
        let left = match guarded(self.handle.closes.send(Close { deadline, reply })).await {
            Ok(()) => guarded(left).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        CloseReport { undelivered: left.iter().flat_map(|failure| failure.errors()).collect(), counts: self.counts() }
    }

    /// How many records were admitted and how they ended, since the producer was built. Those that are missing are on their way.
    pub fn counts(&self) -> Counts {
        let pipeline = &self.handle.pipeline;
        // First what ended, so that it is never more than what began.
        let Tally { written, not_written, unknown } = pipeline.accounts.pending.ended();
        let unwatched = pipeline.accounts.losses.so_far().records;
        Counts { admitted: pipeline.admitted(), written, not_written, unknown, unwatched }
    }

    /// The bytes that admitted records hold now, their buffers' whole capacity counted.
    pub fn buffered_bytes(&self) -> usize {
        self.handle.pipeline.accounts.budget.held()
    }

    /// The largest record the stream takes, in bytes of data and partition key, as far as is known: it can be changed under a running producer,
    /// which asks every five minutes while it is used.
    pub fn max_record_bytes(&self) -> usize {
        self.handle.pipeline.max_record_bytes()
    }

    /// What the producer was built with.
    pub fn settings(&self) -> &Settings {
        &self.handle.pipeline.settings
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("settings", self.settings()).finish_non_exhaustive()
    }
}

/// Room for one record, from [`Producer::reserve`]. Dropping it gives the room back.
#[must_use = "a permit holds room in the buffers"]
pub struct Permit<'p> {
    producer: &'p Producer,
    bytes: usize,
}

impl Permit<'_> {
    /// Admits a record of at most the reserved size.
    ///
    /// # Errors
    ///
    /// [`PutError`]: the record cannot be put, or is larger than the permit, or the producer was closed meanwhile.
    pub fn put(self, record: Record<'_>) -> Result<Delivery, PutError> {
        let (pipeline, limits) = (&self.producer.handle.pipeline, self.producer.handle.limits());
        let bytes = record.wire_len();
        let too_large =
            || if bytes > self.bytes { Err(Refusal::LargerThanPermit { bytes, limit: self.bytes }) } else { Ok(()) };
        if let Err(refusal) = limits.check(&record).and_then(|()| too_large()) {
            return Err(self.producer.handle.refused(refusal, record));
        }
        // The record's buffers are charged for what they really hold; the permit, given back right after, kept the room free until then.
        pipeline.submit(&record).map_err(|Closed| PutError::Closed { record: record.to_owned().into() })
    }

    /// The reserved size in bytes of data and partition key.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.producer.handle.pipeline.accounts.budget.release(footprint(self.bytes));
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What [`Producer::close`] left.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "what was not delivered is in the report"]
pub struct CloseReport {
    /// One error for each record that was admitted and not resolved before the deadline. Empty: everything was.
    pub undelivered: Vec<DeliveryError>,
    /// All records since the producer was built, those left included.
    pub counts: Counts,
}

/// How the records ended that a [`Producer::flush`] waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "a flush returns also when records were lost"]
pub struct FlushReport {
    /// They are in the stream.
    pub written: u64,
    /// They are lost, and not in the stream.
    pub not_written: u64,
    /// They failed, and may be in the stream.
    pub unknown: u64,
}

impl FlushReport {
    /// Whether every record is in the stream.
    pub const fn is_all_written(&self) -> bool {
        self.not_written == 0 && self.unknown == 0
    }
}

/// Records since the producer was built. `admitted` less the next three is what is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Counts {
    /// Taken by a put.
    pub admitted: u64,
    /// In the stream.
    pub written: u64,
    /// Lost, and not in the stream.
    pub not_written: u64,
    /// Failed, and possibly in the stream.
    pub unknown: u64,
    /// Of the two before: those whose [`Delivery`] was dropped before it told, so that nobody knows but a log and this count.
    pub unwatched: u64,
}

/// As good as never, and no overflow of the platform's instants.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
