//! GetRecords.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::json::{Blob, Timestamp};
use super::list::HashKeyRange;
use super::put::rate_exceeded;
use super::refusal::Refusal;
use super::shard::{Shard, Stored, shard_id};
use super::stream::Stream;
use super::streams::page_size;
use super::token::ShardIterator;
use crate::clock::Tick;
use crate::limits::Limits;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

impl Account {
    pub(crate) fn get_records(&mut self, request: GetRecords, now: Tick) -> Result<impl Serialize, Refusal> {
        let largest = self.limits.get_records_entries;
        let limit = page_size("limit", request.limit, largest, largest)?;
        let text = request.shard_iterator.as_deref().ok_or_else(|| Refusal::missing("shardIterator"))?;
        let iterator = ShardIterator::parse(text).ok_or_else(|| Refusal::invalid_argument("Invalid ShardIterator."))?;
        if iterator.issued + self.limits.token_life < now {
            return Err(expired(&iterator, now, &self.limits));
        }
        let limits = self.limits.clone();
        let stream = self.usable_stream(Some(&iterator.stream), request.stream_arn.as_deref())?;
        let shard = stream.shard(&shard_id(iterator.shard), now)?;
        if shard.starting.opened != iterator.opened {
            return Err(Refusal::invalid_argument("Invalid ShardIterator: the stream was deleted and created again."));
        }
        if !shard.rates.get_records.holds(1, now) || !shard.may_read(now) {
            return Err(rate_exceeded(&shard_id(iterator.shard), &iterator.stream));
        }
        shard.rates.get_records.take(1, now);
        let retention = stream.retention;
        let shard = stream.shard(&shard_id(iterator.shard), now)?;
        shard.trim(now, retention);

        let page = shard.page(iterator.from, limit, limits.get_records_bytes);
        let bytes: usize = page.iter().map(|record| record.bytes()).sum();
        let records = page.iter().map(|record| RecordAnswer::of(record)).collect();
        let next = page.last().map_or(iterator.from, |last| last.sequence.counter + 1);
        let last_arrival = page.last().map(|last| last.arrival);
        let answer = Self::describe_page(shard, next, last_arrival, now);
        shard.count_read(bytes as u64, &limits, now);
        let at_end = !shard.is_open() && shard.position(next) == shard.records.len();
        Ok(GetRecordsAnswer {
            records,
            millis_behind_latest: answer,
            next_shard_iterator: (!at_end).then(|| ShardIterator { from: next, issued: now, ..iterator.clone() }.to_text()),
            child_shards: at_end.then(|| stream.child_answers(iterator.shard)),
        })
    }

    /// How far the reader is behind once it has this page: 0 when nothing is left to read, and only then.
    fn describe_page(shard: &Shard, next: u64, last_arrival: Option<Tick>, now: Tick) -> u64 {
        let Some(unread) = shard.records.get(shard.position(next)) else { return 0 };
        let reached = last_arrival.unwrap_or(unread.arrival);
        (now.saturating_sub(reached).as_millis() as u64).max(1)
    }
}

impl Shard {
    /// Records from the counter `from` on, at most `limit` and `bytes`, but one in any case.
    fn page(&self, from: u64, limit: usize, bytes: usize) -> Vec<&Stored> {
        let mut room = bytes;
        let mut page = Vec::new();
        for record in self.records.range(self.position(from)..).take(limit) {
            let size = record.bytes();
            if size > room && !page.is_empty() {
                break;
            }
            room = room.saturating_sub(size);
            page.push(record);
        }
        page
    }

    fn may_read(&mut self, now: Tick) -> bool {
        now >= self.rates.read_locked_until && self.rates.read_bytes.holds(1, now)
    }

    /// An answer larger than what the shard has left is given, and paid for afterwards: after 10 MiB at 2 MiB/s the shard is locked for 5 s.
    fn count_read(&mut self, bytes: u64, limits: &Limits, now: Tick) {
        if self.rates.read_bytes.holds(bytes.min(limits.read_bytes_per_second), now) && bytes <= limits.read_bytes_per_second {
            self.rates.read_bytes.take(bytes, now);
            return;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(limits.read_bytes_per_second.max(1));
        self.rates.read_locked_until = now + Tick::from_nanos(nanos as u64);
    }
}

impl Stream {
    fn child_answers(&self, parent: u32) -> Vec<ChildShardAnswer> {
        self.children(parent)
            .map(|child| ChildShardAnswer {
                shard_id: child.id(),
                parent_shards: child.parent.into_iter().chain(child.adjacent_parent).map(shard_id).collect(),
                hash_key_range: HashKeyRange::of(child.range),
            })
            .collect()
    }
}

fn expired(iterator: &ShardIterator, now: Tick, limits: &Limits) -> Refusal {
    Refusal::expired_iterator(format!(
        "Iterator expired. The iterator was created at time {} while right now it is {} (in milliseconds since 1970) which is \
         further in the future than the tolerated delay of {} milliseconds.",
        iterator.issued.as_millis(),
        now.as_millis(),
        limits.token_life.as_millis()
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsAnswer {
    records: Vec<RecordAnswer>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShardAnswer>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    sequence_number: String,
    approximate_arrival_timestamp: Timestamp,
    data: Blob,
    partition_key: String,
    encryption_type: &'static str,
}

impl RecordAnswer {
    fn of(record: &Stored) -> Self {
        Self {
            sequence_number: record.sequence.to_string(),
            approximate_arrival_timestamp: Timestamp(record.arrival),
            data: Blob(record.data.clone()),
            partition_key: record.partition_key.clone(),
            encryption_type: "NONE",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChildShardAnswer {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}
