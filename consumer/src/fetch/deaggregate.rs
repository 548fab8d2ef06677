//! Turns Kinesis records into user records, without copying a byte of them.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::primitives::DateTime;
use bytestring::ByteString;
use kinesis_aggregation::{Aggregate, HashKeyRange, Payload};

use super::counts::ReadCounts;
use crate::record::{Origin, ParseSequenceNumberError, Position, Record, SequenceNumber, ShardId};

/// Deaggregates the responses of one shard, in order.
///
/// Follows the KCL's rule for aggregates around a reshard, which producers rely on: an aggregate with one key outside of the
/// shard's range is dropped whole. Its producer sees where it landed and sends all of it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Deaggregator {
    shard: ShardId,
    range: Option<HashKeyRange>,
    /// Everything up to here is done or delivered. It only grows, so deliveries are in order too, whatever the service repeats
    /// (C3).
    seen: Option<Position>,
    /// `true` if `seen` is the checkpoint that another worker has stored, and nothing was delivered yet.
    at_checkpoint: bool,
}

/// The user records of one response.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Deaggregated {
    pub(crate) records: Vec<Record>,
    pub(crate) counts: ReadCounts,
    /// The sequence number of the first Kinesis record, delivered or not.
    pub(crate) first: Option<SequenceNumber>,
    /// The sequence number of the last Kinesis record, delivered or not.
    pub(crate) last: Option<SequenceNumber>,
    /// How many bytes the response keeps in memory.
    pub(crate) bytes_held: u64,
    /// Set when the checkpoint lies beyond the end of the aggregate that it names: how many records the aggregate has.
    pub(crate) checkpoint_beyond: Option<u64>,
}

impl Deaggregator {
    /// Creates a deaggregator that drops records at or before `done`, and aggregates outside of `range` if it is known.
    pub(crate) const fn new(shard: ShardId, range: Option<HashKeyRange>, done: Option<Position>) -> Self {
        Self { shard, range, seen: done, at_checkpoint: true }
    }

    /// Deaggregates a response. If a sequence number is invalid, the whole response is rejected and `seen` is unchanged.
    pub(crate) fn deaggregate(
        &mut self,
        kinesis_records: Vec<aws_sdk_kinesis::types::Record>,
    ) -> Result<Deaggregated, ParseSequenceNumberError> {
        let mut after = self.clone();
        let deaggregated = after.deaggregate_all(kinesis_records)?;
        *self = after;
        Ok(deaggregated)
    }

    fn deaggregate_all(
        &mut self,
        kinesis_records: Vec<aws_sdk_kinesis::types::Record>,
    ) -> Result<Deaggregated, ParseSequenceNumberError> {
        let mut deaggregated = Deaggregated::default();
        deaggregated.records.reserve(kinesis_records.len());
        for record in kinesis_records {
            let origin = Origin {
                shard: self.shard.clone(),
                sequence_number: record.sequence_number.parse()?,
                arrival: record.approximate_arrival_timestamp.and_then(arrival),
            };
            deaggregated.first.get_or_insert_with(|| origin.sequence_number.clone());
            deaggregated.last = Some(origin.sequence_number.clone());
            deaggregated.counts.kinesis_records += 1;
            let data = record.data.into_bytes();
            deaggregated.bytes_held += data.len() as u64;
            let done = self.done(&origin.sequence_number);
            match Payload::parse(&data) {
                _ if done == Done::All => {}
                Payload::Aggregate(aggregate) => self.take_apart(aggregate, &origin, done, &mut deaggregated),
                payload => {
                    let key = ByteString::from(record.partition_key.unwrap_or_default());
                    self.take_whole(Record::plain(key, data, &origin), &payload, done, &mut deaggregated);
                }
            }
        }
        deaggregated.counts.records = deaggregated.records.len() as u64;
        deaggregated.counts.bytes = deaggregated.records.iter().map(|record| record.data().len() as u64).sum();
        deaggregated.bytes_held += (deaggregated.records.capacity() * size_of::<Record>()) as u64;
        Ok(deaggregated)
    }

    fn done(&self, number: &SequenceNumber) -> Done {
        match &self.seen {
            Some(seen) if *number < seen.sequence_number => Done::All,
            Some(seen) if *number == seen.sequence_number => Done::UpTo(seen.sub_sequence),
            _ => Done::Nothing,
        }
    }

    fn see(&mut self, position: Position) {
        self.seen = self.seen.take().max(Some(position));
        self.at_checkpoint = false;
    }

    fn take_apart(&mut self, aggregate: Aggregate, origin: &Origin, done: Done, deaggregated: &mut Deaggregated) {
        let len = aggregate.len() as u64;
        let Some(last) = len.checked_sub(1) else { return };
        let skip = match done {
            Done::All => return,
            Done::UpTo(sub_sequence) if sub_sequence >= last => {
                deaggregated.note_beyond(sub_sequence, last);
                return;
            }
            Done::UpTo(sub_sequence) => sub_sequence + 1,
            Done::Nothing => 0,
        };
        self.see(origin.position(last));
        if self.range.is_some_and(|range| !aggregate.is_within(&range)) {
            deaggregated.counts.misrouted_records += len;
            tracing::warn!(number = %origin.sequence_number, records = len, "dropping an aggregate that was put to the wrong shard; its producer sends it again");
            return;
        }
        deaggregated.counts.unknown_hash_keys += aggregate.unknown_hash_keys() as u64;
        let records = aggregate.into_iter().filter(|record| record.sub_sequence_number >= skip);
        deaggregated.records.extend(records.map(|record| Record::of_aggregate(record, origin)));
    }

    fn take_whole(&mut self, record: Record, payload: &Payload, done: Done, deaggregated: &mut Deaggregated) {
        match done {
            Done::All => return,
            Done::UpTo(sub_sequence) if sub_sequence == 0 || !self.at_checkpoint => return,
            // The worker that stored this checkpoint had deaggregated the record and processed a part of it. Here it is a plain
            // record, so we cannot tell which part. Delivering it again is better than skipping it (Q7).
            Done::UpTo(sub_sequence) => {
                tracing::warn!(
                    shard = %self.shard, number = %record.sequence_number(), sub_sequence,
                    "the checkpoint lies inside of a record that is no whole aggregate; delivering all of it again"
                );
            }
            Done::Nothing => {}
        }
        self.see(record.position());
        if let Payload::Damaged(damage) = payload {
            deaggregated.counts.damaged_aggregates += 1;
            tracing::warn!(number = %record.sequence_number(), %damage, "damaged aggregate; delivering it as it is");
        }
        deaggregated.records.push(record);
    }
}

/// Rounds an arrival time to milliseconds, which is the service's precision. In JSON it is a fraction of a second, and a few
/// nanoseconds off.
fn arrival(time: DateTime) -> Option<SystemTime> {
    let millis = Duration::from_millis(u64::from((time.subsec_nanos() + 500_000) / 1_000_000));
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(time.secs()).ok()?))?.checked_add(millis)
}

/// Which user records of a Kinesis record are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    /// Those up to and including this one.
    UpTo(u64),
    All,
}

impl Deaggregated {
    fn note_beyond(&mut self, checkpointed: u64, last: u64) {
        if checkpointed > last {
            self.checkpoint_beyond = Some(last + 1);
        }
    }
}

#[cfg(test)]
mod tests;
