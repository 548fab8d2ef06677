//! GetShardIterator and GetRecords.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType as From;
use kinesis_testkit::{Cloud, Limits, Stream};

use crate::{FIRST, clicks, code, get, iterator, refusal, sleep, texts, without_retries};

fn ask(a: &Client) -> GetShardIteratorFluentBuilder {
    a.get_shard_iterator().stream_name("clicks").shard_id(FIRST)
}

/// What is read from where this iterator stands.
async fn read(a: &Client, from: GetShardIteratorFluentBuilder) -> Vec<String> {
    sleep(1000).await;
    let answer = get(a, from.send().await.unwrap().shard_iterator.unwrap()).await;
    texts(&answer).into_iter().map(str::to_owned).collect()
}

/// Puts these, a second apart.
async fn put_all(stream: &Stream, data: &[&'static str]) -> Vec<kinesis_testkit::Record> {
    let mut records = Vec::new();
    for text in data {
        sleep(1000).await;
        records.push(stream.put("k", *text).await);
    }
    records
}

fn time(at: SystemTime, plus_millis: i64) -> DateTime {
    DateTime::from_millis(DateTime::from(at).to_millis().unwrap() + plus_millis)
}

#[tokio::test(start_paused = true)]
async fn the_five_iterator_types() {
    let (_cloud, stream, a) = clicks(1).await;
    let records = put_all(&stream, &["1", "2", "3"]).await;
    let number = |n: usize| records[n].sequence_number.clone();

    assert_eq!(read(&a, ask(&a).shard_iterator_type(From::TrimHorizon)).await, ["1", "2", "3"]);
    assert_eq!(read(&a, ask(&a).shard_iterator_type(From::Latest)).await, [""; 0]);
    let at = |n| ask(&a).shard_iterator_type(From::AtSequenceNumber).starting_sequence_number(number(n));
    let after = |n| ask(&a).shard_iterator_type(From::AfterSequenceNumber).starting_sequence_number(number(n));
    assert_eq!(read(&a, at(1)).await, ["2", "3"]);
    assert_eq!(read(&a, after(1)).await, ["3"]);
    assert_eq!(read(&a, after(2)).await, [""; 0]);
    let beginning = stream.shards()[0].starting_sequence_number.clone();
    let from_start = ask(&a).shard_iterator_type(From::AtSequenceNumber).starting_sequence_number(beginning);
    assert_eq!(read(&a, from_start).await, ["1", "2", "3"]);

    let at_time = |millis| ask(&a).shard_iterator_type(From::AtTimestamp).timestamp(time(records[1].arrival, millis));
    assert_eq!(read(&a, at_time(0)).await, ["2", "3"], "exactly when it arrived");
    assert_eq!(read(&a, at_time(1)).await, ["3"]);
    assert_eq!(read(&a, at_time(-1)).await, ["2", "3"]);
    assert_eq!(read(&a, at_time(-100_000)).await, ["1", "2", "3"], "older than the stream");
    assert_eq!(read(&a, at_time(1001)).await, [""; 0], "after the last record");
}

#[tokio::test(start_paused = true)]
async fn a_time_read_from_a_record_leads_back_to_it() {
    let (_cloud, stream, a) = clicks(1).await;
    for _ in 0..5 {
        sleep(777).await;
        stream.put("k", "x").await;
    }
    let all = get(&a, iterator(&a, FIRST, From::TrimHorizon).await).await;
    for (n, record) in all.records.iter().enumerate() {
        let arrival = record.approximate_arrival_timestamp.unwrap();
        let from = ask(&a).shard_iterator_type(From::AtTimestamp).timestamp(arrival);
        assert_eq!(read(&a, from).await.len(), 5 - n);
    }
}

#[tokio::test(start_paused = true)]
async fn latest_and_a_time_after_the_last_record_see_what_comes_later() {
    let (cloud, stream, a) = clicks(1).await;
    stream.put("k", "old").await;
    let latest = iterator(&a, FIRST, From::Latest).await;
    sleep(10).await;
    let now = ask(&a).shard_iterator_type(From::AtTimestamp).timestamp(time(cloud.clock().now(), 0));
    let now = now.send().await.unwrap().shard_iterator.unwrap();
    stream.put("k", "new").await;
    assert_eq!(texts(&get(&a, latest).await), ["new"]);
    assert_eq!(texts(&get(&a, now).await), ["new"]);
}

#[tokio::test(start_paused = true)]
async fn what_get_shard_iterator_refuses() {
    let (cloud, stream, a) = clicks(2).await;
    let record = stream.put_with_hash_key("k", 0, "x").await;
    let other = stream.put_with_hash_key("k", u128::MAX, "x").await;
    let at = |number: &str| ask(&a).shard_iterator_type(From::AtSequenceNumber).starting_sequence_number(number);
    for number in ["0", &"9".repeat(56)] {
        assert_eq!(code(at(number).send().await), "InvalidArgumentException", "{number}");
    }
    for text in ["", "LATEST", "TRIM_HORIZON", "01"] {
        assert_eq!(code(at(text).send().await), "ValidationException", "{text}");
    }
    let (code_, message) = refusal(at(&other.sequence_number).send().await);
    assert_eq!(code_, "InvalidArgumentException");
    assert!(message.contains("It encodes shardId-000000000001"), "{message}");
    assert_eq!(code(ask(&a).shard_iterator_type(From::AtSequenceNumber).send().await), "InvalidArgumentException");
    let both = ask(&a).shard_iterator_type(From::TrimHorizon).starting_sequence_number(&record.sequence_number);
    assert_eq!(code(both.send().await), "InvalidArgumentException");
    assert_eq!(code(ask(&a).shard_iterator_type(From::AtTimestamp).send().await), "InvalidArgumentException");
    let future = ask(&a).shard_iterator_type(From::AtTimestamp).timestamp(time(cloud.clock().now(), 60_000));
    assert_eq!(code(future.send().await), "InvalidArgumentException");
    assert_eq!(code(ask(&a).shard_iterator_type("SOMEWHERE".into()).send().await), "ValidationException");
    let missing = refusal(ask(&a).shard_id("shardId-000000000007").shard_iterator_type(From::Latest).send().await);
    assert_eq!(missing.0, "ResourceNotFoundException");
    assert_eq!(missing.1, "Shard shardId-000000000007 in stream clicks under account 123456789012 does not exist");
    for id in ["7", "shardId-0", "shardId-9999999999999"] {
        let answer = ask(&a).shard_id(id).shard_iterator_type(From::Latest).send().await;
        assert_eq!(code(answer), "ResourceNotFoundException", "{id}");
    }
    for id in ["", "no spaces", "shardId:0"] {
        let answer = ask(&a).shard_id(id).shard_iterator_type(From::Latest).send().await;
        assert_eq!(code(answer), "ValidationException", "{id}");
    }

    // A number that this shard will give one day: a cloud of the same seed gives it away.
    let twin = Cloud::new().create_stream("clicks", 2).await;
    for known in [&record, &other] {
        let same = twin.put_with_hash_key("k", known.explicit_hash_key.as_ref().unwrap().parse().unwrap(), "x").await;
        assert_eq!(same.sequence_number, known.sequence_number);
    }
    let not_yet = twin.put_with_hash_key("k", 0, "x").await;
    at(&record.sequence_number).send().await.unwrap();
    assert_eq!(code(at(&not_yet.sequence_number).send().await), "InvalidArgumentException");

    // A number of the stream that had this name before.
    a.delete_stream().stream_name("clicks").send().await.unwrap();
    sleep(300).await;
    cloud.create_stream("clicks", 2).await;
    let (code, message) = refusal(at(&record.sequence_number).send().await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.ends_with("is invalid because it did not come from this stream."), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_iterator_lives_five_minutes_and_each_answer_gives_a_new_one() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.put("k", "1").await;
    let first = iterator(&a, FIRST, From::TrimHorizon).await;
    sleep(299_000).await;
    let next = get(&a, &first).await.next_shard_iterator.unwrap();
    sleep(2_000).await;
    let (code, message) = refusal(a.get_records().shard_iterator(&first).send().await);
    assert_eq!(code, "ExpiredIteratorException");
    assert!(
        message.starts_with("Iterator expired. The iterator was created at time Thu Jan 01 00:00:00 UTC 2026 while")
    );
    assert!(message.ends_with("the tolerated delay of 300000 milliseconds."), "{message}");
    stream.put("k", "2").await;
    assert_eq!(texts(&get(&a, next).await), ["2"]);
    for bad in ["", "nonsense", &first[1..]] {
        assert_eq!(crate::code(a.get_records().shard_iterator(bad).send().await), "InvalidArgumentException", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_has_as_many_records_as_asked_for_and_an_iterator_can_be_used_twice() {
    let (_cloud, stream, a) = clicks(1).await;
    put_all(&stream, &["1", "2", "3"]).await;
    let first = iterator(&a, FIRST, From::TrimHorizon).await;
    for _ in 0..2 {
        let two = a.get_records().shard_iterator(&first).limit(2).send().await.unwrap();
        assert_eq!(texts(&two), ["1", "2"]);
        assert_eq!(texts(&get(&a, two.next_shard_iterator.unwrap()).await), ["3"]);
    }
    for (limit, expected) in
        [(0, "ValidationException"), (-1, "ValidationException"), (10_001, "InvalidArgumentException")]
    {
        let answer = a.get_records().shard_iterator(&first).limit(limit).send().await;
        assert_eq!(code(answer), expected, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn millis_behind_latest_is_zero_only_at_the_tip() {
    let (_cloud, stream, a) = clicks(1).await;
    let empty = iterator(&a, FIRST, From::TrimHorizon).await;
    assert_eq!(get(&a, &empty).await.millis_behind_latest, Some(0));
    put_all(&stream, &["1", "2", "3"]).await;
    sleep(5000).await;
    let one = a.get_records().shard_iterator(&empty).limit(1).send().await.unwrap();
    let behind = one.millis_behind_latest.unwrap();
    assert!((7000..7010).contains(&behind), "record 1 came two seconds before record 3: {behind}");
    let rest = get(&a, one.next_shard_iterator.unwrap()).await;
    assert_eq!((rest.records.len(), rest.millis_behind_latest), (2, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_records_of_this_very_moment_is_behind_too() {
    let cloud = Cloud::builder().latency(Duration::ZERO).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    stream.put("k", "1").await;
    stream.put("k", "2").await;
    let one = a.get_records().shard_iterator(iterator(&a, FIRST, From::TrimHorizon).await).limit(1);
    assert_eq!(one.send().await.unwrap().millis_behind_latest, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_shard_answers_five_reads_a_second() {
    let (_cloud, _stream, a) = clicks(1).await;
    let mut next = iterator(&a, FIRST, From::Latest).await;
    for _ in 0..5 {
        next = get(&a, next).await.next_shard_iterator.unwrap();
    }
    let (code_, message) = refusal(a.get_records().shard_iterator(&next).send().await);
    assert_eq!(code_, "ProvisionedThroughputExceededException");
    assert_eq!(message, "Rate exceeded for shard shardId-000000000000 in stream clicks under account 123456789012.");
    sleep(200).await;
    get(&a, &next).await;
    assert_eq!(code(a.get_records().shard_iterator(next).send().await), "ProvisionedThroughputExceededException");
}

#[tokio::test(start_paused = true)]
async fn a_shard_gives_five_iterators_a_second() {
    let (_cloud, _stream, a) = clicks(2).await;
    let from = |shard: &str| {
        a.get_shard_iterator().stream_name("clicks").shard_id(shard).shard_iterator_type(From::Latest).send()
    };
    for _ in 0..5 {
        from(FIRST).await.unwrap();
    }
    assert_eq!(code(from(FIRST).await), "ProvisionedThroughputExceededException");
    from("shardId-000000000001").await.unwrap();
    sleep(200).await;
    from(FIRST).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_10_mib_and_locks_the_shard_for_five_seconds() {
    let (_cloud, stream, a) = clicks(1).await;
    for _ in 0..12 {
        stream.put("k", vec![b'x'; (1 << 20) - 1]).await;
    }
    let first = get(&a, iterator(&a, FIRST, From::TrimHorizon).await).await;
    assert_eq!(first.records.len(), 10);
    let next = first.next_shard_iterator.unwrap();
    sleep(4990).await;
    assert_eq!(code(a.get_records().shard_iterator(&next).send().await), "ProvisionedThroughputExceededException");
    sleep(10).await;
    assert_eq!(get(&a, next).await.records.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shard_gives_2_mib_a_second() {
    let (_cloud, stream, a) = clicks(1).await;
    for _ in 0..4 {
        stream.put("k", vec![b'x'; (1 << 20) - 1]).await;
    }
    let mut next = iterator(&a, FIRST, From::TrimHorizon).await;
    let one = |next: String| a.get_records().shard_iterator(next).limit(1).send();
    for _ in 0..2 {
        next = one(next).await.unwrap().next_shard_iterator.unwrap();
    }
    // Two milliseconds of refill are left: a read is let in, and locks the shard for the half second that its answer is
    // worth.
    next = one(next).await.unwrap().next_shard_iterator.unwrap();
    assert_eq!(code(one(next.clone()).await), "ProvisionedThroughputExceededException");
    sleep(490).await;
    assert_eq!(code(one(next.clone()).await), "ProvisionedThroughputExceededException");
    sleep(10).await;
    one(next).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn records_are_trimmed_after_a_day() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.put("k", "old").await;
    tokio::time::sleep(Duration::from_secs(12 * 3600)).await;
    stream.put("k", "young").await;
    tokio::time::sleep(Duration::from_secs(12 * 3600 + 1)).await;
    assert_eq!(texts(&get(&a, iterator(&a, FIRST, From::TrimHorizon).await).await), ["young"]);
    assert_eq!(stream.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rates_can_be_lifted() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    for _ in 0..30 {
        stream.put("k", vec![b'x'; 1000]).await;
        let from = iterator(&a, FIRST, From::TrimHorizon).await;
        get(&a, from).await;
    }
}
