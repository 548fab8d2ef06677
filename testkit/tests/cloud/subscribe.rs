//! Subscriptions: where they start, what they send, how they end.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::{SubscribeToShardError, SubscribeToShardOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream as Event,
};
use kinesis_testkit::{Cloud, Limits, Stream};
use tokio::time::{Instant, timeout};

use crate::{FIRST, clicks, code, refusal, sleep, without_retries};

pub(crate) type Events = EventReceiver<Event, SubscribeToShardEventStreamError>;

/// Registers the consumer `name` and waits until it is ACTIVE.
pub(crate) async fn consumer(a: &Client, stream: &Stream, name: &str) -> String {
    let made =
        a.register_stream_consumer().stream_arn(stream.arn()).consumer_name(name).send().await.expect("registered");
    sleep(300).await;
    made.consumer.expect("a consumer").consumer_arn
}

pub(crate) fn from(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().expect("the type is set")
}

fn number(kind: ShardIteratorType, number: &str) -> StartingPosition {
    StartingPosition::builder().r#type(kind).sequence_number(number).build().expect("the type is set")
}

fn at_time(at: SystemTime) -> StartingPosition {
    let at = DateTime::from(at);
    StartingPosition::builder().r#type(ShardIteratorType::AtTimestamp).timestamp(at).build().expect("the type is set")
}

pub(crate) async fn try_subscribe(
    a: &Client,
    consumer: &str,
    shard: &str,
    start: StartingPosition,
) -> Result<SubscribeToShardOutput, SdkError<SubscribeToShardError>> {
    a.subscribe_to_shard().consumer_arn(consumer).shard_id(shard).starting_position(start).send().await
}

pub(crate) async fn subscribe(a: &Client, consumer: &str, shard: &str, start: StartingPosition) -> Events {
    try_subscribe(a, consumer, shard, start).await.expect("subscribed").event_stream
}

/// The next event; `None` at the end of the subscription.
pub(crate) async fn next(events: &mut Events) -> Option<SubscribeToShardEvent> {
    match events.recv().await.expect("an event or the end")? {
        Event::SubscribeToShardEvent(event) => Some(event),
        other => panic!("unknown event {other:?}"),
    }
}

pub(crate) fn texts(event: &SubscribeToShardEvent) -> Vec<String> {
    event.records.iter().map(|record| String::from_utf8_lossy(record.data.as_ref()).into_owned()).collect()
}

/// Code and message of the exception that ends a subscription.
pub(crate) async fn exception(events: &mut Events) -> (String, String) {
    let error = loop {
        match events.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a clean end"),
            Err(error) => break error,
        }
    };
    let error = error.into_service_error();
    let code = match &error {
        SubscribeToShardEventStreamError::ResourceNotFoundException(_) => "ResourceNotFoundException",
        SubscribeToShardEventStreamError::ResourceInUseException(_) => "ResourceInUseException",
        other => panic!("{other:?}"),
    };
    (code.to_owned(), error.message().unwrap_or_default().to_owned())
}

/// The stream "clicks" with records "0" to "4" a second apart, and the consumer "app".
async fn five() -> (Cloud, Stream, Client, String, Vec<kinesis_testkit::Record>) {
    let (cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let mut stored = Vec::new();
    for n in 0..5 {
        stored.push(stream.put("k", n.to_string()).await);
        sleep(1000).await;
    }
    (cloud, stream, a, app, stored)
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_start_is_exact() {
    let (_cloud, stream, a, app, stored) = five().await;
    let third = stored[2].sequence_number.as_str();
    let between = stored[2].arrival + Duration::from_millis(1);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    for (start, expected) in [
        (from(ShardIteratorType::TrimHorizon), vec!["0", "1", "2", "3", "4"]),
        (number(ShardIteratorType::AtSequenceNumber, third), vec!["2", "3", "4"]),
        (number(ShardIteratorType::AfterSequenceNumber, third), vec!["3", "4"]),
        (at_time(stored[2].arrival), vec!["2", "3", "4"]),
        (at_time(between), vec!["3", "4"]),
        (at_time(long_ago), vec!["0", "1", "2", "3", "4"]),
    ] {
        let mut events = subscribe(&a, &app, FIRST, start).await;
        assert_eq!(texts(&next(&mut events).await.unwrap()), expected);
        sleep(5000).await;
    }
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    stream.put("k", "5").await;
    assert_eq!(texts(&next(&mut events).await.unwrap()), ["5"]);
}

#[tokio::test(start_paused = true)]
async fn the_continuation_number_goes_on_without_a_gap_or_a_repeat() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let mut start = from(ShardIteratorType::TrimHorizon);
    let mut read = Vec::new();
    for round in 0..20 {
        let mut events = subscribe(&a, &app, FIRST, start).await;
        if round % 3 != 0 {
            stream.put("k", round.to_string()).await;
        }
        let event = next(&mut events).await.unwrap();
        read.extend(texts(&event));
        start = number(ShardIteratorType::AfterSequenceNumber, &event.continuation_sequence_number);
        if round % 4 == 0 {
            stream.put("k", format!("{round}, unread")).await;
        }
        sleep(5000).await;
    }
    let mut events = subscribe(&a, &app, FIRST, start).await;
    read.extend(texts(&next(&mut events).await.unwrap()));
    let stored: Vec<_> =
        stream.records().iter().map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect();
    assert_eq!(read, stored);
}

#[tokio::test(start_paused = true)]
async fn records_come_as_soon_as_they_are_put() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    for n in 0..10 {
        let writer = stream.clone();
        let put = tokio::spawn(async move {
            sleep(700).await;
            (Instant::now(), writer.put("k", n.to_string()).await)
        });
        let event = next(&mut events).await.unwrap();
        let (at, record) = put.await.unwrap();
        assert!(at.elapsed() <= Duration::from_millis(3), "{:?}", at.elapsed());
        assert_eq!(texts(&event), [n.to_string()]);
        let got = &event.records[0];
        assert_eq!(
            (got.sequence_number.as_str(), got.partition_key.as_deref()),
            (record.sequence_number.as_str(), Some("k"))
        );
        assert_eq!(event.millis_behind_latest, 0);
        assert!(event.child_shards.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_shard_sends_an_empty_event_now_and_then() {
    let (cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    let mut number = None;
    for _ in 0..5 {
        let start = Instant::now();
        let event = next(&mut events).await.unwrap();
        let silence = cloud.limits().subscription_heartbeat;
        assert!(
            start.elapsed() >= silence - Duration::from_millis(5)
                && start.elapsed() <= silence + Duration::from_millis(5)
        );
        assert_eq!((event.records.len(), event.millis_behind_latest), (0, 0));
        assert_eq!(
            *number.get_or_insert_with(|| event.continuation_sequence_number.clone()),
            event.continuation_sequence_number
        );
    }
}

#[tokio::test(start_paused = true)]
async fn millis_behind_latest_says_how_old_the_last_record_is_while_more_wait() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    for n in 0..3 {
        stream.put("k", vec![n; 800 << 10]).await;
        sleep(1000).await;
    }
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let mut behind = Vec::new();
    for _ in 0..3 {
        behind.push(next(&mut events).await.unwrap().millis_behind_latest);
    }
    assert!((2990..=3010).contains(&behind[0]) && (1990..=2900).contains(&behind[1]) && behind[2] == 0, "{behind:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_cleanly_after_five_minutes() {
    let (cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let start = Instant::now();
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    let mut count = 0;
    while next(&mut events).await.is_some() {
        count += 1;
    }
    assert_eq!(start.elapsed().as_secs(), 300);
    assert_eq!(count, 59, "an event each 5 s, and the end instead of the last");
    assert!(matches!(events.recv().await, Ok(None)), "the end stays the end");
    let mut again = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    stream.put("k", "x").await;
    assert_eq!(texts(&next(&mut again).await.unwrap()), ["x"]);
    assert_eq!(cloud.calls("a").count("SubscribeToShard"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_names_its_children_and_no_continuation() {
    let (_cloud, stream, a) = clicks(2).await;
    let app = consumer(&a, &stream, "app").await;
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let writer = stream.clone();
    let split = tokio::spawn(async move {
        sleep(1000).await;
        writer.put_with_hash_key("k", 0, "last").await;
        (writer.split(FIRST).await, Instant::now())
    });
    let event = next(&mut events).await.unwrap();
    assert_eq!((texts(&event), event.child_shards.is_none()), (vec!["last".to_owned()], true));
    let end = next(&mut events).await.unwrap();
    let (children, at) = split.await.unwrap();
    assert!(at.elapsed() <= Duration::from_millis(3), "woken by the split: {:?}", at.elapsed());
    assert_eq!((end.records.len(), end.millis_behind_latest), (0, 0));
    assert_eq!(end.continuation_sequence_number, "", "the SDK's way to say that it is missing");
    let named: Vec<_> =
        end.child_shards().iter().map(|child| (child.shard_id.clone(), child.parent_shards.clone())).collect();
    assert_eq!(named, children.map(|child| (child, vec![FIRST.to_owned()])));
    assert!(next(&mut events).await.is_none());

    // Once more, from the start: records and end come in one event. And from the end: at once.
    sleep(5000).await;
    let mut again = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let end = next(&mut again).await.unwrap();
    assert_eq!((texts(&end), end.child_shards().len()), (vec!["last".to_owned()], 2));
    assert!(next(&mut again).await.is_none());
    sleep(5000).await;
    let start = Instant::now();
    let mut latest = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    assert_eq!(next(&mut latest).await.unwrap().child_shards().len(), 2);
    assert!(next(&mut latest).await.is_none() && start.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn the_children_of_a_merge_name_both_parents() {
    let (_cloud, stream, a) = clicks(2).await;
    let app = consumer(&a, &stream, "app").await;
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    let child = stream.merge(0, 1).await;
    let end = next(&mut events).await.unwrap();
    assert_eq!(
        (end.child_shards()[0].shard_id.as_str(), end.child_shards()[0].parent_shards.len()),
        (child.as_str(), 2)
    );
}

#[tokio::test(start_paused = true)]
async fn what_may_not_subscribe_is_refused() {
    let (_cloud, stream, a) = clicks(2).await;
    let latest = || from(ShardIteratorType::Latest);
    let made = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send().await.unwrap();
    let app = made.consumer.unwrap().consumer_arn;
    assert_eq!(code(try_subscribe(&a, &app, FIRST, latest()).await), "ResourceInUseException", "CREATING");
    sleep(300).await;
    let stranger = format!("{}/consumer/stranger:1", stream.arn());
    assert_eq!(code(try_subscribe(&a, &stranger, FIRST, latest()).await), "ResourceNotFoundException");
    assert_eq!(code(try_subscribe(&a, "app", FIRST, latest()).await), "ValidationException");
    assert_eq!(code(try_subscribe(&a, &app, "shardId-000000000007", latest()).await), "ResourceNotFoundException");
    assert_eq!(code(a.subscribe_to_shard().consumer_arn(&app).shard_id(FIRST).send().await), "ValidationException");

    for start in [
        from(ShardIteratorType::AtSequenceNumber),
        from(ShardIteratorType::AtTimestamp),
        number(ShardIteratorType::AfterSequenceNumber, "7"),
        number(ShardIteratorType::Latest, "7"),
        at_time(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)),
    ] {
        let (code, message) = refusal(try_subscribe(&a, &app, FIRST, start).await);
        assert_eq!(code, "InvalidArgumentException", "{message}");
        sleep(1000).await;
    }
    let other = stream.put_with_hash_key("k", u128::MAX, "x").await;
    let foreign = number(ShardIteratorType::AtSequenceNumber, &other.sequence_number);
    let (code, message) = refusal(try_subscribe(&a, &app, FIRST, foreign).await);
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("It encodes shardId-000000000001"), "{message}");
    a.deregister_stream_consumer().consumer_arn(&app).send().await.unwrap();
    assert_eq!(crate::code(try_subscribe(&a, &app, FIRST, latest()).await), "ResourceInUseException", "DELETING");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_checks_and_takes_nothing_over() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let dry =
        |start| a.subscribe_to_shard().consumer_arn(&app).shard_id(FIRST).starting_position(start).dry_run(true).send();
    assert_eq!(code(dry(from(ShardIteratorType::Latest)).await), "DryRunOperationException");
    assert_eq!(code(dry(from(ShardIteratorType::AtTimestamp)).await), "InvalidArgumentException");
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
    assert_eq!(code(dry(from(ShardIteratorType::Latest)).await), "ResourceInUseException");
    sleep(5000).await;
    assert_eq!(code(dry(from(ShardIteratorType::Latest)).await), "DryRunOperationException");
    stream.put("k", "x").await;
    while texts(&next(&mut events).await.expect("still subscribed")).is_empty() {}
}

#[tokio::test(start_paused = true)]
async fn the_end_of_consumer_or_stream_is_an_exception_in_the_subscription() {
    let (_cloud, stream, a) = clicks(1).await;
    let (one, two) = (consumer(&a, &stream, "one").await, consumer(&a, &stream, "two").await);
    let mut first = subscribe(&a, &one, FIRST, from(ShardIteratorType::Latest)).await;
    let mut second = subscribe(&a, &two, FIRST, from(ShardIteratorType::Latest)).await;
    let start = Instant::now();
    a.deregister_stream_consumer().consumer_arn(&one).send().await.unwrap();
    let (code, message) = exception(&mut first).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert!(message.contains("one"), "{message}");
    a.delete_stream().stream_name("clicks").enforce_consumer_deletion(true).send().await.unwrap();
    let (code, message) = exception(&mut second).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert!(message.contains("clicks"), "{message}");
    assert!(start.elapsed() < Duration::from_millis(10), "at once: {:?}", start.elapsed());
    assert!(timeout(Duration::from_secs(1), second.recv()).await.is_ok(), "nothing comes after it");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_been_trimmed_away_cannot_be_subscribed_to() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let early = stream.put("k", "early").await;
    let after = number(ShardIteratorType::AtSequenceNumber, &early.sequence_number);
    sleep(12 * 3_600_000).await;
    stream.put("k", "late").await;
    sleep(12 * 3_600_000 + 1000).await;
    let mut events = subscribe(&a, &app, FIRST, after).await;
    assert_eq!(texts(&next(&mut events).await.unwrap()), ["late"], "from the trim horizon");
    stream.split(0).await;
    sleep(24 * 3_600_000 + 1000).await;
    let gone = try_subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(code(gone), "ResourceNotFoundException");
}

/// The third record waits for the rate until the shard is older than the retention period: it is lost, and the subscriber
/// is told.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_trimmed_away_ends_its_subscription_with_an_exception() {
    let mut limits = Limits::default();
    limits.subscription_event_bytes = 1;
    limits.subscription_bytes_per_second = 1;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let app = consumer(&a, &stream, "app").await;
    let record = |letter: &str| letter.repeat(60);
    for letter in ["a", "b", "c"] {
        stream.put("k", record(letter)).await;
    }
    let [child, _] = stream.split(0).await;
    sleep((24 * 3600 - 90) * 1000).await;
    let start = Instant::now();
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    for letter in ["a", "b"] {
        assert_eq!(texts(&next(&mut events).await.expect("an event")), [record(letter)]);
    }
    assert!(start.elapsed() < Duration::from_secs(90), "before the shard is gone: {:?}", start.elapsed());
    let error = events.recv().await.expect_err("no third event").into_service_error();
    assert!(matches!(error, SubscribeToShardEventStreamError::ResourceNotFoundException(_)), "{error:?}");
    let message = format!("Shard {FIRST} in stream clicks under account 123456789012 does not exist");
    assert_eq!(error.message(), Some(message.as_str()));
    assert!((90..=130).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(
        code(try_subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await),
        "ResourceNotFoundException"
    );
    subscribe(&a, &app, &child, from(ShardIteratorType::TrimHorizon)).await;
}
