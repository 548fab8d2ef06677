//! Putting records: where they go, what they are numbered, what is refused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::{refusal, refused};
use crate::conformance::stream::{Stream, sequence};

checks! {
    a_put_returns_shard_and_sequence_number: "PutRecord", "'returns the shard ID of where the data record was placed and the sequence number'";
    a_record_comes_back_as_it_was_put: "Record", "Data, PartitionKey, SequenceNumber";
    a_record_has_its_arrival_time: "GetRecords", "ApproximateArrivalTimestamp: set when the stream stores the record, in milliseconds";
    sequence_numbers_increase_in_a_shard: "PutRecord", "'Sequence numbers increase over time' in a shard";
    sequence_numbers_are_unique_in_the_stream: "PutRecords", "SequenceNumber: 'unique to all records in the stream'";
    a_put_follows_the_number_for_ordering: "PutRecord", "SequenceNumberForOrdering: strictly increasing after it";
    a_number_for_ordering_is_a_number: "PutRecord", "SequenceNumberForOrdering: pattern `0|([1-9]\\d{0,128})`";
    the_md5_of_the_key_chooses_the_shard: "PutRecord", "MD5 maps partition keys 'to 128-bit integer values'";
    one_key_goes_to_one_shard: "PutRecords", "'all data records with the same partition key map to the same shard'";
    an_explicit_hash_key_overrides_the_key: "PutRecord", "ExplicitHashKey: 'overriding the partition key hash'";
    the_first_and_the_last_hash_key_are_taken: "HashKeyRange", "0 to 2^128 - 1";
    a_hash_key_over_128_bits_is_refused: "PutRecord", "InvalidArgumentException: a parameter 'exceeds its restrictions'";
    a_hash_key_is_a_number: "PutRecord", "ExplicitHashKey: pattern `0|([1-9]\\d{0,38})`";
    a_record_needs_a_key: "PutRecord", "PartitionKey: length at least 1";
    a_key_has_at_most_256_characters: "PutRecord", "PartitionKey: 'maximum length limit of 256 characters'";
    a_key_is_counted_in_characters_not_bytes: "PutRecord", "PartitionKey: Unicode strings of 256 characters";
    a_record_may_be_empty: "PutRecord", "Data: length at least 0";
    a_record_of_1_mib_with_its_key_is_taken: "PutRecord", "data and key together up to the largest record size, 1 MiB by default";
    a_byte_more_is_refused: "PutRecord", "'the total size must not exceed the maximum record size'";
    a_put_into_an_unknown_stream_is_refused: "PutRecord", "ResourceNotFoundException";
    puts_into_an_unknown_stream_are_refused: "PutRecords", "ResourceNotFoundException";
    results_stand_in_the_order_of_the_request: "PutRecords", "each result 'directly correlates with a record in the request array'";
    five_hundred_records_are_taken: "PutRecords", "'up to 500 records'";
    more_than_500_records_are_refused: "PutRecords", "Records: at most 500";
    a_request_needs_a_record: "PutRecords", "Records: at least 1";
    a_request_over_10_mib_is_refused: "PutRecords", "'10 MiB for the entire request, including partition keys'";
    one_wrong_entry_refuses_the_request: "PutRecords", "only throttling and internal failures are reported per record; else InvalidArgumentException";
    the_shards_of_a_request_are_all_written: "PutRecords", "each record goes to its shard; FailedRecordCount 0";
    a_shard_takes_1000_records_a_second: "PutRecords", "'1,000 records per second' a shard", Rates;
    a_shard_takes_1_mib_a_second: "PutRecords", "'1 MB per second' a shard", Rates;
    a_throttled_put_is_refused: "PutRecord", "ProvisionedThroughputExceededException: 'insufficient provisioned throughput on the shard'", Rates;
    a_throttled_record_does_not_stop_the_others: "PutRecords", "'A single record failure does not stop the processing of subsequent records'", Rates;
    a_throttled_record_says_where: "PutRecords", "ErrorMessage has 'the account ID, stream name, and shard ID'", Rates;
    throughput_comes_back_with_time: "PutRecord", "the limit is per second", Rates;
}

async fn a_put_returns_shard_and_sequence_number(probe: Probe) -> Result<()> {
    let put = probe.stream(1).await?.put("k", "x").await?;
    ensure!(put.shard_id == "shardId-000000000000", "{put:?}");
    ensure!(!put.sequence_number.is_empty() && put.sequence_number.bytes().all(|b| b.is_ascii_digit()), "{put:?}");
    Ok(())
}

async fn a_record_comes_back_as_it_was_put(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let data = Blob::new((0..=255).collect::<Vec<u8>>());
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("ключ").data(data.clone());
    let put = put.send().await?;
    let records = stream.drain(&stream.oldest(&put.shard_id).await?).await?;
    ensure!(records.len() == 1, "{} records", records.len());
    ensure!(records[0].data == data && records[0].partition_key.as_deref() == Some("ключ"), "{:?}", records[0]);
    ensure!(records[0].sequence_number == put.sequence_number, "{:?}", records[0]);
    Ok(())
}

async fn a_record_has_its_arrival_time(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let before = probe.now().to_millis()?;
    let put = stream.put("k", "x").await?;
    let after = probe.now().to_millis()?;
    let records = stream.drain(&stream.oldest(&put.shard_id).await?).await?;
    let arrival =
        records.first().context("no record")?.approximate_arrival_timestamp.context("no time")?.to_millis()?;
    ensure!((before - 1..=after + 1).contains(&arrival), "{arrival} is not from {before} to {after}");
    Ok(())
}

async fn sequence_numbers_increase_in_a_shard(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let mut numbers = Vec::new();
    for _ in 0..5 {
        numbers.push(sequence(&stream.put("k", "x").await?.sequence_number));
    }
    ensure!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    Ok(())
}

async fn sequence_numbers_are_unique_in_the_stream(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let answer = put_all(&probe, &stream, (0..20).map(|n| entry(&n.to_string(), "x"))).await?;
    let mut numbers: Vec<_> = answer.records.iter().map(|result| result.sequence_number.clone()).collect();
    numbers.sort();
    numbers.dedup();
    ensure!(numbers.len() == 20, "{} of 20", numbers.len());
    Ok(())
}

async fn a_put_follows_the_number_for_ordering(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let mut last = stream.put("k", "0").await?.sequence_number;
    for n in 1..4 {
        let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k");
        let put = put.data(Blob::new(n.to_string())).sequence_number_for_ordering(&last).send().await?;
        ensure!(sequence(&put.sequence_number) > sequence(&last), "{} after {last}", put.sequence_number);
        last = put.sequence_number;
    }
    ensure!(stream.data("shardId-000000000000").await? == ["0", "1", "2", "3"]);
    Ok(())
}

async fn a_number_for_ordering_is_a_number(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k").data(Blob::new("x"));
    refused(put.sequence_number_for_ordering("abc").send().await, "ValidationException")
}

async fn the_md5_of_the_key_chooses_the_shard(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    // Their MD5 sums start with 0c, 92, 4a and 82.
    for (key, shard) in [("a", 0), ("b", 1), ("c", 0), ("d", 1)] {
        let put = stream.put(key, "x").await?;
        ensure!(put.shard_id == format!("shardId-{shard:012}"), "{key} went to {}", put.shard_id);
    }
    Ok(())
}

async fn one_key_goes_to_one_shard(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    let answer = put_all(&probe, &stream, (0..10).map(|_| entry("same", "x"))).await?;
    let first = answer.records[0].shard_id.clone();
    ensure!(first.is_some() && answer.records.iter().all(|result| result.shard_id == first), "{answer:?}");
    Ok(())
}

async fn an_explicit_hash_key_overrides_the_key(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("a").data(Blob::new("x"));
    let put = put.explicit_hash_key((1_u128 << 127).to_string()).send().await?;
    ensure!(put.shard_id == "shardId-000000000001", "{put:?}");
    let listed = PutRecordsRequestEntry::builder().partition_key("a").data(Blob::new("x"));
    let listed = listed.explicit_hash_key(u128::MAX.to_string()).build()?;
    let answer = put_all(&probe, &stream, [listed]).await?;
    ensure!(answer.records[0].shard_id.as_deref() == Some("shardId-000000000001"), "{answer:?}");
    Ok(())
}

async fn the_first_and_the_last_hash_key_are_taken(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    ensure!(stream.put_at(0, "x").await?.shard_id == "shardId-000000000000");
    ensure!(stream.put_at(u128::MAX, "x").await?.shard_id == "shardId-000000000001");
    Ok(())
}

async fn a_hash_key_over_128_bits_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k").data(Blob::new("x"));
    let over = "340282366920938463463374607431768211456"; // 2^128
    refused(put.explicit_hash_key(over).send().await, "InvalidArgumentException")
}

async fn a_hash_key_is_a_number(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k").data(Blob::new("x"));
    for wrong in ["ff", "-1", "01"] {
        refused(put.clone().explicit_hash_key(wrong).send().await, "ValidationException").context(wrong)?;
    }
    Ok(())
}

async fn a_record_needs_a_key(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("").data(Blob::new("x"));
    refused(put.send().await, "ValidationException")
}

async fn a_key_has_at_most_256_characters(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put(&"k".repeat(256), "x").await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k".repeat(257));
    refused(put.data(Blob::new("x")).send().await, "ValidationException")
}

async fn a_key_is_counted_in_characters_not_bytes(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put(&"я".repeat(256), "x").await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("я".repeat(257));
    refused(put.data(Blob::new("x")).send().await, "ValidationException")
}

async fn a_record_may_be_empty(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = stream.put("k", "").await?;
    ensure!(stream.data(&put.shard_id).await? == [""]);
    Ok(())
}

async fn a_record_of_1_mib_with_its_key_is_taken(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("key", &"x".repeat(MIB - 3)).await?;
    Ok(())
}

async fn a_byte_more_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("key");
    let put = put.data(Blob::new(vec![0; MIB - 2]));
    refused(put.send().await, "ValidationException|InvalidArgumentException")
}

async fn a_put_into_an_unknown_stream_is_refused(probe: Probe) -> Result<()> {
    let put = probe.kinesis.put_record().stream_name(probe.name("")).partition_key("k").data(Blob::new("x"));
    refused(put.send().await, "ResourceNotFoundException")
}

async fn puts_into_an_unknown_stream_are_refused(probe: Probe) -> Result<()> {
    let put = probe.kinesis.put_records().stream_name(probe.name("")).records(entry("k", "x"));
    refused(put.send().await, "ResourceNotFoundException")
}

async fn results_stand_in_the_order_of_the_request(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let keys = ["a", "b", "c", "d", "a"];
    let answer = put_all(&probe, &stream, keys.map(|key| entry(key, key))).await?;
    let shards: Vec<_> = answer.records.iter().filter_map(|result| result.shard_id.as_deref()).collect();
    let [zero, one] = ["shardId-000000000000", "shardId-000000000001"];
    ensure!(shards == [zero, one, zero, one, zero], "{shards:?}");
    for result in &answer.records {
        let from = stream.iterator_of(
            result.shard_id.as_deref().unwrap_or_default(),
            aws_sdk_kinesis::types::ShardIteratorType::AtSequenceNumber,
        );
        from.set_starting_sequence_number(result.sequence_number.clone()).send().await?;
    }
    Ok(())
}

async fn five_hundred_records_are_taken(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let answer = put_all(&probe, &stream, (0..500).map(|n| entry(&n.to_string(), "x"))).await?;
    ensure!(answer.records.len() == 500 && answer.failed_record_count == Some(0), "{:?}", answer.failed_record_count);
    Ok(())
}

async fn more_than_500_records_are_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_records().stream_name(&stream.name);
    refused(put.set_records(Some(vec![entry("k", "x"); 501])).send().await, "ValidationException")
}

async fn a_request_needs_a_record(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.kinesis.put_records().stream_name(&stream.name).set_records(Some(Vec::new()));
    refused(put.send().await, "ValidationException")
}

async fn a_request_over_10_mib_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let records = (0..11).map(|_| entry("k", &"x".repeat(MIB - 1))).collect();
    let put = probe.kinesis.put_records().stream_name(&stream.name).set_records(Some(records));
    refused(put.send().await, "ValidationException|InvalidArgumentException")
}

async fn one_wrong_entry_refuses_the_request(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let wrong = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x"));
    let wrong = wrong.explicit_hash_key("340282366920938463463374607431768211456").build()?;
    let put = probe.kinesis.put_records().stream_name(&stream.name).records(entry("k", "x")).records(wrong);
    refused(put.send().await, "InvalidArgumentException")?;
    ensure!(stream.data("shardId-000000000000").await?.is_empty(), "the right one was written");
    Ok(())
}

async fn the_shards_of_a_request_are_all_written(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let answer = put_all(&probe, &stream, ["a", "b"].map(|key| entry(key, key))).await?;
    ensure!(answer.failed_record_count == Some(0), "{answer:?}");
    ensure!(stream.data("shardId-000000000000").await? == ["a"]);
    ensure!(stream.data("shardId-000000000001").await? == ["b"]);
    Ok(())
}

async fn a_shard_takes_1000_records_a_second(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let mut refused = 0;
    for _ in 0..3 {
        refused += put_all(&probe, &stream, (0..500).map(|_| entry("k", "x"))).await?.failed_record_count.unwrap_or(0);
    }
    // The calls themselves take some milliseconds, in which a few more are allowed.
    ensure!((400..=500).contains(&refused), "{refused} of 1500 at once were refused");
    Ok(())
}

async fn a_shard_takes_1_mib_a_second(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let quarter = "x".repeat(MIB / 4);
    let answer = put_all(&probe, &stream, (0..8).map(|_| entry("k", &quarter))).await?;
    let refused = answer.failed_record_count;
    ensure!(matches!(refused, Some(4 | 5)), "{refused:?} of 8 quarters of a MiB were refused");
    Ok(())
}

async fn a_throttled_put_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.once.put_record().stream_name(&stream.name).partition_key("k");
    let put = put.data(Blob::new(vec![0; MIB - 1]));
    put.clone().send().await?;
    refused(put.send().await, "ProvisionedThroughputExceededException")
}

async fn a_throttled_record_does_not_stop_the_others(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let full = "x".repeat(MIB - 1);
    let answer = put_all(&probe, &stream, [entry("a", &full), entry("a", &full), entry("b", "last")]).await?;
    let codes: Vec<_> = answer.records.iter().map(|result| result.error_code.as_deref()).collect();
    ensure!(codes == [None, Some("ProvisionedThroughputExceededException"), None], "{codes:?}");
    ensure!(answer.failed_record_count == Some(1));
    ensure!(answer.records[1].shard_id.is_none() && answer.records[1].sequence_number.is_none());
    ensure!(stream.data("shardId-000000000001").await? == ["last"]);
    Ok(())
}

async fn a_throttled_record_says_where(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let account = stream.arn().await?.split(':').nth(4).unwrap_or_default().to_owned();
    let full = "x".repeat(MIB - 1);
    let answer = put_all(&probe, &stream, [entry("a", &full), entry("a", &full)]).await?;
    let message = answer.records[1].error_message.clone().context("no message")?;
    for part in [account.as_str(), stream.name.as_str(), "shardId-000000000000"] {
        ensure!(message.contains(part), "no {part} in {message}");
    }
    let put = probe.once.put_record().stream_name(&stream.name).partition_key("k").data(Blob::new(full));
    refusal(put.send().await, "ProvisionedThroughputExceededException")?;
    Ok(())
}

async fn throughput_comes_back_with_time(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.once.put_record().stream_name(&stream.name).partition_key("k");
    let put = put.data(Blob::new(vec![0; MIB - 1]));
    for _ in 0..3 {
        put.clone().send().await?;
        probe.pause(Duration::from_millis(1100)).await;
    }
    Ok(())
}

async fn put_all(
    probe: &Probe,
    stream: &Stream,
    records: impl IntoIterator<Item = PutRecordsRequestEntry>,
) -> Result<aws_sdk_kinesis::operation::put_records::PutRecordsOutput> {
    let records = records.into_iter().collect();
    Ok(probe.kinesis.put_records().stream_name(&stream.name).set_records(Some(records)).send().await?)
}

fn entry(key: &str, data: &str) -> PutRecordsRequestEntry {
    let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data));
    entry.build().expect("key and data are all that it needs")
}

const MIB: usize = 1 << 20;
