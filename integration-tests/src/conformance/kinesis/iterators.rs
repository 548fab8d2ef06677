//! Shard iterators: where each of the five types starts, and for how long.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, iterator, texts};

checks! {
    trim_horizon_starts_at_the_oldest_record: "GetShardIterator", "TRIM_HORIZON: 'the oldest data record in the shard'";
    latest_starts_after_the_newest_record: "GetShardIterator", "LATEST: 'just after the most recent record in the shard'";
    at_sequence_number_starts_with_that_record: "GetShardIterator", "AT_SEQUENCE_NUMBER: 'from the position denoted by a specific sequence number'";
    after_sequence_number_starts_behind_that_record: "GetShardIterator", "AFTER_SEQUENCE_NUMBER: 'right after the position denoted by a specific sequence number'";
    after_the_last_record_there_is_none: "GetShardIterator", "AFTER_SEQUENCE_NUMBER of the newest record: only later ones";
    at_timestamp_starts_with_that_record: "GetShardIterator", "AT_TIMESTAMP: the record with this time";
    at_timestamp_between_records_starts_with_the_next: "GetShardIterator", "AT_TIMESTAMP: with no such record 'the iterator returned is for the next (later) record'";
    at_timestamp_before_all_starts_at_the_oldest: "GetShardIterator", "AT_TIMESTAMP: older than the trim horizon is TRIM_HORIZON";
    at_timestamp_after_all_starts_behind_the_newest: "GetShardIterator", "AT_TIMESTAMP: the next (later) record is one yet to come";
    the_first_sequence_number_of_a_shard_is_a_position: "GetShardIterator", "AT_SEQUENCE_NUMBER: also numbers 'returned by earlier calls to' DescribeStream";
    a_position_needs_its_sequence_number: "GetShardIterator", "StartingSequenceNumber: 'used with' AT_ and AFTER_SEQUENCE_NUMBER; InvalidArgumentException without";
    a_position_needs_its_timestamp: "GetShardIterator", "Timestamp: 'used with' AT_TIMESTAMP; InvalidArgumentException without";
    a_sequence_number_is_a_number: "GetShardIterator", "StartingSequenceNumber: pattern `0|([1-9]\\d{0,128})`";
    an_unknown_type_of_iterator_is_refused: "GetShardIterator", "ShardIteratorType: one of five";
    an_unknown_shard_has_no_iterator: "GetShardIterator", "ResourceNotFoundException";
    an_unknown_stream_has_no_iterator: "GetShardIterator", "ResourceNotFoundException";
    a_shard_id_is_spelled_as_such: "GetShardIterator", "ShardId: pattern `[a-zA-Z0-9_.-]+`";
    a_closed_shard_has_an_iterator: "GetShardIterator", "of a closed shard 'returns a valid iterator for the last sequence number of the shard'";
    an_iterator_may_be_used_again: "GetShardIterator", "an iterator is a position; reading does not use it up";
    an_iterator_lives_five_minutes: "GetShardIterator", "'expires 5 minutes after it is returned'; ExpiredIteratorException (GetRecords)", Hours;
    the_next_iterator_lives_five_minutes_too: "GetRecords", "NextShardIterator: a new iterator with each answer", Hours;
    a_shard_gives_five_iterators_a_second: "GetShardIterator", "'five transactions per second per account per open shard'", Rates;
}

const ONLY: &str = "shardId-000000000000";

async fn trim_horizon_starts_at_the_oldest_record(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    ensure!(stream.data(ONLY).await? == ["0", "1", "2"]);
    Ok(())
}

async fn latest_starts_after_the_newest_record(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let latest = stream.iterator(ONLY, ShardIteratorType::Latest).await?;
    ensure!(stream.drain(&latest).await?.is_empty());
    stream.put("k", "3").await?;
    ensure!(texts(&stream.drain(&latest).await?) == ["3"]);
    Ok(())
}

async fn at_sequence_number_starts_with_that_record(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    ensure!(from_number(&stream, ShardIteratorType::AtSequenceNumber, 1).await? == ["1", "2"]);
    Ok(())
}

async fn after_sequence_number_starts_behind_that_record(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    ensure!(from_number(&stream, ShardIteratorType::AfterSequenceNumber, 1).await? == ["2"]);
    Ok(())
}

async fn after_the_last_record_there_is_none(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    ensure!(from_number(&stream, ShardIteratorType::AfterSequenceNumber, 2).await?.is_empty());
    stream.put("k", "3").await?;
    ensure!(from_number(&stream, ShardIteratorType::AfterSequenceNumber, 2).await? == ["3"]);
    Ok(())
}

async fn at_timestamp_starts_with_that_record(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let second = arrival(&stream, 1).await?;
    ensure!(from_time(&stream, second).await? == ["1", "2"]);
    Ok(())
}

async fn at_timestamp_between_records_starts_with_the_next(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let behind_the_first = DateTime::from_millis(arrival(&stream, 0).await?.to_millis()? + 5);
    ensure!(from_time(&stream, behind_the_first).await? == ["1", "2"]);
    Ok(())
}

async fn at_timestamp_before_all_starts_at_the_oldest(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let an_hour_ago = DateTime::from_secs(probe.now().secs() - 3600);
    ensure!(from_time(&stream, an_hour_ago).await? == ["0", "1", "2"]);
    Ok(())
}

async fn at_timestamp_after_all_starts_behind_the_newest(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    probe.pause(Duration::from_millis(50)).await;
    let now = probe.now();
    probe.pause(Duration::from_millis(50)).await;
    let request = stream.iterator_of(ONLY, ShardIteratorType::AtTimestamp).timestamp(now);
    let from = iterator(request).await?;
    ensure!(stream.drain(&from).await?.is_empty());
    stream.put("k", "3").await?;
    ensure!(texts(&stream.drain(&from).await?) == ["3"]);
    Ok(())
}

async fn the_first_sequence_number_of_a_shard_is_a_position(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let range = stream.shards().await?.remove(0).sequence_number_range.context("no sequence numbers")?;
    let at = stream.iterator_of(ONLY, ShardIteratorType::AtSequenceNumber);
    let from = iterator(at.starting_sequence_number(range.starting_sequence_number)).await?;
    ensure!(texts(&stream.drain(&from).await?) == ["0", "1", "2"]);
    Ok(())
}

async fn a_position_needs_its_sequence_number(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for kind in [ShardIteratorType::AtSequenceNumber, ShardIteratorType::AfterSequenceNumber] {
        refused(stream.iterator_of(ONLY, kind).send().await, "InvalidArgumentException|ValidationException")?;
    }
    Ok(())
}

async fn a_position_needs_its_timestamp(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let request = stream.iterator_of(ONLY, ShardIteratorType::AtTimestamp);
    refused(request.send().await, "InvalidArgumentException|ValidationException")
}

async fn a_sequence_number_is_a_number(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let request = stream.iterator_of(ONLY, ShardIteratorType::AtSequenceNumber);
    refused(request.starting_sequence_number("abc").send().await, "ValidationException")
}

async fn an_unknown_type_of_iterator_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(stream.iterator_of(ONLY, ShardIteratorType::from("SOMEWHERE")).send().await, "ValidationException")
}

async fn an_unknown_shard_has_no_iterator(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let request = stream.iterator_of("shardId-000000000009", ShardIteratorType::TrimHorizon);
    refused(request.send().await, "ResourceNotFoundException")
}

async fn an_unknown_stream_has_no_iterator(probe: Probe) -> Result<()> {
    let request = probe.unmade("").iterator_of(ONLY, ShardIteratorType::TrimHorizon);
    refused(request.send().await, "ResourceNotFoundException")
}

async fn a_shard_id_is_spelled_as_such(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(stream.iterator_of("shard 0", ShardIteratorType::TrimHorizon).send().await, "ValidationException")
}

async fn a_closed_shard_has_an_iterator(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    stream.split(&stream.shards().await?[0]).await?;
    ensure!(stream.data(ONLY).await? == ["0", "1", "2"]);
    let latest = stream.iterator(ONLY, ShardIteratorType::Latest).await?;
    ensure!(stream.drain(&latest).await?.is_empty());
    Ok(())
}

async fn an_iterator_may_be_used_again(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let from = stream.oldest(ONLY).await?;
    let first = stream.read(&from).await?;
    ensure!(stream.read(&from).await?.records == first.records);
    Ok(())
}

async fn an_iterator_lives_five_minutes(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let from = stream.oldest(ONLY).await?;
    probe.pause(Duration::from_secs(295)).await;
    stream.read(&from).await?;
    probe.pause(Duration::from_secs(10)).await;
    refused(probe.kinesis.get_records().shard_iterator(from).send().await, "ExpiredIteratorException")
}

async fn the_next_iterator_lives_five_minutes_too(probe: Probe) -> Result<()> {
    let stream = three_records(&probe).await?;
    let mut from = stream.oldest(ONLY).await?;
    for _ in 0..3 {
        probe.pause(Duration::from_secs(295)).await;
        from = stream.read(&from).await?.next_shard_iterator.context("no next iterator")?;
    }
    probe.pause(Duration::from_secs(305)).await;
    refused(probe.kinesis.get_records().shard_iterator(from).send().await, "ExpiredIteratorException")
}

async fn a_shard_gives_five_iterators_a_second(probe: Probe) -> Result<()> {
    let stream = Stream { kinesis: probe.once.clone(), ..probe.stream(1).await? };
    for _ in 0..5 {
        stream.oldest(ONLY).await?;
    }
    let sixth = stream.iterator_of(ONLY, ShardIteratorType::TrimHorizon);
    refused(sixth.send().await, "ProvisionedThroughputExceededException")?;
    probe.pause(Duration::from_millis(1100)).await;
    stream.oldest(ONLY).await?;
    Ok(())
}

/// A stream of one shard with the records 0, 1 and 2, each in a millisecond of its own.
async fn three_records(probe: &Probe) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    for data in ["0", "1", "2"] {
        probe.pause(Duration::from_millis(20)).await;
        stream.put("k", data).await?;
    }
    Ok(stream)
}

async fn from_number(stream: &Stream, kind: ShardIteratorType, place: usize) -> Result<Vec<String>> {
    let records = stream.drain(&stream.oldest(ONLY).await?).await?;
    let number = &records.get(place).context("a record is missing")?.sequence_number;
    let from = iterator(stream.iterator_of(ONLY, kind).starting_sequence_number(number)).await?;
    Ok(texts(&stream.drain(&from).await?))
}

async fn from_time(stream: &Stream, time: DateTime) -> Result<Vec<String>> {
    let from = iterator(stream.iterator_of(ONLY, ShardIteratorType::AtTimestamp).timestamp(time)).await?;
    Ok(texts(&stream.drain(&from).await?))
}

async fn arrival(stream: &Stream, place: usize) -> Result<DateTime> {
    let records = stream.drain(&stream.oldest(ONLY).await?).await?;
    records.get(place).and_then(|record| record.approximate_arrival_timestamp).context("no arrival time")
}
