//! A test can ask whether what it injected has happened.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Outcome, Weather};
use tokio::time::timeout;

use crate::subscribe::{consumer, from, next, subscribe};
use crate::{FIRST, clicks, entry, iterator, sleep};

async fn put(a: &Client) -> bool {
    let put = a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into());
    timeout(Duration::from_secs(60), put.send()).await.is_ok_and(|answer| answer.is_ok())
}

async fn put_two(a: &Client) -> bool {
    let records = vec![entry("a", "x"), entry("b", "x")];
    a.put_records().stream_name("clicks").set_records(Some(records)).send().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_fault_counts_the_calls_that_it_strikes() {
    let (cloud, _stream, a) = clicks(1).await;
    let faults = cloud.faults("a");
    let delay = Duration::from_millis(5);
    for fault in [
        Fault::BlackHole,
        Fault::SilentRequest,
        Fault::SilentAnswer,
        Fault::LoseRequest,
        Fault::LoseResponse,
        Fault::DelayRequest(delay),
        Fault::DelayResponse(delay),
        Fault::Latency(delay..=delay),
        Fault::ServerError,
        Fault::Unavailable,
        Fault::Throttle,
    ] {
        let injection = faults.next_n("PutRecord", 2, fault.clone());
        assert_eq!(injection.struck(), 0, "{fault:?}");
        for calls in [1, 2, 2] {
            put(&a).await;
            assert_eq!(injection.struck(), calls, "{fault:?}");
        }
    }
    assert_eq!(cloud.unused_faults(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_befalls_the_answer_does_not_strike_a_request_that_is_lost() {
    let (cloud, stream, a) = clicks(1).await;
    let lost = cloud.faults("a").next("PutRecord", Fault::LoseResponse);
    let cut = cloud.faults("a").cut_requests();
    assert!(!put(&a).await);
    assert_eq!((lost.struck(), cut.struck(), stream.records().len()), (0, 1, 0));
    assert_eq!(cloud.unused_faults(), ["worker a: next PutRecord: LoseResponse"], "it had its call");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_swallowed_on_their_way_count() {
    let (cloud, _stream, a) = clicks(1).await;
    cloud.faults("a").next("PutRecord", Fault::DelayResponse(Duration::from_secs(1)));
    let call = tokio::spawn(async move { put(&a).await });
    sleep(500).await;
    let cut = cloud.faults("a").cut_answers();
    assert!(!call.await.expect("no panic"));
    assert_eq!(cut.struck(), 1);
}

/// Without answers there is no new connection: the second call does not even get one.
#[tokio::test(start_paused = true)]
async fn connections_that_do_not_come_up_count() {
    let (cloud, _stream, a) = clicks(1).await;
    let cut = cloud.faults("a").cut_answers();
    for calls in [1, 2] {
        assert!(!put(&a).await);
        assert_eq!(cut.struck(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn entries_count_as_one_call_and_only_if_one_of_them_fails() {
    let (cloud, _stream, a) = clicks(1).await;
    let fail = |entries| cloud.faults("a").next("PutRecords", Fault::FailEntries(entries, EntryError::Throttled));
    let cases = [
        (Entries::All, 1),
        (Entries::At(vec![1]), 1),
        (Entries::At(vec![2]), 0),
        (Entries::WithKey("c".to_owned()), 0),
        (Entries::OnShard(FIRST.to_owned()), 1),
        (Entries::Percent(100), 1),
    ];
    for (entries, struck) in cases {
        let injection = fail(entries.clone());
        assert!(put_two(&a).await);
        assert_eq!(injection.struck(), struck, "{entries:?}");
    }
    let unused = [
        "worker a: next PutRecords: FailEntries(At([2]), Throttled)",
        "worker a: next PutRecords: FailEntries(WithKey(\"c\"), Throttled)",
    ];
    assert_eq!(cloud.unused_faults(), unused);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_counts_when_it_breaks() {
    let (cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    for (fault, outcome) in [
        (Fault::CutSubscription { after_events: 1 }, Outcome::StreamBroken),
        (Fault::TearSubscription { after_events: 1 }, Outcome::StreamBroken),
        (Fault::SilenceSubscription { after_events: 1 }, Outcome::StreamSilent),
    ] {
        let injection = cloud.faults("a").next("SubscribeToShard", fault.clone());
        let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
        stream.put("k", "x").await;
        next(&mut events).await.expect("an event");
        assert_eq!(injection.struck(), 0, "{fault:?}");
        stream.put("k", "x").await;
        let broken = timeout(Duration::from_secs(60), events.recv()).await;
        assert!(!matches!(broken, Ok(Ok(_))), "{fault:?}");
        assert_eq!(injection.struck(), 1, "{fault:?}");
        assert_eq!(cloud.calls("a").of("SubscribeToShard").last().expect("a call").outcome, outcome);
        sleep(5000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_strikes_one_operation_alone_does_not_count_the_others() {
    let (cloud, _stream, a) = clicks(1).await;
    let faults = cloud.faults("a");
    let standing = [
        faults.always(Fault::ExpireIterator),
        faults.always(Fault::CutSubscription { after_events: 0 }),
        faults.random(1, Weather::calm().chance(1.0, Fault::ExpireIterator)),
    ];
    let iterator = iterator(&a, FIRST, ShardIteratorType::TrimHorizon).await;
    assert!(put(&a).await && put_two(&a).await);
    assert!(standing.iter().all(|injection| injection.struck() == 0));
    a.get_records().shard_iterator(iterator).send().await.expect_err("expired");
    assert_eq!(standing.map(|injection| injection.struck()), [1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_happened_is_named_with_its_worker() {
    let (cloud, _stream, a) = clicks(1).await;
    let secs = Duration::from_secs;
    assert_eq!(cloud.unused_faults(), [""; 0]);
    cloud.faults("wroker").next_n("PutRecord", 3, Fault::LoseRequest);
    cloud.freeze("wroker");
    cloud.thaw("wroker");
    cloud.faults("a").dynamodb().always(Fault::Throttle);
    cloud.faults("a").during(secs(1)..secs(2), Fault::Unavailable);
    cloud.faults("a").next_n("PutRecord", 0, Fault::LoseRequest);
    cloud.faults("a").heal();
    let struck = cloud.faults("a").next_n("PutRecord", 2, Fault::ServerError);
    assert!(!put(&a).await);
    let expected = [
        "worker a: always DynamoDb: Throttle",
        "worker a: during 1s..2s: Unavailable",
        "worker wroker, under whose name nobody has connected: freeze",
        "worker wroker, under whose name nobody has connected: next 3 PutRecord: LoseRequest",
    ];
    assert_eq!(cloud.unused_faults(), expected);
    assert_eq!((struck.struck(), struck.to_string()), (1, "next 2 PutRecord: ServerError".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn faults_may_be_set_before_their_worker_connects() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let lost = cloud.faults("late").next("PutRecord", Fault::LoseRequest);
    let late = crate::without_retries(&cloud.connect("late").await);
    assert!(!put(&late).await);
    assert_eq!(lost.struck(), 1);
}
