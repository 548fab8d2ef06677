//! Losses are reported: to each waiting caller, in reports, in counts, and in the log if there is no delivery.

mod common;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use common::{cloud, millis, stored};
use kinesis_producer::Record;
use kinesis_testkit::Fault;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Q24: a put with room does not wait, and yet a loop of puts yields to other tasks.
#[tokio::test(start_paused = true)]
async fn a_loop_of_puts_yields_to_other_tasks() {
    for by_permit in [false, true] {
        let (_cloud, _stream, builder) = cloud(1).await;
        let producer = builder.build().await.expect("a producer");
        let turns = Arc::new(AtomicUsize::new(0));
        let other = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        // In a task of its own: only tasks have a budget.
        let putter = tokio::spawn(async move {
            for _ in 0..20_000 {
                let record = Record::new("k", "x");
                let put = match by_permit {
                    true => producer.reserve(2).await.expect("room").put(record),
                    false => producer.put(record).await,
                };
                drop(put.expect("admitted"));
            }
        });
        putter.await.expect("no panic");
        assert!(turns.load(Ordering::Relaxed) > 50, "{}", turns.load(Ordering::Relaxed));
        other.abort();
    }
}

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The lines that this test's thread logs. All tests share one subscriber: with several, one test decides for another
/// whether a line is of interest.
struct Log;

impl Log {
    fn start() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
            subscriber.without_time().with_writer(|| Self).init();
        });
        LINES.take();
        Self
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = LINES.with_borrow(|lines| String::from_utf8(lines.clone()).expect("text"));
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Q36: a flush reports the losses, and so do all other reports and counts.
#[tokio::test(start_paused = true)]
async fn losses_are_in_every_report() {
    let log = Log::start();
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.record_ttl(10 * SECOND).build().await.expect("a producer");
    for n in 0..100 {
        drop(producer.put(Record::new(&format!("k{n}"), "x")).await.expect("admitted"));
    }
    let report = producer.flush().await;
    assert_eq!((report.written, report.is_all_written()), (100, true));
    cloud.faults("a").always_for("PutRecords", Fault::refuse("AccessDeniedException"));
    for n in 0..1000 {
        drop(producer.put(Record::new(&format!("k{n}"), "x")).await.expect("admitted"));
        sleep(millis(1)).await;
    }
    let watched = producer.put(Record::new("k", "watched")).await.expect("admitted");
    let report = producer.flush().await;
    assert_eq!((report.written, report.not_written, report.unknown), (0, 1001, 0));
    assert!(!report.is_all_written());
    watched.await.expect_err("no access");
    assert_eq!(producer.flush().await.not_written, 0, "told already");
    let counts = producer.counts();
    assert_eq!((counts.admitted, counts.written, counts.not_written, counts.unwatched), (1101, 100, 1001, 1000));

    sleep(120 * SECOND).await;
    let lost = log.lines("records were lost after their deliveries were dropped");
    assert!((1..=2).contains(&lost.len()), "{lost:?}");
    assert!(lost.last().is_some_and(|line| line.contains("in_all=1000") && line.contains("AccessDenied")), "{lost:?}");
    let refused = log.lines("until an operator acts");
    assert!((1..=2).contains(&refused.len()) && refused[0].contains("ERROR"), "{refused:?}");

    // A delivery that is dropped after it failed is unwatched, too.
    let unseen = producer.put(Record::new("k", "y")).await.expect("admitted");
    sleep(30 * SECOND).await;
    drop(unseen);
    let report = producer.close(SECOND).await;
    assert_eq!((report.counts.admitted, report.counts.not_written, report.counts.unwatched), (1102, 1002, 1001));
    assert!(report.undelivered.is_empty());
    assert_eq!(stored(&stream).len(), 100);
}

/// A dropped flush leaves its results to the next flush.
#[tokio::test(start_paused = true)]
async fn a_dropped_flush_leaves_its_results_to_the_next() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(SECOND).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    drop(producer.put(Record::new("k", "x")).await.expect("admitted"));
    assert!(timeout(millis(100), producer.flush()).await.is_err());
    sleep(2 * SECOND).await;
    drop(producer.put(Record::new("k", "y")).await.expect("admitted"));
    assert_eq!(producer.flush().await.not_written, 2);
}

/// Losses since the latest warning are logged at the end.
#[tokio::test(start_paused = true)]
async fn a_close_logs_the_losses_that_were_not_logged() {
    let log = Log::start();
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(SECOND).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    for n in 1..=3 {
        drop(producer.put(Record::new("k", "x")).await.expect("admitted"));
        sleep(5 * SECOND).await;
        assert_eq!((producer.counts().unwatched, log.lines("records were lost").len()), (n, 1));
    }
    assert_eq!(producer.close(SECOND).await.counts.unwatched, 3);
    let lost = log.lines("records were lost");
    assert!(lost.len() == 2 && lost[1].contains("records=2") && lost[1].contains("in_all=3"), "{lost:?}");
}

/// A reshard moves records to other batches. The count of unwatched records stays exact.
#[tokio::test(start_paused = true)]
async fn a_reshard_keeps_the_count_of_unwatched_losses() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(20 * SECOND).build().await.expect("a producer");
    drop(producer.put(Record::new("k", "first")).await.expect("admitted"));
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    let mut held = Vec::new();
    for n in 0..40 {
        let delivery = producer.put(Record::new(&format!("k{n}"), "x")).await.expect("admitted");
        if n % 4 == 0 {
            held.push(delivery);
        }
    }
    stream.split(0).await;
    sleep(2 * SECOND).await;
    cloud.faults("a").heal();
    // One record gets through and shows the split. The waiting records are moved to batches of the children.
    for n in 0..20 {
        drop(producer.put(Record::new(&format!("k{n}"), "shows it")).await.expect("admitted"));
        sleep(millis(5)).await;
    }
    cloud.faults("a").always_for("PutRecords", Fault::Throttle);
    sleep(40 * SECOND).await;
    let mut watched_losses = 0;
    for delivery in held {
        watched_losses += u64::from(delivery.await.is_err());
    }
    let counts = producer.counts();
    assert_eq!(counts.admitted, counts.written + counts.not_written + counts.unknown);
    assert_eq!(counts.unwatched, counts.not_written + counts.unknown - watched_losses, "{counts:?}");
}
