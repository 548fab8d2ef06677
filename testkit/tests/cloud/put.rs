//! PutRecord and PutRecords: where records go, what is refused, how fast a shard takes them.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use kinesis_testkit::{Cloud, Limits, Stream};

use crate::{clicks, code, entry, refusal, sleep, without_retries};

const MIB: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn a_record_goes_where_its_hash_key_says() {
    let (_cloud, stream, a) = clicks(2).await;
    let half = 1_u128 << 127;
    // MD5("a") = 0cc175…, MD5("b") = 92eb5f….
    let cases = [
        ("a", None, 0),
        ("b", None, 1),
        ("b", Some(0), 0),
        ("a", Some(half - 1), 0),
        ("a", Some(half), 1),
        ("a", Some(u128::MAX), 1),
    ];
    for (key, hash_key, shard) in cases {
        let put = a.put_record().stream_name("clicks").partition_key(key).data(b"x".as_slice().into());
        let put = put.set_explicit_hash_key(hash_key.map(|key| key.to_string())).send().await.unwrap();
        assert_eq!(put.shard_id, stream.shards()[shard].id, "{key} {hash_key:?}");
        let stored = stream.records().into_iter().find(|record| record.sequence_number == put.sequence_number).unwrap();
        assert_eq!(stored.explicit_hash_key, hash_key.map(|key| key.to_string()));
        assert_eq!(stored.partition_key, key);
    }
}

#[tokio::test(start_paused = true)]
async fn sequence_numbers_have_56_digits_and_rise_within_a_shard() {
    let (_cloud, stream, a) = clicks(1).await;
    let mut last = stream.shards()[0].starting_sequence_number.clone();
    let mut steps = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let put = a.put_records().stream_name("clicks").set_records(Some((0..50).map(|_| entry("k", "x")).collect()));
        for record in put.send().await.unwrap().records {
            let number = record.sequence_number.unwrap();
            assert_eq!(number.len(), 56);
            assert!(number > last, "{number} after {last}");
            // The last digits are enough to tell one step from another.
            let tail = |number: &str| number[30..].parse::<u128>().unwrap();
            steps.insert(tail(&number).wrapping_sub(tail(&last)));
            last = number;
        }
    }
    assert!(steps.len() > 100, "as with the service, the next number cannot be guessed");
    let put = a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into());
    put.clone().sequence_number_for_ordering(&last).send().await.unwrap();
    assert_eq!(code(put.sequence_number_for_ordering("7").send().await), "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn a_number_that_cannot_have_been_given_out_is_none_to_order_by() {
    let (_cloud, stream, a) = clicks(1).await;
    // The same stream in the same moment of another world, which is one record ahead.
    let ahead = Cloud::new().create_stream("clicks", 1).await;
    let opened = |stream: &Stream| stream.shards()[0].starting_sequence_number.clone();
    let put = |number: String| {
        let put = a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into());
        put.sequence_number_for_ordering(number).send()
    };
    let last = stream.put("k", "1").await.sequence_number;
    ahead.put("k", "1").await;
    let future = ahead.put("k", "2").await.sequence_number;
    assert_eq!(opened(&ahead)[..20], opened(&stream)[..20], "shards of one age");
    assert!(future > last);
    let (code_, message) = refusal(put(future.clone()).await);
    assert_eq!(code_, "InvalidArgumentException");
    assert_eq!(
        message,
        format!(
            "ExclusiveMinimumSequenceNumber {future} used in PutRecord on stream clicks under account 123456789012 is invalid."
        )
    );
    let tomorrow = Cloud::builder().epoch(Cloud::new().clock().now() + Duration::from_secs(24 * 3600)).build();
    let tomorrow = tomorrow.create_stream("clicks", 1).await.put("k", "1").await.sequence_number;
    assert_eq!(code(put(tomorrow).await), "InvalidArgumentException");
    assert!(put(last.clone()).await.unwrap().sequence_number > last);
}

#[tokio::test(start_paused = true)]
async fn partition_keys_have_1_to_256_characters_and_explicit_hash_keys_128_bits() {
    let (_cloud, _stream, a) = clicks(1).await;
    let put = |key: &str| a.put_record().stream_name("clicks").partition_key(key).data(b"".as_slice().into());
    put(&"ü".repeat(256)).send().await.unwrap();
    for key in ["", &"k".repeat(257), &"ü".repeat(257)] {
        assert_eq!(code(put(key).send().await), "ValidationException", "{key}");
    }
    for hash_key in ["0", "340282366920938463463374607431768211455"] {
        put("k").explicit_hash_key(hash_key).send().await.unwrap();
    }
    let large = put("k").explicit_hash_key("340282366920938463463374607431768211456").send().await;
    assert_eq!(code(large), "InvalidArgumentException");
    for hash_key in ["", "-1", "00", "1e3", "0x10", "3402823669209384634633746074317682114550"] {
        assert_eq!(code(put("k").explicit_hash_key(hash_key).send().await), "ValidationException", "{hash_key}");
    }
    let batch = a.put_records().stream_name("clicks").records(entry("k", "1")).records(entry("", "2"));
    let (code, message) = refusal(batch.send().await);
    assert_eq!(code, "ValidationException");
    assert!(message.contains("records.2.member.partitionKey"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_record_has_1_mib_with_its_key_or_what_the_stream_allows() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let put = |size: usize| a.put_records().stream_name("clicks").records(entry("key", vec![b'x'; size]));
    put(MIB - 3).send().await.unwrap();
    let (code, message) = refusal(put(MIB - 2).send().await);
    assert_eq!(code, "ValidationException");
    assert!(message.contains("records.1.member.data") && message.contains("1048576"), "{message}");
    assert_eq!(stream.records().len(), 1);

    a.create_stream().stream_name("large").shard_count(1).max_record_size_in_kib(10_240).send().await.unwrap();
    sleep(300).await;
    let put = |size: usize| a.put_record().stream_name("large").partition_key("key").data(vec![b'x'; size].into());
    put(10 * MIB - 3).send().await.unwrap();
    assert_eq!(crate::code(put(10 * MIB - 2).send().await), "ValidationException");
    assert_eq!(crate::code(put(10 * MIB + 1).send().await), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn put_records_takes_500_records_and_10_mib() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let put = |n: usize, size: usize| {
        let records = (0..n).map(|_| entry("key", vec![b'x'; size])).collect();
        a.put_records().stream_name("clicks").set_records(Some(records)).send()
    };
    put(500, 1).await.unwrap();
    assert_eq!(code(put(501, 1).await), "ValidationException");
    assert_eq!(code(put(0, 1).await), "ValidationException");
    put(10, MIB - 3).await.unwrap();
    let (code, message) = refusal(put(11, 10 * MIB / 11).await);
    assert_eq!((code.as_str(), message.as_str()), ("InvalidArgumentException", "Records size exceeds 10 MB limit"));
    assert_eq!(stream.records().len(), 510);
}

/// Calls without latency: the clock moves only where the test says so, and rates can be counted to the record.
async fn without_latency(shards: i32) -> (Stream, Client) {
    let cloud = Cloud::builder().latency(Duration::ZERO).build();
    let stream = cloud.create_stream("clicks", shards).await;
    (stream, without_retries(&cloud.connect("a").await))
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_1000_records_a_second() {
    let (stream, a) = without_latency(2).await;
    let put = |key: &str, n: usize| {
        let records = (0..n).map(|_| entry(key, "x")).collect();
        a.put_records().stream_name("clicks").set_records(Some(records)).send()
    };
    assert_eq!(failed(&put("a", 500).await.unwrap()), 0);
    assert_eq!(failed(&put("a", 499).await.unwrap()), 0);
    let over = put("a", 3).await.unwrap();
    assert_eq!((failed(&over), over.failed_record_count), (2, Some(2)));
    let last = over.records.last().unwrap();
    assert_eq!(last.error_code.as_deref(), Some("ProvisionedThroughputExceededException"));
    let text = "Rate exceeded for shard shardId-000000000000 in stream clicks under account 123456789012.";
    assert_eq!(last.error_message.as_deref(), Some(text));
    assert_eq!((&last.sequence_number, &last.shard_id), (&None, &None));
    let single = a.put_record().stream_name("clicks").partition_key("a").data(b"x".as_slice().into());
    let (code, message) = refusal(single.clone().send().await);
    assert_eq!((code.as_str(), message.as_str()), ("ProvisionedThroughputExceededException", text));

    assert_eq!(failed(&put("b", 500).await.unwrap()), 0, "the other shard has a rate of its own");
    sleep(100).await;
    assert_eq!(failed(&put("a", 500).await.unwrap()), 400);
    sleep(3000).await;
    single.send().await.unwrap();
    assert_eq!(failed(&put("a", 500).await.unwrap()), 0);
    assert_eq!(failed(&put("a", 500).await.unwrap()), 1, "no more than one second's worth is held");

    // From outside nothing is limited, and nothing is used up.
    sleep(1000).await;
    for _ in 0..3000 {
        stream.put("a", "x").await;
    }
    assert_eq!(failed(&put("a", 500).await.unwrap()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_1_mib_a_second() {
    let (_stream, a) = without_latency(1).await;
    let put = |sizes: &[usize]| {
        let records = sizes.iter().map(|size| entry("k", vec![b'x'; size - 1])).collect();
        a.put_records().stream_name("clicks").set_records(Some(records)).send()
    };
    // Key and data count. A small record goes where a large one does not.
    let over = put(&[MIB / 2, MIB / 2 - 99, 100, 99]).await.unwrap();
    let written: Vec<bool> = over.records.iter().map(|record| record.error_code.is_none()).collect();
    assert_eq!(written, [true, true, false, true]);
    sleep(500).await;
    assert_eq!(failed(&put(&[MIB / 2]).await.unwrap()), 0);
    assert_eq!(failed(&put(&[1]).await.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_second_of_the_shard_is_paid_for_afterwards() {
    let cloud = Cloud::new();
    let a = without_retries(&cloud.connect("a").await);
    a.create_stream().stream_name("large").shard_count(1).max_record_size_in_kib(10_240).send().await.unwrap();
    sleep(300).await;
    let put = |size: usize| a.put_record().stream_name("large").partition_key("k").data(vec![b'x'; size].into()).send();
    put(5 * MIB - 1).await.unwrap();
    sleep(3990).await;
    assert_eq!(code(put(1).await), "ProvisionedThroughputExceededException");
    sleep(20).await;
    put(1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there() {
    let (_cloud, _stream, a) = clicks(1).await;
    let put = a.put_records().stream_name("nobody").records(entry("k", "x"));
    assert_eq!(code(put.send().await), "ResourceNotFoundException");
}

fn failed(answer: &PutRecordsOutput) -> usize {
    answer.records.iter().filter(|record| record.error_code.is_some()).count()
}
