//! What is wrong with one thing stops nothing else (C12): the rules of `docs/rules.md`, section "What may stop what".

use std::collections::BTreeSet;
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

/// Q9: `run` ends at such a shard where a setting asks for that.
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

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Changes one attribute of a row, as an operator would.
fn edit(cloud: &Cloud, key: &str, attribute: &str, value: AttributeValue) {
    let table = cloud.table("app");
    let mut item = table.item(key).expect("a row");
    item.insert(attribute.to_owned(), value);
    table.put(item);
}

/// Q10 (t16): one row whose range is off by one, then a worker dies: all other shards are read, the row is left alone and named.
#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_fit_the_stream_stops_neither_assignment_nor_clean_up() {
    let (cloud, stream, ledger) = cloud_of(4).await;
    let (_a, a_running) = run_noting(&cloud, "a", &ledger).await;
    let (b, b_running) = run_noting(&cloud, "b", &ledger).await;
    sleep(40 * SECOND).await;
    put_each(&stream, 0..4, "1").await;
    sleep(5 * SECOND).await;
    let odd =
        (0..4).map(shard_id).find(|id| cloud.table("app").item(id.as_str()).expect("a row")["leaseOwner"] == text("a"));
    let odd = odd.expect("a has two");
    let item = cloud.table("app").item(odd.as_str()).expect("a row");
    let AttributeValue::S(end) = &item["endingHashKey"] else { panic!("a text") };
    let right = end.parse::<u128>().expect("a number");
    edit(&cloud, &odd, "endingHashKey", text((right - 1).to_string()));
    sleep(40 * SECOND).await;
    a_running.abort();
    cloud.faults("a").black_hole();
    let before = ledger.all().len();
    put_each(&stream, 0..4, "2").await;
    sleep(90 * SECOND).await;
    assert_eq!(ledger.all().len() - before, 3, "all but the one row");
    let found: Vec<_> = b.findings().into_iter().map(|finding| (finding.kind, finding.subject)).collect();
    assert_eq!(found, [(FindingKind::LeaseMismatch, odd.clone())]);

    // Sync and clean-up go on as well: a shard that is split is finished, followed and cleaned up.
    let split = (0..4).find(|number| shard_id(*number) != odd).expect("one of the others");
    stream.split(split).await;
    put_each(&stream, 4..6, "3").await;
    sleep(2 * MINUTE).await;
    assert_eq!(ledger.all().len() - before, 5);
    assert!(row(&cloud, &shard_id(split)).await.is_none(), "the finished lease is deleted");
    // Corrected, the row is used.
    edit(&cloud, &odd, "endingHashKey", text(right.to_string()));
    sleep(30 * SECOND).await;
    assert_eq!(ledger.all().len() - before, 6);
    assert_eq!(b.findings(), []);
    assert!(!b_running.is_finished());
}

/// Q10 (x5): one checkpoint that lies before its shard.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_not_the_stream_s_stops_its_own_shard_only() {
    let (cloud, stream, ledger) = cloud_of(4).await;
    let (a, a_running) = run_noting(&cloud, "a", &ledger).await;
    let (_b, b_running) = run_noting(&cloud, "b", &ledger).await;
    sleep(30 * SECOND).await;
    put_each(&stream, 0..4, "1").await;
    sleep(5 * SECOND).await;
    let table = cloud.table("app");
    let mut item = table.item(shard_id(1).as_str()).expect("a row");
    item.insert("checkpoint".to_owned(), text("1"));
    item.remove("leaseOwner");
    table.put(item);
    sleep(MINUTE).await;
    b_running.abort();
    sleep(MINUTE).await;
    let before = ledger.all().len();
    put_each(&stream, 0..4, "2").await;
    sleep(MINUTE).await;
    assert_eq!(ledger.all().len() - before, 3);
    let found: Vec<_> = a.findings().into_iter().map(|finding| (finding.kind, finding.subject)).collect();
    assert_eq!(found, [(FindingKind::LeaseMismatch, shard_id(1))]);
    assert!(!a_running.is_finished());
}

/// Q8 and Q49: rows that no program of the KCL writes. Each is left as it is and named; the others are used.
#[tokio::test(start_paused = true)]
async fn odd_rows_are_left_alone_and_named_and_the_others_are_used() {
    let (cloud, stream, ledger) = cloud_of(8).await;
    let (old, old_running) = run_noting(&cloud, "old", &ledger).await;
    sleep(10 * SECOND).await;
    put_each(&stream, 0..8, "1").await;
    sleep(5 * SECOND).await;
    old.shutdown(SECOND).await;
    old_running.await.expect("no panic").expect("no error");

    let table = cloud.table("app");
    edit(&cloud, &shard_id(0), "startingHashKey", text("zero"));
    edit(&cloud, &shard_id(1), "startingHashKey", text("340282366920938463463374607431768211455"));
    edit(&cloud, &shard_id(2), "leaseCounter", number(i64::MAX as u64 - 10));
    edit(&cloud, &shard_id(3), "parentShardId", AttributeValue::Ss(vec![shard_id(3)]));
    edit(&cloud, &shard_id(4), "parentShardId", AttributeValue::Ss(vec![shard_id(5)]));
    edit(&cloud, &shard_id(5), "parentShardId", AttributeValue::Ss(vec![shard_id(4)]));
    edit(&cloud, &shard_id(6), "checkpoint", text("x".repeat(300_000)));
    let forged = "shardId-\n2026-01-01T00:00:00Z ERROR forged";
    for (key, owner) in [("orders-0", "a"), (forged, "a"), ("Orders", "nobody")] {
        let mut item = table.item(shard_id(7).as_str()).expect("a row");
        item.insert("leaseKey".to_owned(), text(key));
        item.insert("leaseOwner".to_owned(), text(owner));
        table.put(item);
    }
    let odd: Vec<String> = (0..7).map(shard_id).chain(["orders-0", forged, "Orders"].map(str::to_owned)).collect();
    let before: Vec<_> = odd.iter().map(|key| table.item(key.as_str())).collect();

    let (a, a_running) = run_noting(&cloud, "a", &ledger).await;
    let delivered = ledger.all().len();
    put_each(&stream, 0..8, "2").await;
    sleep(3 * MINUTE).await;
    assert_eq!(ledger.all().len() - delivered, 1, "of shard 7");
    assert_eq!(odd.iter().map(|key| table.item(key.as_str())).collect::<Vec<_>>(), before, "left as they are");
    let found = a.findings();
    assert!(found.iter().all(|finding| finding.kind == FindingKind::RowUnusable), "{found:#?}");
    let named: BTreeSet<&str> = found.iter().map(|finding| finding.subject.as_str()).collect();
    let escaped = forged.replace('\n', "\\n");
    let expected: BTreeSet<&str> =
        odd.iter().map(|key| if key == forged { escaped.as_str() } else { key.as_str() }).collect();
    assert_eq!(named, expected);
    let longest = found.iter().map(|finding| finding.seen.len()).max();
    assert!(longest < Some(700), "{longest:?}");

    edit(&cloud, &shard_id(0), "startingHashKey", text("0"));
    sleep(20 * SECOND).await;
    assert_eq!(ledger.all().len() - delivered, 2, "a corrected row is used");
    assert!(a.findings().iter().all(|finding| finding.subject != shard_id(0)));
    assert!(!a_running.is_finished());
}

/// Q8 and Q49: a row that stands where the leader's lock belongs, and a lock that claims to last for ever.
#[tokio::test(start_paused = true)]
async fn what_stands_in_the_lock_s_place_keeps_nobody_from_leading_for_long() {
    let lock = |extra: &[(&str, &str)]| -> Vec<(String, AttributeValue)> {
        let own = [("leaseKey", "Leader")].into_iter().chain(extra.iter().copied());
        own.map(|(name, value)| (name.to_owned(), text(value))).collect()
    };
    let cases = [
        (lock(&[("entityType", "LEASE"), ("checkpoint", "LATEST")]), 30),
        (
            lock(&[
                ("entityType", "LEADER"),
                ("ownerName", "x"),
                ("leaseDuration", "18446744073709551615"),
                ("recordVersionNumber", "v"),
            ]),
            330,
        ),
        (
            lock(&[
                ("entityType", "LEADER"),
                ("ownerName", "x"),
                ("leaseDuration", "soon"),
                ("recordVersionNumber", "v"),
            ]),
            330,
        ),
        (lock(&[("entityType", "LEADER"), ("leaseDuration", "10000"), ("recordVersionNumber", "v")]), 30),
    ];
    for (row, within) in cases {
        let (cloud, stream, ledger) = cloud_of(2).await;
        // Makes the table.
        let maker = builder(&cloud, "maker").await.build().await.expect("built");
        maker.handle().shutdown(SECOND).await;
        for number in 0..2 {
            cloud.table("app").delete(shard_id(number).as_str());
        }
        cloud.table("app").put(row.iter().cloned().collect());
        let (_a, _running) = run_noting(&cloud, "a", &ledger).await;
        put_each(&stream, 0..2, "1").await;
        sleep(Duration::from_secs(within)).await;
        assert_eq!(ledger.all().len(), 2, "{row:?}");
    }
}

/// Q12: the lease table is deleted under a fleet. It is said at once, and the worker ends within a minute with an error.
#[tokio::test(start_paused = true)]
async fn a_deleted_table_is_said_at_once_and_ends_the_run_within_a_minute() {
    let (cloud, stream, ledger) = cloud_of(2).await;
    let (a, running) = run_noting(&cloud, "a", &ledger).await;
    sleep(20 * SECOND).await;
    let delete = async || cloud.outside().dynamodb.delete_table().table_name("app").send().await.expect("a table");
    delete().await;
    sleep(5 * SECOND).await;
    let found = of_kind(&[&a], FindingKind::TableGone);
    assert_eq!(found.len(), 1);
    let ended = timeout(MINUTE - 5 * SECOND, running).await.expect("it ends").expect("no panic");
    assert!(matches!(ended, Err(RunError::LeaseTableGone)), "{ended:?}");
    sleep(10 * SECOND).await;
    cloud.clear_calls("a");
    sleep(MINUTE).await;
    assert_eq!(cloud.calls("a").len(), 0, "nothing is left of it");

    // Started again, it makes the table anew and reads from the configured start.
    put_each(&stream, 0..2, "1").await;
    let (b, _running) = run_noting(&cloud, "b", &ledger).await;
    ledger.wait_for(2).await;
    assert_eq!(b.findings(), []);
}

/// Q13: shards whose user code stands still hold all that they can; those whose user code does not are read all the same.
#[tokio::test(start_paused = true)]
async fn shards_that_stand_still_do_not_keep_others_from_reading() {
    let cloud = Cloud::builder().latency(Duration::from_millis(10)).build();
    let stream = cloud.create_stream("clicks", 14).await;
    let all = stream.shards();
    let mib = bytes::Bytes::from(vec![b'x'; (1 << 20) - 100]);
    for _ in 0..9 {
        for shard in &all[..12] {
            stream.put_with_hash_key("stuck", *shard.hash_keys.start(), mib.clone()).await;
        }
        sleep(2 * SECOND).await;
    }
    let consumer = builder(&cloud, "a").await.build().await.expect("built");
    let handle = consumer.handle();
    let good = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&good);
    let _running = tokio::spawn(consumer.run(move |batch: Batch| {
        let count = Arc::clone(&count);
        async move {
            if batch.records()[0].partition_key() == "stuck" {
                std::future::pending::<()>().await;
            }
            count.fetch_add(batch.records().len(), Ordering::Relaxed);
            Ok::<(), std::io::Error>(())
        }
    }));
    let watched = handle.clone();
    let most = tokio::spawn(async move {
        let mut most = 0;
        for _ in 0..1300 {
            sleep(Duration::from_millis(100)).await;
            most = most.max(watched.buffered_bytes());
        }
        most
    });
    sleep(30 * SECOND).await;
    for _ in 0..100 {
        put_each_with(&stream, 12..14, "good").await;
        sleep(SECOND).await;
    }
    assert!(good.load(Ordering::Relaxed) >= 196, "{} of 200", good.load(Ordering::Relaxed));
    let most = most.await.expect("no panic");
    assert!(most <= 128 << 20, "C9: {most}");
}

async fn put_each_with(stream: &Stream, shards: std::ops::Range<usize>, key: &str) {
    let all = stream.shards();
    for number in shards {
        stream.put_with_hash_key(key, *all[number].hash_keys.start(), "x").await;
    }
}
