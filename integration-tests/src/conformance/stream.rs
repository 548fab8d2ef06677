//! A stream as the checks see it: only through the API.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::operation::put_record::PutRecordOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType, StreamDescriptionSummary, StreamStatus};

/// A stream by its name.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) kinesis: Client,
    pub(super) name: String,
}

impl Stream {
    pub(super) async fn summary(&self) -> Result<StreamDescriptionSummary> {
        let answer = self.kinesis.describe_stream_summary().stream_name(&self.name).send().await?;
        answer.stream_description_summary.context("an answer without a summary")
    }

    pub(super) async fn status(&self) -> Result<StreamStatus> {
        Ok(self.summary().await?.stream_status)
    }

    pub(super) async fn arn(&self) -> Result<String> {
        Ok(self.summary().await?.stream_arn)
    }

    /// Waits until it is ACTIVE.
    pub(super) async fn active(&self) -> Result<()> {
        for _ in 0..600 {
            if self.status().await? == StreamStatus::Active {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("not ACTIVE after a minute")
    }

    /// Waits until it does not exist any more.
    pub(super) async fn gone(&self) -> Result<()> {
        for _ in 0..600 {
            let answer = self.kinesis.describe_stream_summary().stream_name(&self.name).send().await;
            if answer.is_err_and(|e| e.as_service_error().is_some_and(|e| e.is_resource_not_found_exception())) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("not gone after a minute")
    }

    /// All shards that are listed, in the order of their ids.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>> {
        let answer = self.kinesis.list_shards().stream_name(&self.name).send().await?;
        ensure!(answer.next_token.is_none(), "more than a page of shards");
        let mut shards = answer.shards.unwrap_or_default();
        shards.sort_by(|a, b| a.shard_id.cmp(&b.shard_id));
        Ok(shards)
    }

    /// The open ones in the order of their hash keys.
    pub(super) async fn open(&self) -> Result<Vec<Shard>> {
        let mut shards = self.shards().await?;
        shards.retain(is_open);
        shards.sort_by_key(|shard| range(shard).0);
        Ok(shards)
    }

    pub(super) async fn put(&self, key: &str, data: &str) -> Result<PutRecordOutput> {
        let put = self.kinesis.put_record().stream_name(&self.name).partition_key(key).data(Blob::new(data));
        Ok(put.send().await?)
    }

    /// Puts where a hash key belongs.
    pub(super) async fn put_at(&self, hash_key: u128, data: &str) -> Result<PutRecordOutput> {
        let put = self.kinesis.put_record().stream_name(&self.name).partition_key("k").data(Blob::new(data));
        Ok(put.explicit_hash_key(hash_key.to_string()).send().await?)
    }

    pub(super) fn iterator_of(&self, shard: &str, from: ShardIteratorType) -> GetShardIteratorFluentBuilder {
        self.kinesis.get_shard_iterator().stream_name(&self.name).shard_id(shard).shard_iterator_type(from)
    }

    pub(super) async fn iterator(&self, shard: &str, from: ShardIteratorType) -> Result<String> {
        iterator(self.iterator_of(shard, from)).await
    }

    pub(super) async fn oldest(&self, shard: &str) -> Result<String> {
        self.iterator(shard, ShardIteratorType::TrimHorizon).await
    }

    pub(super) async fn read(&self, iterator: &str) -> Result<GetRecordsOutput> {
        Ok(self.kinesis.get_records().shard_iterator(iterator).send().await?)
    }

    /// Reads from an iterator until the tip or the end of the shard.
    pub(super) async fn drain(&self, iterator: &str) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut next = Some(iterator.to_owned());
        while let Some(iterator) = next {
            let answer = self.read(&iterator).await?;
            let caught_up = answer.records.is_empty() && answer.millis_behind_latest == Some(0);
            records.extend(answer.records);
            next = answer.next_shard_iterator.filter(|_| !caught_up);
        }
        Ok(records)
    }

    /// The data of all records of a shard, oldest first.
    pub(super) async fn data(&self, shard: &str) -> Result<Vec<String>> {
        Ok(texts(&self.drain(&self.oldest(shard).await?).await?))
    }

    /// Splits an open shard in the middle and waits for it.
    pub(super) async fn split(&self, shard: &Shard) -> Result<()> {
        self.start_split(shard).await?;
        self.active().await
    }

    pub(super) async fn start_split(&self, shard: &Shard) -> Result<()> {
        let split = self.kinesis.split_shard().stream_name(&self.name).shard_to_split(&shard.shard_id);
        split.new_starting_hash_key(middle(shard).to_string()).send().await.context("splitting")?;
        Ok(())
    }

    /// Merges two shards and waits for it.
    pub(super) async fn merge(&self, shard: &str, adjacent: &str) -> Result<()> {
        let merge = self.kinesis.merge_shards().stream_name(&self.name).shard_to_merge(shard);
        merge.adjacent_shard_to_merge(adjacent).send().await.context("merging")?;
        self.active().await
    }
}

pub(super) async fn iterator(request: GetShardIteratorFluentBuilder) -> Result<String> {
    request.send().await?.shard_iterator.context("an answer without an iterator")
}

pub(super) fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range.as_ref().is_some_and(|range| range.ending_sequence_number.is_none())
}

/// First and last hash key; of a shard that is shown without them nothing at all.
pub(super) fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range.as_ref();
    let key = |key: Option<&String>| key.and_then(|key| key.parse().ok());
    let first = key(range.map(|range| &range.starting_hash_key));
    let last = key(range.map(|range| &range.ending_hash_key));
    first.zip(last).unwrap_or((1, 0))
}

/// The hash key in the middle of a shard.
pub(super) fn middle(shard: &Shard) -> u128 {
    let (first, last) = range(shard);
    first + (last - first) / 2 + 1
}

/// The ranges of open shards in their order leave no gap and do not overlap.
pub(super) fn covers_all(open: &[Shard]) -> Result<()> {
    let mut next = Some(0);
    for shard in open {
        let (first, last) = range(shard);
        ensure!(next == Some(first), "{} starts at {first}, not at {next:?}", shard.shard_id);
        next = last.checked_add(1);
    }
    ensure!(next.is_none(), "nobody has the hash keys from {next:?}");
    Ok(())
}

pub(super) fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(|shard| shard.shard_id.as_str()).collect()
}

pub(super) fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record.data.as_ref()).into_owned()).collect()
}

/// A sequence number as a number: they are longer than 128 bits, so first the length counts.
pub(super) fn sequence(number: &str) -> (usize, String) {
    (number.len(), number.to_owned())
}
