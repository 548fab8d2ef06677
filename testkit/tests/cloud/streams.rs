//! CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListStreams, and how streams are named.

use std::time::UNIX_EPOCH;

use aws_sdk_kinesis::types::{ShardIteratorType, StreamMode, StreamModeDetails, StreamStatus};
use kinesis_testkit::{Cloud, Limits};

use crate::{FIRST, clicks, clicks_without_rates, code, entry, refusal, sleep, without_retries};

#[tokio::test(start_paused = true)]
async fn a_stream_is_creating_first_then_active() {
    let cloud = Cloud::new();
    let client = cloud.outside().kinesis;
    client.create_stream().stream_name("clicks").shard_count(3).send().await.unwrap();
    let summary = async || {
        let answer = client.describe_stream_summary().stream_name("clicks").send().await.unwrap();
        answer.stream_description_summary.unwrap()
    };
    let creating = summary().await;
    assert_eq!((creating.stream_status, creating.open_shard_count), (StreamStatus::Creating, 0));
    assert_eq!(code(client.list_shards().stream_name("clicks").send().await), "ResourceInUseException");
    let put = client.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into()).send().await;
    assert_eq!(code(put), "ResourceNotFoundException");

    sleep(300).await;
    let active = summary().await;
    assert_eq!((active.stream_status, active.open_shard_count), (StreamStatus::Active, 3));
    assert_eq!(active.stream_arn, "arn:aws:kinesis:us-east-1:123456789012:stream/clicks");
    assert_eq!(active.retention_period_hours, 24);
    assert_eq!(active.max_record_size_in_kib, Some(1024));
    assert_eq!(active.consumer_count, Some(0));
    assert_eq!(active.stream_mode_details.unwrap().stream_mode, StreamMode::Provisioned);
    let now = cloud.clock().now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((active.stream_creation_timestamp.as_secs_f64() - (now - 0.3)).abs() < 0.002);
}

#[tokio::test(start_paused = true)]
async fn every_operation_takes_the_arn_instead_of_the_name() {
    let (_cloud, stream, a) = clicks(2).await;
    let arn = stream.arn();
    a.describe_stream().stream_arn(&arn).send().await.unwrap();
    a.describe_stream_summary().stream_arn(&arn).send().await.unwrap();
    assert_eq!(a.list_shards().stream_arn(&arn).send().await.unwrap().shards.unwrap().len(), 2);
    a.put_record().stream_arn(&arn).partition_key("k").data(b"1".as_slice().into()).send().await.unwrap();
    a.put_records().stream_arn(&arn).records(entry("k", "2")).send().await.unwrap();
    let shard = stream.records()[0].shard_id.clone();
    let iterator = a.get_shard_iterator().stream_arn(&arn).shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let got = a.get_records().stream_arn(&arn).set_shard_iterator(iterator.shard_iterator).send().await.unwrap();
    assert_eq!(got.records.len(), 2);
    a.split_shard().stream_arn(&arn).shard_to_split(FIRST).new_starting_hash_key("7").send().await.unwrap();
    sleep(300).await;
    let merge = a.merge_shards().stream_arn(&arn).shard_to_merge("shardId-000000000002");
    merge.adjacent_shard_to_merge("shardId-000000000003").send().await.unwrap();
    sleep(300).await;
    assert_eq!(stream.shards().len(), 5);
    a.delete_stream().stream_arn(&arn).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_to_be_named_rightly() {
    let (_cloud, stream, a) = clicks(1).await;
    let summary = a.describe_stream_summary();
    assert_eq!(code(summary.clone().send().await), "InvalidArgumentException");
    let both = summary.clone().stream_name("other").stream_arn(stream.arn());
    assert_eq!(code(both.send().await), "InvalidArgumentException");
    summary.clone().stream_name("clicks").stream_arn(stream.arn()).send().await.unwrap();
    for arn in ["", "clicks", "arn:aws:kinesis:us-east-1:1:table/clicks", "arn:aws:kinesis:us-east-1:1:stream/"] {
        assert_eq!(code(summary.clone().stream_arn(arn).send().await), "ValidationException", "{arn}");
    }
    for arn in ["arn:aws:sqs:us-east-1:123456789012:stream/clicks", "arn:aws:kinesis:us-east-1:123:stream/clicks"] {
        assert_eq!(code(summary.clone().stream_arn(arn).send().await), "ValidationException", "{arn}");
    }
    for arn in
        ["arn:aws:kinesis:eu-west-1:123456789012:stream/clicks", "arn:aws:kinesis:us-east-1:999999999999:stream/clicks"]
    {
        assert_eq!(code(summary.clone().stream_arn(arn).send().await), "ResourceNotFoundException", "{arn}");
    }
    for name in ["", "with space", "ü", &"n".repeat(129)] {
        assert_eq!(code(summary.clone().stream_name(name).send().await), "ValidationException", "{name}");
    }
    let unknown = refusal(summary.stream_name("nobody").send().await);
    let text = "Stream nobody under account 123456789012 not found.";
    assert_eq!(unknown, ("ResourceNotFoundException".to_owned(), text.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_create_stream_refuses() {
    let (_cloud, _stream, a) = clicks_without_rates(1).await;
    let create = |name: &str| a.create_stream().stream_name(name);
    let again = refusal(create("clicks").shard_count(1).send().await);
    assert_eq!(again.0, "ResourceInUseException");
    assert_eq!(again.1, "Stream clicks under account 123456789012 already exists.");
    for shards in [0, -1, 100_001] {
        assert_eq!(code(create("s").shard_count(shards).send().await), "ValidationException", "{shards}");
    }
    assert_eq!(code(create("s").send().await), "InvalidArgumentException");
    assert_eq!(code(create("a/b").shard_count(1).send().await), "ValidationException");
    for kib in [1023, 10_241] {
        let sized = create("s").shard_count(1).max_record_size_in_kib(kib);
        assert_eq!(code(sized.send().await), "ValidationException", "{kib}");
    }
    assert_eq!(code(create("s").shard_count(20_000).send().await), "LimitExceededException");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_five_streams_are_created_at_a_time() {
    let cloud = Cloud::new();
    let client = without_retries(&cloud.outside());
    for n in 0..5 {
        client.create_stream().stream_name(format!("s{n}")).shard_count(1).send().await.unwrap();
    }
    let sixth = client.create_stream().stream_name("s5").shard_count(1);
    assert_eq!(code(sixth.clone().send().await), "LimitExceededException");
    sleep(300).await;
    sixth.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_on_demand_stream_starts_with_four_shards_and_is_not_resharded_by_hand() {
    let cloud = Cloud::new();
    let client = without_retries(&cloud.outside());
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
    client.create_stream().stream_name("clicks").stream_mode_details(mode).send().await.unwrap();
    sleep(300).await;
    assert_eq!(cloud.stream("clicks").open_shards().len(), 4);
    let split = client.split_shard().stream_name("clicks").shard_to_split(FIRST).new_starting_hash_key("7");
    assert_eq!(code(split.send().await), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_goes_and_one_made_again_has_larger_sequence_numbers() {
    let (cloud, stream, a) = clicks(1).await;
    let before = stream.put("k", "old").await;
    let iterator = crate::iterator(&a, FIRST, ShardIteratorType::TrimHorizon).await;
    a.delete_stream().stream_name("clicks").send().await.unwrap();
    let summary = a.describe_stream_summary().stream_name("clicks");
    let status = summary.clone().send().await.unwrap().stream_description_summary.unwrap().stream_status;
    assert_eq!(status, StreamStatus::Deleting);
    assert_eq!(code(a.delete_stream().stream_name("clicks").send().await), "ResourceInUseException");
    assert_eq!(code(a.get_records().shard_iterator(&iterator).send().await), "ResourceNotFoundException");
    sleep(300).await;
    assert_eq!(code(summary.send().await), "ResourceNotFoundException");

    let stream = cloud.create_stream("clicks", 1).await;
    assert_eq!(stream.records(), []);
    let after = stream.put("k", "new").await;
    assert_eq!((before.shard_id, before.sequence_number.len()), (after.shard_id, after.sequence_number.len()));
    assert!(after.sequence_number > before.sequence_number);
    assert_eq!(code(a.get_records().shard_iterator(iterator).send().await), "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn describe_stream_and_list_streams_page() {
    let mut limits = Limits::default();
    limits.streams_creating = 200;
    limits.control_calls_per_second.clear();
    let cloud = Cloud::builder().limits(limits).build();
    let client = cloud.outside().kinesis;
    cloud.create_stream("wide", 150).await;
    let first = client.describe_stream().stream_name("wide").send().await.unwrap().stream_description.unwrap();
    assert_eq!((first.shards.len(), first.has_more_shards), (100, true));
    let rest = client.describe_stream().stream_name("wide").exclusive_start_shard_id(&first.shards[99].shard_id);
    let rest = rest.limit(10_000).send().await.unwrap().stream_description.unwrap();
    assert_eq!((rest.shards.len(), rest.has_more_shards), (50, false));
    assert_eq!(rest.shards[0].shard_id, "shardId-000000000100");

    for n in 0..101 {
        client.create_stream().stream_name(format!("n{n:03}")).shard_count(1).send().await.unwrap();
    }
    let first = client.list_streams().send().await.unwrap();
    assert_eq!((first.stream_names.len(), first.has_more_streams), (100, true));
    let rest = client.list_streams().set_next_token(first.next_token).send().await.unwrap();
    assert_eq!((rest.stream_names, rest.has_more_streams), (vec!["n100".to_owned(), "wide".to_owned()], false));
    let three = client.list_streams().exclusive_start_stream_name("n004").limit(3).send().await.unwrap();
    assert_eq!(three.stream_names, ["n005", "n006", "n007"]);
    assert_eq!(three.stream_summaries.unwrap()[0].stream_status, StreamStatus::Creating);
    assert_eq!(code(client.list_streams().limit(0).send().await), "ValidationException");
    assert_eq!(code(client.list_streams().limit(10_001).send().await), "ValidationException");
}
