//! PutRecord and PutRecords.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::entry::{Entry, Place};
use super::names::stream_not_found;
use super::sequence::SequenceNumber;
use super::shard::{Shard, Stored, shard_id};
use super::strategy::Strategy;
use super::stream::Stream;
use crate::clock::Tick;
use crate::faults::{EntryError, ModelFaults};
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;
use crate::wire::Blob;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecord {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
    sequence_number_for_ordering: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRecords {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    records: Option<Vec<PutRecordsEntry>>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsEntry {
    data: Option<Blob>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The shard's rates count.
    Limited,
    /// Not: a test puts what it needs.
    Unlimited,
}

impl Account {
    pub(crate) fn put_record(&mut self, request: PutRecord, now: Tick) -> Result<impl Serialize, Refusal> {
        let entry = Entry::new(Place::Alone, request.data, request.partition_key, request.explicit_hash_key)?;
        let name = self.usable_stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?.name.clone();
        let stream = self.stream(Some(&name), None)?;
        stream.check_key(Place::Alone, &entry)?;
        if let Some(number) = &request.sequence_number_for_ordering {
            SequenceNumber::check_form(number, "sequenceNumberForOrdering")?;
            stream.check_ordering(number, now)?;
        }
        stream.check_size(Place::Alone, &entry)?;
        stream.end_dry_run(request.dry_run, now)?;
        let encryption_type = stream.encryption_type();
        let written = self.write(&name, entry, Pace::Limited, now)?.sequence;
        Ok(PutRecordAnswer { shard_id: shard_id(written.shard), sequence_number: written.to_string(), encryption_type })
    }

    pub(crate) fn put_records(
        &mut self,
        request: PutRecords,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let records = request.records.ok_or_else(|| Refusal::missing("records"))?;
        self.check_entries(records.len())?;
        let entries = records.into_iter().enumerate().map(|(i, record)| {
            Entry::new(Place::InBatch(i), record.data, record.partition_key, record.explicit_hash_key)
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        self.check_bytes(entries.iter().map(Entry::bytes).sum())?;
        let stream = self.usable_stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        for (i, entry) in entries.iter().enumerate() {
            stream.check_key(Place::InBatch(i), entry)?;
            stream.check_size(Place::InBatch(i), entry)?;
        }
        stream.end_dry_run(request.dry_run, now)?;
        let (name, encryption_type) = (stream.name.clone(), stream.encryption_type());

        let mut failed = 0;
        let mut answers = Vec::with_capacity(entries.len());
        for (i, entry) in entries.into_iter().enumerate() {
            let answer = match self.injected(&name, faults, i, &entry, now) {
                Some(refusal) => Err(refusal),
                None => self.write(&name, entry, Pace::Limited, now).map(|stored| stored.sequence),
            };
            failed += usize::from(answer.is_err());
            answers.push(EntryAnswer::of(answer));
        }
        Ok(PutRecordsAnswer { failed_record_count: failed, records: answers, encryption_type })
    }

    /// Writes one record to the shard that is to take it.
    pub(crate) fn write(&mut self, stream: &str, entry: Entry, pace: Pace, now: Tick) -> Result<&Stored, Refusal> {
        let Self { streams, rng, .. } = self;
        let stream = streams.get_mut(stream).ok_or_else(|| stream_not_found(stream))?;
        stream.check_size(Place::Alone, &entry)?;
        let (name, horizon) = (stream.name.clone(), stream.trim_horizon(now));
        let encryption_type = stream.encryption_type();
        let shard = stream.shard_of(&entry, now).ok_or_else(|| stream_not_found(&name))?;
        let bytes = entry.bytes() as u64;
        if pace == Pace::Limited {
            if !shard.rates.may_write(bytes, now) {
                return Err(rate_exceeded(&shard.id(), &name));
            }
            shard.rates.write_bytes.take(bytes, now);
            shard.rates.write_records.take(1, now);
        }
        shard.load.count(bytes);
        shard.trim(horizon);
        Ok(shard.append(entry, encryption_type, now, rng))
    }

    /// The failure that the fault plan of this call has for entry number `i`.
    fn injected(&mut self, stream: &str, faults: &ModelFaults, i: usize, entry: &Entry, now: Tick) -> Option<Refusal> {
        if !faults.has_entries() {
            return None;
        }
        let shard = self.streams.get_mut(stream)?.shard_of(entry, now)?.id();
        Some(match faults.for_entry(i, &entry.partition_key, &shard)? {
            EntryError::Throttled => rate_exceeded(&shard, stream),
            EntryError::InternalFailure => Refusal::entry_failure(),
        })
    }

    fn check_entries(&self, n: usize) -> Result<(), Refusal> {
        let limit = self.limits.put_records_entries;
        match n {
            0 => Err(Refusal::constraint("[]", "records", "Member must have length greater than or equal to 1")),
            n if n > limit => Err(Refusal::too_long("records", limit)),
            _ => Ok(()),
        }
    }

    fn check_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        let limit = self.limits.put_records_bytes;
        if bytes <= limit {
            return Ok(());
        }
        Err(Refusal::invalid_argument(format!("Records size exceeds {} MB limit", limit >> 20)))
    }
}

impl Stream {
    /// The number must be one that can have been given out before now; which record had it is not asked.
    fn check_ordering(&self, number: &str, now: Tick) -> Result<(), Refusal> {
        let name = &self.name;
        if self.distribution.strategy == Strategy::Auto {
            return Err(Refusal::invalid_argument(format!(
                "SequenceNumberForOrdering must not be provided: stream {name} under account {ACCOUNT_ID} uses \
                 RecordDistributionStrategy=AUTO."
            )));
        }
        match SequenceNumber::parse(number).filter(|number| !self.is_of_the_future(*number, now)) {
            Some(_) => Ok(()),
            None => Err(Refusal::invalid_argument(format!(
                "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {ACCOUNT_ID} \
                 is invalid."
            ))),
        }
    }

    fn is_of_the_future(&self, number: SequenceNumber, now: Tick) -> bool {
        match self.shards.iter().find(|shard| shard.starting.opened == number.opened) {
            Some(shard) => number.counter > shard.last_counter,
            None => u128::from(number.opened) > now.as_millis(),
        }
    }

    /// The limit counts data and partition key, though the message speaks of the data alone.
    fn check_size(&self, at: Place, entry: &Entry) -> Result<(), Refusal> {
        let limit = self.max_record_size_kib as usize * 1024;
        if entry.bytes() <= limit { Ok(()) } else { Err(Refusal::too_long(&format!("{at}data"), limit)) }
    }
}

impl Shard {
    fn append(&mut self, entry: Entry, encryption_type: &'static str, now: Tick, rng: &mut fastrand::Rng) -> &Stored {
        let sequence = self.next_sequence(rng);
        self.records.push_back(Stored {
            sequence,
            arrival: now,
            partition_key: entry.partition_key,
            explicit_hash_key: entry.explicit_hash_key,
            data: entry.data,
            encryption_type,
        });
        self.records.back().expect("a record was just pushed")
    }
}

pub(crate) fn rate_exceeded(shard: &str, stream: &str) -> Refusal {
    Refusal::throughput_exceeded(format!(
        "Rate exceeded for shard {shard} in stream {stream} under account {ACCOUNT_ID}."
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordAnswer {
    shard_id: String,
    sequence_number: String,
    encryption_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsAnswer {
    failed_record_count: usize,
    records: Vec<EntryAnswer>,
    encryption_type: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl EntryAnswer {
    fn of(answer: Result<SequenceNumber, Refusal>) -> Self {
        match answer {
            Ok(number) => Self {
                sequence_number: Some(number.to_string()),
                shard_id: Some(shard_id(number.shard)),
                ..Self::default()
            },
            Err(refusal) => {
                Self { error_code: Some(refusal.code), error_message: Some(refusal.message), ..Self::default() }
            }
        }
    }
}
