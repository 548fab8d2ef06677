//! What operators and policies do to a fleet that runs: rows deleted and corrected, rights that are missing, a word that stays in
//! the code. The rules are those of `docs/rules.md`.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_consumer::{Batch, BuildError, ConsumerHandle, Finding, FindingKind, RunError, ShardId};
use kinesis_testkit::{Cloud, Fault, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::common::{Ledger, builder};

mod common;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Running = JoinHandle<Result<(), RunError>>;

async fn start(cloud: &Cloud, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    let consumer = builder(cloud, worker).await.build().await.expect("built");
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

async fn put(stream: &Stream, numbers: std::ops::Range<usize>) {
    for number in numbers {
        stream.put(&number.to_string(), number.to_string()).await;
    }
}

/// The findings of a kind, once there is one.
async fn found(handle: &ConsumerHandle, kind: FindingKind, within: Duration) -> Vec<Finding> {
    let began = Instant::now();
    loop {
        let found: Vec<_> = handle.findings().into_iter().filter(|finding| finding.kind == kind).collect();
        if !found.is_empty() {
            return found;
        }
        assert!(began.elapsed() < within, "no {kind:?} within {within:?}, but {:?}", handle.findings());
        sleep(SECOND).await;
    }
}

fn edit(cloud: &Cloud, key: &str, change: impl Fn(&mut kinesis_testkit::Item)) {
    let table = cloud.table("app");
    let mut item = table.item(key).expect("a row");
    change(&mut item);
    table.put(item);
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn shard_id(number: usize) -> String {
    format!("shardId-{number:012}")
}

fn leases(cloud: &Cloud) -> Vec<String> {
    let keys = cloud.table("app").items().into_iter().filter(|item| item.contains_key("leaseCounter"));
    keys.filter_map(|item| item["leaseKey"].as_s().ok().cloned()).collect()
}

/// The word for a table that names no stream names the table: left in the code, it empties no table of somebody else.
#[tokio::test(start_paused = true)]
async fn the_word_that_empties_a_table_without_a_name_is_about_that_table_only() {
    let cloud = Cloud::new();
    let others = cloud.create_stream("orders", 2).await;
    cloud.create_stream("clicks", 2).await;
    let ledger = Ledger::of(&cloud);
    put(&others, 0..10).await;
    let connection = cloud.connect("java").await;
    let builder = |application: &str, worker: &str, stream: &str| {
        kinesis_consumer::Consumer::builder(application, stream)
            .kinesis(connection.kinesis.clone())
            .dynamodb(connection.dynamodb.clone())
            .start_at(kinesis_consumer::StartAt::TrimHorizon)
            .worker_id(worker)
            .seed(1)
    };
    let consumer = builder("theirs", "java", "orders").build().await.expect("built");
    let (handle, theirs) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        theirs.note("java", &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    ledger.wait_for(10).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    // As a Java KCL leaves it.
    let table = cloud.table("theirs");
    for mut item in table.items() {
        item.remove("boundToStream");
        table.put(item);
    }
    let before = table.items();
    for word in ["that it does not name", "that app does not name"] {
        let error = builder("theirs", "b", "clicks").start_over_from(word).build().await.expect_err("not this table");
        let BuildError::OtherStream(other) = error else { panic!("{error:?}") };
        assert_eq!(other.bound_to, "that theirs does not name");
        assert_eq!(table.items(), before);
    }
    builder("theirs", "b", "clicks")
        .start_over_from("that theirs does not name")
        .build()
        .await
        .expect("said of this table");
    assert_ne!(table.items(), before);
}

/// A policy that lacks Scan does not show in a follower. A leader gives the lock up to one that has it.
#[tokio::test(start_paused = true)]
async fn a_leader_that_may_not_read_the_table_leaves_the_lead_to_another() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let ledger = Ledger::of(&cloud);
    let _a = start(&cloud, "a", &ledger).await;
    put(&stream, 0..20).await;
    ledger.wait_for(20).await;
    let _b = start(&cloud, "b", &ledger).await;
    let (_c, running) = start(&cloud, "c", &ledger).await;
    sleep(30 * SECOND).await;
    assert_eq!(cloud.table("app").item("Leader").expect("a leader")["ownerName"], text("a"));
    cloud.faults("a").dynamodb().always_for("Scan", Fault::refuse("AccessDeniedException"));
    running.abort();
    put(&stream, 20..60).await;
    let died = Instant::now();
    ledger.wait_for(60).await;
    // The lock's 10 s, two looks of the next leader, and what a death takes.
    assert!(died.elapsed() <= MINUTE, "{:?}", died.elapsed());
    assert_eq!(cloud.table("app").item("Leader").expect("a leader")["ownerName"], text("b"));
}

/// A new leader looks first whose the table is. One that cannot find out leaves the lead to another, as one that cannot read the table.
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_find_out_whose_the_table_is_leaves_the_lead_to_another() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let ledger = Ledger::of(&cloud);
    let (_a, running) = start(&cloud, "a", &ledger).await;
    put(&stream, 0..20).await;
    ledger.wait_for(20).await;
    let (_b, _c) = (start(&cloud, "b", &ledger).await, start(&cloud, "c", &ledger).await);
    sleep(30 * SECOND).await;
    // Time to take a right away between the taking of the lock and the look at the binding, which comes after the Scan.
    for worker in ["b", "c"] {
        cloud.faults(worker).dynamodb().always_for("Scan", Fault::DelayResponse(SECOND));
    }
    running.abort();
    let leads = |worker: &str| cloud.table("app").item("Leader").is_some_and(|lock| lock["ownerName"] == text(worker));
    while leads("a") {
        sleep(SECOND / 10).await;
    }
    let (first, second) = if leads("b") { ("b", "c") } else { ("c", "b") };
    cloud.faults(first).dynamodb().always_for("GetItem", Fault::refuse("AccessDeniedException"));
    put(&stream, 20..60).await;
    let blind = Instant::now();
    ledger.wait_for(60).await;
    assert!(blind.elapsed() <= MINUTE, "{:?}", blind.elapsed());
    assert!(leads(second));
}

/// ListShards is throttled for everybody, and for long; a worker dies. Its shards are read by the other.
#[tokio::test(start_paused = true)]
async fn leases_change_hands_while_shards_cannot_be_listed() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let ledger = Ledger::of(&cloud);
    let (_a, running) = start(&cloud, "a", &ledger).await;
    let _b = start(&cloud, "b", &ledger).await;
    put(&stream, 0..20).await;
    ledger.wait_for(20).await;
    sleep(MINUTE).await;
    for worker in ["a", "b"] {
        cloud.faults(worker).kinesis().always_for("ListShards", Fault::Throttle);
    }
    sleep(MINUTE).await;
    running.abort();
    put(&stream, 20..60).await;
    let died = Instant::now();
    ledger.wait_for(60).await;
    // What a death takes, and the half minute for which a listing is tried.
    assert!(died.elapsed() <= MINUTE, "{:?}", died.elapsed());
}

/// A Java KCL's table whose shards have all expired tells nothing: no lease of it is taken, and that is said, with what mends it.
#[tokio::test(start_paused = true)]
async fn leases_of_which_nothing_can_be_told_are_said() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = start(&cloud, "a", &ledger).await;
    put(&stream, 0..3).await;
    ledger.wait_for(3).await;
    handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    for key in ["Migration3.0", &shard_id(0)] {
        edit(&cloud, key, |item| drop(item.remove("boundToStream")));
    }
    stream.split(0).await;
    sleep(25 * 60 * MINUTE).await;
    let (b, _running) = start(&cloud, "b", &ledger).await;
    let found = found(&b, FindingKind::LeaseMismatch, 2 * MINUTE).await;
    assert_eq!(found.iter().map(|finding| finding.subject.clone()).collect::<Vec<_>>(), [shard_id(0)]);
    assert!(found[0].next.contains("adopt_table"), "{found:?}");
}

/// A shard that was ended by mistake: said, left alone, and read on when an operator gives its row a checkpoint.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_finished_and_open_is_said_and_read_on_when_its_row_gets_a_checkpoint() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let ledger = Ledger::of(&cloud);
    let (a, running) = start(&cloud, "a", &ledger).await;
    put(&stream, 0..20).await;
    ledger.wait_for(20).await;
    a.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("shut down");
    edit(&cloud, &shard_id(1), |item| drop(item.insert("checkpoint".to_owned(), text("SHARD_END"))));
    put(&stream, 20..40).await;
    let (b, _running) = start(&cloud, "b", &ledger).await;
    let found = found(&b, FindingKind::EndedOpen, 2 * MINUTE).await;
    assert_eq!(found[0].subject, shard_id(1));
    assert!(ledger.all().len() < 40, "the shard is left alone");
    // A Java leader gives finished leases to somebody too, who renews them.
    edit(&cloud, &shard_id(1), |item| drop(item.insert("leaseOwner".to_owned(), text("b"))));
    let counter = || cloud.table("app").item(shard_id(1).as_str()).expect("a row")["leaseCounter"].clone();
    let given = counter();
    sleep(20 * SECOND).await;
    assert_ne!(counter(), given, "it is held");
    edit(&cloud, &shard_id(1), |item| drop(item.insert("checkpoint".to_owned(), text("TRIM_HORIZON"))));
    let corrected = Instant::now();
    while b.findings().iter().any(|finding| finding.kind == FindingKind::EndedOpen) {
        sleep(SECOND).await;
        assert!(corrected.elapsed() < MINUTE, "{:?}", b.findings());
    }
    sleep(MINUTE).await;
    ledger.check(&stream);
}

/// All leases are deleted, and the leader dies: the next one does not take the empty table for a new one.
#[tokio::test(start_paused = true)]
async fn leases_that_vanish_are_not_made_anew_by_the_next_leader_either() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let ledger = Ledger::of(&cloud);
    let (_a, running) = start(&cloud, "a", &ledger).await;
    let (b, _b_running) = start(&cloud, "b", &ledger).await;
    put(&stream, 0..20).await;
    ledger.wait_for(20).await;
    sleep(MINUTE).await;
    for key in leases(&cloud) {
        cloud.table("app").delete(key.as_str());
    }
    running.abort();
    sleep(3 * MINUTE).await;
    assert_eq!(leases(&cloud), Vec::<String>::new());
    found(&b, FindingKind::LeasesGone, SECOND).await;
}

/// The same with a spare worker, which never had a lease and never led, and with a row in the table that is no lease.
#[tokio::test(start_paused = true)]
async fn leases_that_vanish_are_not_made_anew_by_a_spare_worker() {
    for odd_row in [false, true] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        let ledger = Ledger::of(&cloud);
        let (_a, running) = start(&cloud, "a", &ledger).await;
        put(&stream, 0..10).await;
        ledger.wait_for(10).await;
        let (b, _b_running) = start(&cloud, "b", &ledger).await;
        sleep(MINUTE).await;
        if odd_row {
            cloud.table("app").put([("leaseKey".to_owned(), text("orders-0"))].into());
        }
        for key in leases(&cloud).into_iter().chain(["Leader".to_owned()]) {
            cloud.table("app").delete(key.as_str());
        }
        running.abort();
        sleep(3 * MINUTE).await;
        assert_eq!(leases(&cloud), Vec::<String>::new(), "with an odd row: {odd_row}");
        found(&b, FindingKind::LeasesGone, SECOND).await;
    }
}

/// A worker that leaves lets go of a lease that names it since a moment ago, though its last listing is old.
#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_lets_go_of_what_still_names_it() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let ledger = Ledger::of(&cloud);
    let (_a, running) = start(&cloud, "a", &ledger).await;
    let (b, b_running) = start(&cloud, "b", &ledger).await;
    sleep(5 * MINUTE).await;
    running.abort();
    edit(&cloud, &shard_id(0), |item| {
        item.insert("leaseOwner".to_owned(), text("b"));
    });
    b.shutdown(10 * SECOND).await;
    b_running.await.expect("no panic").expect("it was shut down");
    let row = cloud.table("app").item(shard_id(0).as_str()).expect("a row");
    assert_eq!(row.get("leaseOwner"), None);
}

/// Shards 0 and 1 are merged into 2, and 0 is at its end. 1 has records that nobody has read: its reader waits until `open` is set.
/// Returns when the lease of 2 has been made, and that of 1 is deleted.
async fn a_parent_s_row_is_deleted(
    cloud: &Cloud,
    open: &tokio::sync::watch::Sender<bool>,
    ledger: &Ledger,
) -> (Stream, Vec<(ConsumerHandle, Running)>) {
    let stream = cloud.create_stream("clicks", 2).await;
    let mut workers = Vec::new();
    for worker in ["a", "b"] {
        let consumer = builder(cloud, worker).await.build().await.expect("built");
        let (handle, ledger, open) = (consumer.handle(), ledger.clone(), open.subscribe());
        let running = tokio::spawn(consumer.run(move |batch: Batch| {
            let (ledger, mut open) = (ledger.clone(), open.clone());
            async move {
                if batch.shard().as_str() == shard_id(1) {
                    open.wait_for(|open| *open).await.expect("the test has it");
                }
                ledger.note(worker, &batch);
                Ok::<(), std::io::Error>(())
            }
        }));
        workers.push((handle, running));
    }
    put(&stream, 0..40).await;
    sleep(MINUTE).await;
    stream.merge(0, 1).await;
    put(&stream, 40..60).await;
    let began = Instant::now();
    while cloud.table("app").item(shard_id(2).as_str()).is_none() {
        sleep(SECOND).await;
        assert!(began.elapsed() < MINUTE, "the lease of the child is made when the first parent ends");
    }
    assert!(cloud.table("app").delete(shard_id(1).as_str()));
    (stream, workers)
}

/// The row of a parent that is being read is deleted when its merged child has a lease already. What was not read of the parent is
/// read, and before the child.
#[tokio::test(start_paused = true)]
async fn a_merged_child_waits_for_a_parent_whose_row_was_deleted() {
    let cloud = Cloud::new();
    let ledger = Ledger::of(&cloud);
    let (open, _) = tokio::sync::watch::channel(false);
    let (stream, _workers) = a_parent_s_row_is_deleted(&cloud, &open, &ledger).await;
    sleep(30 * SECOND).await;
    assert!(leases(&cloud).contains(&shard_id(1)), "made anew after a lease duration, {:?}", leases(&cloud));
    open.send_replace(true);
    sleep(30 * SECOND).await;
    ledger.check(&stream);
    sleep(2 * MINUTE).await;
    assert_eq!(leases(&cloud), [shard_id(2)], "what is finished is cleaned up");
}

/// Nobody makes the lease anew, as under a Java leader: the child does not wait for ever (C12).
#[tokio::test(start_paused = true)]
async fn a_merged_child_waits_for_a_parent_whose_row_is_not_made_anew_for_a_while() {
    let cloud = Cloud::new();
    let ledger = Ledger::of(&cloud);
    let (open, _) = tokio::sync::watch::channel(false);
    let (_stream, _workers) = a_parent_s_row_is_deleted(&cloud, &open, &ledger).await;
    for worker in ["a", "b"] {
        cloud.faults(worker).dynamodb().always_for("PutItem", Fault::refuse("AccessDeniedException"));
    }
    let of_the_child = || ledger.all().into_iter().filter(|delivered| delivered.shard.as_str() == shard_id(2)).count();
    sleep(50 * SECOND).await;
    assert_eq!(of_the_child(), 0);
    sleep(30 * SECOND).await;
    assert_eq!(of_the_child(), 20);
}

/// A row is edited under its holder so that it cannot be used, or does not fit. It is said, and neither read on nor written to until it
/// is corrected; then it is read on.
#[tokio::test(start_paused = true)]
async fn a_row_that_becomes_odd_under_its_holder_is_left_alone_until_it_is_corrected() {
    let odd = [
        ("entityType", text("DISCOUNT"), FindingKind::RowUnusable),
        ("leaseCounter", text("many"), FindingKind::RowUnusable),
        ("startingHashKey", text("zero"), FindingKind::RowUnusable),
        ("parentShardId", AttributeValue::Ss(vec![shard_id(1)]), FindingKind::RowUnusable),
        ("startingHashKey", text("7"), FindingKind::LeaseMismatch),
        (
            "boundToStream",
            text("arn:aws:kinesis:us-east-1:000000000000:stream/orders 1764522000"),
            FindingKind::LeaseMismatch,
        ),
    ];
    for (attribute, value, kind) in odd {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 2).await;
        let ledger = Ledger::of(&cloud);
        let (handle, running) = start(&cloud, "a", &ledger).await;
        put(&stream, 0..20).await;
        ledger.wait_for(20).await;
        sleep(20 * SECOND).await;
        let row = || cloud.table("app").item(shard_id(1).as_str()).expect("a row");
        let before = row().get(attribute).cloned();
        edit(&cloud, &shard_id(1), |item| drop(item.insert(attribute.to_owned(), value.clone())));
        found(&handle, kind, 10 * SECOND).await;
        sleep(5 * SECOND).await;
        let left = row();
        put(&stream, 20..40).await;
        sleep(MINUTE).await;
        assert_eq!(row(), left, "{attribute} {value:?}: the row is left alone");
        let (one, all) = (ShardId::from(shard_id(1).as_str()), ledger.all());
        assert!(!all[20..].iter().any(|delivered| delivered.shard == one), "{attribute} {value:?}: it is read on");
        assert!(all.len() > 20, "{attribute} {value:?}: the other shard is read");
        assert_eq!(handle.findings().len(), 1, "{:?}", handle.findings());
        edit(&cloud, &shard_id(1), |item| {
            item.remove(attribute);
            item.extend(before.clone().map(|before| (attribute.to_owned(), before)));
        });
        ledger.wait_for(40).await;
        ledger.check(&stream);
        sleep(10 * SECOND).await;
        assert_eq!(handle.findings(), [], "{attribute} {value:?}");
        assert!(!running.is_finished());
    }
}

/// A worker that does not lead finds a lease named as its own that does not fit. That is mended when the row is, and when the row is
/// given to another or deleted.
#[tokio::test(start_paused = true)]
async fn a_lease_that_does_not_fit_is_said_until_its_row_is_corrected() {
    for how in ["corrected", "given to another", "deleted"] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 4).await;
        let ledger = Ledger::of(&cloud);
        let (_a, _leads) = start(&cloud, "a", &ledger).await;
        put(&stream, 0..20).await;
        ledger.wait_for(20).await;
        let (b, _follows) = start(&cloud, "b", &ledger).await;
        sleep(MINUTE).await;
        let of_a = cloud
            .table("app")
            .items()
            .into_iter()
            .find(|item| item.get("leaseOwner") == Some(&text("a")) && item.contains_key("leaseCounter"));
        let of_a = of_a.expect("a has leases");
        let key = of_a["leaseKey"].as_s().expect("a key").clone();
        edit(&cloud, &key, |item| {
            item.insert("leaseOwner".to_owned(), text("b"));
            item.insert("startingHashKey".to_owned(), text("7"));
        });
        let mismatch = found(&b, FindingKind::LeaseMismatch, 30 * SECOND).await;
        assert_eq!(mismatch[0].subject, key);
        match how {
            "deleted" => assert!(cloud.table("app").delete(key.as_str())),
            _ => edit(&cloud, &key, |item| {
                item.insert("startingHashKey".to_owned(), of_a["startingHashKey"].clone());
                if how == "given to another" {
                    item.insert("leaseOwner".to_owned(), text("a"));
                }
            }),
        }
        sleep(10 * SECOND).await;
        assert_eq!(b.findings(), [], "{how}");
        put(&stream, 20..40).await;
        sleep(MINUTE).await;
        ledger.check(&stream);
    }
}
