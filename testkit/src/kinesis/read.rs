//! GetRecords.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::list::HashKeyRange;
use super::put::rate_exceeded;
use super::shard::{Rates, Shard, Stored, shard_id};
use super::stream::Stream;
use super::token::ShardIterator;
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire::{Blob, Timestamp};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    dry_run: Option<bool>,
}

impl Account {
    pub(crate) fn get_records(
        &mut self,
        request: GetRecords,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let limits = self.limits.clone();
        let limit = check_limit(request.limit, limits.get_records_entries)?;
        let text = request.shard_iterator.as_deref().ok_or_else(|| Refusal::missing("shardIterator"))?;
        let iterator = ShardIterator::parse(text).ok_or_else(|| Refusal::invalid_argument("Invalid ShardIterator."))?;
        if iterator.issued.saturating_add(limits.token_life) < now {
            return Err(expired(&iterator, now, limits.token_life));
        }
        let id = shard_id(iterator.shard);
        let stream = self.usable_stream(Some(&iterator.stream), request.stream_arn.as_deref())?;
        let horizon = stream.trim_horizon(now);
        stream.check_known(&id, faults, now)?;
        let shard = stream.readable_shard(&id, now)?;
        if shard.starting.opened != iterator.opened {
            return Err(Refusal::invalid_argument("Invalid ShardIterator: it did not come from this stream."));
        }
        stream.end_dry_run(request.dry_run, now)?;
        let shard = stream.readable_shard(&id, now)?;
        if !shard.rates.get_records.holds(1, now) || !shard.may_read(now) {
            return Err(rate_exceeded(&id, &iterator.stream));
        }
        shard.trim(horizon);

        let page = shard.page(iterator.from, limit, limits.get_records_bytes);
        let bytes = page.iter().map(|record| record.bytes() as u64).sum();
        let records = page.iter().map(|record| RecordAnswer::of(record)).collect();
        let last = page.last();
        let next = last.map_or(iterator.from, |last| last.sequence.counter + 1);
        let millis_behind_latest = shard.millis_behind(last.map(|last| last.arrival), next, now);
        let at_end = !shard.is_open() && shard.position(next) == shard.records.len();
        shard.count_read(bytes, &limits, now);
        Ok(GetRecordsAnswer {
            records,
            millis_behind_latest,
            next_shard_iterator: (!at_end)
                .then(|| ShardIterator { from: next, issued: now, ..iterator.clone() }.to_text()),
            child_shards: at_end.then(|| stream.child_answers(iterator.shard)),
        })
    }
}

impl Shard {
    /// Records from the counter `from` on, at most `limit` and `bytes`, but one in any case.
    pub(crate) fn page(&self, from: u64, limit: usize, bytes: usize) -> Vec<&Stored> {
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

    /// How far behind a reader is that got records up to `reached` and goes on at the counter `next`: 0 when nothing is
    /// left to read, and only then. Otherwise how old the last record is that it has.
    pub(crate) fn millis_behind(&self, reached: Option<Tick>, next: u64, now: Tick) -> u64 {
        let Some(unread) = self.records.get(self.position(next)) else { return 0 };
        let reached = reached.unwrap_or(unread.arrival);
        (now.saturating_sub(reached).as_millis() as u64).max(1)
    }

    fn may_read(&mut self, now: Tick) -> bool {
        now >= self.rates.read_locked_until && self.rates.read_bytes.holds(1, now)
    }

    /// An answer larger than what the shard may give in a second is given, and paid for afterwards: after 10 MiB at 2
    /// MiB/s the shard is locked for 5 s.
    fn count_read(&mut self, bytes: u64, limits: &Limits, now: Tick) {
        let Rates { get_records, read_bytes, read_locked_until, .. } = &mut self.rates;
        get_records.take(1, now);
        let per_second = limits.read_bytes_per_second.max(1);
        if bytes <= per_second && read_bytes.holds(bytes, now) {
            read_bytes.take(bytes, now);
        } else {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(per_second);
            *read_locked_until = now + Duration::from_nanos(nanos as u64);
        }
    }
}

impl Stream {
    pub(crate) fn child_answers(&self, parent: u32) -> Vec<ChildShardAnswer> {
        self.children(parent)
            .map(|child| ChildShardAnswer {
                shard_id: child.id(),
                parent_shards: child.parent.into_iter().chain(child.adjacent_parent).map(shard_id).collect(),
                hash_key_range: HashKeyRange::of(child.range),
            })
            .collect()
    }
}

/// The API reference wants this one refused as an invalid argument, unlike other values out of range.
fn check_limit(asked: Option<i64>, largest: usize) -> Result<usize, Refusal> {
    match asked.map(usize::try_from) {
        None => Ok(largest),
        Some(Ok(n)) if n > largest => {
            Err(Refusal::invalid_argument(format!("Limit {n} is greater than the maximum of {largest}.")))
        }
        Some(Ok(n @ 1..)) => Ok(n),
        _ => {
            let asked = asked.unwrap_or_default();
            Err(Refusal::constraint(asked, "limit", "Member must have value greater than or equal to 1"))
        }
    }
}

fn expired(iterator: &ShardIterator, now: Tick, life: Duration) -> Refusal {
    Refusal::expired_iterator(format!(
        "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
         future than the tolerated delay of {} milliseconds.",
        date(iterator.issued),
        date(now),
        life.as_millis()
    ))
}

/// `Thu Jan 01 00:00:00 UTC 2026`, as the service writes dates in messages.
fn date(at: Tick) -> String {
    let http = DateTime::from_secs(at.as_secs() as i64).fmt(Format::HttpDate).unwrap_or_default();
    match http.split([',', ' ']).filter(|part| !part.is_empty()).collect::<Vec<_>>()[..] {
        [weekday, day, month, year, time, _] => format!("{weekday} {month} {day} {time} UTC {year}"),
        _ => http,
    }
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecordAnswer {
    sequence_number: String,
    approximate_arrival_timestamp: Timestamp,
    data: Blob,
    #[serde(skip_serializing_if = "String::is_empty")]
    partition_key: String,
    encryption_type: &'static str,
}

impl RecordAnswer {
    pub(crate) fn of(record: &Stored) -> Self {
        Self {
            sequence_number: record.sequence.to_string(),
            approximate_arrival_timestamp: Timestamp(record.arrival),
            data: Blob(record.data.clone()),
            partition_key: record.partition_key.clone(),
            encryption_type: record.encryption_type,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChildShardAnswer {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}
