//! From build to close: the start, flushes, and what is left.

mod common;

use std::time::Duration;

use common::{cloud, copies, delivered, millis, stored};
use kinesis_producer::{
    BuildError, DeliveryErrorKind, FailedRecord, FlushReport, Linger, Outcome, Producer, PutError, Record, Refusal,
};
use kinesis_testkit::{Cloud, Fault};
use tokio::time::Instant;

/// P8
#[tokio::test(start_paused = true)]
async fn flush_sends_open_aggregates_and_returns_when_all_earlier_records_resolved() {
    let (cloud, stream, builder) = cloud(3).await;
    let producer = builder.linger(Linger::FromFirstPut(Duration::from_secs(20))).build().await.expect("a producer");
    cloud.faults("a").next("PutRecords", Fault::LoseRequest);
    for n in 0..100 {
        drop(producer.put(Record::new(&format!("k{n}"), &n.to_string())).await.expect("admitted"));
    }
    let start = Instant::now();
    let report = producer.flush().await;
    assert!(report.is_all_written() && report.written == 100, "{report:?}");
    assert!(start.elapsed() < millis(200), "{:?}", start.elapsed());
    assert_eq!(delivered(&stream).len(), 100);
    assert_eq!(producer.flush().await.written, 0, "nothing since");

    // Records that are put meanwhile do not delay the flush.
    let mut later = Vec::new();
    drop(producer.put(Record::new("k", "before")).await.expect("admitted"));
    let flush = producer.flush();
    tokio::pin!(flush);
    while !is_ready(flush.as_mut()).await {
        later.push(producer.put(Record::new("k", "later")).await.expect("admitted"));
        assert!(later.len() < 50);
    }
    assert!(copies(&stored(&stream)).contains_key(&b"before"[..]));
}

async fn is_ready(mut future: std::pin::Pin<&mut impl Future<Output = FlushReport>>) -> bool {
    tokio::time::timeout(millis(1), &mut future).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn close_delivers_admitted_records_and_admits_no_more() {
    let (_cloud, stream, builder) = cloud(2).await;
    let producer = builder.linger(Linger::FromFirstPut(Duration::from_secs(20))).build().await.expect("a producer");
    let other = producer.clone();
    let delivery = producer.put(Record::new("k", "x")).await.expect("admitted");
    let report = producer.close(Duration::from_secs(10)).await;
    assert!(report.undelivered.is_empty());
    delivery.await.expect("written");
    assert_eq!(stored(&stream).len(), 1);
    let error = other.put(Record::new("k", "y")).await.expect_err("closed");
    assert!(matches!(error, PutError::Closed { .. }) && error.is_retryable());
    assert_eq!(error.into_record().data(), &b"y"[..]);
    let failed = other.put_all([Record::new("k", "z")]).await;
    assert!(matches!(&failed[..], [FailedRecord::NotAdmitted(PutError::Closed { .. })]));
    assert_eq!(other.flush().await.written, 1, "no flush has told of it yet");
    assert!(other.close(Duration::ZERO).await.undelivered.is_empty(), "closing twice is no harm");
}

/// P8: the earliest deadline holds, and each close gets the whole report. A concurrent flush returns.
#[tokio::test(start_paused = true)]
async fn of_concurrent_closes_the_earliest_deadline_holds() {
    let (cloud, _stream, builder) = cloud(2).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").black_hole();
    for n in 0..10 {
        drop(producer.put(Record::new(&format!("k{n}"), "x")).await.expect("admitted"));
    }
    tokio::time::sleep(millis(5)).await;
    let start = Instant::now();
    // A dropped close closes the producer nevertheless.
    let mut given_up = Box::pin(producer.clone().close(Duration::from_secs(20)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    drop(given_up);
    let (late, soon) =
        (producer.clone().close(Duration::from_secs(10)), producer.clone().close(Duration::from_secs(3)));
    let (late, soon, flushed, put) = tokio::join!(late, soon, producer.flush(), async {
        tokio::time::sleep(millis(1000)).await;
        producer.put(Record::new("k", "y")).await
    });
    assert!(start.elapsed() < Duration::from_secs(3) + millis(10), "{:?}", start.elapsed());
    assert_eq!((late.undelivered.len(), soon.undelivered.len(), flushed.not_written + flushed.unknown), (10, 10, 10));
    assert!(matches!(put, Err(PutError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn records_left_at_the_deadline_are_reported_with_their_outcome() {
    let (cloud, _stream, builder) = cloud(2).await;
    let producer = builder.max_requests_in_flight(1).build().await.expect("a producer");
    cloud.faults("a").black_hole();
    // On two shards: one request is lost, and the other record waits for it.
    let mut deliveries = Vec::new();
    for (n, hash_key) in [0, u128::MAX].into_iter().enumerate() {
        let data = n.to_string();
        deliveries.push(producer.put(Record::new("k", &data).explicit_hash_key(hash_key)).await.expect("admitted"));
        tokio::time::sleep(millis(10)).await;
    }
    let start = Instant::now();
    let mut left = producer.close(Duration::from_secs(2)).await.undelivered;
    assert!(start.elapsed() < Duration::from_secs(2) + millis(10), "{:?}", start.elapsed());
    left.sort_by_key(|error| error.clone().into_record().into_data());
    let outcomes: Vec<_> = left.iter().map(|error| (error.kind(), error.outcome(), error.attempts().len())).collect();
    assert_eq!(
        outcomes,
        [(DeliveryErrorKind::Closed, Outcome::Unknown, 1), (DeliveryErrorKind::Closed, Outcome::NotWritten, 0)]
    );
    for (delivery, left) in deliveries.into_iter().zip(left) {
        let error = delivery.await.expect_err("given up");
        assert_eq!(error.into_record(), left.into_record());
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_sends_what_was_admitted_and_ends_the_task() {
    let (cloud, stream, builder) = cloud(1).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let producer = builder.linger(Linger::FromFirstPut(Duration::from_secs(20))).build().await.expect("a producer");
    assert!(tasks() > before);
    for n in 0..10 {
        drop(producer.put(Record::new("k", &n.to_string())).await.expect("admitted"));
    }
    drop(producer);
    tokio::time::sleep(millis(100)).await;
    assert_eq!(stored(&stream).len(), 10);
    assert_eq!(tasks(), before);

    // In a black hole the task ends when the record's time to live is over.
    let producer = common::builder(&cloud).await.build().await.expect("a producer");
    cloud.faults("a").black_hole();
    let delivery = producer.put(Record::new("k", "x")).await.expect("admitted");
    drop(producer);
    assert_eq!(delivery.await.expect_err("no way").kind(), DeliveryErrorKind::Expired);
    tokio::time::sleep(millis(100)).await;
    assert_eq!(tasks(), before);
}

#[test]
fn when_the_runtime_shuts_down_all_deliveries_resolve() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let first = runtime();
    let (producer, sent, open) = first.block_on(async {
        let (cloud, _stream, builder) = cloud(1).await;
        let producer = builder.build().await.expect("a producer");
        cloud.faults("a").black_hole();
        let sent = producer.put(Record::new("k", "sent")).await.expect("admitted");
        tokio::time::sleep(millis(10)).await;
        let open = producer.put(Record::new("k", "open")).await.expect("admitted");
        (producer, sent, open)
    });
    drop(first);
    runtime().block_on(async {
        let sent = sent.await.expect_err("abandoned");
        assert_eq!((sent.kind(), sent.outcome()), (DeliveryErrorKind::Abandoned, Outcome::Unknown));
        let open = open.await.expect_err("abandoned");
        assert_eq!((open.kind(), open.outcome()), (DeliveryErrorKind::Abandoned, Outcome::NotWritten));
        assert_eq!(open.into_record().data(), &b"open"[..]);
        assert_eq!(producer.buffered_bytes(), 0);
        assert!(matches!(producer.put(Record::new("k", "x")).await, Err(PutError::Closed { .. })));
        let _ = producer.flush().await;
        assert!(producer.close(millis(1)).await.undelivered.is_empty());
    });
}

#[tokio::test(start_paused = true)]
async fn an_idle_producer_does_nothing() {
    let (cloud, _stream, builder) = cloud(4).await;
    let producer = builder.build().await.expect("a producer");
    producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
    tokio::time::sleep(Duration::from_secs(60)).await;
    cloud.clear_calls("a");
    let polls = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = polls();
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!((cloud.calls("a").len(), polls()), (0, before));
}

#[tokio::test(start_paused = true)]
async fn put_all_returns_the_failed_records() {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.record_ttl(Duration::from_secs(1)).build().await.expect("a producer");
    let records = || [Record::new("a", "1"), Record::new("", "2"), Record::new("b", "3")];
    let failed = producer.put_all(records()).await;
    assert!(matches!(
        &failed[..],
        [FailedRecord::NotAdmitted(PutError::Refused { refusal: Refusal::EmptyKey, record })] if record.data() == "2"
    ));
    assert_eq!(stored(&stream).len(), 2);
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    let failed = producer.put_all(records()).await;
    let mut data: Vec<_> = failed.into_iter().map(|failed| failed.into_record().into_data()).collect();
    data.sort();
    assert_eq!(data, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_of_a_missing_stream_is_not_built() {
    let cloud = Cloud::new();
    let client = cloud.connect("a").await.kinesis;
    let error = Producer::builder(client, "nowhere").build().await.expect_err("no such stream");
    assert!(matches!(error, BuildError::StreamNotFound { .. }));
    assert_eq!(error.to_string(), NOWHERE);
    assert_eq!(cloud.calls("a").count("PutRecords"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_producer_starts_without_a_stream_description() {
    for fault in [Fault::Throttle, Fault::ServerError] {
        let (cloud, stream, builder) = cloud(1).await;
        cloud.faults("a").always_for("DescribeStreamSummary", fault);
        let producer = builder.build().await.expect("a producer");
        assert_eq!(producer.max_record_bytes(), 1 << 20);
        producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
        assert_eq!(stored(&stream).len(), 1);
    }
}

const NOWHERE: &str =
    "there is no stream nowhere (us-east-1, http://cloud.test, ResourceNotFoundException after 0.0 s)";

#[tokio::test(start_paused = true)]
async fn without_shards_or_a_way_to_the_service_a_producer_is_not_built() {
    let (cloud, _stream, builder) = cloud(1).await;
    cloud.faults("a").always_for("ListShards", Fault::ServerError);
    let error = builder.clone().build().await.expect_err("no shards");
    assert!(matches!(error, BuildError::Shards { .. }));
    let shown = error.to_string();
    assert!(
        shown
            .starts_with("the shards of stream clicks cannot be listed (us-east-1, http://cloud.test, InternalFailure"),
        "{shown}"
    );
    cloud.faults("a").black_hole();
    let start = Instant::now();
    let error = builder.clone().build().await.expect_err("no way");
    assert!(matches!(error, BuildError::Unreachable { .. }));
    assert!((30..36).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let error = builder.max_requests_in_flight(0).build().await.expect_err("out of range");
    assert_eq!(error.to_string(), "max_requests_in_flight is 0, but must be in 1..=256");
}
