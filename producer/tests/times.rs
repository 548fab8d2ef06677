//! Every duration that a user may give, zero and the largest included (docs/rules.md, *What a duration may be*).

mod common;

use std::time::Duration;

use common::{cloud, copies, delivered, millis, stored};
use kinesis_producer::{DeliveryErrorKind, Linger, Outcome, Record};
use kinesis_testkit::Fault;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Q20: the time to live is added to times when a stream is resharded, when a record is admitted, and when an answer
/// names an unknown shard.
#[tokio::test(start_paused = true)]
async fn a_record_may_live_for_ever() {
    let (cloud, stream, builder) = cloud(1).await;
    let builder = builder.record_ttl(Duration::MAX);
    let builder_of_one = builder.clone().max_requests_in_flight(1);
    let producer = builder.build().await.expect("a producer");
    producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
    stream.split(0).await;
    sleep(SECOND).await;
    for n in 0..50 {
        let (key, data) = (format!("k{n}"), n.to_string());
        producer.put(Record::new(&key, &data)).await.expect("admitted").await.expect("written");
        sleep(millis(100)).await;
    }
    assert_eq!(copies(&delivered(&stream)).len(), 51);
    // It also waits while the producer is closed.
    let producer_of_one = builder_of_one.build().await.expect("a producer");
    cloud.faults("a").next_n("PutRecords", 2, Fault::DelayResponse(2 * SECOND));
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(producer_of_one.put(Record::new("k", &format!("turn {n}"))).await.expect("admitted"));
        sleep(millis(200)).await;
    }
    assert!(producer_of_one.close(Duration::MAX).await.undelivered.is_empty());
    for delivery in waiting {
        delivery.await.expect("written");
    }
    // It survives an hour without a connection.
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    let delivery = producer.put(Record::new("k", "patient")).await.expect("admitted");
    sleep(3600 * SECOND).await;
    cloud.faults("a").heal();
    assert!(delivery.await.expect("written").attempts > 100);
    assert_eq!(producer.close(Duration::MAX).await.undelivered.len(), 0);
}

/// Q20: each duration setting either works at its ends or is refused with its bounds.
#[tokio::test(start_paused = true)]
async fn each_duration_works_or_is_refused_by_name() {
    let ends = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX - Duration::from_nanos(1), Duration::MAX];
    for (n, duration) in ends.into_iter().cycle().take(ends.len() * 5).enumerate() {
        let (_cloud, stream, builder) = cloud(1).await;
        let (name, builder) = match n / ends.len() {
            0 => ("record_ttl", builder.record_ttl(duration)),
            1 => ("linger", builder.record_ttl(Duration::MAX).linger(duration)),
            2 => ("linger", builder.record_ttl(Duration::MAX).linger(Linger::FromFirstPut(duration))),
            3 => ("connect_timeout", builder.connect_timeout(duration)),
            _ => ("request_timeout", builder.request_timeout(duration)),
        };
        match builder.build().await {
            Err(error) => {
                let shown = error.to_string();
                assert!(shown.starts_with(name) && shown.contains("must be"), "{shown}");
            }
            Ok(producer) => {
                for n in 0..3 {
                    drop(producer.put(Record::new("k", &n.to_string())).await.expect("admitted"));
                    sleep(millis(10)).await;
                }
                stream.split(0).await;
                assert_eq!(producer.close(60 * SECOND).await.undelivered.len(), 0, "{name} {duration:?}");
                assert_eq!(copies(&stored(&stream)).len(), 3);
            }
        }
    }
}

/// Q21: at the deadline nothing more is sent, so records that were not in flight are not in the stream.
#[tokio::test(start_paused = true)]
async fn at_a_deadline_no_request_is_sent() {
    let (_cloud, stream, builder) = cloud(4).await;
    let producer = builder.linger(Linger::FromFirstPut(20 * SECOND)).build().await.expect("a producer");
    let mut deliveries = Vec::new();
    for n in 0..100 {
        let (key, data) = (format!("k{n}"), n.to_string());
        deliveries.push(producer.put(Record::new(&key, &data)).await.expect("admitted"));
    }
    let start = Instant::now();
    let report = producer.close(Duration::ZERO).await;
    assert!(start.elapsed() <= millis(1));
    assert_eq!((report.undelivered.len(), report.counts.admitted, report.counts.not_written), (100, 100, 100));
    for delivery in deliveries {
        let error = delivery.await.expect_err("closed");
        assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Closed, Outcome::NotWritten));
        assert!(error.attempts().is_empty(), "{:?}", error.attempts());
    }
    sleep(60 * SECOND).await;
    assert!(stored(&stream).is_empty());
}

/// The thread stands still for a minute. Expired records are not sent, answers that arrived are used, and the producer
/// goes on.
#[tokio::test(start_paused = true)]
async fn a_minute_without_a_poll_sends_nothing_that_is_too_old() {
    let (cloud, stream, builder) = cloud(4).await;
    let producer = builder.max_requests_in_flight(1).build().await.expect("a producer");
    cloud.faults("a").next("PutRecords", Fault::DelayResponse(SECOND));
    let mut deliveries = Vec::new();
    for n in 0..200 {
        let (key, data) = (format!("k{n}"), n.to_string());
        deliveries.push(producer.put(Record::new(&key, &data)).await.expect("admitted"));
        if n == 100 {
            sleep(millis(3)).await;
        }
    }
    tokio::time::advance(60 * SECOND).await;
    let start = Instant::now();
    let mut written = 0;
    for delivery in deliveries {
        match delivery.await {
            Ok(_) => written += 1,
            Err(error) => {
                assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::NotWritten))
            }
        }
    }
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert!((1..200).contains(&written));
    assert_eq!(stored(&stream).len(), written);
    producer.put(Record::new("k", "after")).await.expect("admitted").await.expect("written");
}
