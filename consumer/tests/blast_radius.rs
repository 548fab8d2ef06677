//! What is wrong with one thing stops nothing else (C12): the rules of `docs/rules.md`, section "What may stop what".

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_consumer::{Batch, Consumer, ConsumerHandle, Event, Finding, FindingKind, OnError, RunError, StartAt};
use kinesis_testkit::{Cloud, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::common::{Ledger, builder, row};

mod common;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Running = JoinHandle<Result<(), RunError>>;

async fn cloud_of(shards: i32) -> (Cloud, Stream, Ledger) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", shards).await;
    let ledger = Ledger::of(&cloud);
    (cloud, stream, ledger)
}

fn noting(consumer: Consumer, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

async fn run_noting(cloud: &Cloud, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    noting(builder(cloud, worker).await.build().await.expect("built"), worker, ledger)
}

/// Puts one record into each of these shards.
async fn put_each(stream: &Stream, shards: impl IntoIterator<Item = usize>, data: &str) {
    let all = stream.shards();
    for number in shards {
        stream.put_with_hash_key("k", *all[number].hash_keys.start(), data.to_owned()).await;
    }
}

fn shard_id(number: usize) -> String {
    format!("shardId-{number:012}")
}

fn of_kind(handles: &[&ConsumerHandle], kind: FindingKind) -> Vec<Finding> {
    handles.iter().flat_map(|handle| handle.findings()).filter(|finding| finding.kind == kind).collect()
}

fn long_ago() -> StartAt {
    StartAt::At(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
}

/// A fleet whose lease of shard 0 starts at a time, and has no record yet. The worker that knew the time has left.
async fn fleet_without_a_time(cloud: &Cloud, stream: &Stream, ledger: &Ledger) {
    let old = builder(cloud, "old").await.start_at(long_ago()).build().await.expect("built");
    let (old, running) = noting(old, "old", ledger);
    put_each(stream, 1..stream.shards().len(), "before").await;
    sleep(20 * SECOND).await;
    old.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("no error");
    assert_eq!(row(cloud, &shard_id(0)).await.expect("a lease")["checkpoint"], "AT_TIMESTAMP");
}

/// Q9: one lease that no worker can begin; the others are read, `run` goes on, and a worker that can begin it is given it.
#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_begun_stops_no_worker_and_no_other_shard() {
    let (cloud, stream, ledger) = cloud_of(6).await;
    fleet_without_a_time(&cloud, &stream, &ledger).await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c"] {
        workers.push(run_noting(&cloud, name, &ledger).await);
    }
    sleep(2 * MINUTE).await;
    let before = ledger.all().len();
    put_each(&stream, 0..6, "after").await;
    sleep(MINUTE).await;
    assert_eq!(ledger.all().len() - before, 5, "all shards but the one are read");
    assert!(workers.iter().all(|(_, running)| !running.is_finished()), "every worker runs on");
    let handles: Vec<&ConsumerHandle> = workers.iter().map(|(handle, _)| handle).collect();
    let parked = of_kind(&handles, FindingKind::ShardParked);
    assert!(!parked.is_empty() && parked.iter().all(|finding| finding.subject == shard_id(0)), "{parked:?}");
    assert!(
        parked.iter().any(|finding| finding.next_try.is_some() && finding.seen.contains("StartAt::At")),
        "{parked:?}"
    );
    let refused = of_kind(&handles, FindingKind::LeaseRefused);
    assert_eq!(refused.iter().map(|finding| finding.subject.as_str()).collect::<Vec<_>>(), [shard_id(0)]);

    let able = builder(&cloud, "d").await.start_at(long_ago()).build().await.expect("built");
    let joined = Instant::now();
    let (d, d_running) = noting(able, "d", &ledger);
    while ledger.all().len() - before < 6 {
        sleep(SECOND).await;
        assert!(joined.elapsed() < 30 * SECOND, "a worker that has not failed is given the lease at once");
    }
    sleep(6 * MINUTE).await;
    let handles: Vec<&ConsumerHandle> = handles.into_iter().chain([&d]).collect();
    let left: Vec<Finding> = handles.iter().flat_map(|handle| handle.findings()).collect();
    assert_eq!(left, [], "it is mended");
    assert!(!d_running.is_finished());
}

/// Q9: whoever wants `run` to end says so.
#[tokio::test(start_paused = true)]
async fn run_ends_at_a_shard_that_cannot_be_read_if_the_user_asks_for_it() {
    let (cloud, stream, ledger) = cloud_of(2).await;
    fleet_without_a_time(&cloud, &stream, &ledger).await;
    let consumer = builder(&cloud, "a").await.end_at_unreadable_shard(true).build().await.expect("built");
    let (_a, running) = noting(consumer, "a", &ledger);
    let ended = timeout(MINUTE, running).await.expect("it ends").expect("no panic");
    assert!(matches!(ended, Err(RunError::Read(_))), "{ended:?}");
}

/// Q11: a lease that every worker of the fleet fails at goes round less and less often.
#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_can_read_does_not_go_round_and_round() {
    for workers in [1, 3] {
        let (cloud, stream, ledger) = cloud_of(3).await;
        fleet_without_a_time(&cloud, &stream, &ledger).await;
        let mut running = Vec::new();
        for name in ["a", "b", "c"].into_iter().take(workers) {
            running.push(run_noting(&cloud, name, &ledger).await);
        }
        sleep(MINUTE).await;
        let counter =
            |row: std::collections::BTreeMap<String, String>| row["leaseCounter"].parse::<u64>().expect("a number");
        let table = cloud.table("app");
        table.keep_writes(1000);
        let before = counter(row(&cloud, &shard_id(0)).await.expect("a lease"));
        sleep(10 * MINUTE).await;
        let key = AttributeValue::S(shard_id(0));
        let writes = table.writes().into_iter().filter(|write| write.key["leaseKey"] == key).count();
        assert!(writes > 0 && counter(row(&cloud, &shard_id(0)).await.expect("a lease")) > before, "it is tried again");
        assert!(writes <= 30, "{workers} workers: {writes} writes in ten minutes");
    }
}

/// Q11, for a program that reads shards itself: the lease of one that failed is released, not left to run out.
#[tokio::test(start_paused = true)]
async fn a_shard_that_failed_in_a_program_s_hands_is_another_worker_s_within_seconds() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    let old = builder(&cloud, "old").await.start_at(long_ago()).build().await.expect("built");
    let (old, old_running) = noting(old, "old", &ledger);
    sleep(5 * SECOND).await;
    old.shutdown(SECOND).await;
    old_running.await.expect("no panic").expect("no error");

    let mut a = builder(&cloud, "a").await.build().await.expect("built");
    let mut shard = timeout(MINUTE, a.next_shard()).await.expect("in time").expect("a shard");
    let able = builder(&cloud, "b").await.start_at(long_ago()).build().await.expect("built");
    let (_b, _running) = noting(able, "b", &ledger);
    sleep(SECOND).await;
    let event = shard.next().await;
    assert!(matches!(event, Some(Event::Failed(_))), "{event:?}");
    drop(shard);
    stream.put("k", "1").await;
    let failed = Instant::now();
    ledger.wait_for(1).await;
    assert!(failed.elapsed() < 9 * SECOND, "{:?}", failed.elapsed());
    let parked = of_kind(&[&a.handle()], FindingKind::ShardParked);
    assert_eq!(parked.len(), 1, "{parked:?}");
}

/// A record that user code fails at, under `StopShard`: tried less and less often, over all workers (t28).
#[tokio::test(start_paused = true)]
async fn a_poison_record_is_tried_less_and_less_often() {
    for workers in [1, 3] {
        let (cloud, stream, _) = cloud_of(3).await;
        let (tries, good) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut running = Vec::new();
        for name in ["a", "b", "c"].into_iter().take(workers) {
            let consumer = builder(&cloud, name).await.on_error(OnError::StopShard).build().await.expect("built");
            let (tries, good) = (Arc::clone(&tries), Arc::clone(&good));
            let handle = consumer.handle();
            let task = tokio::spawn(consumer.run(move |batch: Batch| {
                let is_bad = batch.records().iter().any(|record| record.partition_key() == "poison");
                let (count, add) = if is_bad { (&tries, 1) } else { (&good, batch.records().len()) };
                count.fetch_add(add, Ordering::Relaxed);
                async move { if is_bad { Err("poison") } else { Ok(()) } }
            }));
            running.push((handle, task));
        }
        sleep(30 * SECOND).await;
        stream.put_with_hash_key("poison", *stream.shards()[0].hash_keys.start(), "x").await;
        for _ in 0..60 {
            put_each(&stream, 1..3, "x").await;
            sleep(10 * SECOND).await;
        }
        let (tries, good) = (tries.load(Ordering::Relaxed), good.load(Ordering::Relaxed));
        assert_eq!(good, 120, "{workers} workers: the other shards are read");
        assert!((4..=12).contains(&tries), "{workers} workers: tried {tries} times in ten minutes");
        let handles: Vec<&ConsumerHandle> = running.iter().map(|(handle, _)| handle).collect();
        assert_eq!(of_kind(&handles, FindingKind::LeaseRefused).len(), 1);
    }
}
