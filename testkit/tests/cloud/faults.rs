//! What a worker's network can do to its calls.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::put_record::{PutRecordError, PutRecordOutput};
use kinesis_testkit::{Cloud, Connection, Entries, EntryError, Fault, Outcome, Service};
use tokio::time::{Instant, timeout};

use crate::{FIRST, clicks, code, entry, sleep, without_retries};

async fn put(a: &Client, data: &str) -> Result<PutRecordOutput, SdkError<PutRecordError>> {
    a.put_record().stream_name("clicks").partition_key("k").data(data.as_bytes().into()).send().await
}

fn timeouts(connection: &Connection, config: TimeoutConfig) -> Client {
    let builder = connection.kinesis_config().retry_config(RetryConfig::disabled());
    Client::from_conf(builder.timeout_config(config).build())
}

/// What became of each of worker "a"'s calls.
fn outcomes(cloud: &Cloud) -> Vec<Outcome> {
    cloud.calls("a").iter().map(|call| call.outcome.clone()).collect()
}

/// Milliseconds from here to there, less the millisecond to which tokio's timers round up.
fn about(since: Instant, millis: u64) -> bool {
    let passed = since.elapsed().as_millis() as u64;
    (millis..=millis + 2).contains(&passed)
}

#[tokio::test(start_paused = true)]
async fn in_a_black_hole_a_call_waits_for_ever_or_for_its_read_timeout() {
    let (cloud, stream, a) = clicks(1).await;
    put(&a, "1").await.unwrap();
    cloud.faults("a").black_hole();
    assert!(timeout(Duration::from_secs(3600), put(&a, "2")).await.is_err());

    let connection = cloud.connect("b").await;
    let b = timeouts(&connection, TimeoutConfig::builder().read_timeout(Duration::from_secs(6)).build());
    put(&b, "3").await.unwrap();
    cloud.faults("b").black_hole();
    let start = Instant::now();
    let error = put(&b, "4").await.unwrap_err();
    assert!(matches!(&error, SdkError::DispatchFailure(failure) if failure.is_timeout()), "{error:?}");
    assert!(about(start, 6000));

    cloud.faults("a").heal();
    put(&a, "5").await.unwrap();
    assert!(timeout(Duration::from_secs(60), put(&b, "6")).await.unwrap().is_err(), "another worker's network");
    assert_eq!(outcomes(&cloud), [Outcome::Answered, Outcome::GivenUp, Outcome::Answered]);
    let stored: Vec<_> = stream.records().into_iter().map(|record| record.data).collect();
    assert_eq!(stored, ["1", "3", "5"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_open_connection_the_connect_timeout_ends_a_call() {
    let (cloud, _stream, _) = clicks(1).await;
    let connection = cloud.connect("a").await;
    let connect =
        TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).read_timeout(Duration::from_secs(10));
    let a = timeouts(&connection, connect.build());
    cloud.faults("a").black_hole();
    let start = Instant::now();
    let error = put(&a, "1").await.unwrap_err();
    assert!(matches!(&error, SdkError::DispatchFailure(failure) if failure.is_timeout()), "{error:?}");
    assert!(about(start, 3000));
    cloud.faults("a").heal();
    put(&a, "2").await.unwrap();
    assert_eq!(outcomes(&cloud), [Outcome::TimedOut, Outcome::Answered]);
}

#[tokio::test(start_paused = true)]
async fn the_sdk_s_own_timeouts_hold_in_virtual_time() {
    let (cloud, _stream, _) = clicks(1).await;
    let connection = cloud.connect("a").await;
    let config = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build();
    let a = Client::from_conf(connection.kinesis_config().timeout_config(config).build());
    put(&a, "1").await.unwrap();
    cloud.faults("a").black_hole();
    let start = Instant::now();
    assert!(matches!(put(&a, "2").await, Err(SdkError::TimeoutError(_))));
    assert!(about(start, 5000));
    assert!((2..=3).contains(&(cloud.calls("a").count("PutRecord") - 1)), "the first attempt was retried");
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_has_no_effect_and_a_lost_response_has() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").next("PutRecord", Fault::LoseRequest);
    cloud.faults("a").next("PutRecord", Fault::LoseResponse);
    for data in ["before", "after"] {
        let error = put(&a, data).await.unwrap_err();
        assert!(matches!(&error, SdkError::DispatchFailure(failure) if failure.is_io()), "{error:?}");
    }
    put(&a, "then").await.unwrap();
    assert_eq!(outcomes(&cloud), [Outcome::RequestLost, Outcome::ResponseLost, Outcome::Answered]);
    let stored: Vec<_> = stream.records().into_iter().map(|record| record.data).collect();
    assert_eq!(stored, ["after", "then"]);
}

#[tokio::test(start_paused = true)]
async fn the_sdk_s_retry_of_a_lost_response_writes_twice() {
    let (cloud, stream, _) = clicks(1).await;
    let a = cloud.connect("a").await.kinesis;
    cloud.faults("a").next("PutRecord", Fault::LoseResponse);
    put(&a, "x").await.unwrap();
    assert_eq!(stream.records().len(), 2);
    assert_eq!(cloud.calls("a").count("PutRecord"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_answer_has_an_effect_too() {
    let (cloud, stream, _) = clicks(1).await;
    let connection = cloud.connect("a").await;
    let a = timeouts(&connection, TimeoutConfig::builder().read_timeout(Duration::from_secs(6)).build());
    cloud.faults("a").next("PutRecord", Fault::SilentAnswer);
    let start = Instant::now();
    put(&a, "x").await.unwrap_err();
    assert!(about(start, 6000));
    assert_eq!(stream.records().len(), 1);
    assert_eq!(outcomes(&cloud), [Outcome::TimedOut]);
}

#[tokio::test(start_paused = true)]
async fn delays_add_up_and_a_late_request_takes_effect_though_nobody_waits() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").always(Fault::DelayRequest(Duration::from_millis(300)));
    cloud.faults("a").always_for("PutRecord", Fault::DelayResponse(Duration::from_millis(200)));
    let start = Instant::now();
    put(&a, "1").await.unwrap();
    assert!(about(start, 501));
    a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    assert!(about(start, 802));

    let given_up = timeout(Duration::from_millis(100), put(&a, "2")).await;
    assert!(given_up.is_err());
    assert_eq!((stream.records().len(), cloud.requests_under_way()), (1, 1));
    sleep(250).await;
    assert_eq!((stream.records().len(), cloud.requests_under_way()), (2, 0), "it arrived after the caller had gone");
    assert_eq!(outcomes(&cloud).last(), Some(&Outcome::GivenUp));
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_does_not_get_through_a_black_hole_that_opens_meanwhile() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").next("PutRecord", Fault::DelayResponse(Duration::from_secs(1)));
    let call = tokio::spawn(async move { put(&a, "x").await });
    sleep(500).await;
    cloud.faults("a").black_hole();
    assert!(timeout(Duration::from_secs(60), call).await.is_err());
    assert_eq!(stream.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_can_fail_throttle_and_recover() {
    let (cloud, stream, a) = clicks(1).await;
    let faults = cloud.faults("a");
    for (fault, expected) in [
        (Fault::ServerError, "InternalFailureException"),
        (Fault::Unavailable, "ServiceUnavailable"),
        (Fault::Throttle, "ProvisionedThroughputExceededException"),
    ] {
        faults.next("PutRecord", fault);
        assert_eq!(code(put(&a, "x").await), expected);
    }
    faults.next("ListShards", Fault::Throttle);
    assert_eq!(code(a.list_shards().stream_name("clicks").send().await), "LimitExceededException");
    assert_eq!(stream.records(), []);
    assert_eq!(outcomes(&cloud)[0], Outcome::Refused("InternalFailureException".to_owned()));

    // With the SDK's retries on, two failures are not even seen.
    let patient = cloud.connect("a").await.kinesis;
    faults.next_n("PutRecord", 2, Fault::ServerError);
    put(&patient, "x").await.unwrap();
    faults.next_n("PutRecord", 3, Fault::Throttle);
    assert_eq!(code(put(&patient, "x").await), "ProvisionedThroughputExceededException");
    put(&patient, "x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn chosen_entries_of_a_batch_fail() {
    let (cloud, stream, a) = clicks(2).await;
    let batch = || {
        let records = ["a", "b", "a", "b"].map(|key| entry(key, key)).to_vec();
        a.put_records().stream_name("clicks").set_records(Some(records)).send()
    };
    let shard_of_b = "shardId-000000000001".to_owned();
    let cases = [
        (Entries::All, [true, true, true, true]),
        (Entries::At(vec![0, 3]), [true, false, false, true]),
        (Entries::WithKey("a".to_owned()), [true, false, true, false]),
        (Entries::OnShard(shard_of_b), [false, true, false, true]),
    ];
    let mut written = 0;
    for (entries, expected) in cases {
        cloud.faults("a").next("PutRecords", Fault::FailEntries(entries.clone(), EntryError::InternalFailure));
        let answer = batch().await.unwrap();
        let failed: Vec<bool> = answer.records.iter().map(|record| record.error_code.is_some()).collect();
        assert_eq!(failed, expected, "{entries:?}");
        assert_eq!(answer.failed_record_count, Some(failed.iter().filter(|failed| **failed).count() as i32));
        written += failed.iter().filter(|failed| !**failed).count();
        assert_eq!(stream.records().len(), written);
    }
    cloud.faults("a").always_for("PutRecords", Fault::FailEntries(Entries::At(vec![1]), EntryError::Throttled));
    for _ in 0..2 {
        let answer = batch().await.unwrap();
        assert_eq!(answer.records[1].error_code.as_deref(), Some("ProvisionedThroughputExceededException"));
        let text = "Rate exceeded for shard shardId-000000000001 in stream clicks under account 123456789012.";
        assert_eq!(answer.records[1].error_message.as_deref(), Some(text));
    }
    put(&a, "other operations do not notice").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn faults_keep_to_their_worker_service_and_operation() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let (a, b) = (cloud.connect("a").await, cloud.connect("b").await);
    cloud.faults("a").dynamodb().always(Fault::LoseRequest);
    put(&without_retries(&a), "1").await.unwrap();
    a.dynamodb.list_tables().send().await.unwrap_err();
    b.dynamodb.list_tables().send().await.unwrap();
    cloud.faults("a").kinesis().always_for("GetRecords", Fault::LoseRequest);
    put(&without_retries(&a), "2").await.unwrap();

    cloud.faults("a").dynamodb().heal();
    a.dynamodb.list_tables().send().await.unwrap();
    a.kinesis.get_records().shard_iterator("x").send().await.unwrap_err();
    assert_eq!(cloud.calls("a").of("GetRecords").next().unwrap().outcome, Outcome::RequestLost);
    assert_eq!(cloud.calls("a").of("ListTables").next().unwrap().service, Service::DynamoDb);
    cloud.faults("a").heal();
    assert_eq!(code(a.kinesis.get_records().shard_iterator("x").send().await), "InvalidArgumentException");
    cloud.clear_calls("a");
    assert!(cloud.calls("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_call_takes_its_latency_and_the_log_says_when() {
    let cloud = Cloud::builder().latency(Duration::from_millis(7)).build();
    cloud.create_stream("clicks", 1).await;
    let a = cloud.connect("a").await.kinesis;
    let start = cloud.clock().elapsed();
    put(&a, "1").await.unwrap();
    sleep(1000).await;
    put(&a, "2").await.unwrap();
    let at: Vec<u128> = cloud.calls("a").iter().map(|call| (call.at - start).as_millis()).collect();
    assert_eq!(at[0], 0);
    assert!((1007..=1010).contains(&at[1]), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn one_worker_s_failures_do_not_use_up_another_s_retries() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let (a, b) = (cloud.connect("a").await.kinesis, cloud.connect("b").await.kinesis);
    cloud.faults("a").always(Fault::ServerError);
    for _ in 0..300 {
        put(&a, "x").await.unwrap_err();
    }
    cloud.faults("b").next_n("PutRecord", 2, Fault::ServerError);
    put(&b, "x").await.unwrap();
}

/// No pause: the same cloud in real time.
#[tokio::test]
async fn real_time_works_with_the_same_code() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").next("PutRecord", Fault::DelayRequest(Duration::from_millis(30)));
    let start = Instant::now();
    put(&a, "x").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(stream.records()[0].shard_id, FIRST);
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_as_one_likes_can_be_struck() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").next_n("PutRecord", 2, Fault::ServerError);
    cloud.faults("a").next_n("ListShards", usize::MAX, Fault::ServerError);
    let put = || a.put_record().stream_name("clicks").partition_key("k").data(b"x".to_vec().into()).send();
    assert!(put().await.is_err() && put().await.is_err() && put().await.is_ok());
    assert_eq!(stream.records().len(), 1);
    for _ in 0..3 {
        assert!(a.list_shards().stream_name("clicks").send().await.is_err());
    }
}
