//! A worker that stands still, as a stopped process or with its machine: when it goes on, its leases have run out.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kinesis_consumer::lease::{CheckpointError, LostReason};
use kinesis_consumer::{Concurrency, Consumer, Event, Record};
use kinesis_testkit::Cloud;
use tokio::time::{Instant, sleep, timeout};

/// Worker "a", whose leases run out by the clock that the cloud freezes.
async fn consumer(cloud: &Cloud) -> Consumer {
    let connection = cloud.connect("a").await;
    let clock = connection.clock();
    Consumer::builder("app", "clicks")
        .clock(move || clock.boottime())
        .kinesis(connection.kinesis)
        .dynamodb(connection.dynamodb)
        .worker_id("a")
        .seed(7)
        .build()
        .await
        .expect("stream and table are there")
}

/// While it stands still it cannot learn anything, and when it goes on nothing more comes from a shard whose lease ran
/// out meanwhile (C7): not the record that was read ahead, not the one that was put since, and no checkpoint is written.
#[tokio::test(start_paused = true)]
async fn a_worker_that_stood_still_learns_when_it_goes_on_that_its_lease_has_run_out() {
    for freeze in [Cloud::freeze, Cloud::suspend] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        stream.put("user-7", "before").await;
        let mut consumer = consumer(&cloud).await;
        let mut shard = consumer.next_shard().await.expect("it is the only worker");
        let Some(Event::Batch(batch)) = shard.next().await else { panic!("there is a record") };
        let last = batch.records().last().expect("a batch is not empty").position();
        stream.put("user-7", "read ahead").await;
        sleep(Duration::from_secs(5)).await;

        freeze(&cloud, "a");
        stream.put("user-7", "since").await;
        let mut revoked = pin!(shard.revoked());
        assert!(timeout(Duration::from_secs(60), &mut revoked).await.is_err(), "a stopped process learns nothing");

        cloud.thaw("a");
        let thawed = Instant::now();
        let lost = shard.checkpoint(&last).await;
        let expired = |lost| matches!(lost, Err(CheckpointError::LeaseLost { reason: LostReason::Expired, .. }));
        assert!(expired(lost), "the lease is not what it was");
        assert!(shard.next().await.is_none(), "nothing comes from a shard that may be another's");
        revoked.await;
        assert!(thawed.elapsed() < Duration::from_secs(2), "{:?}", thawed.elapsed());
    }
}

/// Records wait for their slots when the worker stands still. It goes on with the end of one of them, before any timer: the
/// next is not begun (C7).
#[tokio::test(start_paused = true)]
async fn no_record_is_begun_after_the_lease_has_run_out() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    for number in 0..4 {
        stream.put("user-7", format!("click {number}")).await;
    }
    let consumer = consumer(&cloud).await;
    let (begun, worker) = (Arc::new(AtomicUsize::new(0)), cloud.connect("a").await);
    let counter = Arc::clone(&begun);
    let take = move |_: Record| {
        counter.fetch_add(1, Ordering::Relaxed);
        let worker = worker.clone();
        async move {
            worker.run(worker.clock().sleep(Duration::from_secs(2))).await;
            Ok::<_, std::io::Error>(())
        }
    };
    let running = tokio::spawn(consumer.run_records(Concurrency::per_key(1), take));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(begun.load(Ordering::Relaxed), 2, "the second of four is under way");

    cloud.freeze_for("a", Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(begun.load(Ordering::Relaxed), 2);
    running.abort();
}

/// A short sleep does not cost the lease.
#[tokio::test(start_paused = true)]
async fn a_worker_that_stood_still_for_less_than_its_lease_goes_on() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let mut consumer = consumer(&cloud).await;
    let mut shard = consumer.next_shard().await.expect("it is the only worker");
    sleep(Duration::from_secs(5)).await;
    cloud.freeze_for("a", Duration::from_secs(4)).await;
    stream.put("user-7", "since").await;
    let Some(Event::Batch(batch)) = shard.next().await else { panic!("there is a record") };
    let last = batch.records().last().expect("a batch is not empty").position();
    shard.checkpoint(&last).await.expect("the lease is held");
}
