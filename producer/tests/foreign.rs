//! Code of the user that runs inside the producer: wakers, and parts of a client (docs/rules.md, *Whose code runs
//! where*).

mod common;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use common::{builder, cloud, copies, millis, stored};
use kinesis_producer::{Linger, Outcome, Producer, Record};
use kinesis_testkit::{Cloud, Fault, Stream};
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

fn boom() -> Waker {
    Waker::from(Arc::new(Boom))
}

fn counted() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn wait<F: Future>(future: Pin<&mut F>, waker: &Waker) {
    assert!(future.poll(&mut Context::from_waker(waker)).is_pending());
}

/// A producer whose buffers are full of records that are in flight for two seconds.
async fn full() -> (Cloud, Producer, Vec<kinesis_producer::Delivery>) {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.max_buffered_bytes(1_600_000).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::DelayResponse(2 * SECOND));
    let data = vec![b'x'; 10_000];
    let mut deliveries = Vec::new();
    while let Ok(delivery) = producer.try_put(Record::new("k", &data)) {
        deliveries.push(delivery);
    }
    (cloud, producer, deliveries)
}

/// Q14: each waker is woken by itself, and the outcome does not change.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_stops_no_other() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let producer = builder(&cloud).await.build().await.expect("a producer");
    let mut deliveries: Vec<_> =
        (0..3).map(|n| Box::pin(producer.try_put(Record::new("k", &n.to_string())).expect("admitted"))).collect();
    let (boom, (count, counted)) = (boom(), counted());
    for (n, delivery) in deliveries.iter_mut().enumerate() {
        wait(delivery.as_mut(), if n == 0 { &boom } else { &counted });
    }
    sleep(SECOND).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    assert_eq!(stored(&stream).len(), 3);
    assert_eq!(producer.flush().await.written, 3);
}

/// Q14: also for callers that wait for room, when several get it at once.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_leaves_room_to_others() {
    let (_cloud, producer, deliveries) = full().await;
    let (boom, (count, counted)) = (boom(), counted());
    let mut waiting: Vec<_> = (0..40).map(|_| Box::pin(producer.reserve(20_000))).collect();
    for (n, room) in waiting.iter_mut().enumerate() {
        wait(room.as_mut(), if n % 2 == 0 { &boom } else { &counted });
    }
    sleep(30 * SECOND).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 20, "each task that has room now is woken");
    for room in waiting {
        drop(room.await.expect("room"));
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    let report = producer.close(SECOND).await;
    assert_eq!((report.undelivered.len(), report.counts.admitted), (0, report.counts.written));
}

/// Q14: every flush returns, even if several end at once (P8).
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_stops_no_other_flush() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::DelayResponse(2 * SECOND));
    drop(producer.put(Record::new("k", "x")).await.expect("admitted"));
    let (count, counted) = counted();
    let (mut first, mut second) = (Box::pin(producer.flush()), Box::pin(producer.flush()));
    wait(first.as_mut(), &boom());
    wait(second.as_mut(), &counted);
    sleep(30 * SECOND).await;
    assert!(count.0.load(Ordering::Relaxed) > 0, "nobody told the second flush");
    assert_eq!((first.await.written, second.await.written), (1, 1));
}

/// Q14: a close goes on and reports, whatever the wakers of waiting callers do (P8).
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_stops_no_close() {
    let (cloud, producer, deliveries) = full().await;
    let (count, counted) = counted();
    let (one, two, three) = (producer.clone(), producer.clone(), producer.clone());
    let (mut first, mut second, mut third) =
        (Box::pin(one.reserve(600_000)), Box::pin(two.reserve(600_000)), Box::pin(three.reserve(600_000)));
    wait(first.as_mut(), &boom());
    wait(second.as_mut(), &counted);
    wait(third.as_mut(), &boom());
    cloud.faults("a").heal();
    cloud.faults("a").black_hole();
    let mut closing = Box::pin(producer.clone().close(10 * SECOND));
    wait(closing.as_mut(), &boom());
    let report = producer.close(10 * SECOND).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "who waited for room is told");
    assert!(second.await.is_err() && first.await.is_err());
    // The records in flight lost their answers, and both reports contain them.
    assert_eq!(report.undelivered.len(), deliveries.len());
    assert_eq!(closing.await.undelivered.len(), deliveries.len());
}

/// Puts a record and reads every count while it is woken.
struct Back {
    producer: Mutex<Option<Producer>>,
    woken: AtomicUsize,
}

impl Wake for Back {
    fn wake(self: Arc<Self>) {
        let Some(producer) = self.producer.lock().expect("no panic").clone() else { return };
        drop(producer.try_put(Record::new("k", "from a waker")));
        assert!(producer.counts().admitted > 0 && producer.buffered_bytes() > 0);
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// No waker is woken while a lock is held.
#[test]
fn a_waker_may_use_the_producer() {
    let (tell, told) = mpsc::channel();
    // A thread of its own, which hangs if a lock does.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(a_waker_uses_the_producer());
        let _ = tell.send(());
    });
    told.recv_timeout(Duration::from_secs(30)).expect("neither a deadlock nor a panic");
}

async fn a_waker_uses_the_producer() {
    let (_cloud, stream, builder) = cloud(2).await;
    let builder = builder.max_buffered_bytes(1_600_000).linger(Linger::FromFirstPut(SECOND));
    let producer = builder.build().await.expect("a producer");
    let back = Arc::new(Back { producer: Mutex::new(Some(producer.clone())), woken: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&back));
    // An open aggregate is charged in steps, so a little room is returned when it is closed. A caller waits for just
    // that.
    let large = producer.reserve(800_000).await.expect("room");
    let mut delivery = Box::pin(producer.try_put(Record::new("k", "x")).expect("admitted"));
    wait(delivery.as_mut(), &waker);
    let free = 1_400_000 - producer.buffered_bytes();
    let mut room = Box::pin(producer.reserve(free + 100 - 4096));
    wait(room.as_mut(), &waker);
    let mut flush = Box::pin(producer.flush());
    wait(flush.as_mut(), &waker);
    sleep(5 * SECOND).await;
    assert!(back.woken.load(Ordering::Relaxed) >= 3, "{}", back.woken.load(Ordering::Relaxed));
    drop((room, large, delivery, flush));
    back.producer.lock().expect("no panic").take();
    let report = producer.close(5 * SECOND).await;
    assert_eq!(
        (report.counts.admitted, report.counts.written as usize),
        (report.counts.written, stored(&stream).len())
    );
}

/// Credentials that panic on demand.
#[derive(Debug)]
struct Panicky(Arc<AtomicBool>);

impl ProvideCredentials for Panicky {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        assert!(!self.0.load(Ordering::Relaxed), "credentials that panic");
        // Expired at once, so that each call asks for new ones.
        future::ProvideCredentials::ready(Ok(Credentials::new("a", "b", None, Some(SystemTime::UNIX_EPOCH), "panicky")))
    }
}

async fn panicky(shards: i32) -> (Cloud, Stream, Producer, Arc<AtomicBool>) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", shards).await;
    let panics = Arc::new(AtomicBool::new(false));
    let config = cloud.connect("a").await.kinesis_config().credentials_provider(Panicky(Arc::clone(&panics))).build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let producer =
        Producer::builder(client, "clicks").seed(7).record_ttl(10 * SECOND).build().await.expect("a producer");
    (cloud, stream, producer, panics)
}

/// A panic in the client costs an attempt, and no record.
#[tokio::test(start_paused = true)]
async fn credentials_that_panic_cost_an_attempt() {
    let (_cloud, stream, producer, panics) = panicky(1).await;
    panics.store(true, Ordering::Relaxed);
    let delivery = producer.put(Record::new("k", "x")).await.expect("admitted");
    sleep(SECOND).await;
    panics.store(false, Ordering::Relaxed);
    assert!(delivery.await.expect("written").attempts > 1);
    assert_eq!(stored(&stream).len(), 1);

    panics.store(true, Ordering::Relaxed);
    let error = producer.put(Record::new("k", "y")).await.expect("admitted").await.expect_err("panics on");
    assert_eq!(error.outcome(), Outcome::NotWritten, "it never left");
    assert!(error.attempts().iter().all(|attempt| attempt.code == "Panicked"), "{error:?}");
    assert_eq!(stored(&stream).len(), 1);
}

/// A panic while the shards are listed or the stream is described does not end the producer.
#[tokio::test(start_paused = true)]
async fn credentials_that_panic_in_a_question_are_asked_again() {
    let (cloud, stream, producer, panics) = panicky(1).await;
    producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
    stream.split(0).await;
    let mut deliveries = Vec::new();
    for n in 0..20 {
        deliveries.push(producer.put(Record::new(&format!("k{n}"), &n.to_string())).await.expect("admitted"));
    }
    // The request that shows the split is answered, and the listing that follows panics.
    sleep(millis(5)).await;
    panics.store(true, Ordering::Relaxed);
    sleep(5 * SECOND).await;
    panics.store(false, Ordering::Relaxed);
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    sleep(400 * SECOND).await;
    let described = cloud.calls("a").count("DescribeStreamSummary");
    panics.store(true, Ordering::Relaxed);
    let delivery = producer.put(Record::new("k", "wakes it")).await.expect("admitted");
    sleep(SECOND).await;
    panics.store(false, Ordering::Relaxed);
    delivery.await.expect("written");
    for n in 0..300 {
        producer.put(Record::new("k", &format!("after {n}"))).await.expect("admitted").await.expect("written");
        sleep(millis(100)).await;
    }
    assert!(cloud.calls("a").count("DescribeStreamSummary") > described, "asked again soon");
    assert_eq!(copies(&stored(&stream)).len(), 322);
}

thread_local! {
    /// The number of lines that this test's thread has logged, if its log panics.
    static PANICS: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A log that panics, as a subscriber does that prints to a closed pipe. All tests share it, and each decides for
/// itself.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(lines) = PANICS.get() else { return Ok(bytes.len()) };
        PANICS.set(Some(lines + 1));
        panic!("a log that panics");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refusals, losses, a reshard and a changed stream are logged to a log that panics, and the records are delivered.
#[tokio::test(start_paused = true)]
async fn a_log_that_panics_stops_nothing() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(5 * SECOND).build().await.expect("a producer");
    tracing_subscriber::fmt().with_env_filter("kinesis_producer=debug").with_writer(|| Closed).init();
    PANICS.set(Some(0));
    cloud.faults("a").always_for("PutRecords", Fault::refuse("AccessDeniedException"));
    drop(producer.put(Record::new("k", "lost")).await.expect("admitted"));
    sleep(10 * SECOND).await;
    cloud.faults("a").heal();
    assert_eq!(producer.counts().unwatched, 1);
    cloud.faults("a").next_n("ListShards", 2, Fault::Throttle);
    stream.split(0).await;
    for n in 0..50 {
        producer.put(Record::new(&format!("k{n}"), &n.to_string())).await.expect("admitted").await.expect("written");
    }
    let update = cloud.outside().kinesis.update_max_record_size().stream_arn(stream.arn()).max_record_size_in_kib(2048);
    update.send().await.expect("a larger size");
    sleep(400 * SECOND).await;
    producer.put(Record::new("k", "wakes it")).await.expect("admitted").await.expect("written");
    sleep(SECOND).await;
    assert_eq!(producer.max_record_bytes(), 2 << 20);
    let report = producer.close(SECOND).await;
    assert_eq!((report.undelivered.len(), report.counts.written, report.counts.not_written), (0, 51, 1));
    // Refused, lost, not listed, resharded, changed.
    assert!(PANICS.take().is_some_and(|lines| lines >= 5));
}
