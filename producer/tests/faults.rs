//! Faults of the network and the service, and what the producer reports.

mod common;

use std::time::Duration;

use common::{assert_at, cloud, copies, delivered, millis, stored};
use kinesis_producer::{Aggregation, DeliveryErrorKind, Outcome, Producer, RateLimit, Record};
use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Limits};
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(6);

async fn put(producer: &Producer, key: &str, data: &str) -> kinesis_producer::Delivery {
    producer.put(Record::new(key, data)).await.expect("admitted")
}

#[tokio::test(start_paused = true)]
async fn throttled_entries_are_retried_until_written() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").next_n("PutRecords", 4, Fault::FailEntries(Entries::All, EntryError::Throttled));
    let receipt = put(&producer, "k", "x").await.await.expect("written");
    assert_eq!(receipt.attempts, 5);
    assert_at(&delivered(&stream), &receipt, "k", b"x");
    assert_eq!(stored(&stream).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_producer_recovers_from_being_throttled() {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.rate_limit(RateLimit::UNLIMITED).build().await.expect("a producer");
    let data: Vec<String> = (0..600).map(|n| format!("{n:0>10000}")).collect();
    let keys: Vec<String> = (0..600).map(|n| format!("k{n}")).collect();
    let failed = producer.put_all(keys.iter().zip(&data).map(|(key, data)| Record::new(key, data))).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(copies(&stored(&stream)).values().all(|copies| *copies == 1), "a refused entry is not written");
    assert_eq!(delivered(&stream).len(), 600);
    assert!(cloud.calls("a").count("PutRecords") > 3, "the stream takes 2 MiB at once and 2 a second");
}

#[tokio::test(start_paused = true)]
async fn only_the_entries_that_failed_are_sent_again() {
    for error in [EntryError::Throttled, EntryError::InternalFailure] {
        let (cloud, stream, builder) = cloud(1).await;
        let producer =
            builder.aggregation(Aggregation::Off).max_requests_in_flight(1).build().await.expect("a producer");
        // Keeps the only request busy, so that the next one carries all that follows.
        cloud.faults("a").next("PutRecords", Fault::DelayResponse(millis(10)));
        let first = put(&producer, "k", "first").await;
        tokio::time::sleep(millis(5)).await;
        cloud.faults("a").next("PutRecords", Fault::FailEntries(Entries::At(vec![1, 3]), error));
        let mut deliveries = vec![first];
        for n in 0..5 {
            deliveries.push(put(&producer, "k", &n.to_string()).await);
        }
        let mut attempts = Vec::new();
        for delivery in deliveries {
            attempts.push(delivery.await.expect("written").attempts);
        }
        assert_eq!(attempts, [1, 1, 2, 1, 2, 1]);
        // S179: the order is not promised. Retried entries come after the others.
        let order: Vec<_> = stored(&stream).iter().map(|seen| seen.data.clone()).collect();
        assert_eq!(order[..4], [&b"first"[..], b"0", b"2", b"4"]);
        assert_eq!(copies(&stored(&stream)).keys().collect::<Vec<_>>(), [&b"0"[..], b"1", b"2", b"3", b"4", b"first"]);
        assert!(copies(&stored(&stream)).values().all(|copies| *copies == 1));
    }
}

/// P4: at most one copy per attempt without an answer.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_may_duplicate_a_record_but_never_loses_it() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").next_n("PutRecords", 2, Fault::LoseResponse);
    let receipt = put(&producer, "k", "x").await.await.expect("written");
    assert_eq!(receipt.attempts, 3);
    assert_eq!(stored(&stream).len(), 3);
    assert_at(&delivered(&stream), &receipt, "k", b"x");

    cloud.faults("a").next("PutRecords", Fault::LoseRequest);
    let receipt = put(&producer, "k", "y").await.await.expect("written");
    assert_eq!(receipt.attempts, 2);
    assert_eq!(copies(&stored(&stream))[&b"y"[..]], 1);
}

/// P3, P4: a record that was written without an answer is not reported as unwritten.
#[tokio::test(start_paused = true)]
async fn when_every_answer_is_lost_the_outcome_is_unknown() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(Duration::from_secs(5)).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::LoseResponse);
    let error = put(&producer, "k", "x").await.await.expect_err("no answer ever");
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::Unknown));
    assert!(
        error.attempts().iter().all(|attempt| attempt.code == "ConnectionError" && attempt.outcome == Outcome::Unknown)
    );
    assert_eq!(copies(&stored(&stream))[&b"x"[..]], error.attempts().len());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_a_timeout_and_the_record_is_sent_again() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").next("PutRecords", Fault::DelayResponse(Duration::from_secs(20)));
    let start = Instant::now();
    let receipt = put(&producer, "k", "x").await.await.expect("written");
    assert!(start.elapsed() >= REQUEST && start.elapsed() < REQUEST + millis(200), "{:?}", start.elapsed());
    assert_eq!((receipt.attempts, stored(&stream).len()), (2, 2));
}

/// P1, P3
#[tokio::test(start_paused = true)]
async fn in_a_black_hole_every_put_resolves_within_ttl_and_one_request() {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.max_requests_in_flight(2).build().await.expect("a producer");
    cloud.faults("a").black_hole();
    let mut deliveries = Vec::new();
    for n in 0..40 {
        deliveries.push((Instant::now(), tokio::spawn(put(&producer, &format!("k{n}"), "x").await)));
        tokio::time::sleep(millis(500)).await;
    }
    for (admitted, delivery) in deliveries {
        let error = delivery.await.expect("no panic").expect_err("nothing arrives");
        let age = admitted.elapsed();
        assert!(age <= TTL + REQUEST + millis(500), "{age:?}");
        assert_eq!(error.kind(), DeliveryErrorKind::Expired);
        assert!(error.is_retryable());
        // Q27: no connection can be opened, so a request that never had one is not in the stream.
        let left = error.attempts().iter().any(|attempt| attempt.outcome == Outcome::Unknown);
        assert_eq!(error.outcome(), if left { Outcome::Unknown } else { Outcome::NotWritten });
        assert!(
            error.attempts().iter().all(|attempt| attempt.code == "Timeout" && attempt.took <= REQUEST + millis(5))
        );
        assert_eq!(error.into_record().data(), &b"x"[..]);
    }
    assert_eq!(producer.buffered_bytes(), 0);
    assert!(stream.records().is_empty());

    // The producer recovers as soon as the network does.
    cloud.faults("a").heal();
    put(&producer, "k", "y").await.await.expect("written");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_expires_unsent_or_refused_is_not_in_the_stream() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(Duration::from_secs(5)).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::FailEntries(Entries::All, EntryError::Throttled));
    let start = Instant::now();
    let error = put(&producer, "k", "x").await.await.expect_err("throttled for ever");
    assert!(start.elapsed() >= Duration::from_secs(5) && start.elapsed() < Duration::from_secs(5) + millis(10));
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::NotWritten));
    let attempts = error.attempts();
    assert!((4..40).contains(&attempts.len()), "{}", attempts.len());
    assert!(attempts.iter().all(|attempt| attempt.code == "ProvisionedThroughputExceededException"));
    assert!(attempts.windows(2).all(|pair| pair[0].after < pair[1].after));
    assert!(stream.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn server_errors_are_retried_and_their_outcome_is_unknown() {
    for fault in [Fault::ServerError, Fault::Unavailable] {
        let (cloud, stream, builder) = cloud(1).await;
        let producer = builder.record_ttl(Duration::from_secs(5)).build().await.expect("a producer");
        cloud.faults("a").next("PutRecords", fault.clone());
        assert_eq!(put(&producer, "k", "x").await.await.expect("written").attempts, 2);
        assert_eq!(stored(&stream).len(), 1);
        cloud.faults("a").always_for("PutRecords", fault);
        let error = put(&producer, "k", "y").await.await.expect_err("for ever");
        assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::Unknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_request_is_retried() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").next_n("PutRecords", 2, Fault::Throttle);
    assert_eq!(put(&producer, "k", "x").await.await.expect("written").attempts, 3);
    assert_eq!(stored(&stream).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_a_refusal_that_needs_action_fails_at_once() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.fail_fast(true).build().await.expect("a producer");
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let error = put(&producer, "user-7", "x").await.await.expect_err("no stream");
    assert!(start.elapsed() < millis(10));
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::NeedsAction, Outcome::NotWritten));
    assert!(error.is_retryable(), "when the stream is there again");
    assert_eq!(error.attempts()[0].code, "ResourceNotFoundException");
    let shown = error.to_string();
    let expected = "the service refuses records until an operator acts (stream clicks); outcome not written, last \
                    attempt: ResourceNotFoundException: ";
    assert!(shown.starts_with(expected), "{shown}");
    let record = error.into_record();
    assert_eq!((record.partition_key(), &record.data()[..]), (Some("user-7"), &b"x"[..]));
}

#[tokio::test(start_paused = true)]
async fn one_invalid_record_does_not_fail_the_others_of_its_request() {
    let mut limits = Limits::default();
    limits.max_record_size_kib = 100;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    // The stream's limit is not known, so the producer assumes 1 MiB.
    cloud.faults("a").always_for("DescribeStreamSummary", Fault::ServerError);
    let producer = common::builder(&cloud)
        .await
        .aggregation(Aggregation::Off)
        .max_requests_in_flight(1)
        .build()
        .await
        .expect("a producer");
    assert_eq!(producer.max_record_bytes(), 1 << 20);
    cloud.faults("a").next("PutRecords", Fault::DelayResponse(millis(10)));
    let first = put(&producer, "k", "first").await;
    tokio::time::sleep(millis(5)).await;
    let large = "x".repeat(200 << 10);
    let (before, bad, after) =
        (put(&producer, "k", "before").await, put(&producer, "k", &large).await, put(&producer, "k", "after").await);
    first.await.expect("written");
    before.await.expect("written");
    after.await.expect("written");
    let error = bad.await.expect_err("too large for the stream");
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Refused, Outcome::NotWritten));
    assert_eq!(error.attempts().len(), 2, "once with the others, once alone: {:?}", error.attempts());
    assert_eq!(error.into_record().data(), large.as_bytes());
    assert_eq!(stored(&stream).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn keyless_records_leave_a_throttled_shard() {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.build().await.expect("a producer");
    let bad = stream.open_shards()[0].id.clone();
    cloud
        .faults("a")
        .always_for("PutRecords", Fault::FailEntries(Entries::OnShard(bad.clone()), EntryError::Throttled));
    for n in 0..4 {
        let data = n.to_string();
        let receipt = producer.put(Record::keyless(&data)).await.expect("admitted").await.expect("written");
        assert_ne!(*receipt.shard, *bad);
        let seen = delivered(&stream);
        assert!(seen.iter().any(|seen| seen.data == data));
        tokio::time::sleep(millis(200)).await;
    }
}

/// The same seed twice gives the same trace.
#[tokio::test(start_paused = true)]
async fn a_run_with_faults_repeats_to_the_byte() {
    async fn run() -> (Vec<kinesis_testkit::Record>, Vec<kinesis_testkit::Call>) {
        let (cloud, stream, builder) = cloud(3).await;
        let producer = builder.build().await.expect("a producer");
        let faults = cloud.faults("a");
        for _ in 0..5 {
            faults.next("PutRecords", Fault::FailEntries(Entries::At(vec![0]), EntryError::Throttled));
            faults.next("PutRecords", Fault::LoseResponse);
            faults.next("PutRecords", Fault::ServerError);
        }
        for n in 0..300 {
            let delivery = producer.put(Record::new(&format!("k{n}"), &n.to_string())).await.expect("admitted");
            drop(delivery);
            tokio::time::sleep(millis(7)).await;
        }
        let _ = producer.flush().await;
        (stream.records(), cloud.calls("a").iter().cloned().collect())
    }
    assert_eq!(run().await, run().await);
}
