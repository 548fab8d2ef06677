//! A test that asks for what is not possible is told so.

use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Limits, Refused, Weather};

use super::*;

fn said(result: Result<impl Debug, Refused>) -> (String, String) {
    let refused = result.expect_err("a refusal");
    assert_eq!(refused.to_string(), format!("stream {}: {}: {}", "clicks", refused.code(), refused.message()));
    (refused.code().to_owned(), refused.message().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_named_in_every_refusal() {
    let cloud = Cloud::new();
    let stream = cloud.stream("clicks");
    let expected =
        ("ResourceNotFoundException".to_owned(), "Stream clicks under account 123456789012 not found.".to_owned());
    assert_eq!(said(stream.try_put("key", "data").await), expected);
    assert_eq!(said(stream.try_put_with_hash_key("key", 1, "data").await), expected);
    assert_eq!(said(stream.try_split(0).await), expected);
    assert_eq!(said(stream.try_merge(0, 1).await), expected);
    assert_eq!(said(stream.try_records()), expected);
    assert_eq!(said(stream.try_shards()), expected);
    assert_eq!(said(stream.try_open_shards()), expected);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_made_is_refused() {
    let cloud = Cloud::new();
    assert_eq!(said(cloud.try_create_stream("clicks", 0).await).0, "ValidationException");
    assert_eq!(said(cloud.try_create_stream("clicks", -1).await).0, "ValidationException");
    assert_eq!(said(cloud.try_create_stream("clicks", 20_001).await).0, "LimitExceededException");
    cloud.create_stream("clicks", 1).await;
    assert_eq!(said(cloud.try_create_stream("clicks", 1).await).0, "ResourceInUseException");
    let refused = cloud.try_create_stream("no spaces", 1).await.expect_err("a refusal");
    assert_eq!(refused.code(), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_not_there_is_refused_with_what_is() {
    let (_, stream, _) = clicks(2).await;
    let (code, message) = said(stream.try_split(2).await);
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "there is no open shard 2 (counted from 0, of 2 open ones)");
    assert_eq!(said(stream.try_split("shardId-7").await).1, "there is no shard shardId-7");

    let [left, _] = stream.split(0).await;
    assert_eq!(said(stream.try_split(FIRST).await).0, "InvalidArgumentException");
    assert_eq!(said(stream.try_merge(0, 2).await).0, "InvalidArgumentException");
    assert_eq!(said(stream.try_merge(left.as_str(), left.as_str()).await).0, "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_too_few_hash_keys_cannot_be_split() {
    let (_, stream, _) = clicks(1).await;
    let mut splits = 0;
    let refused = loop {
        let last = stream.open_shards().len() - 1;
        match stream.try_split(last).await {
            Ok(_) => splits += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((splits, refused.code()), (127, "InvalidArgumentException"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_stream_takes_is_refused() {
    let (_, stream, _) = clicks(1).await;
    assert_eq!(said(stream.try_put("", "data").await).0, "ValidationException");
    assert_eq!(said(stream.try_put("key", vec![0; 2 << 20]).await).0, "ValidationException");
    assert_eq!(stream.records(), []);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "stream clicks: ResourceNotFoundException: there is no open shard 5")]
async fn the_methods_that_assert_fail_the_test_with_the_same_words() {
    let (_, stream, _) = clicks(1).await;
    stream.split(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_for_an_operation_that_the_cloud_does_not_have_is_refused() {
    let (cloud, stream, a) = clicks(1).await;
    let faults = cloud.faults("a");
    let (kinesis, dynamodb) = (faults.clone().kinesis(), faults.clone().dynamodb());
    let neither = |operation| format!("neither Kinesis nor DynamoDB has an operation {operation}");
    let refused = [
        (faults.try_next("PutRecrods", Fault::LoseRequest), neither("PutRecrods")),
        (faults.try_next_n("putRecord", 2, Fault::LoseRequest), neither("putRecord")),
        (faults.try_next_n("", 0, Fault::LoseRequest), neither("")),
        (faults.try_always_for("GetObject", Fault::LoseRequest), neither("GetObject")),
        (kinesis.try_next("GetItem", Fault::LoseRequest), "Kinesis has no operation GetItem".to_owned()),
        (dynamodb.try_always_for("PutRecord", Fault::LoseRequest), "DynamoDB has no operation PutRecord".to_owned()),
    ];
    for (result, message) in refused {
        let refused = result.expect_err("a refusal");
        assert_eq!((refused.code(), refused.message()), ("UnknownOperationException", message.as_str()));
        assert_eq!(refused.to_string(), format!("worker a: UnknownOperationException: {message}"));
    }
    let put = |data| a.put_record().stream_name("clicks").partition_key("key").data(Blob::new(data)).send();
    put("no fault was left behind").await.expect("nothing is wrong");

    faults.try_next("PutRecord", Fault::LoseRequest).expect("Kinesis has it");
    put("lost").await.expect_err("the fault strikes");
    assert_eq!(stream.records().len(), 1);
    kinesis.try_always_for("SubscribeToShard", Fault::LoseRequest).expect("Kinesis has it");
    dynamodb.try_next_n("DescribeLimits", 1, Fault::LoseRequest).expect("DynamoDB has it");
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "worker a: UnknownOperationException: neither Kinesis nor DynamoDB has an operation PutRecrods"
)]
async fn a_fault_that_would_never_strike_fails_the_test() {
    Cloud::new().faults("a").next("PutRecrods", Fault::LoseRequest);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_cannot_strike_the_operation_is_refused() {
    let faults = Cloud::new().faults("a");
    let entries = |entries| Fault::FailEntries(entries, EntryError::Throttled);
    let alone = |fault: &Fault, own, other| format!("{fault:?} strikes {own} alone, never {other}");
    let (cut, torn, silent) = (
        Fault::CutSubscription { after_events: 1 },
        Fault::TearSubscription { after_events: 1 },
        Fault::SilenceSubscription { after_events: 1 },
    );
    for (fault, own, other) in [
        (Fault::ExpireIterator, "GetRecords", "GetShardIterator"),
        (cut, "SubscribeToShard", "GetRecords"),
        (torn, "SubscribeToShard", "PutItem"),
        (silent, "SubscribeToShard", "PutRecord"),
        (entries(Entries::All), "PutRecords", "PutRecord"),
    ] {
        let dynamodb = faults.clone().dynamodb();
        let weather = Weather::calm().chance(0.5, Fault::Throttle).chance(0.5, fault.clone());
        let refused = [
            (faults.try_next(other, fault.clone()), other),
            (faults.try_next_n(other, 2, fault.clone()), other),
            (faults.try_always_for(other, fault.clone()), other),
            (dynamodb.try_always(fault.clone()), "DynamoDB"),
            (dynamodb.try_during(Duration::ZERO..Duration::MAX, fault.clone()), "DynamoDB"),
            (dynamodb.try_random(7, weather.clone()), "DynamoDB"),
        ];
        for (result, other) in refused {
            let refused = result.expect_err("a refusal");
            assert_eq!((refused.code(), refused.message()), ("ValidationException", &*alone(&fault, own, other)));
        }
        faults.try_next(own, fault.clone()).expect("it fits");
        faults.try_always(fault).expect("it strikes its own operation");
        faults.try_random(7, weather).expect("it strikes its own operation");
    }
    let impossible = entries(Entries::Percent(101));
    for result in [faults.try_next("PutRecords", impossible.clone()), faults.try_always(impossible)] {
        assert_eq!(result.expect_err("a refusal").message(), "a chance is at most 100 out of a hundred, not 101");
    }
    faults.try_next("PutRecords", entries(Entries::Percent(100))).expect("all of them");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a chance is at most 100 out of a hundred, not 200")]
async fn no_weather_has_an_impossible_fault() {
    drop(Weather::calm().chance(0.1, Fault::FailEntries(Entries::Percent(200), EntryError::Throttled)));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_worker_that_nobody_is_are_refused() {
    let cloud = Cloud::new();
    cloud.faults("wroker").black_hole();
    let message = |name| cloud.try_calls(name).expect_err("a refusal").to_string();
    let nobody = "worker wroker: ResourceNotFoundException: nobody has connected under any name";
    assert_eq!(message("wroker"), nobody);
    for name in ["worker", "a"] {
        drop(cloud.connect(name).await);
    }
    let others = "nobody has connected under this name, only under a, worker";
    assert_eq!(message("wroker"), format!("worker wroker: ResourceNotFoundException: {others}"));
    assert_eq!(cloud.try_calls("worker").map(|calls| calls.len()), Ok(0));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody has connected under this name, only under a")]
async fn calls_of_nobody_fail_the_test() {
    let (cloud, _stream, _a) = clicks(1).await;
    cloud.calls("wroker");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody has connected under this name, only under a")]
async fn forgetting_the_calls_of_nobody_fails_the_test() {
    let (cloud, _stream, _a) = clicks(1).await;
    cloud.clear_calls("wroker");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "neither Kinesis nor DynamoDB has an operation PutRecrod")]
async fn counting_calls_of_an_operation_that_does_not_exist_fails_the_test() {
    let (cloud, _stream, _a) = clicks(1).await;
    cloud.calls("a").count("PutRecrod");
}

#[tokio::test(start_paused = true)]
async fn calls_of_an_operation_that_the_cloud_lacks_can_be_counted_once_they_were_made() {
    let cloud = Cloud::new();
    let a = without_retries_of_dynamodb(&cloud.connect("a").await);
    assert_eq!(code(a.list_backups().send().await), "UnknownOperationException");
    assert_eq!(cloud.calls("a").count("ListBackups"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_an_operation_that_does_not_exist_is_refused() {
    let mut limits = Limits::default();
    limits.control_calls_per_second.insert("ListShrads".to_owned(), 2);
    let refused = Cloud::builder().limits(limits).try_build().expect_err("a refusal");
    assert_eq!(refused.to_string(), "limits: UnknownOperationException: Kinesis has no operation ListShrads");
}
