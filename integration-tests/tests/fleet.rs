//! A fleet of workers in virtual time: a split, a crash, a newcomer, a shutdown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer, ConsumerHandle};
use kinesis_testkit::{Cloud, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Every delivery: which worker, which shard and epoch, which data; and when.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Delivery>>>);

#[derive(Clone, Debug)]
struct Delivery {
    worker: String,
    shard: String,
    epoch: u64,
    position: (usize, String, u64),
    data: String,
    at: Instant,
}

struct Worker {
    handle: ConsumerHandle,
    task: JoinHandle<()>,
}

async fn worker(cloud: &Cloud, name: &str, seen: &Seen) -> Worker {
    let connection = cloud.connect(name).await;
    let consumer = Consumer::builder("app", "clicks")
        .kinesis(connection.kinesis)
        .dynamodb(connection.dynamodb)
        .worker_id(name)
        .seed(7)
        .build()
        .await
        .expect("stream and table are there");
    let handle = consumer.handle();
    let (seen, name) = (seen.clone(), name.to_owned());
    let task = tokio::spawn(async move {
        let run = consumer.run(move |batch: Batch| {
            seen.add(&name, &batch);
            async { Ok::<_, std::io::Error>(()) }
        });
        run.await.expect("runs until it is shut down");
    });
    Worker { handle, task }
}

impl Seen {
    fn add(&self, worker: &str, batch: &Batch) {
        let mut seen = self.0.lock().expect("no test panics in here");
        for record in batch.records() {
            let number = record.sequence_number().as_str();
            seen.push(Delivery {
                worker: worker.to_owned(),
                shard: batch.shard().to_string(),
                epoch: batch.epoch().0,
                position: (number.len(), number.to_owned(), record.sub_sequence()),
                data: String::from_utf8_lossy(record.data()).into_owned(),
                at: Instant::now(),
            });
        }
    }

    fn all(&self) -> Vec<Delivery> {
        self.0.lock().expect("no test panics in here").clone()
    }

    /// How often each datum was delivered.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for delivery in self.all() {
            *counts.entry(delivery.data).or_default() += 1;
        }
        counts
    }

    /// C3: in an epoch deliveries strictly increase.
    fn assert_ordered(&self) {
        let mut last: BTreeMap<(String, u64), (usize, String, u64)> = BTreeMap::new();
        for delivery in self.all() {
            let before = last.insert((delivery.shard.clone(), delivery.epoch), delivery.position.clone());
            assert!(before.is_none_or(|before| before < delivery.position), "out of order: {delivery:?}");
        }
    }
}

/// Puts `n` numbered data and returns them.
async fn put(stream: &Stream, from: usize, n: usize) -> Vec<String> {
    let mut data = Vec::new();
    for i in from..from + n {
        let datum = format!("datum-{i}");
        stream.put(&format!("user-{i}"), datum.clone()).await;
        data.push(datum);
    }
    data
}

async fn until_all_seen(seen: &Seen, data: &[String], within: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let counts = seen.counts();
        let missing: Vec<_> = data.iter().filter(|datum| !counts.contains_key(*datum)).collect();
        if missing.is_empty() {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not delivered within {within:?}: {missing:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_application_reads_its_first_record_within_half_a_second() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let data = put(&stream, 0, 20).await;
    let seen = Seen::default();
    let start = Instant::now();
    let _worker = worker(&cloud, "a", &seen).await;
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    let first = seen.all().first().expect("all were seen").at;
    assert!(first - start <= Duration::from_millis(500), "C8: took {:?}", first - start);
    seen.assert_ordered();
}

#[tokio::test(start_paused = true)]
async fn a_crash_and_a_split_lose_nothing_and_each_shard_finds_a_reader_within_22_seconds() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let seen = Seen::default();
    let a = worker(&cloud, "a", &seen).await;
    let b = worker(&cloud, "b", &seen).await;
    sleep(Duration::from_secs(20)).await;
    let mut data = put(&stream, 0, 100).await;
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    let workers: std::collections::BTreeSet<_> = seen.all().into_iter().map(|delivery| delivery.worker).collect();
    assert_eq!(workers.len(), 2, "both take part");

    stream.split(0).await;
    data.extend(put(&stream, 100, 100).await);
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;

    // The first worker leads; it dies without a word.
    cloud.faults("a").black_hole();
    a.task.abort();
    data.extend(put(&stream, 200, 100).await);
    let took = until_all_seen(&seen, &data, Duration::from_secs(60)).await;
    assert!(took <= Duration::from_secs(22), "C8: took {took:?}");
    seen.assert_ordered();
    b.handle.shutdown(Duration::from_secs(10)).await;
    b.task.await.expect("no panic");
}
