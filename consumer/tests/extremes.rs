//! Every setting at both of its ends: it works, or `build` refuses it with its name, its value and its limit (Q20, Q52).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kinesis_consumer::lease::DynamoDbLeaseStore;
use kinesis_consumer::{
    Backoff, Batch, BuildError, Concurrency, Consumer, ConsumerBuilder, OnError, Record, RunError, SettingError,
    StartAt,
};
use kinesis_testkit::Cloud;
use tokio::time::timeout;

use self::common::{Ledger, builder};

mod common;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(600);

type Setting = (&'static str, fn(ConsumerBuilder) -> ConsumerBuilder);

/// Builds a consumer with that setting, reads a record with it, splits the shard, and shuts it down. `Err`: it was refused.
async fn works(setting: fn(ConsumerBuilder) -> ConsumerBuilder, within: Duration) -> Result<(), SettingError> {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    stream.put("k", "before").await;
    let consumer = match setting(builder(&cloud, "a").await).build().await {
        Ok(consumer) => consumer,
        Err(BuildError::Setting(error)) => return Err(error),
        Err(error) => panic!("{error}"),
    };
    let (handle, ledger) = (consumer.handle(), Ledger::of(&cloud));
    let noted = ledger.clone();
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        let fails = noted.all().len() == 1;
        async move { if fails { Err(std::io::Error::other("the first time")) } else { Ok(()) } }
    }));
    timeout(LONG, ledger.wait_for(1)).await.expect("it is read");
    stream.split(0).await;
    stream.put("k", "after").await;
    timeout(LONG, ledger.wait_for(2)).await.expect("its child is read");
    timeout(LONG, handle.shutdown(within)).await.expect("it is shut down");
    timeout(LONG, running).await.expect("it ends").expect("no panic").expect("it was shut down");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_out_of_its_limits_is_refused_with_name_value_and_limit() {
    let refused: &[(&str, Setting)] = &[
        ("0ns", ("lease_duration", |b| b.lease_duration(Duration::ZERO))),
        ("18446744073709551615.999999999s", ("lease_duration", |b| b.lease_duration(Duration::MAX))),
        ("18446744073709551615.999999999s", ("handoff_time", |b| b.handoff_time(Duration::MAX))),
        ("0ns", ("checkpoint_every", |b| b.checkpoint_every(Duration::ZERO))),
        ("18446744073709551615.999999999s", ("checkpoint_every", |b| b.checkpoint_every(Duration::MAX))),
        ("0ns", ("max_idle_poll", |b| b.max_idle_poll(Duration::ZERO))),
        ("18446744073709551615.999999999s", ("max_idle_poll", |b| b.max_idle_poll(Duration::MAX))),
        ("0", ("max_buffered_bytes", |b| b.max_buffered_bytes(0))),
        ("0", ("max_leases", |b| b.max_leases(0))),
        ("1s before 1970", ("start_at", |b| b.start_at(StartAt::At(SystemTime::UNIX_EPOCH - SECOND)))),
        (
            "Retry with pauses of 0ns",
            ("on_error", |b| b.on_error(OnError::Retry(Backoff::new(Duration::ZERO, SECOND)))),
        ),
        (
            "Retry with pauses of 0ns",
            ("on_error", |b| b.on_error(OnError::Retry(Backoff::new(SECOND, Duration::ZERO)))),
        ),
    ];
    for (value, (name, setting)) in refused {
        let error = works(*setting, SECOND).await.expect_err(name);
        assert_eq!((error.setting, error.value.as_str()), (*name, *value));
        assert!(error.limit.starts_with("must "), "{error}");
    }
}

/// What cannot name a stream is refused before a call.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_stream_is_refused_with_its_value_before_any_call() {
    let cloud = Cloud::new();
    let connection = cloud.connect("a").await;
    for stream in ["", "two words", "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks"] {
        let built = Consumer::builder("app", stream)
            .kinesis(connection.kinesis.clone())
            .dynamodb(connection.dynamodb.clone())
            .build()
            .await;
        let Err(BuildError::Setting(error)) = built else { panic!("{built:?}") };
        assert_eq!((error.setting, error.value), ("stream", format!("{stream:?}")));
        assert!(error.limit.contains("1 to 128"), "{}", error.limit);
    }
    assert!(cloud.calls("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_at_its_limit_works() {
    let accepted: &[Setting] = &[
        ("lease_duration", |b| b.lease_duration(SECOND)),
        ("lease_duration", |b| b.lease_duration(3600 * SECOND)),
        ("handoff_time", |b| b.handoff_time(Duration::ZERO)),
        ("handoff_time", |b| b.handoff_time(900 * SECOND)),
        ("checkpoint_every", |b| b.checkpoint_every(SECOND / 10)),
        ("checkpoint_every", |b| b.checkpoint_every(3600 * SECOND)),
        ("max_idle_poll", |b| b.max_idle_poll(SECOND / 5)),
        ("max_idle_poll", |b| b.max_idle_poll(60 * SECOND)),
        ("max_buffered_bytes", |b| b.max_buffered_bytes(24 << 20)),
        ("max_buffered_bytes", |b| b.max_buffered_bytes(u64::MAX)),
        ("max_leases", |b| b.max_leases(usize::MAX)),
        ("start_at", |b| b.start_at(StartAt::At(SystemTime::UNIX_EPOCH))),
        ("on_error", |b| b.on_error(OnError::Retry(Backoff::new(SECOND / 1000, SECOND / 1000)))),
        ("on_error", |b| b.on_error(OnError::Retry(Backoff::new(SECOND, Duration::MAX)))),
    ];
    for (name, setting) in accepted {
        for within in [Duration::ZERO, Duration::MAX] {
            assert_eq!(works(*setting, within).await, Ok(()), "{name}, shut down within {within:?}");
        }
    }
}

/// A lease store has a setting of its own, and is asked before anything is sent.
#[tokio::test(start_paused = true)]
async fn the_time_limit_of_a_call_to_the_lease_table_has_its_limits() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let connection = cloud.connect("a").await;
    let build = async |timeout: Duration| {
        let store = DynamoDbLeaseStore::new(connection.dynamodb.clone(), "app").call_timeout(timeout);
        builder(&cloud, "a").await.lease_store(Arc::new(store)).build().await
    };
    for (timeout, value) in [
        (Duration::ZERO, "0ns"),
        (SECOND / 10 - Duration::from_millis(1), "99ms"),
        (61 * SECOND, "61s"),
        (Duration::MAX, "18446744073709551615.999999999s"),
    ] {
        let Err(BuildError::Setting(error)) = build(timeout).await else { panic!("{value} is accepted") };
        assert_eq!((error.setting, error.value.as_str()), ("call_timeout", value));
        assert!(error.limit.starts_with("must "), "{error}");
    }
    assert_eq!(cloud.calls("a").len(), 0, "nothing was sent");
    for timeout in [SECOND / 10, 60 * SECOND] {
        build(timeout).await.expect("it is within the limits");
    }
}

/// Pauses without a bound are pauses for ever, not an overflow.
#[tokio::test(start_paused = true)]
async fn a_pause_without_a_bound_overflows_nothing() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    stream.put("k", "x").await;
    let endless = OnError::Retry(Backoff::new(Duration::MAX, Duration::MAX));
    let consumer = builder(&cloud, "a").await.on_error(endless).build().await.expect("stream and table are there");
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(|_: Batch| async { Err(std::io::Error::other("always")) }));
    tokio::time::sleep(LONG).await;
    timeout(LONG, handle.shutdown(SECOND)).await.expect("it is shut down");
    running.await.expect("no panic").expect("it was shut down");
}

#[tokio::test(start_paused = true)]
async fn lanes_have_a_limit() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    stream.put("k", "x").await;
    for concurrency in [Concurrency::per_key(usize::MAX), Concurrency::unordered(10_001)] {
        let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
        let run = consumer.run_records(concurrency, |_: Record| async { Ok::<(), std::io::Error>(()) }).await;
        let Err(RunError::Setting(error)) = run else { panic!("{run:?}") };
        assert_eq!((error.setting, error.limit), ("concurrency", "must not be more than 10000"));
    }
    for concurrency in [Concurrency::per_key(10_000), Concurrency::unordered(0)] {
        let consumer = builder(&cloud, "b").await.build().await.expect("stream and table are there");
        let handle = consumer.handle();
        let (done, mut was_done) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::spawn(consumer.run_records(concurrency, move |record: Record| {
            done.send(record).expect("the test waits");
            async { Ok::<(), std::io::Error>(()) }
        }));
        stream.put("k", "another").await;
        timeout(LONG, was_done.recv()).await.expect("it is read").expect("a record");
        handle.shutdown(SECOND).await;
        running.await.expect("no panic").expect("it was shut down");
    }
}
