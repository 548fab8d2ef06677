//! A whole world from one seed: a stream, a producer that writes, a fleet of workers that reads, and the weather.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer, ConsumerHandle};
use kinesis_producer::{Producer, Record};
use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Lag, Weather};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

/// What is to happen.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct World {
    /// Of all chance in it.
    pub seed: u64,
    /// Of the stream.
    pub shards: i32,
    /// That read it, each with a connection of its own.
    pub workers: usize,
    /// That are put.
    pub records_per_second: u64,
    /// For how long.
    pub lasts: Duration,
    /// Whether things go wrong: calls are late, lost and throttled, the index lags, a shard is split, a worker freezes.
    pub rough: bool,
}

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Happened {
    /// Records that the producer was told are written.
    pub written: u64,
    /// Records that the workers were given.
    pub delivered: u64,
    /// The cloud at the end.
    pub cloud: Cloud,
    /// All calls.
    pub trace: String,
}

impl World {
    /// Four workers, 16 shards, 20 records a second, fair weather.
    pub const fn new(seed: u64, lasts: Duration) -> Self {
        Self { seed, shards: 16, workers: 4, records_per_second: 20, lasts, rough: false }
    }

    /// Lets it happen. Has to run in paused time to be the same each time.
    ///
    /// # Panics
    ///
    /// When a worker or the producer ends with an error.
    pub async fn happen(self) -> Happened {
        let cloud = Cloud::builder().seed(self.seed).build();
        let stream = cloud.create_stream("clicks", self.shards).await;
        let delivered = Arc::new(AtomicU64::new(0));
        let mut workers = Vec::new();
        for number in 0..self.workers {
            let name = format!("worker-{number}");
            if self.rough {
                cloud.faults(&name).random(self.seed ^ number as u64, rough());
            }
            workers.push(self.worker(&cloud, name, &delivered).await);
        }
        if self.rough {
            cloud.faults("producer").random(self.seed, rough());
            cloud.dynamodb().index_lag(Lag::UpTo(Duration::from_secs(2)));
            cloud.dynamodb().read_lag(Lag::UpTo(Duration::from_millis(500)));
        }
        let writing = tokio::spawn(self.write(cloud.clone()));
        if self.rough {
            sleep(self.lasts / 3).await;
            stream.split(0).await;
            cloud.freeze_for("worker-1", Duration::from_secs(20)).await;
        }
        let written = writing.await.expect("the producer does not panic");
        // What was written last is read within a few seconds, in bad weather too.
        sleep(Duration::from_secs(30)).await;
        for (handle, task) in workers {
            handle.shutdown(Duration::from_secs(60)).await;
            task.await.expect("a worker does not panic");
        }
        let trace = cloud.trace();
        Happened { written, delivered: delivered.load(Ordering::Relaxed), cloud, trace }
    }

    async fn worker(self, cloud: &Cloud, name: String, delivered: &Arc<AtomicU64>) -> (ConsumerHandle, JoinHandle<()>) {
        let connection = cloud.connect(&name).await;
        let clock = connection.clock();
        let consumer = Consumer::builder("app", "clicks")
            .clock(move || clock.boottime())
            .kinesis(connection.kinesis.clone())
            .dynamodb(connection.dynamodb.clone())
            .worker_id(name)
            .seed(self.seed)
            .build()
            .await
            .expect("stream and table are there");
        let handle = consumer.handle();
        let delivered = delivered.clone();
        let run = consumer.run(move |batch: Batch| {
            delivered.fetch_add(batch.records().len() as u64, Ordering::Relaxed);
            async { Ok::<_, std::io::Error>(()) }
        });
        let task = tokio::spawn(async move { connection.run(run).await.expect("runs until it is shut down") });
        (handle, task)
    }

    /// Puts records, evenly, and counts those that were written.
    async fn write(self, cloud: Cloud) -> u64 {
        let client = cloud.connect("producer").await.kinesis;
        let producer = Producer::builder(client, "clicks").seed(self.seed).build().await.expect("the stream is there");
        let mut ticks = interval(Duration::from_secs(1));
        let mut written = 0;
        for second in 0..self.lasts.as_secs() {
            ticks.tick().await;
            let mut deliveries = Vec::new();
            for n in 0..self.records_per_second {
                let key = format!("user-{}", (second * self.records_per_second + n) % 997);
                let data = format!("record {n} of second {second}");
                deliveries.push(producer.put(Record::new(&key, data.as_bytes())).await.expect("there is room"));
            }
            for delivery in deliveries {
                written += u64::from(delivery.await.is_ok());
            }
        }
        let report = producer.close(Duration::from_secs(60)).await;
        assert!(report.undelivered.is_empty(), "all deliveries were awaited: {report:?}");
        written
    }
}

/// A bad day: one call in thirty fails in one way or another, one in five is late.
pub(crate) fn rough() -> Weather {
    Weather::calm()
        .chance(0.01, Fault::LoseRequest)
        .chance(0.01, Fault::LoseResponse)
        .chance(0.005, Fault::ServerError)
        .chance(0.01, Fault::Throttle)
        .chance(0.002, Fault::ExpireIterator)
        .chance(0.05, Fault::FailEntries(Entries::Percent(20), EntryError::InternalFailure))
        .chance(0.2, Fault::Latency(Duration::ZERO..=Duration::from_millis(150)))
}
