//! The same seed gives the same trace.

use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Fault};
use tokio::time::timeout;

use crate::subscribe::{consumer, from, subscribe};
use crate::{FIRST, entry, get, iterator};

/// A busy minute, and all that can be seen of it.
fn trace(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let cloud = Cloud::builder().seed(seed).build();
        let stream = cloud.create_stream("clicks", 2).await;
        let a = cloud.connect("a").await;
        let mut text = String::new();
        for round in 0..30 {
            // Throttled and broken calls are retried with the SDK's jitter: the times of the log depend on it.
            cloud.faults("a").next("PutRecords", if round % 2 == 0 { Fault::LoseResponse } else { Fault::Throttle });
            let records = (0..20).map(|n| entry(&format!("k{}", n * round), format!("{n}"))).collect();
            let put = a.kinesis.put_records().stream_name("clicks").set_records(Some(records)).send().await.unwrap();
            writeln!(text, "{:?}", put.records).unwrap();
            if round % 10 == 5 {
                writeln!(text, "{:?}", stream.split(0).await).unwrap();
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let answer = get(&a.kinesis, iterator(&a.kinesis, FIRST, ShardIteratorType::TrimHorizon).await).await;
        writeln!(text, "{:?} {:?}", answer.next_shard_iterator, answer.child_shards).unwrap();
        crate::dynamodb::create_leases(&a.dynamodb).await;
        let table = a.dynamodb.describe_table().table_name("leases").send().await.unwrap().table.unwrap();
        writeln!(text, "{:?} {:?} {:?}", table.table_id, table.creation_date_time, table.table_arn).unwrap();
        for n in 0..20 {
            crate::dynamodb::put(&a.dynamodb, &format!("shard-{n}"), "a").await;
        }
        let leases = a.dynamodb.scan().table_name("leases").send().await.unwrap().items.unwrap();
        writeln!(text, "{:?}", leases.iter().map(|lease| &lease["leaseKey"]).collect::<Vec<_>>()).unwrap();
        writeln!(text, "{:#?}\n{:#?}\n{:#?}", stream.records(), stream.shards(), cloud.calls("a")).unwrap();
        text
    })
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = trace(7);
    assert!(first.len() > 100_000);
    assert!(first == trace(7), "two runs with one seed differ");
    let other_thread = std::thread::spawn(|| trace(7)).join().unwrap();
    assert!(first == other_thread, "a run on another thread differs");
    assert!(first != trace(8), "two seeds give one trace");
}

/// What two workers hear in their subscriptions while `texts` are put, one of them over a rough network; and the trace of it.
fn subscribed(seed: u64, texts: [&'static str; 3]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let cloud = Cloud::builder().seed(seed).latency(Duration::from_millis(20)).build();
        let stream = cloud.create_stream("clicks", 1).await;
        cloud.faults("b").always(Fault::Latency(Duration::ZERO..=Duration::from_millis(300)));
        let torn = cloud.faults("b").next("SubscribeToShard", Fault::TearSubscription { after_events: 2 });
        let mut readers = Vec::new();
        for worker in ["a", "b"] {
            let client = cloud.connect(worker).await.kinesis;
            let app = consumer(&client, &stream, worker).await;
            let mut events = subscribe(&client, &app, FIRST, from(ShardIteratorType::TrimHorizon)).await;
            readers.push(tokio::spawn(async move {
                while let Ok(Ok(Some(_))) = timeout(Duration::from_secs(60), events.recv()).await {}
            }));
        }
        for text in texts {
            tokio::time::sleep(Duration::from_secs(2)).await;
            stream.put("k", text).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        stream.split(0).await;
        for reader in readers {
            reader.await.unwrap();
        }
        assert_eq!(torn.struck(), 1);
        cloud.trace()
    })
}

#[test]
fn the_events_of_a_subscription_are_in_the_trace() {
    let first = subscribed(7, ["one", "two", "six"]);
    assert_eq!(first.lines().filter(|line| line.contains("SubscribeToShard")).count(), 2);
    assert!(!first.contains("SubscribeToShard Answered -"), "{first}");
    assert!(first == subscribed(7, ["one", "two", "six"]), "two runs with one seed differ");
    let other = subscribed(7, ["one", "ten", "six"]);
    let differ = first.lines().zip(other.lines()).filter(|(one, other)| one != other);
    let differ: Vec<_> = differ.map(|(line, _)| line.split(' ').nth(2).unwrap_or_default()).collect();
    assert_eq!(differ, ["SubscribeToShard"; 2], "of the same length, and not the same");
}
