//! A worker that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use kinesis_testkit::{Cloud, Fault, Outcome};
use tokio::time::{Instant, timeout};

use crate::{clicks, sleep, without_retries};

const MINUTE: Duration = Duration::from_secs(60);

async fn put(a: &Client, data: &str) -> bool {
    a.put_record().stream_name("clicks").partition_key("k").data(data.as_bytes().into()).send().await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_frozen_worker_makes_no_calls_and_goes_on_when_it_thaws() {
    let (cloud, stream, a) = clicks(1).await;
    let b = without_retries(&cloud.connect("b").await);
    cloud.freeze("a");
    let call = tokio::spawn(async move { put(&a, "a").await });
    assert!(timeout(MINUTE, put(&b, "b")).await.unwrap(), "the others go on");
    sleep(60_000).await;
    assert!(cloud.calls("a").is_empty() && !call.is_finished());
    assert_eq!(stream.records().len(), 1);
    cloud.thaw("a");
    assert!(call.await.unwrap());
    assert_eq!(stream.records().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_takes_effect_and_its_answer_waits_for_the_thaw() {
    let (cloud, stream, _) = clicks(1).await;
    let config = TimeoutConfig::builder().read_timeout(Duration::from_secs(5)).build();
    let connection = cloud.connect("a").await;
    let config = connection.kinesis_config().retry_config(RetryConfig::disabled()).timeout_config(config);
    let a = Client::from_conf(config.build());
    cloud.faults("a").next("PutRecord", Fault::DelayResponse(Duration::from_secs(1)));
    let sent = Instant::now();
    let call = tokio::spawn(async move { put(&a, "x").await.then(Instant::now) });
    sleep(500).await;
    cloud.freeze_for("a", MINUTE).await;
    assert_eq!(stream.records().len(), 1);
    // The answer had come within the read timeout, and lay there.
    let answered = call.await.unwrap().expect("answered, not timed out");
    assert!(answered - sent >= MINUTE, "{:?}", answered - sent);
    assert_eq!(cloud.calls("a").iter().last().unwrap().outcome, Outcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_passed_in_the_freeze_is_found_at_the_thaw() {
    let (cloud, _stream, _) = clicks(1).await;
    let config = TimeoutConfig::builder().operation_timeout(Duration::from_secs(10)).build();
    let connection = cloud.connect("a").await;
    for (suspend, expected) in [(false, 63), (true, 70)] {
        let a = Client::from_conf(connection.kinesis_config().timeout_config(config.clone()).build());
        cloud.faults("a").next("PutRecord", Fault::SilentAnswer);
        let sent = Instant::now();
        let call = tokio::spawn(async move { (!put(&a, "x").await).then(Instant::now) });
        sleep(3000).await;
        if suspend {
            cloud.suspend_for("a", MINUTE).await;
        } else {
            cloud.freeze_for("a", MINUTE).await;
        }
        // The clock of a stopped process has jumped; that of a sleeping machine has still seven seconds to go.
        let gave_up = call.await.unwrap().expect("a timeout");
        assert_eq!((gave_up - sent).as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn its_clocks_stand_still_and_jump() {
    let cloud = Cloud::new();
    let clock = cloud.connect("a").await.clock();
    let read = || (clock.now(), clock.boottime(), clock.monotonic());
    sleep(1000).await;
    let before = read();
    assert_eq!((before.1.as_secs(), before.2.as_secs()), (1, 1));
    cloud.freeze("a");
    sleep(60_000).await;
    assert_eq!(read(), before);
    cloud.thaw("a");
    assert_eq!(read(), (before.0 + MINUTE, before.1 + MINUTE, before.2 + MINUTE));
    cloud.suspend_for("a", MINUTE).await;
    assert_eq!(read(), (before.0 + 2 * MINUTE, before.1 + 2 * MINUTE, before.2 + MINUTE));
    let other = cloud.connect("b").await.clock();
    assert_eq!(other.monotonic(), clock.boottime(), "another worker's machine did not sleep");
}

#[tokio::test(start_paused = true)]
async fn what_runs_as_the_worker_stands_still_with_it() {
    let cloud = Cloud::new();
    let a = cloud.connect("a").await;
    let ticks = Arc::new(AtomicU64::new(0));
    let count = ticks.clone();
    let worker = tokio::spawn(async move {
        let ticking = async {
            for _ in 0..120 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Instant::now()
        };
        a.run(ticking).await
    });
    let start = Instant::now();
    sleep(10_500).await;
    assert_eq!(ticks.load(Ordering::Relaxed), 10);
    cloud.freeze_for("a", MINUTE).await;
    assert_eq!(ticks.load(Ordering::Relaxed), 10, "nothing ran");
    sleep(1).await;
    assert_eq!(ticks.load(Ordering::Relaxed), 11, "the timer was found late");
    assert_eq!((worker.await.unwrap() - start).as_secs(), 179, "a minute late, less the half second that had passed");
}

#[tokio::test(start_paused = true)]
async fn the_worker_s_own_timer_waits_for_it() {
    let cloud = Cloud::new();
    let clock = cloud.connect("a").await.clock();
    for (suspend, expected) in [(false, 60), (true, 65)] {
        let (clock, start) = (clock.clone(), Instant::now());
        let timer = tokio::spawn(async move {
            clock.sleep(Duration::from_secs(5)).await;
            Instant::now()
        });
        tokio::task::yield_now().await;
        if suspend {
            cloud.suspend_for("a", MINUTE).await;
        } else {
            cloud.freeze_for("a", MINUTE).await;
        }
        assert_eq!((timer.await.unwrap() - start).as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn freezing_twice_is_freezing_once() {
    let (cloud, _stream, a) = clicks(1).await;
    let clock = cloud.connect("a").await.clock();
    cloud.thaw("a");
    cloud.suspend("a");
    sleep(10_000).await;
    cloud.freeze("a");
    sleep(10_000).await;
    cloud.thaw("a");
    assert_eq!((clock.boottime() - clock.monotonic()).as_secs(), 20, "the machine slept all the time");
    assert!(put(&a, "x").await);
}
