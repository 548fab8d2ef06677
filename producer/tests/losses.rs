//! What is lost is told: to each who waits, in reports, in counts, and to a log if nobody else.

mod common;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{builder, cloud, millis, stored};
use kinesis_producer::Record;
use kinesis_testkit::{Cloud, Fault};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

struct Boom;

impl Wake for Boom {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Q14: each waker is woken by itself, and the outcome stays what it is.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_stops_no_other() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let producer = builder(&cloud).await.build().await.expect("a producer");
    let mut deliveries: Vec<_> =
        (0..3).map(|n| Box::pin(producer.try_put(Record::new("k", &n.to_string())).expect("admitted"))).collect();
    let count = Arc::new(Count::default());
    for (n, delivery) in deliveries.iter_mut().enumerate() {
        let waker = if n == 0 { Waker::from(Arc::new(Boom)) } else { Waker::from(Arc::clone(&count)) };
        assert!(delivery.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    sleep(SECOND).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    assert_eq!(stored(&stream).len(), 3);
    assert_eq!(producer.flush().await.written, 3);
}

/// The same of those who wait for room, for a flush, and for a close.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_stops_no_flush_and_no_close() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.max_buffered_bytes(1_600_000).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::DelayResponse(2 * SECOND));
    let data = vec![b'x'; 10_000];
    while let Ok(delivery) = producer.try_put(Record::new("k", &data)) {
        drop(delivery);
    }
    let boom = Waker::from(Arc::new(Boom));
    let mut context = Context::from_waker(&boom);
    let (mut room, mut flush) = (Box::pin(producer.reserve(100_000)), Box::pin(producer.flush()));
    assert!(room.as_mut().poll(&mut context).is_pending() && flush.as_mut().poll(&mut context).is_pending());
    sleep(30 * SECOND).await;
    drop(room);
    assert!(flush.await.is_all_written());
    let mut close = Box::pin(producer.clone().close(SECOND));
    assert!(close.as_mut().poll(&mut context).is_pending());
    let report = producer.close(SECOND).await;
    assert_eq!((report.undelivered.len(), report.counts.admitted), (0, report.counts.written));
}

/// Q24: while there is room a put need not wait, and yet a loop of puts leaves other tasks their turns.
#[tokio::test(start_paused = true)]
async fn a_loop_of_puts_lets_others_run() {
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
    // A task of its own: only tasks have a budget.
    let putter = tokio::spawn(async move {
        for _ in 0..20_000 {
            drop(producer.put(Record::new("k", "x")).await.expect("admitted"));
        }
    });
    putter.await.expect("no panic");
    assert!(turns.load(Ordering::Relaxed) > 50, "{}", turns.load(Ordering::Relaxed));
    other.abort();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .without_time()
            .with_writer(move || lines.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Q36: a flush tells what was lost, and so does everything else that one may look at.
#[tokio::test(start_paused = true)]
async fn losses_are_in_every_report() {
    let (log, _guard) = Log::start();
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
    let lost = log.lines("records were lost whose deliveries nobody holds");
    assert!((1..=2).contains(&lost.len()), "{lost:?}");
    assert!(lost.last().is_some_and(|line| line.contains("in_all=1000") && line.contains("AccessDenied")), "{lost:?}");
    let refused = log.lines("until somebody mends");
    assert!((1..=2).contains(&refused.len()) && refused[0].contains("ERROR"), "{refused:?}");

    // One that is dropped when it has failed already is as unwatched.
    let unseen = producer.put(Record::new("k", "y")).await.expect("admitted");
    sleep(30 * SECOND).await;
    drop(unseen);
    let report = producer.close(SECOND).await;
    assert_eq!((report.counts.admitted, report.counts.not_written, report.counts.unwatched), (1102, 1002, 1001));
    assert!(report.undelivered.is_empty());
    assert_eq!(stored(&stream).len(), 100);
}

/// Through a reshard, which sends records into other batches, the count of who is watched stays exact.
#[tokio::test(start_paused = true)]
async fn a_reshard_does_not_make_losses_watched() {
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
    // One that gets through shows the split, and what waits is sent into the children's batches.
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
