//! The loop that reads one shard: calls, waits, and passes batches on.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_smithy_async::time::SharedTimeSource;
use kinesis_aggregation::HashKeyRange;
use kinesis_service_errors::Causes;
use tokio::sync::mpsc;

use super::batch::Batch;
use super::budget::{Budget, Permit, Share};
use super::counts::Counters;
use super::deaggregate::Deaggregator;
use super::polling::{Answered, Foreign, LARGEST_ANSWER, Polling, Step, written_in};
use super::start_position::{NoStartPosition, StartPosition, done_before};
use crate::backoff::{Backoff, Pauses};
use crate::clock::{Clock, Tick};
use crate::lease::table::belonging::{Belonging, Confirmed};
use crate::lease::{Epoch, Lease, OtherStream};
use crate::record::SequenceNumber;
use crate::shard::discover::{Discover, ListFilter, is_foreign_number};
use crate::shard::failure::Failure;
use crate::shard::stream::Stream;
use crate::shard::{ListedShard, ShardId};
use crate::watch::{FindingKind, Findings, Report};

/// What the readers of all shards of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct ReadContext {
    pub(crate) stream: Stream,
    pub(crate) discover: Arc<Discover>,
    pub(crate) belonging: Arc<Belonging>,
    pub(crate) budget: Budget,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) time: SharedTimeSource,
    pub(crate) findings: Findings,
    /// The time for leases that start at a time.
    pub(crate) start_at: Option<SystemTime>,
    pub(crate) max_idle_poll: Duration,
}

/// The results of reading a shard, in order.
#[derive(Debug)]
pub(crate) enum Fetched {
    Batch(Batch),
    /// The shard is closed and has been read to its end. Nothing follows.
    End(Vec<ListedShard>),
    /// The shard cannot be read and needs operator action. Nothing follows.
    Failed(ReadError),
}

/// A shard cannot be read, and retrying does not help. Its lease is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The checkpoint is not of this stream: the stream was deleted and created again under its name, or the application read
    /// another stream before. Delete the lease table, or use another application name, to start over.
    #[error("{0}")]
    ForeignCheckpoint(Box<ForeignCheckpoint>),
    /// The stream is not the one that the lease table belongs to. This holds for all its shards.
    #[error("{0}")]
    OtherStream(Arc<OtherStream>),
    /// The lease says to start at a configured time, but none is configured.
    #[error("the lease of {shard} starts at a time, and no time is configured: use `StartAt::At`")]
    NoStartTime {
        /// The shard.
        shard: ShardId,
    },
    /// The lease's row has lost its checkpoint, so the start position is unknown. Write one into the row.
    #[error("the lease of {shard} has no checkpoint: somebody edited its row")]
    NoCheckpoint {
        /// The shard.
        shard: ShardId,
    },
}

/// A checkpoint that does not fit the shard it is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the checkpoint {checkpoint} of {shard} is not of this stream, where that shard has numbers from {starting} on: \
     was the stream made again, or did the application read another one before?"
)]
#[non_exhaustive]
pub struct ForeignCheckpoint {
    /// The shard.
    pub shard: ShardId,
    /// The number in the lease.
    pub checkpoint: SequenceNumber,
    /// The lowest number known of the shard.
    pub starting: SequenceNumber,
}

/// The reader of one shard.
#[derive(Debug)]
pub(crate) struct Reader {
    context: ReadContext,
    shard: ShardId,
    epoch: Epoch,
    polling: Polling,
    deaggregator: Deaggregator,
    share: Share,
    pauses: Pauses,
    /// Consecutive failures.
    failures: u32,
    /// `true` once a call has been answered.
    has_read: bool,
}

impl Reader {
    /// Creates a reader of the lease's shard, from its checkpoint on.
    pub(crate) fn new(
        context: ReadContext,
        lease: &Lease,
        epoch: Epoch,
        rng: fastrand::Rng,
    ) -> Result<Self, ReadError> {
        let shard = lease.key.shard();
        let place = match StartPosition::of(&lease.checkpoint, context.start_at) {
            Ok(place) => place,
            Err(NoStartPosition::NoStartTime) => return Err(ReadError::NoStartTime { shard }),
            Err(NoStartPosition::NoCheckpoint) => return Err(ReadError::NoCheckpoint { shard }),
        };
        tracing::info!(%shard, epoch = epoch.0, ?place, "reading");
        let polling = Polling::starting(place, context.max_idle_poll, context.clock.now());
        let range = lease.range.filter(|range| *range != HashKeyRange::FULL);
        let deaggregator = Deaggregator::new(shard.clone(), range, done_before(&lease.checkpoint));
        let (share, pauses) = (context.budget.share(), BACKOFF.pauses(rng));
        Ok(Self { context, shard, epoch, polling, deaggregator, share, pauses, failures: 0, has_read: false })
    }

    /// Reads until the shard ends, fails, or the receiver is dropped.
    pub(crate) async fn run(mut self, out: mpsc::Sender<Fetched>) {
        loop {
            let ready = self.polling.ready();
            if ready > self.context.clock.now() {
                tokio::time::sleep_until(self.context.clock.instant(ready)).await;
            }
            let fetched = match self.polling.step() {
                Step::GetIterator(place) => {
                    self.get_iterator(place).await;
                    None
                }
                Step::GetRecords { iterator, expected } => self.get_records(iterator, expected).await,
                Step::Confirm(since) => self.confirm(since).await.err().map(Fetched::Failed),
                Step::List => self.list().await.err().map(Fetched::Failed),
                Step::End(children) => Some(Fetched::End(children)),
            };
            let Some(fetched) = fetched else { continue };
            let last = !matches!(fetched, Fetched::Batch(_));
            if out.send(fetched).await.is_err() || last {
                return;
            }
        }
    }

    async fn get_iterator(&mut self, place: StartPosition) {
        let (stream, asked) = (&self.context.stream, self.context.time.now());
        let request = stream
            .client()
            .get_shard_iterator()
            .set_stream_name(stream.name())
            .set_stream_arn(stream.arn())
            .shard_id(self.shard.as_str())
            .shard_iterator_type(place.kind())
            .set_starting_sequence_number(place.number().map(ToString::to_string))
            .set_timestamp(place.time());
        // Boxed: the SDK's futures are large, and most of the time a shard has none.
        match Box::pin(request.send()).await {
            Ok(answer) => match answer.shard_iterator {
                Some(iterator) => {
                    self.succeeded();
                    self.polling.iterator(iterator, asked);
                }
                None => {
                    let pause = self.pause_after("GetShardIterator", Failure::Transient, &"an answer without iterator");
                    self.polling.iterator_failed(self.context.clock.now(), Failure::Transient, false, pause);
                }
            },
            Err(error) => {
                let failure = Failure::of(&error);
                let pause = self.pause_after("GetShardIterator", failure, &Causes(&error));
                self.polling.iterator_failed(self.context.clock.now(), failure, is_foreign_number(&error), pause);
            }
        }
    }

    /// Checks that the shard still belongs to the same stream.
    async fn confirm(&mut self, since: Tick) -> Result<(), ReadError> {
        match self.context.belonging.confirm(since).await {
            Confirmed::Same | Confirmed::Untold => self.polling.confirmed(),
            Confirmed::Later => {
                let pause = self.pause_after(
                    "DescribeStreamSummary",
                    Failure::Transient,
                    &"it does not say which stream this is",
                );
                self.polling.listing_failed(self.context.clock.now(), pause);
            }
            Confirmed::Another(other) => return Err(ReadError::OtherStream(other)),
        }
        Ok(())
    }

    async fn get_records(&mut self, iterator: String, expected: u64) -> Option<Fetched> {
        let (permit, limit) = self.room(expected).await;
        let sent = self.context.clock.now();
        let stream = &self.context.stream;
        let request =
            stream.client().get_records().set_stream_arn(stream.arn()).shard_iterator(iterator).set_limit(limit);
        let result = Box::pin(request.send()).await;
        match result {
            Ok(answer) => self.take(sent, answer, permit),
            Err(error) => {
                let failure = Failure::of(&error);
                let pause = self.pause_after("GetRecords", failure, &Causes(&error));
                self.polling.records_failed(self.context.clock.now(), failure, pause);
                None
            }
        }
    }

    /// Waits for room for a response of the expected size. Returns how many records to ask for if there is not room for all.
    async fn room(&mut self, expected: u64) -> (Permit, Option<i32>) {
        // A first read does not wait: it may begin with a part of the room it could use.
        let patience = if self.has_read { PATIENCE } else { Duration::ZERO };
        let largest = self.context.budget.largest_record();
        let ready = self.polling.ready();
        let possible = |at: Tick| expected.saturating_add(written_in(at.since(ready))).min(LARGEST_ANSWER);
        let mut asked_again = false;
        loop {
            let asked = self.context.clock.now();
            let permit = self.share.reserve(while_read(largest), while_read(possible(asked)), patience).await;
            let now = self.context.clock.now();
            let is_whole = permit.bytes() >= while_read(possible(asked));
            // The expected size allows for less than one second of further writes.
            let is_outdated = now.since(asked) >= PATIENCE && possible(now) > possible(asked);
            if is_whole && is_outdated && !asked_again {
                asked_again = true;
                continue;
            }
            let limit = (!is_whole || is_outdated).then(|| records_in(permit.bytes(), largest));
            return (permit, limit);
        }
    }

    fn take(&mut self, sent: Tick, answer: GetRecordsOutput, mut permit: Permit) -> Option<Fetched> {
        let largest = answer.records.iter().map(|record| record.data.as_ref().len() as u64).max().unwrap_or_default();
        self.context.budget.saw_record(largest);
        let millis_behind = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        let behind_latest = millis_behind.map(Duration::from_millis);
        let now = self.context.clock.now();
        let deaggregated = match self.deaggregator.deaggregate(answer.records) {
            Ok(deaggregated) => deaggregated,
            Err(error) => {
                // Not skipped: such a record could never be checkpointed. It is requested again, and logged again.
                let pause = self.pause_after("GetRecords", Failure::Denied, &error);
                self.polling.records_failed(now, Failure::Denied, pause);
                return None;
            }
        };
        self.succeeded();
        self.has_read = true;
        permit.settle(deaggregated.bytes_held);
        self.context.counters.add(&deaggregated.counts);
        if let Some(len) = deaggregated.checkpoint_beyond {
            tracing::warn!(shard = %self.shard, len, "the checkpoint lies beyond the end of its aggregate; taking all of it for done");
        }
        let answered = Answered {
            first: deaggregated.first,
            last: deaggregated.last,
            behind_latest,
            next: answer.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
        };
        if let Err(foreign) = self.polling.answered(sent, now, answered) {
            return Some(Fetched::Failed(self.foreign(*foreign)));
        }
        let behind = behind_latest.unwrap_or_default();
        Batch::new(self.shard.clone(), self.epoch, deaggregated.records, behind, permit).map(Fetched::Batch)
    }

    async fn list(&mut self) -> Result<(), ReadError> {
        let asked = self.context.clock.now();
        let listing = Box::pin(self.context.discover.list(ListFilter::All)).await;
        match listing {
            Ok(listing) => {
                let (pause, is_ours) = (self.pauses.draw(), self.context.belonging.is_ours());
                let listed = self.polling.listed(&self.shard, &listing, is_ours, asked, pause);
                listed.map_err(|foreign| self.foreign(*foreign))
            }
            Err(error) => {
                let pause = self.pause_after("ListShards", Failure::Denied, &Causes(&error));
                self.polling.listing_failed(self.context.clock.now(), pause);
                Ok(())
            }
        }
    }

    fn foreign(&self, foreign: Foreign) -> ReadError {
        let Foreign { place: checkpoint, starting } = foreign;
        ReadError::ForeignCheckpoint(Box::new(ForeignCheckpoint { shard: self.shard.clone(), checkpoint, starting }))
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            self.failures = 0;
            self.context.findings.mended(FindingKind::ShardFailing, &self.shard);
            self.context.findings.mended(FindingKind::ShardRefused, &self.shard);
        }
        self.pauses.restart();
    }

    /// Returns how long to wait after a failed call. Reports the failure by the rule *one shard whose calls fail*.
    fn pause_after(&mut self, operation: &'static str, failure: Failure, error: &dyn std::fmt::Display) -> Duration {
        let pause = self.pauses.draw();
        if failure == Failure::Expired {
            tracing::debug!(shard = %self.shard, operation, "getting a new iterator");
            return pause;
        }
        self.failures += 1;
        tracing::debug!(shard = %self.shard, operation, ?failure, failures = self.failures, ?pause, "call failed; trying again");
        let kind = match failure {
            Failure::NotFound | Failure::InvalidArgument | Failure::Denied => FindingKind::ShardRefused,
            _ if self.failures < LOUD => return pause,
            _ => FindingKind::ShardFailing,
        };
        let seen = format!("{operation} of stream {}: {error}", self.context.stream);
        let next = "tried again within seconds; the lease is kept and renewed";
        let again_at = self.context.clock.now() + pause;
        self.context.findings.report(Report::new(kind, &self.shard, seen, next).again_at(again_at));
        pause
    }
}

impl Drop for Reader {
    /// Removes the shard's findings: without a reader nothing is known of them.
    fn drop(&mut self) {
        self.context.findings.mended(FindingKind::ShardFailing, &self.shard);
        self.context.findings.mended(FindingKind::ShardRefused, &self.shard);
    }
}

/// Returns how many bytes a response with so much data takes while it is read: the data, and the same as base64, a third
/// longer.
const fn while_read(data: u64) -> u64 {
    data + data * 4 / 3
}

/// Returns how many records surely fit into a permit.
fn records_in(permit: u64, largest: u64) -> i32 {
    i32::try_from((permit / while_read(largest)).clamp(1, MOST_RECORDS)).expect("within the service's bounds")
}

/// Up to 5 s: a shard whose response was 10 MB is throttled that long (2 MB a second, API reference).
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// How long a shard that holds nothing waits for room for a whole response before it accepts a part.
const PATIENCE: Duration = Duration::from_secs(1);

/// The largest `Limit` of GetRecords (API reference).
const MOST_RECORDS: u64 = 10_000;

/// Other readers of the shard cause a throttled call now and then; several in a row are logged. As in the KCL.
const LOUD: u32 = 5;

#[cfg(test)]
mod tests;
