//! Reading: what an answer holds, where it goes on, where a shard ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, range, sequence, texts};

checks! {
    records_come_in_the_order_of_their_numbers: "GetRecords", "reads 'data records sequentially'";
    a_limit_is_kept: "GetRecords", "Limit: 'the maximum number of records to return'";
    a_limit_is_at_most_10_000: "GetRecords", "Limit: over 10,000 'GetRecords throws InvalidArgumentException' (kinesalite's tests saw ValidationException)";
    a_limit_is_at_least_one: "GetRecords", "Limit: at least 1";
    the_next_iterator_goes_on_without_gap: "GetRecords", "NextShardIterator: 'the next position in the shard'";
    at_the_tip_the_answer_is_empty: "GetRecords", "with no records at the position 'returns an empty list', and an iterator to go on";
    caught_up_is_zero_behind: "GetRecords", "MillisBehindLatest: zero 'indicates that record processing is caught up'";
    what_is_left_is_behind: "GetRecords", "MillisBehindLatest: 'how far behind current time the consumer is'";
    a_closed_shard_ends_without_iterator: "GetRecords", "NextShardIterator: 'null, the shard has been closed' and read to its end";
    a_closed_shard_gives_all_its_records_first: "GetRecords", "'can't return more data' only when all is read";
    the_end_names_the_children: "GetRecords", "ChildShards: the 'current shard's child shards'";
    the_end_of_a_merged_shard_names_both_parents: "ChildShard", "ParentShards: 'the current shard that is the parent', both of a merged one";
    before_the_end_there_are_no_children: "GetRecords", "ChildShards: 'only when the end of the current shard is reached'";
    an_iterator_is_not_made_up: "GetRecords", "InvalidArgumentException";
    an_iterator_of_a_deleted_stream_is_refused: "DeleteStream", "ResourceNotFoundException for who goes on to operate on it";
    an_answer_has_at_most_10_mib: "GetRecords", "'The maximum size of data that GetRecords can return is 10 MiB'";
    an_answer_has_at_most_10_000_records: "GetRecords", "'The maximum number of records that can be returned per call is 10,000'", Hours;
    after_10_mib_a_shard_rests_five_seconds: "GetRecords", "after 10 MiB 'calls made within the next 5 seconds throw ProvisionedThroughputExceededException'", Rates;
    a_shard_answers_five_calls_a_second: "GetRecords", "'five transactions per second per shard'", Rates;
    a_shard_gives_2_mib_a_second: "GetRecords", "'Each shard can read up to 2 MiB per second'", Rates;
    a_refused_read_loses_nothing: "GetRecords", "'doesn't return any data when it throws an exception'", Rates;
    records_are_gone_after_24_hours: "PutRecord", "'accessible for 24 hours from the time that they are added'", Hours;
    trim_horizon_moves_with_time: "GetShardIterator", "TRIM_HORIZON: 'the last untrimmed record'", Hours;
}

const ONLY: &str = "shardId-000000000000";

async fn records_come_in_the_order_of_their_numbers(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 6).await?;
    let records = stream.drain(&stream.oldest(ONLY).await?).await?;
    ensure!(records.len() == 6, "{} records", records.len());
    ensure!(records.is_sorted_by(|a, b| sequence(&a.sequence_number) < sequence(&b.sequence_number)));
    Ok(())
}

async fn a_limit_is_kept(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 3).await?;
    let answer = probe.kinesis.get_records().shard_iterator(stream.oldest(ONLY).await?).limit(2).send().await?;
    ensure!(answer.records.len() == 2, "{} records", answer.records.len());
    Ok(())
}

async fn a_limit_is_at_most_10_000(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let get = probe.kinesis.get_records().shard_iterator(stream.oldest(ONLY).await?);
    get.clone().limit(10_000).send().await?;
    refused(get.limit(10_001).send().await, "InvalidArgumentException|ValidationException")
}

async fn a_limit_is_at_least_one(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let get = probe.kinesis.get_records().shard_iterator(stream.oldest(ONLY).await?);
    refused(get.limit(0).send().await, "ValidationException")
}

async fn the_next_iterator_goes_on_without_gap(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 5).await?;
    let (mut from, mut seen) = (stream.oldest(ONLY).await?, Vec::new());
    for _ in 0..5 {
        let answer = probe.kinesis.get_records().shard_iterator(from).limit(2).send().await?;
        seen.extend(texts(&answer.records));
        from = answer.next_shard_iterator.context("an open shard goes on")?;
    }
    ensure!(seen == ["0", "1", "2", "3", "4"], "{seen:?}");
    Ok(())
}

async fn at_the_tip_the_answer_is_empty(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 1).await?;
    let answer = stream.read(&stream.iterator(ONLY, ShardIteratorType::Latest).await?).await?;
    ensure!(answer.records.is_empty() && answer.next_shard_iterator.is_some(), "{answer:?}");
    Ok(())
}

async fn caught_up_is_zero_behind(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 2).await?;
    let answer = stream.read(&stream.oldest(ONLY).await?).await?;
    ensure!(answer.records.len() == 2 && answer.millis_behind_latest == Some(0), "{:?}", answer.millis_behind_latest);
    Ok(())
}

async fn what_is_left_is_behind(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 2).await?;
    probe.pause(Duration::from_millis(1500)).await;
    let answer = probe.kinesis.get_records().shard_iterator(stream.oldest(ONLY).await?).limit(1).send().await?;
    let behind = answer.millis_behind_latest.context("no MillisBehindLatest")?;
    ensure!((1000..60_000).contains(&behind), "{behind} ms behind");
    Ok(())
}

async fn a_closed_shard_ends_without_iterator(probe: Probe) -> Result<()> {
    let stream = closed(&probe).await?;
    let (mut next, mut calls) = (Some(stream.oldest(ONLY).await?), 0);
    while let Some(iterator) = next {
        next = stream.read(&iterator).await?.next_shard_iterator;
        calls += 1;
        ensure!(calls < 20, "it goes on");
    }
    Ok(())
}

async fn a_closed_shard_gives_all_its_records_first(probe: Probe) -> Result<()> {
    let stream = closed(&probe).await?;
    let (mut next, mut seen) = (Some(stream.oldest(ONLY).await?), Vec::new());
    while let Some(iterator) = next {
        let answer = probe.kinesis.get_records().shard_iterator(iterator).limit(1).send().await?;
        seen.extend(texts(&answer.records));
        next = answer.next_shard_iterator;
    }
    ensure!(seen == ["0", "1", "2"], "{seen:?}");
    Ok(())
}

async fn the_end_names_the_children(probe: Probe) -> Result<()> {
    let stream = closed(&probe).await?;
    let mut children = end(&stream, ONLY).await?;
    children.sort_by(|a, b| a.shard_id.cmp(&b.shard_id));
    let shards = stream.open().await?;
    ensure!(children.len() == 2, "{children:?}");
    for (child, shard) in children.iter().zip(&shards) {
        ensure!(child.shard_id == shard.shard_id && child.parent_shards == [ONLY], "{child:?}");
        ensure!(child.hash_key_range == shard.hash_key_range && range(shard).0 <= range(shard).1, "{child:?}");
    }
    Ok(())
}

async fn the_end_of_a_merged_shard_names_both_parents(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let [zero, one] = ["shardId-000000000000", "shardId-000000000001"];
    stream.merge(zero, one).await?;
    for parent in [zero, one] {
        let children = end(&stream, parent).await?;
        ensure!(children.len() == 1 && children[0].shard_id == "shardId-000000000002", "{children:?}");
        let mut parents = children[0].parent_shards.clone();
        parents.sort();
        ensure!(parents == [zero, one], "{parents:?}");
    }
    Ok(())
}

async fn before_the_end_there_are_no_children(probe: Probe) -> Result<()> {
    let stream = closed(&probe).await?;
    let answer = probe.kinesis.get_records().shard_iterator(stream.oldest(ONLY).await?).limit(1).send().await?;
    ensure!(answer.child_shards().is_empty() && answer.next_shard_iterator.is_some(), "{answer:?}");
    Ok(())
}

async fn an_iterator_is_not_made_up(probe: Probe) -> Result<()> {
    refused(probe.kinesis.get_records().shard_iterator("made-up").send().await, "InvalidArgumentException")
}

async fn an_iterator_of_a_deleted_stream_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let from = stream.oldest(ONLY).await?;
    probe.kinesis.delete_stream().stream_name(&stream.name).send().await?;
    stream.gone().await?;
    refused(probe.kinesis.get_records().shard_iterator(from).send().await, "ResourceNotFoundException")
}

async fn an_answer_has_at_most_10_mib(probe: Probe) -> Result<()> {
    let stream = mebibytes(&probe, 11).await?;
    let answer = stream.read(&stream.oldest(ONLY).await?).await?;
    let bytes: usize = answer.records.iter().map(|record| record.data.as_ref().len()).sum();
    ensure!(bytes <= 10 << 20 && bytes > 1 << 20, "{bytes} bytes");
    Ok(())
}

async fn an_answer_has_at_most_10_000_records(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for _ in 0..21 {
        let put = probe.kinesis.put_records().stream_name(&stream.name).set_records(Some(vec![entry("x"); 500]));
        put.send().await?;
    }
    let answer = stream.read(&stream.oldest(ONLY).await?).await?;
    ensure!(answer.records.len() == 10_000, "{} records", answer.records.len());
    Ok(())
}

async fn after_10_mib_a_shard_rests_five_seconds(probe: Probe) -> Result<()> {
    let stream = mebibytes(&probe, 12).await?;
    let answer = stream.read(&stream.oldest(ONLY).await?).await?;
    let next = answer.next_shard_iterator.context("no next iterator")?;
    let read = || probe.once.get_records().shard_iterator(&next).send();
    probe.pause(Duration::from_millis(4500)).await;
    refused(read().await, "ProvisionedThroughputExceededException")?;
    probe.pause(Duration::from_millis(600)).await;
    ensure!(!read().await?.records.is_empty());
    Ok(())
}

async fn a_shard_answers_five_calls_a_second(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let from = stream.oldest(ONLY).await?;
    let read = || probe.once.get_records().shard_iterator(&from).send();
    for _ in 0..5 {
        read().await?;
    }
    refused(read().await, "ProvisionedThroughputExceededException")?;
    probe.pause(Duration::from_millis(1100)).await;
    read().await?;
    Ok(())
}

async fn a_shard_gives_2_mib_a_second(probe: Probe) -> Result<()> {
    let stream = mebibytes(&probe, 6).await?;
    let from = stream.oldest(ONLY).await?;
    let read = || probe.once.get_records().shard_iterator(&from).limit(3).send();
    read().await?;
    refused(read().await, "ProvisionedThroughputExceededException")?;
    probe.pause(Duration::from_millis(2000)).await;
    read().await?;
    Ok(())
}

async fn a_refused_read_loses_nothing(probe: Probe) -> Result<()> {
    let stream = mebibytes(&probe, 6).await?;
    let (mut next, mut seen) = (Some(stream.oldest(ONLY).await?), 0);
    while let Some(iterator) = next.as_ref().filter(|_| seen < 6) {
        match probe.once.get_records().shard_iterator(iterator).limit(2).send().await {
            Ok(answer) => {
                seen += answer.records.len();
                next = answer.next_shard_iterator;
            }
            Err(_) => probe.pause(Duration::from_millis(300)).await,
        }
    }
    ensure!(seen == 6, "{seen} of 6");
    Ok(())
}

async fn records_are_gone_after_24_hours(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 1).await?;
    probe.pause(Duration::from_secs(24 * 3600 - 60)).await;
    ensure!(stream.data(ONLY).await? == ["0"]);
    probe.pause(Duration::from_secs(600)).await;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn trim_horizon_moves_with_time(probe: Probe) -> Result<()> {
    let stream = filled(&probe, 1).await?;
    probe.pause(Duration::from_secs(12 * 3600)).await;
    stream.put("k", "later").await?;
    probe.pause(Duration::from_secs(13 * 3600)).await;
    ensure!(stream.data(ONLY).await? == ["later"]);
    Ok(())
}

/// A stream of one shard with the records 0 to n - 1.
async fn filled(probe: &Probe, records: u32) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    for n in 0..records {
        stream.put("k", &n.to_string()).await?;
    }
    Ok(stream)
}

/// The same with three records, split after that.
async fn closed(probe: &Probe) -> Result<Stream> {
    let stream = filled(probe, 3).await?;
    stream.split(&stream.shards().await?[0]).await?;
    Ok(stream)
}

/// A stream of one shard with records of almost a MiB, put as fast as it takes them.
async fn mebibytes(probe: &Probe, records: usize) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    let data = Blob::new(vec![0; (1 << 20) - 10]);
    for _ in 0..records {
        let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k").data(data.clone());
        put.send().await?;
    }
    Ok(stream)
}

/// Reads a closed shard to its end and returns the children named there.
async fn end(stream: &Stream, shard: &str) -> Result<Vec<aws_sdk_kinesis::types::ChildShard>> {
    let mut iterator = stream.oldest(shard).await?;
    loop {
        let answer = stream.read(&iterator).await?;
        match answer.next_shard_iterator {
            Some(next) => iterator = next,
            None => return answer.child_shards.context("the end without ChildShards"),
        }
    }
}

fn entry(data: &str) -> PutRecordsRequestEntry {
    let entry = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new(data));
    entry.build().expect("key and data are all that it needs")
}
