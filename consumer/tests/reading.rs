//! Where reading starts, and that faults on the way lose nothing.

use std::time::Duration;

use kinesis_consumer::{Batch, ConsumerBuilder, ConsumerHandle, ReadError, RunError, StartAt};
use kinesis_testkit::{Cloud, Fault, Stream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::common::{Ledger, builder, row};

mod common;

const SECOND: Duration = Duration::from_secs(1);

type Running = JoinHandle<Result<(), RunError>>;

async fn run_noting(builder: ConsumerBuilder, worker: &'static str, ledger: &Ledger) -> (ConsumerHandle, Running) {
    let consumer = builder.build().await.expect("built");
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

/// What a worker of its own application delivers in a minute, started like this.
async fn delivered_from(cloud: &Cloud, start_at: StartAt) -> Vec<String> {
    let ledger = Ledger::of(cloud);
    let (handle, running) = run_noting(builder(cloud, "w").await.start_at(start_at), "w", &ledger).await;
    sleep(60 * SECOND).await;
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("no error");
    cloud.outside().dynamodb.delete_table().table_name("app").send().await.expect("deleted");
    ledger.data()
}

async fn put(stream: &Stream, data: &[&str]) {
    for data in data {
        stream.put(data, (*data).to_owned()).await;
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn starts_where_it_is_told_to() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    put(&stream, &["a", "b"]).await;
    let before_c = cloud.clock().now();
    put(&stream, &["c", "d"]).await;
    assert_eq!(delivered_from(&cloud, StartAt::TrimHorizon).await, ["a", "b", "c", "d"]);
    assert_eq!(delivered_from(&cloud, StartAt::At(before_c)).await, ["c", "d"]);
    assert_eq!(delivered_from(&cloud, StartAt::Latest).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn latest_delivers_what_comes_after_it_and_all_of_the_children() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    put(&stream, &["before"]).await;
    let ledger = Ledger::of(&cloud);
    let (handle, running) = run_noting(builder(&cloud, "w").await.start_at(StartAt::Latest), "w", &ledger).await;
    sleep(5 * SECOND).await;
    put(&stream, &["after"]).await;
    stream.split(0).await;
    put(&stream, &["child-1", "child-2", "child-3"]).await;
    ledger.wait_for(4).await;
    assert_eq!(ledger.data()[0], "after");
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("no error");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_wins_over_the_configured_start() {
    // S137
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let start = cloud.clock().now();
    put(&stream, &["a", "b"]).await;
    let ledger = Ledger::of(&cloud);
    for expected in [2, 3] {
        let (handle, running) = run_noting(builder(&cloud, "w").await.start_at(StartAt::At(start)), "w", &ledger).await;
        ledger.wait_for(expected).await;
        handle.shutdown(SECOND).await;
        running.await.expect("no panic").expect("no error");
        put(&stream, &["c"]).await;
    }
    assert_eq!(ledger.data(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_starts_at_a_time_needs_one_and_ends_the_run_that_asks_for_it() {
    // S143
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let start = cloud.clock().now();
    // The first worker makes the lease and reads nothing of an empty shard.
    let ledger = Ledger::of(&cloud);
    let (handle, running) = run_noting(builder(&cloud, "a").await.start_at(StartAt::At(start)), "a", &ledger).await;
    sleep(5 * SECOND).await;
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("no error");
    assert_eq!(row(&cloud, "shardId-000000000000").await.expect("a lease")["checkpoint"], "AT_TIMESTAMP");
    put(&stream, &["a"]).await;
    let b = builder(&cloud, "b").await.end_at_unreadable_shard(true);
    let (_handle, running) = run_noting(b, "b", &ledger).await;
    let error = timeout(60 * SECOND, running).await.expect("ends").expect("no panic").expect_err("cannot start");
    assert!(
        matches!(&error, RunError::Read(ReadError::NoStartTime { shard }) if shard.as_str().ends_with('0')),
        "{error:?}"
    );
    // Nothing was skipped: the next worker with a time reads it.
    let (handle, running) = run_noting(builder(&cloud, "c").await.start_at(StartAt::At(start)), "c", &ledger).await;
    ledger.wait_for(1).await;
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("no error");
}

/// Two workers, random faults on every call, a split and a merge; then all is well again, and every record has come.
#[tokio::test(start_paused = true)]
async fn faults_on_every_call_lose_nothing() {
    for seed in 0..4 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let cloud = Cloud::builder().seed(seed).build();
        let stream = cloud.create_stream("clicks", 2).await;
        let ledger = Ledger::of(&cloud);
        let (a, a_running) = run_noting(builder(&cloud, "a").await, "a", &ledger).await;
        let (b, b_running) = run_noting(builder(&cloud, "b").await, "b", &ledger).await;
        for step in 0..45 {
            for n in 0..rng.usize(0..10) {
                stream.put(&format!("k{n}"), format!("{step}-{n}")).await;
            }
            let faults = cloud.faults(rng.choice(["a", "b"]).expect("two"));
            let fault = rng.choice([
                Fault::LoseRequest,
                Fault::LoseResponse,
                Fault::Throttle,
                Fault::ServerError,
                Fault::Unavailable,
                Fault::BlackHole,
                Fault::SilentAnswer,
                Fault::DelayRequest(4 * SECOND),
                Fault::DelayResponse(4 * SECOND),
            ]);
            let operation = rng.choice([
                "GetRecords",
                "GetShardIterator",
                "ListShards",
                "UpdateItem",
                "GetItem",
                "PutItem",
                "Query",
            ]);
            faults.next_n(operation.expect("some"), rng.usize(1..4), fault.expect("some"));
            match step {
                15 => drop(stream.split(0).await),
                30 => drop(stream.merge(1, 2).await),
                _ => {}
            }
            sleep(Duration::from_millis(rng.u64(0..3000))).await;
        }
        cloud.faults("a").heal();
        cloud.faults("b").heal();
        sleep(60 * SECOND).await;
        ledger.check(&stream);
        for (handle, running) in [(a, a_running), (b, b_running)] {
            timeout(60 * SECOND, handle.shutdown(10 * SECOND)).await.expect("shut down in time");
            running.await.expect("no panic").expect("no error");
        }
    }
}
