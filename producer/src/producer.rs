//! The handle that a user holds.

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

/// Puts records into one stream. Each record is aggregated, sent at the rate of its shard, and retried until it is
/// written.
///
/// This is a handle: clones are cheap and share the buffers. [`build`](Builder::build) starts the task that does the
/// work. The task sleeps while there is nothing to do. When the last handle is dropped, the task sends what was
/// admitted and ends, at the latest after one record TTL and one request timeout. [`close`](Self::close) does the same
/// with a deadline and a report.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    pipeline: Arc<Pipeline>,
    closes: mpsc::Sender<Close>,
}

impl Handle {
    /// The limits as far as they are known now: the stream's limit can be changed.
    fn limits(&self) -> RecordLimits {
        let max_buffered_bytes = self.pipeline.accounts.budget.total();
        RecordLimits { max_record_bytes: self.pipeline.max_record_bytes(), max_buffered_bytes }
    }

    fn refused(&self, refusal: Refusal, record: Record<'_>) -> PutError {
        if matches!(refusal, Refusal::TooLarge { .. }) {
            self.pipeline.check_limit();
        }
        PutError::Refused { refusal, record: record.to_owned().into() }
    }
}

impl Producer {
    /// Returns a builder for a producer of the stream with this name or ARN. The producer uses the client's
    /// credentials, region and endpoint.
    ///
    /// The producer replaces the timeouts and the retries in the client's configuration.
    pub fn builder(client: Client, stream: impl Into<String>) -> Builder {
        Builder::new(client, stream.into())
    }

    pub(crate) fn start(pipeline: Arc<Pipeline>) -> Self {
        // One place is enough: closes are rare, and the caller of a close can wait for the dispatcher.
        let (closes, receiver) = mpsc::channel(1);
        tokio::spawn(Dispatcher::new(Arc::clone(&pipeline), receiver).run());
        Self { handle: Arc::new(Handle { pipeline, closes }) }
    }

    /// Admits a record. Waits for room in the buffers, but never for the network.
    ///
    /// When this returns, the record will be sent, and the [`Delivery`] resolves to the result. A loop of puts yields
    /// to other tasks by tokio's budget for a task, even while there is room.
    /// tokio's budget for a task says, although there is room.
    ///
    /// # Errors
    ///
    /// [`PutError`]: nothing was sent, and the error contains the record.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future has admitted nothing and holds no room. Waiting puts are served in order, and a
    /// new try begins at the end of the queue.
    pub async fn put(&self, record: Record<'_>) -> Result<Delivery, PutError> {
        consume_budget().await;
        match self.try_put(record) {
            Ok(delivery) => Ok(delivery),
            Err(TryPutError::Put(error)) => Err(error),
            Err(TryPutError::Full(record)) => {
                // Waits for the record's own size, although the open aggregate may have room for the record. Otherwise
                // small records would overtake a large record for ever.
                match self.reserve(record.wire_len()).await {
                    Ok(permit) => permit.put(record),
                    // The stream's limit has become smaller a moment ago.
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
    /// [`TryPutError::Full`] returns the record unchanged. The other errors are those of [`put`](Self::put).
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

    /// Waits for room for a record of this many bytes of data and partition key. The permit then puts without waiting.
    ///
    /// This is the back-pressure of [`put`](Self::put) alone, for a `select!`.
    ///
    /// # Errors
    ///
    /// [`ReserveError`]: no record may be that large, or the producer is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future has taken no room.
    pub async fn reserve(&self, bytes: usize) -> Result<Permit<'_>, ReserveError> {
        consume_budget().await;
        let (pipeline, limits) = (&self.handle.pipeline, self.handle.limits());
        let limit = limits.max_record_bytes.min(limits.max_buffered_bytes.saturating_sub(footprint(0)));
        if bytes > limit {
            pipeline.check_limit();
            return Err(ReserveError::TooLarge { bytes, limit });
        }
        pipeline.accounts.budget.reserve(footprint(bytes)).await.map_err(|Closed| ReserveError::Closed)?;
        Ok(Permit { producer: self, bytes })
    }

    /// Admits all records and waits until all are resolved. Returns the records that failed, in order.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: when the future is dropped, some of the records are admitted and will be delivered. The caller
    /// cannot know which.
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

    /// Sends the open aggregates now and waits until every record that was admitted before this call has resolved (P8).
    ///
    /// Records that are admitted meanwhile are not waited for. A flush takes at most one record TTL and one request
    /// timeout.
    ///
    /// The report counts the records that were admitted since the previous flush. Each record is in at least one
    /// report. Where flushes overlap, a record may be in two.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the first poll sends the open aggregates, and the rest is waiting. The next flush reports the
    /// records instead.
    pub async fn flush(&self) -> FlushReport {
        let Tally { written, not_written, unknown } = self.handle.pipeline.flush().await;
        FlushReport { written, not_written, unknown }
    }

    /// Closes the producer for all its handles, sends what was admitted, and waits until all of it has resolved, at
    /// most for the time `deadline` from now.
    ///
    /// Records that are left at the deadline are given up: their deliveries resolve to errors, and the report contains
    /// the same errors.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the producer closes nevertheless, with the same deadline, but the report is lost.
    pub async fn close(self, deadline: Duration) -> CloseReport {
        let now = Instant::now();
        let deadline = now.checked_add(deadline).unwrap_or_else(|| now + FAR);
        let (reply, left) = oneshot::channel();
        // A dispatcher that has ended has resolved all deliveries.
        let left = match guarded(self.handle.closes.send(Close { deadline, reply })).await {
            Ok(()) => guarded(left).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        CloseReport { undelivered: left.iter().flat_map(|failure| failure.errors()).collect(), counts: self.counts() }
    }

    /// Returns how many records were admitted since the producer was built, and how they ended. The difference is on
    /// its way.
    pub fn counts(&self) -> Counts {
        let pipeline = &self.handle.pipeline;
        // The records that ended are read first, so that they are never more than the admitted records.
        let Tally { written, not_written, unknown } = pipeline.accounts.pending.ended();
        let unwatched = pipeline.accounts.losses.so_far().records;
        Counts { admitted: pipeline.admitted(), written, not_written, unknown, unwatched }
    }

    /// Returns the bytes that admitted records hold now, the whole capacity of their buffers included.
    pub fn buffered_bytes(&self) -> usize {
        self.handle.pipeline.accounts.budget.held()
    }

    /// Returns the largest record that the stream takes, in bytes of data and partition key, as far as is known.
    ///
    /// The limit of a stream can change while a producer runs. A producer in use asks for it every five minutes.
    pub fn max_record_bytes(&self) -> usize {
        self.handle.pipeline.max_record_bytes()
    }

    /// Returns the settings that the producer was built with.
    pub fn settings(&self) -> &Settings {
        &self.handle.pipeline.settings
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("settings", self.settings()).finish_non_exhaustive()
    }
}

/// Room for one record, from [`Producer::reserve`]. Dropping the permit returns the room.
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
    /// [`PutError`]: the record is invalid, or larger than the permit, or the producer was closed meanwhile.
    pub fn put(self, record: Record<'_>) -> Result<Delivery, PutError> {
        let (pipeline, limits) = (&self.producer.handle.pipeline, self.producer.handle.limits());
        let bytes = record.wire_len();
        let too_large =
            || if bytes > self.bytes { Err(Refusal::LargerThanPermit { bytes, limit: self.bytes }) } else { Ok(()) };
        if let Err(refusal) = limits.check(&record).and_then(|()| too_large()) {
            return Err(self.producer.handle.refused(refusal, record));
        }
        // The pipeline charges the real size of the record's buffers. The permit keeps the room free until then and is
        // returned right after.
        pipeline.submit(&record).map_err(|Closed| PutError::Closed { record: record.to_owned().into() })
    }

    /// Returns the reserved size in bytes of data and partition key.
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

/// The report of [`Producer::close`].
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "what was not delivered is in the report"]
pub struct CloseReport {
    /// One error for each record that was admitted and had not resolved at the deadline. Empty if there was none.
    pub undelivered: Vec<DeliveryError>,
    /// All records since the producer was built, the undelivered ones included.
    pub counts: Counts,
}

/// How the records that a [`Producer::flush`] waited for ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "a flush returns also when records were lost"]
pub struct FlushReport {
    /// Records in the stream.
    pub written: u64,
    /// Records that failed and are not in the stream.
    pub not_written: u64,
    /// Records that failed and may be in the stream.
    pub unknown: u64,
}

impl FlushReport {
    /// Returns `true` if every record is in the stream.
    pub const fn is_all_written(&self) -> bool {
        self.not_written == 0 && self.unknown == 0
    }
}

/// Counts of records since the producer was built. `admitted` minus the next three is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Counts {
    /// Records admitted by a put.
    pub admitted: u64,
    /// Records in the stream.
    pub written: u64,
    /// Records that failed and are not in the stream.
    pub not_written: u64,
    /// Records that failed and may be in the stream.
    pub unknown: u64,
    /// Failed records whose [`Delivery`] was dropped before it resolved. Only the log and this count report them.
    pub unwatched: u64,
}

/// Ten years: practically never, and no overflow of the platform's instants.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
