//! Hand-offs take as long as the worker that hands over was given (Q22), and no longer than what is begun: also at the end of a shard,
//! and where the program keeps what is over.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, CheckpointError, Concurrency, Consumer, ConsumerHandle, Event, Record, RunError};
use kinesis_testkit::{Cloud, Fault, Shard, Stream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::common::{Ledger, builder, row};

mod common;

const SECOND: Duration = Duration::from_secs(1);

/// A closure at work: says when it began, and whether it came to its end.
struct Work {
    log: Arc<Mutex<Vec<Took>>>,
    took: Took,
}

#[derive(Clone, Debug)]
struct Took {
    worker: &'static str,
    shard: String,
    from: Duration,
    to: Option<Duration>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.log.lock().expect("no panic in a closure").push(self.took.clone());
    }
}

/// Workers whose closures take as long as they are told to.
struct Fleet {
    cloud: Cloud,
    work: Arc<Mutex<Duration>>,
    log: Arc<Mutex<Vec<Took>>>,
}

impl Fleet {
    async fn join(&self, name: &'static str) -> JoinHandle<Result<(), RunError>> {
        let consumer = builder(&self.cloud, name).await.handoff_time(300 * SECOND).build().await.expect("a stream");
        let (log, cloud, lasts) = (Arc::clone(&self.log), self.cloud.clone(), Arc::clone(&self.work));
        tokio::spawn(consumer.run(move |batch: Batch| {
            let (log, cloud) = (Arc::clone(&log), cloud.clone());
            let lasts = *lasts.lock().expect("no panic in a closure");
            async move {
                let from = cloud.clock().elapsed();
                let took = Took { worker: name, shard: batch.shard().to_string(), from, to: None };
                let mut work = Work { log, took };
                sleep(lasts).await;
                work.took.to = Some(cloud.clock().elapsed());
                Ok::<(), std::io::Error>(())
            }
        }))
    }

    /// The workers that each shard was read by, in order, once no closure was dropped half-way.
    fn readers(&self, shards: &[Shard]) -> Vec<Vec<&'static str>> {
        let mut log = self.log.lock().expect("no panic in a closure").clone();
        log.sort_by_key(|took| took.from);
        assert!(log.iter().all(|took| took.to.is_some()), "nothing is dropped half-way: {log:#?}");
        let readers =
            |shard: &Shard| log.iter().filter(|took| took.shard == shard.id).map(|took| took.worker).collect();
        let mut by_shard: Vec<Vec<_>> = shards.iter().map(readers).collect();
        by_shard.sort();
        by_shard
    }
}

async fn put(stream: &Stream, shards: &[Shard]) {
    for shard in shards {
        stream.put_with_hash_key("user-7", *shard.hash_keys.start(), "work").await;
    }
}

/// Closures take 100 s and the hand-off time is 300 s. A leader that waited for its own idea of a hand-off dropped them after 47 s, and
/// the new owner began with the same records. The leader hands over itself.
#[tokio::test(start_paused = true)]
async fn work_of_a_hundred_seconds_is_done_before_the_leaders_shard_goes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let shards = stream.open_shards();
    let fleet = Fleet { cloud, work: Arc::new(Mutex::new(100 * SECOND)), log: Arc::default() };
    put(&stream, &shards).await;
    let mut running = vec![fleet.join("a").await];
    sleep(5 * SECOND).await;
    running.push(fleet.join("b").await);
    sleep(60 * SECOND).await;
    // What comes after the first batches is the new owner's.
    put(&stream, &shards).await;
    sleep(300 * SECOND).await;
    assert_eq!(fleet.readers(&shards), [["a", "a"], ["a", "b"]], "one shard has gone to b");
    running.iter().for_each(JoinHandle::abort);
}

/// As before; another worker than the leader hands over, and the leader knows only what that one has said.
#[tokio::test(start_paused = true)]
async fn work_of_a_hundred_seconds_is_done_before_the_shard_of_another_goes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 6).await;
    let shards = stream.open_shards();
    let fleet = Fleet { cloud, work: Arc::default(), log: Arc::default() };
    let mut running = vec![fleet.join("a").await, fleet.join("b").await];
    sleep(60 * SECOND).await;
    *fleet.work.lock().expect("no panic in a closure") = 100 * SECOND;
    put(&stream, &shards).await;
    sleep(5 * SECOND).await;
    running.push(fleet.join("c").await);
    sleep(60 * SECOND).await;
    put(&stream, &shards).await;
    sleep(300 * SECOND).await;
    let expected = [["a", "a"], ["a", "a"], ["a", "c"], ["b", "b"], ["b", "b"], ["b", "c"]];
    assert_eq!(fleet.readers(&shards), expected, "c has got a shard of each");
    running.iter().for_each(JoinHandle::abort);
}

/// A worker that fails at every record, and tries it again.
async fn fail(cloud: &Cloud, worker: &str) -> (ConsumerHandle, JoinHandle<Result<(), RunError>>) {
    let consumer = builder(cloud, worker).await.handoff_time(300 * SECOND).build().await.expect("a stream");
    let handle = consumer.handle();
    let failing = |_: Record| async { Err::<(), _>("not now".to_owned()) };
    (handle, tokio::spawn(consumer.run_records(Concurrency::per_key(2), failing)))
}

/// A worker that notes what it is given.
async fn note(cloud: &Cloud, worker: &'static str, ledger: &Ledger) -> JoinHandle<Result<(), RunError>> {
    let (consumer, ledger) = (builder(cloud, worker).await.build().await.expect("a stream"), ledger.clone());
    tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }))
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_up_records_that_fail_at_the_end_of_their_shard() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    put(&stream, &stream.open_shards()).await;
    let children = stream.split(0).await;
    let (handle, running) = fail(&cloud, "a").await;
    sleep(30 * SECOND).await;
    timeout(5 * SECOND, handle.shutdown(Duration::MAX)).await.expect("the record is not tried again");
    running.await.expect("no panic").expect("no error");
    let lease = row(&cloud, "shardId-000000000000").await.expect("a lease");
    assert_eq!((lease.get("leaseOwner"), lease["checkpoint"].as_str()), (None, "TRIM_HORIZON"));
    assert_eq!(row(&cloud, &children[0]).await, None, "the shard is not done");
}

#[tokio::test(start_paused = true)]
async fn a_handoff_gives_up_records_that_fail_at_the_end_of_their_shard() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let shards = stream.open_shards();
    put(&stream, &shards).await;
    for _ in &shards {
        stream.split(0).await;
    }
    let ledger = Ledger::of(&cloud);
    let (_handle, failing) = fail(&cloud, "a").await;
    sleep(30 * SECOND).await;
    let noting = note(&cloud, "b", &ledger).await;
    timeout(60 * SECOND, ledger.wait_for(1)).await.expect("a shard goes at once, not after 300 s");
    failing.abort();
    noting.abort();
}

/// 0 is split into 2 and 3, then 3 and 1 are merged into 4. While 0 is at work nobody makes the lease of 3, and 1 waits for it at its end.
async fn merged_before_its_parent_is_read(cloud: &Cloud) -> Stream {
    let stream = cloud.create_stream("clicks", 2).await;
    stream.put_with_hash_key("k", 0, "0").await;
    let [_, upper] = stream.split(0).await;
    stream.put_with_hash_key("k", u128::MAX / 2, "3").await;
    stream.merge(upper.as_str(), "shardId-000000000001").await;
    stream.put_with_hash_key("k", u128::MAX / 2, "4").await;
    stream
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_other_parent_of_a_merged_child() {
    let cloud = Cloud::new();
    let stream = merged_before_its_parent_is_read(&cloud).await;
    let (handle, running) = fail(&cloud, "a").await;
    sleep(30 * SECOND).await;
    timeout(5 * SECOND, handle.shutdown(Duration::MAX)).await.expect("nobody makes that lease any more");
    running.await.expect("no panic").expect("no error");
    for shard in ["shardId-000000000000", "shardId-000000000001"] {
        let lease = row(&cloud, shard).await.expect("a lease");
        assert_eq!((lease.get("leaseOwner"), lease["checkpoint"].as_str()), (None, "TRIM_HORIZON"));
    }
    let ledger = Ledger::of(&cloud);
    let running = note(&cloud, "b", &ledger).await;
    ledger.wait_for(3).await;
    ledger.check(&stream);
    assert_eq!(ledger.data(), ["0", "3", "4"]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_completed_before_a_shutdown_is_left_to_the_next_worker() {
    let cloud = Cloud::new();
    let _stream = merged_before_its_parent_is_read(&cloud).await;
    let mut consumer = builder(&cloud, "a").await.build().await.expect("a stream");
    let mut shards = [consumer.next_shard().await.expect("a shard"), consumer.next_shard().await.expect("a shard")];
    shards.sort_by_key(|shard| shard.id().clone());
    let [mut zero, mut one] = shards;
    let Some(Event::Ended(end)) = one.next().await else { panic!("no end") };
    let completing = tokio::spawn(end.complete());
    sleep(30 * SECOND).await;
    assert!(!completing.is_finished(), "it waits for the lease of 3");
    let handle = consumer.handle();
    let stopping = tokio::spawn(async move { handle.shutdown(Duration::MAX).await });
    let completed = timeout(5 * SECOND, completing).await.expect("it does not wait any more").expect("no panic");
    let released = completed.expect_err("released, not completed").to_string();
    assert_eq!(released, "the lease shardId-000000000001 was lost (Released)");
    zero.release().await.expect("still held");
    timeout(5 * SECOND, stopping).await.expect("nothing is left").expect("no panic");
}

/// What the program does with a shard before it puts it with the others that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Releases it.
    Released,
    /// Reads until it is lost, or at its end.
    ReadOn,
}

/// Reads one shard until nothing more comes of it.
async fn read(consumer: &mut Consumer, ledger: &Ledger, then: Then) -> kinesis_consumer::Shard {
    let mut shard =
        timeout(120 * SECOND, consumer.next_shard()).await.expect("the shard is read again").expect("a shard");
    while let Some(event) = timeout(120 * SECOND, shard.next()).await.expect("an event, or that it is over") {
        match event {
            Event::Batch(batch) => {
                ledger.note("a", &batch);
                shard.checkpoint(batch.last()).await.expect("held");
                if then == Then::Released {
                    shard.release().await.expect("held");
                    return shard;
                }
            }
            // Not completed.
            Event::Ended(end) => drop(end),
            other => panic!("{other:?}"),
        }
    }
    shard
}

/// A `Shard` that is over blocks no later reader of its shard, however long the program keeps it.
#[tokio::test(start_paused = true)]
async fn shards_that_are_over_and_kept_are_read_again() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let ledger = Ledger::of(&cloud);
    let mut consumer = builder(&cloud, "a").await.build().await.expect("a stream");
    put(&stream, &stream.open_shards()).await;
    let mut kept = vec![read(&mut consumer, &ledger, Then::Released).await];

    // Lost while the table does not answer.
    let healing = cloud.clone();
    let outage = tokio::spawn(async move {
        sleep(20 * SECOND).await;
        healing.faults("a").dynamodb().black_hole();
        sleep(15 * SECOND).await;
        healing.faults("a").heal();
    });
    kept.push(read(&mut consumer, &ledger, Then::ReadOn).await);
    outage.await.expect("no panic");

    // Ended, and not completed.
    stream.split(0).await;
    kept.push(read(&mut consumer, &ledger, Then::ReadOn).await);
    let mut last = timeout(120 * SECOND, consumer.next_shard()).await.expect("read again").expect("a shard");
    let Some(Event::Ended(end)) = last.next().await else { panic!("no end") };
    // Of what is over the program keeps all that it could know of it.
    assert!(last.next().await.is_none());
    assert_eq!((last.id(), kept.iter().all(|shard| shard.id() == last.id())), (kept[0].id(), true));
    end.complete().await.expect("held");
    for shard in &mut kept {
        let released = shard.release().await;
        assert!(matches!(&released, Err(CheckpointError::LeaseLost { .. })), "{released:?}");
    }
    for _ in 0..2 {
        assert!(timeout(5 * SECOND, consumer.next_shard()).await.expect("a child").is_some());
    }
    ledger.check(&stream);
}

/// Row 11 of `shard-end`: a listing that fails says nothing of the end, however often.
#[tokio::test(start_paused = true)]
async fn a_shard_is_not_finished_while_nothing_can_be_listed() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    put(&stream, &stream.open_shards()).await;
    let ledger = Ledger::of(&cloud);
    let running = note(&cloud, "a", &ledger).await;
    ledger.wait_for(1).await;
    cloud.faults("a").always_for("ListShards", Fault::refuse("AccessDeniedException"));
    let children = stream.split(0).await;
    sleep(300 * SECOND).await;
    let lease = row(&cloud, "shardId-000000000000").await.expect("a lease");
    assert_ne!(lease["checkpoint"], "SHARD_END");
    cloud.faults("a").heal();
    put(&stream, &stream.open_shards()).await;
    ledger.wait_for(3).await;
    ledger.check(&stream);
    let lease = row(&cloud, "shardId-000000000000").await.expect("a lease");
    assert!(lease["childShardIds"].contains(&children[1]), "{lease:?}");
    running.abort();
}
