//! One subscription at a time for a consumer and shard, at so many bytes a second.

use std::time::Duration;

use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Limits};
use tokio::time::{Instant, timeout};

use crate::subscribe::{consumer, exception, from, next, subscribe, texts, try_subscribe};
use crate::{FIRST, clicks, code, refusal, sleep, without_retries};

#[tokio::test(start_paused = true)]
async fn within_five_seconds_a_second_subscription_is_refused_and_later_it_takes_over() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let latest = || from(ShardIteratorType::Latest);
    let mut old = subscribe(&a, &app, FIRST, latest()).await;
    for _ in 0..4 {
        let (code, message) = refusal(try_subscribe(&a, &app, FIRST, latest()).await);
        assert_eq!(code, "ResourceInUseException");
        assert!(message.ends_with(":clicks:shardId-000000000000:app"), "{message}");
        sleep(1200).await;
    }
    sleep(200).await;
    let start = Instant::now();
    let mut new = subscribe(&a, &app, FIRST, latest()).await;
    assert_eq!(exception(&mut old).await.0, "ResourceInUseException");
    assert!(start.elapsed() < Duration::from_millis(10), "at once: {:?}", start.elapsed());
    stream.put("k", "x").await;
    assert_eq!(texts(&next(&mut new).await.unwrap()), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_was_dropped_blocks_the_next_one_all_the_same() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    drop(subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await);
    sleep(1000).await;
    assert_eq!(code(try_subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await), "ResourceInUseException");
    sleep(4000).await;
    subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
}

#[tokio::test(start_paused = true)]
async fn consumers_and_shards_do_not_stand_in_each_other_s_way() {
    let (_cloud, stream, a) = clicks(2).await;
    let latest = || from(ShardIteratorType::Latest);
    let (one, two) = (consumer(&a, &stream, "one").await, consumer(&a, &stream, "two").await);
    let second = stream.shards()[1].id.clone();
    let mut all = [
        subscribe(&a, &one, FIRST, latest()).await,
        subscribe(&a, &two, FIRST, latest()).await,
        subscribe(&a, &one, &second, latest()).await,
    ];
    stream.put_with_hash_key("k", 0, "x").await;
    assert_eq!(texts(&next(&mut all[0]).await.unwrap()), ["x"]);
    assert_eq!(texts(&next(&mut all[1]).await.unwrap()), ["x"]);
    assert!(timeout(Duration::from_secs(1), next(&mut all[2])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_count_against_the_rate() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    let wrong = || from(ShardIteratorType::AtTimestamp);
    assert_eq!(code(try_subscribe(&a, &app, FIRST, wrong()).await), "InvalidArgumentException");
    assert_eq!(code(try_subscribe(&a, &app, FIRST, wrong()).await), "LimitExceededException");
    sleep(1000).await;
    subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await;
}

#[tokio::test(start_paused = true)]
async fn two_mib_a_second_come_and_the_rest_waits() {
    let (_cloud, stream, a) = clicks(1).await;
    let app = consumer(&a, &stream, "app").await;
    for n in 0..20_u8 {
        stream.put("k", vec![n; (512 << 10) - 1]).await;
    }
    let start = Instant::now();
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let mut arrivals = Vec::new();
    let mut read = Vec::new();
    while read.len() < 20 {
        let event = next(&mut events).await.unwrap();
        assert!(event.records.len() <= 2, "an event is capped at 1 MiB");
        arrivals.push(start.elapsed().as_millis() as u64);
        read.extend(event.records.iter().map(|record| record.data.as_ref()[0]));
    }
    assert_eq!(read, (0..20).collect::<Vec<_>>());
    // 10 MiB: 2 at once, the others at 2 MiB a second.
    let expected = [0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000];
    for (at, expected) in arrivals.iter().zip(expected) {
        assert!((expected..expected + 20).contains(at), "{arrivals:?}");
    }
    // The rate is that of consumer and shard: a new subscription does not begin with a full second.
    sleep(1000).await;
    let start = Instant::now();
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    for _ in 0..3 {
        next(&mut events).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    // Polling has a rate of its own.
    let iterator = crate::iterator(&a, FIRST, ShardIteratorType::TrimHorizon).await;
    assert_eq!(crate::get(&a, iterator).await.records.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_an_event_comes_alone() {
    let (_cloud, stream, a) = clicks(1).await;
    a.update_max_record_size().stream_arn(stream.arn()).max_record_size_in_kib(10_240).send().await.unwrap();
    let app = consumer(&a, &stream, "app").await;
    for size in [10, (10 << 20) - 1, 10] {
        stream.put("k", vec![7; size]).await;
    }
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let event = next(&mut events).await.unwrap();
        sizes.push(event.records.iter().map(|record| record.data.as_ref().len()).collect::<Vec<_>>());
    }
    assert_eq!(sizes, [vec![10], vec![(10 << 20) - 1], vec![10]]);
}

#[tokio::test(start_paused = true)]
async fn limits_are_inputs() {
    let mut limits = Limits::default();
    limits.subscription_life = Duration::from_secs(10);
    limits.subscription_heartbeat = Duration::from_secs(1);
    limits.subscription_takeover = Duration::ZERO;
    limits.subscription_event_bytes = 100;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let app = consumer(&a, &stream, "app").await;
    for _ in 0..4 {
        stream.put("k", vec![7; 49]).await;
    }
    drop(subscribe(&a, &app, FIRST, from(ShardIteratorType::Latest)).await);
    sleep(1000).await;
    let start = Instant::now();
    let mut events = subscribe(&a, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
    let mut sizes = Vec::new();
    while let Some(event) = next(&mut events).await {
        sizes.push(event.records.len());
    }
    assert_eq!(sizes, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(start.elapsed().as_secs(), 10);
}
