//! C11: the table belongs to one stream. A worker of another one writes nothing, and nothing is lost in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_consumer::lease::CheckpointError;
use kinesis_consumer::{
    Batch, BuildError, Consumer, ConsumerBuilder, ConsumerHandle, Event, ReadError, RunError, StartAt,
};
use kinesis_testkit::{Cloud, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::common::{Ledger, odd, row};

mod common;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Running = JoinHandle<Result<(), RunError>>;

async fn on(cloud: &Cloud, worker: &str, stream: &str) -> ConsumerBuilder {
    let connection = cloud.connect(worker).await;
    Consumer::builder("app", stream)
        .kinesis(connection.kinesis)
        .dynamodb(connection.dynamodb)
        .start_at(StartAt::TrimHorizon)
        .worker_id(worker)
        .seed(worker.bytes().map(u64::from).sum())
}

fn run(consumer: Consumer, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

/// A worker of that stream, built and running.
async fn start(cloud: &Cloud, worker: &'static str, stream: &str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    run(on(cloud, worker, stream).await.build().await.expect("a table of that stream"), worker, ledger)
}

async fn put(stream: &Stream, numbers: std::ops::Range<usize>) {
    for number in numbers {
        stream.put(&format!("user-{}", number % 13), number.to_string()).await;
    }
}

/// Who has asked for a write, and of what kind.
fn writes(cloud: &Cloud, worker: &str) -> Vec<String> {
    let all = ["CreateTable", "UpdateTable", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];
    let calls = cloud.calls(worker);
    all.iter().filter(|operation| calls.count(operation) > 0).map(|operation| (*operation).to_owned()).collect()
}

/// Builds a worker on a table that is another stream's: refused within five seconds, naming both, and without a write.
async fn refused(cloud: &Cloud, worker: &str, stream: &str, names: &[&str]) {
    let began = Instant::now();
    let builder = on(cloud, worker, stream).await;
    cloud.clear_calls(worker);
    let error = builder.build().await.expect_err("the table is another stream's");
    assert!(began.elapsed() <= 5 * SECOND, "{:?}", began.elapsed());
    assert!(matches!(error, BuildError::OtherStream(_)), "{error:?}");
    for name in names {
        assert!(error.to_string().contains(name), "{name} is not in {error}");
    }
    assert_eq!(writes(cloud, worker), Vec::<String>::new());
}

fn id(shard: usize) -> String {
    format!("shardId-{shard:012}")
}

async fn checkpoint(cloud: &Cloud, shard: usize) -> Option<String> {
    row(cloud, &id(shard)).await.and_then(|row| row.get("checkpoint").cloned())
}

/// Q1 (t01): a worker of the fleet is pointed at another stream, beside a live right leader.
#[tokio::test(start_paused = true)]
async fn a_worker_of_another_stream_is_refused_and_ends_no_shard() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    sleep(SECOND).await;
    cloud.create_stream("other", 1).await;
    let ledger = Ledger::of(&cloud);
    let _a = start(&cloud, "a", "clicks", &ledger).await;
    put(&stream, 0..40).await;
    ledger.wait_for(40).await;
    refused(&cloud, "b", "other", &["stream/clicks", "stream/other"]).await;
    sleep(MINUTE).await;
    put(&stream, 40..80).await;
    ledger.wait_for(80).await;
    ledger.check(&stream);
}

/// Q1 (t21): the same after a reshard, when the table holds leases of shards that the other stream does not have.
#[tokio::test(start_paused = true)]
async fn after_a_reshard_a_worker_of_another_stream_is_refused_as_well() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    sleep(SECOND).await;
    cloud.create_stream("other", 1).await;
    let ledger = Ledger::of(&cloud);
    let _a = start(&cloud, "a", "clicks", &ledger).await;
    stream.update_shard_count(4).await;
    sleep(MINUTE).await;
    put(&stream, 0..40).await;
    refused(&cloud, "b", "other", &["stream/clicks", "stream/other"]).await;
    sleep(MINUTE).await;
    put(&stream, 40..140).await;
    ledger.wait_for(140).await;
    ledger.check(&stream);
}

/// Q1: two streams of equal shape, where every id and every range fits.
#[tokio::test(start_paused = true)]
async fn a_stream_of_equal_shape_is_another_stream() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2).await;
    sleep(SECOND).await;
    cloud.create_stream("other", 2).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "a", "clicks", &ledger).await;
    sleep(5 * SECOND).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    refused(&cloud, "b", "other", &["stream/clicks", "stream/other"]).await;
}

/// Q3 (x1): a child just named by GetRecords, which GetShardIterator and ListShards do not know for a while.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_not_known_everywhere_yet_is_read() {
    for (lists, knows, lag) in [(false, true, 3000), (true, false, 3000), (false, false, 3000), (false, false, 500)] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        let ledger = Ledger::of(&cloud);
        let lagging = Arc::new(AtomicBool::new(false));
        let (lists_late, knows_late) = (Arc::clone(&lagging), Arc::clone(&lagging));
        let client = odd::client(
            &cloud,
            "a",
            move |operation, body| {
                let asks = operation == "GetShardIterator" && !body.contains(&id(0));
                (!knows && knows_late.load(Ordering::Relaxed) && asks).then_some("ResourceNotFoundException")
            },
            move |operation, answer| {
                if !lists && lists_late.load(Ordering::Relaxed) {
                    odd::hide(operation, answer, |shard| shard != id(0));
                }
            },
        )
        .await;
        put(&stream, 0..5).await;
        let _a = run(on(&cloud, "a", "clicks").await.kinesis(client).build().await.expect("a new table"), "a", &ledger);
        sleep(10 * SECOND).await;
        lagging.store(true, Ordering::Relaxed);
        stream.split(0).await;
        put(&stream, 5..25).await;
        sleep(Duration::from_millis(lag)).await;
        lagging.store(false, Ordering::Relaxed);
        ledger.wait_for(25).await;
        ledger.check(&stream);
    }
}

/// Q4 (x2): the stream was split, deleted, and made again, smaller, under its name.
#[tokio::test(start_paused = true)]
async fn a_stream_made_anew_is_another_stream_until_an_operator_says_so() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    put(&stream, 0..10).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "a", "clicks", &ledger).await;
    ledger.wait_for(10).await;
    stream.split(0).await;
    put(&stream, 10..30).await;
    ledger.wait_for(30).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    let stream = made_anew(&cloud, 1).await;
    put(&stream, 100..110).await;

    refused(&cloud, "b", "clicks", &["stream/clicks", "start_over_from"]).await;
    let error = on(&cloud, "b", "clicks").await.build().await.expect_err("it is another stream");
    let BuildError::OtherStream(other) = error else { panic!("{error:?}") };
    assert_ne!(other.bound_to, other.stream);

    // Said of a third stream, the word does nothing.
    let third = on(&cloud, "c", "clicks").await.start_over_from(other.stream.clone());
    cloud.clear_calls("c");
    assert!(matches!(third.build().await, Err(BuildError::OtherStream(_))));
    assert_eq!(writes(&cloud, "c"), Vec::<String>::new());

    let again = Ledger::of(&cloud);
    let consumer = on(&cloud, "b", "clicks").await.start_over_from(other.bound_to.clone()).build().await;
    let (b, b_runs) = run(consumer.expect("by the operator's word"), "b", &again);
    again.wait_for(10).await;
    stream.split(0).await;
    put(&stream, 200..220).await;
    again.wait_for(30).await;
    again.check(&stream);
    assert!(again.all().iter().all(|record| record.epoch.0 < 1_000_000_000), "epochs count from the start again");
    // It may stay in the code.
    let (_c, _) = run(
        on(&cloud, "c", "clicks").await.start_over_from(other.bound_to).build().await.expect("it is this stream's"),
        "c",
        &again,
    );
    put(&stream, 300..320).await;
    again.wait_for(50).await;
    b.shutdown(5 * SECOND).await;
    b_runs.await.expect("no panic").expect("shut down");
    again.check(&stream);
}

/// Deletes the stream and makes it again under its name.
async fn made_anew(cloud: &Cloud, shards: i32) -> Stream {
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleting");
    sleep(10 * SECOND).await;
    cloud.create_stream("clicks", shards).await
}

/// Q4, while the fleet runs: no shard ends, and every worker ends within a minute with an error that names both.
#[tokio::test(start_paused = true)]
async fn a_fleet_whose_stream_is_made_anew_ends_and_ends_no_shard() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    put(&stream, 0..40).await;
    let ledger = Ledger::of(&cloud);
    let (_a, a_runs) = start(&cloud, "a", "clicks", &ledger).await;
    let (_b, b_runs) = start(&cloud, "b", "clicks", &ledger).await;
    // Of an idle one nothing is read: the lease is where it was made.
    let mut idle = on(&cloud, "c", "clicks").await.build().await.expect("the table of that stream");
    let c = idle.handle();
    ledger.wait_for(40).await;
    sleep(20 * SECOND).await;
    let stream = made_anew(&cloud, 2).await;
    put(&stream, 100..120).await;
    for running in [a_runs, b_runs] {
        let ended = timeout(MINUTE, running).await.expect("within a minute").expect("no panic");
        let Err(RunError::OtherStream(other)) = ended else { panic!("{ended:?}") };
        assert_ne!(other.bound_to, other.stream);
    }
    for shard in 0..4 {
        assert_ne!(checkpoint(&cloud, shard).await.as_deref(), Some("SHARD_END"));
    }
    assert!(ledger.all().iter().all(|record| record.data.parse::<usize>().expect("a number") < 100));
    while let Some(mut shard) = timeout(2 * MINUTE, idle.next_shard()).await.expect("in time") {
        let event = timeout(MINUTE, shard.next()).await.expect("in time");
        assert!(matches!(event, Some(Event::Failed(ReadError::OtherStream(_))) | None), "{event:?}");
    }
    assert!(c.other_stream().is_some());
    refused(&cloud, "d", "clicks", &["stream/clicks"]).await;
}

/// Q5 (c12): a position of one shard given to the checkpoint of another.
#[tokio::test(start_paused = true)]
async fn a_position_of_another_shard_is_refused_before_any_write() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    for number in 0..20 {
        put(&stream, number..number + 1).await;
        sleep(SECOND).await;
    }
    let mut consumer = on(&cloud, "a", "clicks").await.build().await.expect("a new table");
    let mut shards = Vec::new();
    let mut batches = Vec::new();
    for _ in 0..2 {
        let mut shard = consumer.next_shard().await.expect("there are two");
        let Some(Event::Batch(batch)) = shard.next().await else { panic!("no batch") };
        shards.push(shard);
        batches.push(batch);
    }
    for (shard, foreign) in shards.iter().zip(batches.iter().rev()) {
        for record in foreign.records() {
            let refused = shard.checkpoint(&record.position()).await;
            assert!(matches!(refused, Err(CheckpointError::Refused { .. })), "{refused:?}");
        }
        assert_eq!(record_of(&cloud, shard.id().as_str()).await, "TRIM_HORIZON");
    }
    for (shard, own) in shards.iter().zip(&batches) {
        shard.checkpoint(own.last()).await.expect("it was delivered here");
        assert_eq!(record_of(&cloud, shard.id().as_str()).await, own.last().sequence_number.to_string());
    }
}

async fn record_of(cloud: &Cloud, shard: &str) -> String {
    row(cloud, shard).await.expect("a lease")["checkpoint"].clone()
}

/// Q6 (s66): a merge whose one parent has expired, on a fresh table.
#[tokio::test(start_paused = true)]
async fn a_merge_does_not_wait_for_a_parent_that_nobody_knows() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    put(&stream, 0..20).await;
    let merged = stream.merge(0, 1).await;
    put(&stream, 20..25).await;
    let client = odd::client(
        &cloud,
        "a",
        |_, _| None,
        |operation, answer| {
            odd::hide(operation, answer, |shard| shard == id(0));
        },
    )
    .await;
    let ledger = Ledger::of(&cloud);
    let _a = run(on(&cloud, "a", "clicks").await.kinesis(client).build().await.expect("a new table"), "a", &ledger);
    let of_child = || ledger.all().iter().filter(|record| record.shard.as_str() == merged).count();
    let began = Instant::now();
    while of_child() < 5 {
        assert!(began.elapsed() < 2 * MINUTE, "the merged shard is not read");
        sleep(SECOND).await;
    }
    assert!(ledger.all().iter().any(|record| record.shard.as_str() == id(1)));
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The lease of the first shard of a multi-stream application, as a Java leader gives it to a worker of ours.
fn of_several_streams(owner: &str, number: &str) -> (String, BTreeMap<String, AttributeValue>) {
    let key = "123456789012:clicks:1700000000:shardId-000000000000".to_owned();
    let row = [
        ("leaseKey", s(&key)),
        ("entityType", s("LEASE")),
        ("leaseOwner", s(owner)),
        ("leaseCounter", n(7)),
        ("ownerSwitchesSinceCheckpoint", n(0)),
        ("checkpoint", s(number)),
        ("checkpointSubSequenceNumber", n(0)),
        ("streamName", s("123456789012:clicks:1700000000")),
        ("shardId", s("shardId-000000000000")),
    ];
    (key, row.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Q2: a multi-stream table, which a Java KCL made.
#[tokio::test(start_paused = true)]
async fn a_table_of_several_streams_is_refused() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let number = stream.put("k", "1").await.sequence_number;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "maker", "clicks", &ledger).await;
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("shut down");
    made_by_java(&cloud).await;
    cloud.table("app").delete(id(0).as_str());
    let (_, lease) = of_several_streams("java-1", &number);
    cloud.table("app").put(lease.into_iter().collect());
    refused(&cloud, "b", "clicks", &["several streams", "stream/clicks"]).await;
}

/// Takes out of the table what a Java KCL does not write.
async fn made_by_java(cloud: &Cloud) {
    let table = cloud.table("app");
    for mut item in table.items() {
        if item.remove("boundToStream").is_some() {
            table.put(item);
        }
    }
}

/// Q2: a Java leader gives this worker a lease of another stream. It is left alone, and its own are read.
#[tokio::test(start_paused = true)]
async fn a_lease_of_another_stream_is_never_adopted_under_any_leader() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let number = stream.put("k", "1").await.sequence_number;
    let ledger = Ledger::of(&cloud);
    let _a = start(&cloud, "a", "clicks", &ledger).await;
    ledger.wait_for(1).await;
    let table = cloud.table("app");
    let (key, several) = of_several_streams("a", &number);
    let mut marked = table.item(id(0).as_str()).expect("a lease");
    marked.insert("leaseKey".to_owned(), s(&id(7)));
    marked.insert("boundToStream".to_owned(), s("arn:aws:kinesis:us-east-1:1:stream/clicks 1700000000.000"));
    let mut not_there = table.item(id(0).as_str()).expect("a lease");
    not_there.insert("leaseKey".to_owned(), s(&id(9)));
    not_there.remove("boundToStream");
    let rows = [several.into_iter().collect(), marked, not_there];
    for row in &rows {
        table.put(row.clone());
    }
    put(&stream, 0..10).await;
    sleep(MINUTE).await;
    let after: Vec<_> = [key.as_str(), &id(7), &id(9)].map(|key| table.item(key).expect("it is there")).into();
    assert_eq!(after, rows);
    ledger.wait_for(11).await;
    ledger.check(&stream);
}

/// A table that a Java KCL made is bound when a number that is stored in it is of this stream.
#[tokio::test(start_paused = true)]
async fn a_table_that_java_made_is_bound_by_a_stored_number() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    sleep(SECOND).await;
    cloud.create_stream("other", 2).await;
    put(&stream, 0..10).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "a", "clicks", &ledger).await;
    ledger.wait_for(10).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    made_by_java(&cloud).await;
    refused(&cloud, "b", "other", &["stream/other"]).await;
    let _c = start(&cloud, "c", "clicks", &ledger).await;
    assert!(bound_to(&cloud).expect("it is bound").contains("stream/clicks"));
    put(&stream, 10..20).await;
    ledger.wait_for(20).await;
    refused(&cloud, "b", "other", &["stream/clicks", "stream/other"]).await;
}

fn bound_to(cloud: &Cloud) -> Option<String> {
    let row = cloud.table("app").item("Migration3.0").expect("a version row");
    assert!(row.contains_key("cv"));
    row.get("boundToStream").map(|stream| stream.as_s().expect("a text").clone())
}

/// Where no number is stored nothing can be told: a worker whose listing fits joins, and the first number binds the table.
#[tokio::test(start_paused = true)]
async fn a_table_without_a_number_is_bound_at_the_first() {
    for (worker_s, adopt) in [("clicks", false), ("clicks", true), ("other", false)] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 2).await;
        sleep(SECOND).await;
        let other = cloud.create_stream("other", 2).await;
        let ledger = Ledger::of(&cloud);
        let (handle, running) = start(&cloud, "a", "clicks", &ledger).await;
        sleep(5 * SECOND).await;
        handle.shutdown(5 * SECOND).await;
        running.await.expect("no panic").expect("shut down");
        made_by_java(&cloud).await;
        // Three shards do not fit two leases.
        cloud.create_stream("third", 3).await;
        refused(&cloud, "c", "third", &["stream/third"]).await;

        let builder = on(&cloud, "b", worker_s).await;
        let builder = if adopt { builder.adopt_table() } else { builder };
        let (_b, _) = run(builder.build().await.expect("nothing speaks against it"), "b", &ledger);
        assert_eq!(bound_to(&cloud).is_some(), adopt);
        let read = if worker_s == "clicks" { &stream } else { &other };
        put(read, 0..5).await;
        ledger.wait_for(5).await;
        sleep(5 * SECOND).await;
        assert!(bound_to(&cloud).expect("it is bound").contains(&format!("stream/{worker_s}")));
        let stranger = if worker_s == "clicks" { "other" } else { "clicks" };
        refused(&cloud, "c", stranger, &["stream/clicks", "stream/other"]).await;
    }
}

/// Two workers of two streams have joined a table that tells nothing: the first number binds it, and the other one ends.
#[tokio::test(start_paused = true)]
async fn of_two_streams_on_an_unbound_table_one_gets_it() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    sleep(SECOND).await;
    let other = cloud.create_stream("other", 2).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "a", "clicks", &ledger).await;
    sleep(5 * SECOND).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    made_by_java(&cloud).await;
    let (_b, b_runs) = start(&cloud, "b", "clicks", &ledger).await;
    let (_c, c_runs) = start(&cloud, "c", "other", &ledger).await;
    sleep(40 * SECOND).await;
    put(&stream, 0..20).await;
    sleep(2 * SECOND).await;
    put(&other, 100..120).await;
    let ended = timeout(2 * MINUTE, c_runs).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(RunError::OtherStream(_))), "{ended:?}");
    assert!(!b_runs.is_finished());
    assert!(bound_to(&cloud).expect("it is bound").contains("stream/clicks"));
    sleep(MINUTE).await;
    let read: BTreeSet<_> = ledger.all().into_iter().filter(|record| record.worker == "b").map(|r| r.data).collect();
    assert_eq!(read.len(), 20, "{read:?}");
    let numbers: BTreeSet<_> = stream.records().into_iter().map(|record| record.sequence_number).collect();
    for shard in 0..2 {
        let stored = checkpoint(&cloud, shard).await.expect("a lease");
        assert!(numbers.contains(&stored), "{stored} is not a number of the stream");
    }
}
