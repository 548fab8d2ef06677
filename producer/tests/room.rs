//! Back-pressure: admitted bytes are bounded, and waiting is fair and cancel safe.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{cloud, millis};
use kinesis_producer::{Linger, Producer, PutError, Record, Refusal, ReserveError, TryPutError};
use kinesis_testkit::{Cloud, Fault, Stream};
use tokio::time::{Instant, timeout};

/// A producer with the smallest buffers, and a network that loses everything.
async fn stuck() -> (Cloud, Stream, Producer) {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.max_aggregate_bytes(2000).max_buffered_bytes(64 << 10).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::BlackHole);
    (cloud, stream, producer)
}

/// Puts until no record is admitted, also after the last aggregate was closed and its spare room returned.
async fn fill(producer: &Producer) -> usize {
    let data = "x".repeat(1000);
    let mut admitted = 0;
    while let Ok(delivery) = timeout(Duration::from_secs(1), producer.put(Record::new("k", &data))).await {
        drop(delivery.expect("admitted"));
        admitted += 1;
        assert!(admitted < 60, "64 KiB hold fewer records of 1 kB");
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn with_full_buffers_try_put_returns_the_record_and_put_waits() {
    let (cloud, stream, producer) = stuck().await;
    let admitted = fill(&producer).await;
    assert!(admitted > 20, "{admitted}");
    assert!(producer.buffered_bytes() <= 64 << 10);
    let data = "y".repeat(1000);
    match producer.try_put(Record::new("k", &data)) {
        Err(TryPutError::Full(record)) => {
            assert_eq!((record.partition_key(), record.data()), (Some("k"), data.as_bytes()))
        }
        other => panic!("{other:?}"),
    }
    let mut waiting = std::pin::pin!(producer.put(Record::new("k", &data)));
    assert!(timeout(Duration::from_secs(3), &mut waiting).await.is_err(), "no room, no put");
    cloud.faults("a").heal();
    // The lost requests end at their timeout. Then everything is sent.
    waiting.await.expect("room").await.expect("written");
    let _ = producer.flush().await;
    assert_eq!(producer.buffered_bytes(), 0);
    assert_eq!(common::delivered(&stream).len(), admitted + 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_holds_no_room() {
    let (cloud, _stream, producer) = stuck().await;
    fill(&producer).await;
    let held = producer.buffered_bytes();
    let data = "y".repeat(1000);
    for _ in 0..100 {
        assert!(timeout(millis(10), producer.put(Record::new("k", &data))).await.is_err());
        assert!(timeout(millis(10), producer.reserve(5000)).await.is_err());
    }
    assert_eq!(producer.buffered_bytes(), held);
    cloud.faults("a").heal();
    let _ = producer.flush().await;
    assert_eq!(producer.buffered_bytes(), 0);
    // An unused permit returns its room, too.
    drop(producer.reserve(10_000).await.expect("room"));
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_room_for_one_record_of_its_size() {
    let (_cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    let permit = producer.reserve(10).await.expect("room");
    assert_eq!(permit.bytes(), 10);
    let error = permit.put(Record::new("k", "0123456789")).expect_err("eleven bytes");
    assert!(matches!(error, PutError::Refused { refusal: Refusal::LargerThanPermit { bytes: 11, limit: 10 }, .. }));
    let permit = producer.reserve(11).await.expect("room");
    permit.put(Record::new("k", "0123456789")).expect("admitted").await.expect("written");
    assert_eq!(common::stored(&stream).len(), 1);
    assert!(matches!(
        producer.reserve(2 << 20).await,
        Err(ReserveError::TooLarge { bytes: 2_097_152, limit: 1_048_576 })
    ));
}

/// P6, with many shards whose buffers grow at the same time, and small and large records waiting together.
#[tokio::test(start_paused = true)]
async fn held_bytes_never_exceed_the_limit_and_every_caller_gets_room() {
    const LIMIT: usize = 320_000;
    let (cloud, stream, builder) = cloud(8).await;
    let producer = builder
        .max_aggregate_bytes(10_000)
        .max_buffered_bytes(LIMIT)
        .linger(Linger::FromFirstPut(millis(50)))
        .build()
        .await
        .expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::DelayResponse(millis(200)));
    let producer = Arc::new(producer);
    let mut tasks = Vec::new();
    for task in 0..40usize {
        let producer = Arc::clone(&producer);
        tasks.push(tokio::spawn(async move {
            let size = [10, 100, 3000, 60_000][task % 4];
            for n in 0..20 {
                let key = format!("{task}-{n}");
                let data = vec![0; size];
                let delivery = producer.put(Record::new(&key, &data)).await.expect("admitted");
                assert!(producer.buffered_bytes() <= LIMIT, "{} bytes held", producer.buffered_bytes());
                if n % 2 == 0 {
                    delivery.await.expect("written");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let _ = producer.flush().await;
    assert_eq!(producer.buffered_bytes(), 0);
    assert_eq!(common::delivered(&stream).len(), 800);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_can_never_fit_is_refused() {
    let (_cloud, _stream, producer) = stuck().await;
    let data = vec![0; 60_000];
    let error = producer.put(Record::new("k", &data)).await.expect_err("more than there is");
    assert_eq!(
        error.to_string(),
        "the record was refused: the record needs 64097 bytes of buffer, but max_buffered_bytes leaves 57344"
    );
    assert!(!error.is_retryable());
}

/// S181: endlessly more than the stream takes. The buffers slow the callers down, and admitted records are delivered.
#[tokio::test(start_paused = true)]
async fn under_overload_the_stream_stays_at_its_limit_and_nothing_expires() {
    const LIMIT: usize = 2 << 20;
    let (_cloud, stream, builder) = cloud(1).await;
    let producer = builder.max_buffered_bytes(LIMIT).build().await.expect("a producer");
    let start = Instant::now();
    let mut putters = Vec::new();
    for putter in 0..4 {
        let producer = producer.clone();
        putters.push(tokio::spawn(async move {
            let data = vec![b'x'; 5000];
            let mut deliveries = Vec::new();
            while start.elapsed() < Duration::from_secs(20) {
                let key = format!("{putter}-{}", deliveries.len());
                deliveries.push(producer.put(Record::new(&key, &data)).await.expect("admitted"));
                assert!(producer.buffered_bytes() <= LIMIT);
            }
            for delivery in deliveries {
                assert_eq!(delivery.await.expect("written").attempts, 1);
            }
        }));
    }
    for putter in putters {
        putter.await.expect("no panic");
    }
    let bytes: usize = stream.records().iter().map(|record| record.data.len()).sum();
    let possible = (1 << 20) as f64 * (start.elapsed().as_secs_f64() + 1.0);
    assert!(bytes as f64 > 0.95 * possible, "{bytes} of {possible} bytes");
}
