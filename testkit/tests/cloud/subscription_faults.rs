//! What a worker's network can do to an open subscription.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Fault, Limits, Outcome, Stream};
use tokio::time::{Instant, timeout};

use crate::subscribe::{Events, consumer, from, next, subscribe, texts};
use crate::{FIRST, clicks, sleep, without_retries};

/// The stream "clicks" with the consumer "app", for which worker "a" may subscribe.
async fn app() -> (Cloud, Stream, Client, String) {
    let (cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    cloud.clear_calls("a");
    (cloud, stream, a, app)
}

async fn latest(a: &Client, app: &str) -> Events {
    subscribe(a, app, FIRST, from(ShardIteratorType::Latest)).await
}

/// The outcome of worker "a"'s last subscription.
fn outcome(cloud: &Cloud) -> Outcome {
    cloud.calls("a").of("SubscribeToShard").last().expect("a subscription").outcome.clone()
}

/// Puts a record and says what comes of it within an hour: its text, an error, or nothing.
async fn put(stream: &Stream, events: &mut Events, text: &str) -> Option<Result<String, String>> {
    stream.put("k", text.to_owned()).await;
    let got = timeout(Duration::from_secs(200), events.recv()).await.ok()?;
    Some(match got {
        Ok(Some(event)) => Ok(texts(event.as_subscribe_to_shard_event().expect("an event")).join(" ")),
        Ok(None) => Ok("the end".to_owned()),
        Err(error) => Err(format!("{error:?}")),
    })
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_cut_after_as_many_events_as_wanted() {
    let (cloud, stream, a, app) = app().await;
    for wanted in [0, 1, 3] {
        cloud.faults("a").next("SubscribeToShard", Fault::CutSubscription { after_events: wanted });
        let mut events = latest(&a, &app).await;
        for n in 0..wanted {
            assert_eq!(put(&stream, &mut events, &n.to_string()).await, Some(Ok(n.to_string())));
        }
        let start = Instant::now();
        let error = put(&stream, &mut events, "lost").await.expect("at once").expect_err("a broken connection");
        assert!(error.contains("ConnectionReset"), "{error}");
        assert!(start.elapsed() < Duration::from_millis(5));
        assert_eq!(outcome(&cloud), Outcome::StreamBroken);
        sleep(5000).await;
    }
    let mut events = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut events, "x").await, Some(Ok("x".to_owned())), "a fault of one call is over");
    assert_eq!(outcome(&cloud), Outcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_torn_in_the_middle_of_an_event() {
    let (cloud, stream, a, app) = app().await;
    cloud.faults("a").next("SubscribeToShard", Fault::TearSubscription { after_events: 1 });
    let mut events = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut events, "whole").await, Some(Ok("whole".to_owned())));
    let error = put(&stream, &mut events, "half").await.expect("at once");
    assert!(error.is_err(), "{error:?}");
    assert_eq!(outcome(&cloud), Outcome::StreamBroken);
}

#[tokio::test(start_paused = true)]
async fn a_silent_subscription_does_not_even_end() {
    let (cloud, stream, a, app) = app().await;
    cloud.faults("a").next("SubscribeToShard", Fault::SilenceSubscription { after_events: 1 });
    let mut events = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut events, "heard").await, Some(Ok("heard".to_owned())));
    assert_eq!(put(&stream, &mut events, "unheard").await, None);
    assert!(timeout(Duration::from_secs(3600), events.recv()).await.is_err());
    assert_eq!(outcome(&cloud), Outcome::StreamSilent);
    drop(events);
    let mut again = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut again, "x").await, Some(Ok("x".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_a_black_hole_swallows_is_lost_and_the_connection_with_it() {
    let (cloud, stream, a, app) = app().await;
    let mut events = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut events, "before").await, Some(Ok("before".to_owned())));
    cloud.faults("a").black_hole();
    stream.put("k", "inside").await;
    assert!(timeout(Duration::from_secs(2), events.recv()).await.is_err());
    cloud.faults("a").heal();
    assert_eq!(put(&stream, &mut events, "after").await, None, "no gap, but silence");
    assert_eq!(outcome(&cloud), Outcome::StreamSilent);
    // The reader's own timeout ends it, and it goes on where it was.
    let mut again = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(texts(&next(&mut again).await.unwrap()), ["before", "inside", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_in_which_nothing_was_sent_does_no_harm() {
    let (cloud, stream, a, app) = app().await;
    let mut events = latest(&a, &app).await;
    assert_eq!(put(&stream, &mut events, "before").await, Some(Ok("before".to_owned())));
    cloud.faults("a").black_hole();
    assert!(timeout(Duration::from_secs(2), events.recv()).await.is_err());
    cloud.faults("a").heal();
    assert_eq!(put(&stream, &mut events, "after").await, Some(Ok("after".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_latency_of_a_worker_holds_for_events_too() {
    let cloud = Cloud::builder().latency(Duration::from_millis(40)).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let app = consumer(&a, &stream, "app").await;
    cloud.faults("a").always_for("SubscribeToShard", Fault::DelayResponse(Duration::from_millis(100)));
    let start = Instant::now();
    let mut events = latest(&a, &app).await;
    assert!((140..=144).contains(&start.elapsed().as_millis()), "the head of the answer: {:?}", start.elapsed());
    let writer = stream.clone();
    let put = tokio::spawn(async move {
        sleep(1000).await;
        writer.put("k", "x").await;
        Instant::now()
    });
    assert_eq!(texts(&next(&mut events).await.unwrap()), ["x"]);
    let at = put.await.unwrap();
    assert!((140..=144).contains(&at.elapsed().as_millis()), "{:?}", at.elapsed());
}

/// A hundred events of one record each, with a latency of 100 ms.
#[tokio::test(start_paused = true)]
async fn events_follow_each_other_on_the_way_and_keep_their_order() {
    let mut limits = Limits::without_rates();
    limits.subscription_event_bytes = 1;
    let cloud = Cloud::builder().limits(limits).latency(Duration::from_millis(100)).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let app = consumer(&a, &stream, "app").await;
    for n in 0..100 {
        stream.put("k", n.to_string()).await;
    }
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let start = Instant::now();
    for n in 0..100 {
        assert_eq!(texts(&next(&mut events).await.expect("an event")), [n.to_string()]);
    }
    assert!((100..=102).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());

    stream.put("k", "last").await;
    stream.split(0).await;
    let end = next(&mut events).await.expect("the last event");
    assert_eq!((texts(&end), end.child_shards().len()), (vec!["last".to_owned()], 2));
    assert!(next(&mut events).await.is_none());
}

/// More than a connection holds under way: the rest waits at the service, and comes too.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_has_a_limit() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).latency(Duration::from_millis(100)).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let app = consumer(&a, &stream, "app").await;
    for n in 0..12_u8 {
        stream.put("k", vec![n; 1000 << 10]).await;
    }
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let start = Instant::now();
    let mut firsts = Vec::new();
    while firsts.len() < 12 {
        firsts.extend(next(&mut events).await.expect("an event").records.iter().map(|record| record.data.as_ref()[0]));
    }
    assert_eq!(firsts, (0..12).collect::<Vec<_>>());
    assert!((200..=610).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn other_operations_and_workers_do_not_notice() {
    let (cloud, stream, a, app) = app().await;
    cloud.faults("b").always(Fault::CutSubscription { after_events: 0 });
    let mut events = latest(&a, &app).await;
    a.put_record().stream_name("clicks").partition_key("k").data(b"1".as_slice().into()).send().await.unwrap();
    assert_eq!(texts(&next(&mut events).await.unwrap()), ["1"]);
    let b = without_retries(&cloud.connect("b").await);
    b.put_record().stream_name("clicks").partition_key("k").data(b"2".as_slice().into()).send().await.unwrap();
    assert_eq!(texts(&next(&mut events).await.unwrap()), ["2"]);
    assert_eq!(stream.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_of_subscriptions_is_twelve_calls_and_an_event_each_five_seconds() {
    let (cloud, _stream, a, app) = app().await;
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(3600) {
        let mut events = latest(&a, &app).await;
        while let Some(event) = next(&mut events).await {
            assert_eq!(event.records.len(), 0);
            count += 1;
        }
    }
    assert_eq!(cloud.calls("a").count("SubscribeToShard"), 12);
    assert_eq!(count, 12 * 59);
}
