//! The listings of a running producer, and when it asks for them.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::between::between;
use common::{cloud, delivered, millis};
use kinesis_producer::{Producer, Record};
use kinesis_testkit::{Cloud, Stream};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// Puts through a split of the only shard, and checks that every record gets where it belongs.
async fn through_a_split(stream: &Stream, producer: &Producer) {
    producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
    stream.split(0).await;
    let mut deliveries = Vec::new();
    for n in 0..50 {
        deliveries.push(producer.put(Record::new(&format!("k{n}"), &n.to_string())).await.expect("admitted"));
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    assert_eq!(delivered(stream).len(), 51);
}

/// Q28: a listing does not ask for every shard of the retention, but for those that an answer can still name.
#[tokio::test(start_paused = true)]
async fn a_reshard_lists_the_shards_that_an_answer_can_name() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let builder = between(&cloud, move |operation, body| {
        if operation == "ListShards" {
            log.lock().expect("no panic").push(body.to_owned());
        }
        None
    });
    let producer = builder.await.build().await.expect("a producer");
    through_a_split(&stream, &producer).await;
    let asked = asked.lock().expect("no panic");
    assert!(asked.len() >= 2 && asked[0].contains("AT_LATEST"), "{asked:?}");
    assert!(asked[1..].iter().all(|body| body.contains("FROM_TIMESTAMP")), "{asked:?}");
}

/// Q28: a service that rejects the filter, for example because of a wrong clock, lists all shards.
#[tokio::test(start_paused = true)]
async fn if_the_filter_is_refused_all_shards_are_listed() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let builder = between(&cloud, |operation, body| {
        let refusal = r#"{"__type":"InvalidArgumentException","message":"The timestamp is in the future."}"#;
        (operation == "ListShards" && body.contains("FROM_TIMESTAMP")).then(|| (400, refusal.to_owned()))
    });
    let producer = builder.await.build().await.expect("a producer");
    through_a_split(&stream, &producer).await;
}

/// Q28: all producers of a fleet notice a reshard at the same moment, and list the shards at different times.
#[tokio::test(start_paused = true)]
async fn producers_that_notice_a_reshard_together_list_at_different_times() {
    let (cloud, stream, builder) = cloud(1).await;
    let first = builder.seed(1).build().await.expect("a producer");
    let client = cloud.connect("b").await.kinesis;
    let second = Producer::builder(client, "clicks").seed(2).build().await.expect("a producer");
    sleep(10 * SECOND).await;
    stream.split(0).await;
    let split = cloud.clock().elapsed();
    for n in 0..50 {
        for producer in [&first, &second] {
            drop(producer.try_put(Record::new(&format!("k{n}"), &n.to_string())).expect("admitted"));
        }
    }
    sleep(5 * SECOND).await;
    let asked = |name| {
        let calls = cloud.calls(name);
        calls.iter().find(|call| call.operation == "ListShards" && call.at >= split).expect("a listing").at
    };
    let (first, second) = (asked("a"), asked("b"));
    assert!(first.abs_diff(second) > millis(5), "{first:?} {second:?}");
}
