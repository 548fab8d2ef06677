//! What a shutdown reports (Q35).

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, Concurrency, Event, Position, Record, ShardId, ShutdownReport};
use kinesis_testkit::Cloud;
use tokio::time::sleep;
use tracing_subscriber::fmt::MakeWriter;

use self::common::{Ledger, builder};

mod common;

const SECOND: Duration = Duration::from_secs(1);

/// The log of this thread from WARN on.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN);
        let guard = tracing::subscriber::set_default(subscriber.with_writer(log.clone()).finish());
        (log, guard)
    }

    fn lines_with(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic while logging");
        let lines = String::from_utf8_lossy(&bytes).into_owned();
        lines.lines().filter(|line| line.contains(text)).map(ToOwned::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A shard as the report has it: its ID, the first record and the number of those not finished, and whether it was released.
type Left<'a> = (&'a str, Option<(&'a Position, u64)>, bool);

fn summary(report: &ShutdownReport) -> Vec<Left<'_>> {
    let shards = report.shards.iter();
    shards
        .map(|shard| {
            let unfinished = shard.unfinished.as_ref().map(|unfinished| (&unfinished.first, unfinished.records));
            (shard.shard.as_str(), unfinished, shard.released)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_is_abandoned_is_reported_with_shard_and_position() {
    let (log, _guard) = Log::start();
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let ids: Vec<String> = stream.shards().iter().map(|shard| shard.id.clone()).collect();
    for shard in stream.shards() {
        for n in 0..3 {
            stream.put_with_hash_key("k", *shard.hash_keys.start(), n.to_string()).await;
        }
    }
    let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let (handle, ledger) = (consumer.handle(), Ledger::of(&cloud));
    let (noted, stuck) = (ledger.clone(), ShardId::from(ids[1].as_str()));
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        let hangs = *batch.shard() == stuck;
        async move {
            if hangs {
                sleep(3600 * SECOND).await;
            }
            Ok::<(), io::Error>(())
        }
    }));
    ledger.wait_for(6).await;
    sleep(SECOND).await;
    assert_eq!(handle.shutdown_report(), ShutdownReport::default(), "nothing is left yet");
    let report = handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("it was shut down");
    let first = ledger.all().iter().find(|d| d.shard.as_str() == ids[1]).expect("it came").position.clone();
    assert_eq!(summary(&report), [(ids[0].as_str(), None, true), (ids[1].as_str(), Some((&first, 3)), true)]);
    assert!(!report.is_complete());
    assert_eq!(handle.shutdown_report(), report, "also for who did not shut it down");
    let said = log.lines_with("given up before its records were done");
    let [line] = said.as_slice() else { panic!("one line: {said:?}") };
    assert!(line.contains("WARN") && line.contains(&ids[1]) && line.contains(&first.to_string()), "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_is_done_is_reported_as_done() {
    let (log, _guard) = Log::start();
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    for n in 0..10 {
        stream.put(&format!("user-{n}"), n.to_string()).await;
    }
    let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let (handle, ledger) = (consumer.handle(), Ledger::of(&cloud));
    let noted = ledger.clone();
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        async move {
            sleep(3 * SECOND).await;
            Ok::<(), io::Error>(())
        }
    }));
    ledger.wait_for(10).await;
    let report = handle.shutdown(10 * SECOND).await;
    running.await.expect("no panic").expect("it was shut down");
    assert_eq!(summary(&report), [("shardId-000000000000", None, true), ("shardId-000000000001", None, true)]);
    assert!(report.is_complete());
    assert_eq!(log.lines_with("WARN"), [""; 0]);
}

/// Records that wait for a slot, and one behind them that is done, count as they are.
#[tokio::test(start_paused = true)]
async fn records_in_parallel_are_counted_one_by_one() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    for n in 0..5 {
        stream.put("k", n.to_string()).await;
    }
    let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run_records(Concurrency::unordered(2), |record: Record| async move {
        if record.data().as_ref() == b"1" {
            sleep(3600 * SECOND).await;
        }
        Ok::<(), io::Error>(())
    }));
    sleep(10 * SECOND).await;
    let report = handle.shutdown(5 * SECOND).await;
    running.await.expect("no panic").expect("it was shut down");
    let unfinished = report.shards[0].unfinished.as_ref().expect("one is not done");
    let second = stream.records()[1].sequence_number.clone();
    assert_eq!((unfinished.first.sequence_number.to_string(), unfinished.records), (second, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_could_not_be_released_is_reported_as_such() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    stream.put("k", "x").await;
    let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let (handle, ledger) = (consumer.handle(), Ledger::of(&cloud));
    let noted = ledger.clone();
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        noted.note("a", &batch);
        async { Ok::<(), io::Error>(()) }
    }));
    ledger.wait_for(1).await;
    sleep(5 * SECOND).await;
    cloud.faults("a").dynamodb().cut_requests();
    let report = handle.shutdown(30 * SECOND).await;
    running.await.expect("no panic").expect("it was shut down");
    assert_eq!(summary(&report), [("shardId-000000000000", None, false)]);
    assert!(!report.is_complete());
}

/// A program that reads its shards itself learns whether they were released.
#[tokio::test(start_paused = true)]
async fn shards_of_a_program_are_reported_too() {
    let cloud = Cloud::new();
    let _stream = cloud.create_stream("clicks", 2).await;
    let mut consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let handle = consumer.handle();
    let reading = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        while let Some(mut shard) = consumer.next_shard().await {
            tasks.spawn(async move {
                while let Some(event) = shard.next().await {
                    if matches!(event, Event::Revoking { .. }) {
                        shard.release().await.expect("it is held");
                        return;
                    }
                }
            });
        }
        tasks.join_all().await;
    });
    sleep(20 * SECOND).await;
    let report = handle.shutdown(10 * SECOND).await;
    reading.await.expect("no panic");
    assert_eq!(summary(&report), [("shardId-000000000000", None, true), ("shardId-000000000001", None, true)]);
}
