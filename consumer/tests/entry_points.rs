//! The entry points of the consumer, on a cloud inside the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{
    Batch, BuildError, CheckpointError, Concurrency, Consumer, ConsumerHandle, DeadLetter, DeadLetterSink, Epoch,
    Event, FindingKind, OnError, Position, Record, RunError, Shard,
};
use kinesis_testkit::{Cloud, Stream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::common::{Ledger, builder, row};

mod common;

const SECOND: Duration = Duration::from_secs(1);

/// A program that keeps a lost shard, without asking for its next event, is told: the worker is named for it again and must not read it
/// twice.
#[tokio::test(start_paused = true)]
async fn a_lost_shard_that_the_program_keeps_is_a_finding_until_it_is_let_go() {
    let (cloud, stream, _) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    let mut consumer = builder(&cloud, "a").await.build().await.expect("built");
    let handle = consumer.handle();
    let kept =
        || handle.findings().iter().filter(|found| found.kind == FindingKind::ShardKept).cloned().collect::<Vec<_>>();
    let mut shard = consumer.next_shard().await.expect("a shard");
    assert!(matches!(shard.next().await, Some(Event::Batch(_))));
    cloud.faults("a").dynamodb().black_hole();
    shard.revoked().await;
    cloud.faults("a").heal();
    let again = tokio::spawn(async move {
        let shard = consumer.next_shard().await;
        (consumer, shard)
    });
    sleep(10 * SECOND).await;
    assert_eq!(kept(), [], "it may be let go at any moment");
    sleep(30 * SECOND).await;
    assert_eq!(kept().iter().map(|found| found.subject.as_str()).collect::<Vec<_>>(), [shard.id().as_str()]);
    assert!(!again.is_finished());
    drop(shard);
    let (_consumer, shard) = timeout(30 * SECOND, again).await.expect("in time").expect("no panic");
    let mut shard = shard.expect("the shard again");
    assert_eq!(kept(), []);
    let event = shard.next().await;
    assert!(matches!(&event, Some(Event::Batch(batch)) if batch.records().len() == 5), "{event:?}");
}

async fn cloud_of(shards: i32) -> (Cloud, Stream, Ledger) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", shards).await;
    let ledger = Ledger::of(&cloud);
    (cloud, stream, ledger)
}

async fn put(stream: &Stream, from: usize, count: usize) {
    for n in from..from + count {
        stream.put(&format!("user-{}", n % 13), n.to_string()).await;
    }
}

type Running = JoinHandle<Result<(), RunError>>;

/// A worker that notes every batch and is content with it.
async fn run_noting(cloud: &Cloud, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    let consumer = builder(cloud, worker).await.build().await.expect("built");
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

async fn stop(handle: ConsumerHandle, running: Running) {
    timeout(60 * SECOND, handle.shutdown(10 * SECOND)).await.expect("shut down in time");
    timeout(SECOND, running).await.expect("ends with the shutdown").expect("no panic").expect("no error");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_application_delivers_at_once_and_goes_on_where_it_stopped() {
    let (cloud, stream, ledger) = cloud_of(4).await;
    put(&stream, 0, 100).await;
    let started = cloud.clock().elapsed();
    let (handle, running) = run_noting(&cloud, "a", &ledger).await;
    ledger.wait_for(100).await;
    let first = ledger.all()[0].at - started;
    assert!(first <= Duration::from_millis(500), "the first record came after {first:?} (C8)");
    assert_eq!(handle.counts().records, 100);
    stop(handle, running).await;
    ledger.check(&stream);
    assert_eq!(ledger.repeated(), 0);
    for shard in stream.shards() {
        let row = row(&cloud, &shard.id).await.expect("a lease");
        assert_eq!(row.get("leaseOwner"), None, "released");
        let last = stream.records().into_iter().rfind(|record| record.shard_id == shard.id).expect("records");
        assert_eq!(row["checkpoint"], last.sequence_number);
    }

    put(&stream, 100, 50).await;
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(150).await;
    stop(handle, running).await;
    ledger.check(&stream);
    assert_eq!(ledger.repeated(), 0, "{:?}", ledger.data());
}

/// The story of the crate: a reshard and a crash, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn survives_a_reshard_and_a_crash() {
    let (cloud, stream, ledger) = cloud_of(4).await;
    let (_a, _a_running) = run_noting(&cloud, "a", &ledger).await;
    let (b, b_running) = run_noting(&cloud, "b", &ledger).await;
    put(&stream, 0, 100).await;
    sleep(30 * SECOND).await;
    put(&stream, 100, 100).await;
    stream.split(0).await;
    put(&stream, 200, 100).await;
    sleep(5 * SECOND).await;
    put(&stream, 300, 100).await;
    sleep(SECOND / 4).await;
    cloud.faults("a").black_hole();
    let crashed = cloud.clock().elapsed();
    put(&stream, 400, 100).await;
    sleep(60 * SECOND).await;
    ledger.check(&stream);
    let all = ledger.all();
    for worker in ["a", "b"] {
        assert!(all.iter().any(|d| d.worker == worker && d.at < crashed), "{worker} had no shard");
    }
    let taken_over = all
        .iter()
        .find(|d| d.worker == "b" && d.at > crashed && all.iter().any(|x| x.worker == "a" && x.shard == d.shard));
    let after = taken_over.expect("b takes shards of a").at - crashed;
    assert!(after <= 22 * SECOND, "the crash was over after {after:?} (C8)");
    stop(b, b_running).await;
}

#[tokio::test(start_paused = true)]
async fn order_per_key_holds_through_splits_and_merges() {
    // C4, S83 in small.
    let (cloud, stream, ledger) = cloud_of(1).await;
    let (handle, running) = run_noting(&cloud, "a", &ledger).await;
    for generation in 0..25 {
        put(&stream, generation * 8, 4).await;
        stream.split(0).await;
        put(&stream, generation * 8 + 4, 4).await;
        stream.merge(0, 1).await;
    }
    ledger.wait_for(200).await;
    ledger.check(&stream);
    assert_eq!(ledger.repeated(), 0);
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for delivered in ledger.all() {
        let n: usize = delivered.data.parse().expect("a number");
        assert!(last.insert(delivered.key.clone(), n).is_none_or(|before| before < n), "{delivered:?}");
    }
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_last_parents_end_is_soon_followed_by_its_children() {
    let (cloud, stream, ledger) = cloud_of(2).await;
    let (handle, running) = run_noting(&cloud, "a", &ledger).await;
    put(&stream, 0, 20).await;
    sleep(10 * SECOND).await;
    stream.merge(0, 1).await;
    let merged = cloud.clock().elapsed();
    put(&stream, 20, 1).await;
    ledger.wait_for(21).await;
    let after = ledger.all()[20].at - merged;
    // The parents' end is seen with their next poll, one second away at most; then C8 allows two.
    assert!(after <= 3 * SECOND, "{after:?}");
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_merged_shard_waits_for_a_parent_that_is_not_even_begun() {
    // C4: 0 is split into 2 and 3, then 3 and 1 are merged into 4. While 0 is still at work, 3 has no lease yet, and 1,
    // which is empty, is at its end.
    let (cloud, stream, ledger) = cloud_of(2).await;
    stream.put_with_hash_key("k", 0, "0").await;
    let [_, upper] = stream.split(0).await;
    stream.put_with_hash_key("k", u128::MAX / 2, "3").await;
    let merged = stream.merge(upper.as_str(), "shardId-000000000001").await;
    stream.put_with_hash_key("k", u128::MAX / 2, "4").await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted, gate) = (consumer.handle(), ledger.clone(), Arc::new(tokio::sync::Semaphore::new(0)));
    let opened = Arc::clone(&gate);
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let (noted, gate) = (noted.clone(), Arc::clone(&gate));
        async move {
            if batch.shard().as_str() == "shardId-000000000000" {
                drop(gate.acquire().await);
            }
            noted.note("a", &batch);
            Ok::<(), std::io::Error>(())
        }
    }));
    sleep(30 * SECOND).await;
    assert_eq!(ledger.data(), Vec::<String>::new());
    assert_eq!(row(&cloud, &merged).await, None);
    opened.add_permits(1);
    ledger.wait_for(3).await;
    assert_eq!(ledger.data(), ["0", "3", "4"]);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_closure_gets_the_same_batch_again_and_nothing_is_checkpointed_before() {
    // C10
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 3).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, calls, noted) = (consumer.handle(), Arc::new(AtomicUsize::new(0)), ledger.clone());
    let count = Arc::clone(&calls);
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let call = count.fetch_add(1, Ordering::Relaxed);
        let noted = noted.clone();
        async move {
            match call {
                0..5 => return Err("not now".to_owned()),
                5 => panic!("not this time either"),
                _ => noted.note("a", &batch),
            }
            Ok(())
        }
    }));
    let mut unprocessed = 0;
    while calls.load(Ordering::Relaxed) < 7 {
        if let Some(row) = row(&cloud, "shardId-000000000000").await {
            assert_eq!(row["checkpoint"], "TRIM_HORIZON");
            unprocessed += 1;
        }
        sleep(SECOND / 20).await;
    }
    assert!(unprocessed > 3);
    put(&stream, 3, 3).await;
    ledger.wait_for(6).await;
    assert_eq!(ledger.data(), ["0", "1", "2", "3", "4", "5"]);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn one_failing_shard_does_not_hold_up_the_others() {
    let (cloud, stream, ledger) = cloud_of(2).await;
    put(&stream, 0, 40).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let noted = noted.clone();
        async move {
            if batch.shard().as_str() == "shardId-000000000000" {
                return Err("never");
            }
            noted.note("a", &batch);
            Ok(())
        }
    }));
    let good = stream.records().iter().filter(|record| record.shard_id.ends_with('1')).count();
    ledger.wait_for(good).await;
    sleep(60 * SECOND).await;
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], "TRIM_HORIZON");
    // What fails at shutdown is not tried again until the deadline.
    let before = cloud.clock().elapsed();
    stop(handle, running).await;
    assert!(cloud.clock().elapsed() - before < 5 * SECOND);
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], "TRIM_HORIZON");
}

#[derive(Clone, Debug, Default)]
struct Letters {
    taken: Arc<Mutex<Vec<(String, String)>>>,
    refusals: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl DeadLetterSink for Letters {
    async fn accept(&self, letter: DeadLetter<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if self.refusals.fetch_add(1, Ordering::Relaxed) < 2 {
            return Err("full".into());
        }
        let data = letter.records.iter().map(|record| String::from_utf8_lossy(record.data()).into_owned());
        let mut taken = self.taken.lock().map_err(|_| "poisoned")?;
        taken.extend(data.map(|data| (data, letter.error.to_string())));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_kept_before_the_checkpoint_passes_them() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 10).await;
    let letters = Letters::default();
    let builder = builder(&cloud, "a").await.on_error(OnError::dead_letter(letters.clone()));
    let consumer = builder.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run_records(Concurrency::per_key(4), move |record: Record| {
        let noted = noted.clone();
        async move {
            if record.data().len() == 1 && record.data()[0] % 2 == 1 {
                return Err(format!("odd: {record:?}"));
            }
            noted.note_record("a", &"shardId-000000000000".into(), Epoch(0), &record);
            Ok(())
        }
    }));
    ledger.wait_for(5).await;
    sleep(10 * SECOND).await;
    let mut taken = letters.taken.lock().expect("no panic").clone();
    taken.sort();
    assert_eq!(taken.iter().map(|(data, _)| data.as_str()).collect::<Vec<_>>(), ["1", "3", "5", "7", "9"]);
    assert!(taken[0].1.starts_with("odd: Record"), "{taken:?}");
    let last = stream.records().pop().expect("records").sequence_number;
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], last);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn stop_shard_leaves_the_failed_records_to_the_next_owner() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 3).await;
    let consumer = builder(&cloud, "a").await.on_error(OnError::StopShard).build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let failures = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failures);
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        if !first {
            noted.note("a", &batch);
        }
        async move { if first { Err("no") } else { Ok(()) } }
    }));
    ledger.wait_for(3).await;
    assert_eq!(ledger.data(), ["0", "1", "2"]);
    assert_eq!(failures.load(Ordering::Relaxed), 2);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn records_in_parallel_keep_the_order_of_their_key() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 200).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let running = tokio::spawn(consumer.run_records(Concurrency::per_key(8), move |record: Record| {
        let (noted, counted, highest) = (noted.clone(), Arc::clone(&counted), Arc::clone(&highest));
        async move {
            highest.fetch_max(counted.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let n: u64 = str::from_utf8(record.data())?.parse()?;
            sleep(Duration::from_millis(n * 7919 % 50)).await;
            noted.note_record("a", &"shardId-000000000000".into(), Epoch(n), &record);
            counted.fetch_sub(1, Ordering::Relaxed);
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        }
    }));
    ledger.wait_for(200).await;
    assert!((2..=8).contains(&most.load(Ordering::Relaxed)), "{most:?} at a time");
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for delivered in ledger.all() {
        let n = delivered.data.parse().expect("a number");
        assert!(last.insert(delivered.key.clone(), n).is_none_or(|before| before < n), "{delivered:?}");
    }
    stop(handle, running).await;
    let last = stream.records().pop().expect("records").sequence_number;
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], last);
}

#[tokio::test(start_paused = true)]
async fn records_in_parallel_are_checkpointed_up_to_the_first_that_is_not_done() {
    // C2, S151
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 20).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let noted = ledger.clone();
    let running = tokio::spawn(consumer.run_records(Concurrency::unordered(5), move |record: Record| {
        let noted = noted.clone();
        async move {
            if &record.data()[..] == b"7" {
                std::future::pending::<()>().await;
            }
            noted.note_record("a", &"shardId-000000000000".into(), Epoch(0), &record);
            Ok::<(), std::io::Error>(())
        }
    }));
    ledger.wait_for(19).await;
    sleep(10 * SECOND).await;
    assert_eq!(
        row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"],
        stream.records()[6].sequence_number
    );
    // The worker dies; the next one begins with the record that was not done.
    running.abort();
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(19 + 13).await;
    assert_eq!(ledger.data()[19], "7");
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_the_batch_at_hand_finish_and_hands_over_without_repetition() {
    // C5
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 10).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        async {
            sleep(5 * SECOND).await;
            Ok::<(), std::io::Error>(())
        }
    }));
    ledger.wait_for(10).await;
    let before = cloud.clock().elapsed();
    stop(handle, running).await;
    let took = cloud.clock().elapsed() - before;
    assert!(took > 4 * SECOND && took < 7 * SECOND, "{took:?}");
    put(&stream, 10, 10).await;
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(20).await;
    assert_eq!(ledger.repeated(), 0);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn records_in_parallel_are_handed_over_without_repetition() {
    // C5: what is begun is finished, with all before it, and nothing else is begun.
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 500).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run_records(Concurrency::per_key(8), move |record: Record| {
        let noted = noted.clone();
        async move {
            sleep(Duration::from_millis(100 + u64::from(record.data()[0]) * 7919 % 300)).await;
            // Each record is an epoch of its own to the ledger: their order is not promised.
            let n: u64 = str::from_utf8(record.data())?.parse()?;
            noted.note_record("a", &"shardId-000000000000".into(), Epoch(n), &record);
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        }
    }));
    ledger.wait_for(100).await;
    handle.shutdown(60 * SECOND).await;
    running.await.expect("no panic").expect("no error");
    let done = ledger.all().len();
    assert!(done < 250, "{done} records were processed, as if nobody had asked to stop");
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(500).await;
    stop(handle, running).await;
    assert_eq!(ledger.repeated(), 0);
    ledger.check(&stream);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_outlasts_the_shutdown_is_left_to_the_next_worker() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 10).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let (handle, noted) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        std::future::pending::<Result<(), std::io::Error>>()
    }));
    ledger.wait_for(10).await;
    stop(handle, running).await;
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease").get("leaseOwner"), None);
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(20).await;
    assert_eq!(ledger.repeated(), 10);
    stop(handle, running).await;
}

async fn next(shard: &mut Shard) -> Option<Event> {
    timeout(60 * SECOND, shard.next()).await.expect("an event in time")
}

async fn next_batch(shard: &mut Shard) -> Batch {
    match next(shard).await {
        Some(Event::Batch(batch)) => batch,
        other => panic!("{other:?} instead of a batch"),
    }
}

async fn consumer(cloud: &Cloud, worker: &str) -> Consumer {
    builder(cloud, worker).await.build().await.expect("built")
}

#[tokio::test(start_paused = true)]
async fn a_shard_as_a_value_from_its_first_record_to_its_children() {
    let (cloud, stream, _) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    let mut consumer = consumer(&cloud, "a").await;
    let mut shard = consumer.next_shard().await.expect("a shard");
    assert_eq!(shard.id().as_str(), "shardId-000000000000");
    let batch = next_batch(&mut shard).await;
    assert_eq!((batch.epoch(), batch.records().len()), (shard.epoch(), 5));

    // What was not delivered cannot be checkpointed, and neither can what lies before.
    let mut beyond = batch.last().clone();
    beyond.sub_sequence += 1;
    let refused = shard.checkpoint(&beyond).await.expect_err("not delivered");
    assert!(matches!(&refused, CheckpointError::Refused { .. }), "{refused:?}");
    shard.checkpoint(batch.last()).await.expect("stored");
    assert_eq!(
        row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"],
        batch.last().sequence_number.as_str()
    );
    shard.checkpoint(batch.last()).await.expect("once more is no error");
    let refused = shard.checkpoint(&batch.records()[0].position()).await.expect_err("going back");
    assert!(matches!(&refused, CheckpointError::Refused { .. }), "{refused:?}");

    let children = stream.split(0).await;
    let Some(Event::Ended(end)) = next(&mut shard).await else { panic!("no end") };
    assert_eq!(end.children().len(), 2);
    assert!(row(&cloud, &children[0]).await.is_none(), "no child before the end is completed (C4)");
    end.complete().await.expect("completed");
    assert!(next(&mut shard).await.is_none());
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], "SHARD_END");
    // SHARD_END is final (S95).
    assert!(shard.checkpoint(batch.last()).await.is_err());
    let next: Vec<_> = [consumer.next_shard().await, consumer.next_shard().await]
        .into_iter()
        .flatten()
        .map(|shard| shard.id().to_string())
        .collect();
    assert_eq!(next.len(), 2);
    assert!(children.iter().all(|child| next.contains(child)), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_told_to_finish_and_released() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    let mut consumer = consumer(&cloud, "a").await;
    let handle = consumer.handle();
    let mut shard = consumer.next_shard().await.expect("a shard");
    let batch = next_batch(&mut shard).await;
    let revoked = shard.revoked();
    let stopping = tokio::spawn(async move { handle.shutdown(20 * SECOND).await });
    timeout(SECOND, revoked).await.expect("told inside of a batch");
    put(&stream, 5, 5).await;
    sleep(5 * SECOND).await;
    let Some(Event::Revoking { deadline }) = next(&mut shard).await else { panic!("not told") };
    let left = deadline - tokio::time::Instant::now();
    assert!(left <= 15 * SECOND && left > 14 * SECOND, "{left:?}");
    shard.checkpoint(batch.last()).await.expect("still held");
    shard.release().await.expect("still held");
    assert!(next(&mut shard).await.is_none());
    let late = shard.checkpoint(batch.last()).await.expect_err("released");
    assert!(matches!(late, CheckpointError::LeaseLost { .. }), "{late:?}");
    assert!(consumer.next_shard().await.is_none());
    timeout(SECOND, stopping).await.expect("stopped").expect("no panic");
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(5).await;
    assert_eq!(ledger.data(), ["5", "6", "7", "8", "9"]);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_dropped_goes_to_another_worker() {
    // S125
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    let mut consumer = consumer(&cloud, "a").await;
    let mut shard = consumer.next_shard().await.expect("a shard");
    let batch = next_batch(&mut shard).await;
    shard.checkpoint(&batch.records()[1].position()).await.expect("stored");
    drop(shard);
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(3).await;
    assert_eq!(ledger.data(), ["2", "3", "4"]);
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_shard_says_so_and_its_late_checkpoint_is_refused() {
    // C6
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    let mut consumer = consumer(&cloud, "a").await;
    let mut shard = consumer.next_shard().await.expect("a shard");
    let batch = next_batch(&mut shard).await;
    cloud.faults("a").black_hole();
    let cut_off = cloud.clock().elapsed();
    timeout(60 * SECOND, shard.revoked()).await.expect("noticed");
    assert!(cloud.clock().elapsed() - cut_off < 10 * SECOND, "given up before anybody else may start (C7)");
    assert!(next(&mut shard).await.is_none());
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(5).await;
    assert!(ledger.all()[0].epoch > batch.epoch(), "a fencing token grows");
    cloud.faults("a").heal();
    let late = shard.checkpoint(batch.last()).await.expect_err("lost");
    assert!(matches!(late, CheckpointError::LeaseLost { .. }), "{late:?}");
    stop(handle, running).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_completed_lets_the_shard_be_read_again() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    put(&stream, 0, 5).await;
    stream.split(0).await;
    let mut consumer = consumer(&cloud, "a").await;
    let mut shard = consumer.next_shard().await.expect("a shard");
    assert_eq!(next_batch(&mut shard).await.records().len(), 5);
    let Some(Event::Ended(end)) = next(&mut shard).await else { panic!("no end") };
    drop((end, shard));
    let (handle, running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(5).await;
    stop(handle, running).await;
    ledger.check(&stream);
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_before_anything_is_written() {
    let cloud = Cloud::new();
    let connection = cloud.connect("a").await;
    let complete =
        || Consumer::builder("app", "clicks").kinesis(connection.kinesis.clone()).dynamodb(connection.dynamodb.clone());
    let refused =
        async |builder: kinesis_consumer::ConsumerBuilder| builder.build().await.map(drop).expect_err("refused");

    let error = refused(Consumer::builder("app", "clicks")).await;
    assert_eq!(error.to_string(), "no Kinesis client was given: call `.kinesis(..)`");
    let error = refused(Consumer::builder("app", "clicks").kinesis(connection.kinesis.clone())).await;
    assert_eq!(error.to_string(), "no DynamoDB client was given: call `.dynamodb(..)`");
    let error = refused(complete().max_leases(0)).await;
    assert_eq!(error.to_string(), "max_leases is 0 and must be at least 1");
    let error = refused(
        Consumer::builder("a b", "clicks").kinesis(connection.kinesis.clone()).dynamodb(connection.dynamodb.clone()),
    )
    .await;
    assert!(matches!(&error, BuildError::ApplicationName { application } if application == "a b"), "{error:?}");
    assert_eq!(cloud.calls("a").len(), 0);

    let error = refused(complete()).await;
    assert!(matches!(&error, BuildError::Stream(_)), "{error:?}");
    assert_eq!(cloud.calls("a").count("DescribeStreamSummary"), cloud.calls("a").len());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_run_stops_at_once() {
    let (cloud, stream, ledger) = cloud_of(2).await;
    put(&stream, 0, 10).await;
    let (_handle, running) = run_noting(&cloud, "a", &ledger).await;
    ledger.wait_for(10).await;
    running.abort();
    sleep(SECOND).await;
    let calls = cloud.calls("a").len();
    sleep(60 * SECOND).await;
    assert_eq!(cloud.calls("a").len(), calls, "no task without an owner (C9)");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_a_second_is_all_that_a_busy_lease_writes() {
    let (cloud, stream, ledger) = cloud_of(1).await;
    let (handle, running) = run_noting(&cloud, "a", &ledger).await;
    put(&stream, 0, 1).await;
    ledger.wait_for(1).await;
    // Every write to the row moves its counter by one.
    let counter = async || -> u64 {
        row(&cloud, "shardId-000000000000").await.expect("a lease")["leaseCounter"].parse().expect("a number")
    };
    let before = counter().await;
    for n in 0..600 {
        put(&stream, n, 1).await;
        sleep(SECOND / 10).await;
    }
    let writes = counter().await - before;
    assert!((50..=61).contains(&writes), "{writes} writes in a minute");
    stop(handle, running).await;
}

fn _faces_are_send(consumer: Consumer, shard: Shard, position: Position) {
    fn is_send(_: impl Send + 'static) {}
    is_send(consumer.run(|_| async { Ok::<(), std::io::Error>(()) }));
    is_send(async move { shard.checkpoint(&position).await });
}
