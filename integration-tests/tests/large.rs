//! A stream of hundreds of shards, resharded as a whole while the leader acts on an old listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer};
use kinesis_testkit::{Cloud, Fault, Stream};
use tokio::time::{Instant, sleep};

/// How often each datum came.
type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

const SECOND: Duration = Duration::from_secs(1);

struct Fleet {
    cloud: Cloud,
    stream: Stream,
    seen: Seen,
}

impl Fleet {
    /// Workers a to d; a leads.
    async fn start(shards: i32) -> Self {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", shards).await;
        let fleet = Self { cloud, stream, seen: Seen::default() };
        for name in ["a", "b", "c", "d"] {
            fleet.worker(name).await;
        }
        fleet
    }

    async fn worker(&self, name: &str) {
        let connection = self.cloud.connect(name).await;
        let consumer = Consumer::builder("app", "clicks")
            .kinesis(connection.kinesis)
            .dynamodb(connection.dynamodb)
            .worker_id(name)
            .seed(7)
            .build()
            .await
            .expect("stream and table are there");
        let seen = Arc::clone(&self.seen);
        tokio::spawn(consumer.run(move |batch: Batch| {
            let mut seen = seen.lock().expect("no test panics in here");
            for record in batch.records() {
                *seen.entry(String::from_utf8_lossy(record.data()).into_owned()).or_default() += 1;
            }
            async { Ok::<_, std::io::Error>(()) }
        }));
    }

    /// Puts a record into each open shard, and returns how long it took until all had come, once each.
    async fn put_and_read(&self, round: &str) -> Duration {
        let mut missing = BTreeSet::new();
        for shard in self.stream.open_shards() {
            let data = format!("{round} in {}", shard.id);
            self.stream.put_with_hash_key("user-7", *shard.hash_keys.start(), data.clone()).await;
            missing.insert(data);
        }
        let put = Instant::now();
        while !missing.is_empty() {
            assert!(put.elapsed() < 600 * SECOND, "not read: {missing:?}");
            sleep(SECOND / 2).await;
            let seen = self.seen.lock().expect("no test panics in here");
            missing.retain(|data| !seen.contains_key(data));
        }
        put.elapsed()
    }

    /// How many leases of open shards each worker holds.
    fn load(&self) -> BTreeMap<String, usize> {
        let open: BTreeSet<_> = self.stream.open_shards().into_iter().map(|shard| shard.id).collect();
        let mut load = BTreeMap::new();
        for item in self.cloud.table("app").items() {
            if item["leaseKey"].as_s().is_ok_and(|key| open.contains(key)) {
                let owner = item["leaseOwner"].as_s().expect("it has an owner").clone();
                *load.entry(owner).or_default() += 1;
            }
        }
        load
    }

    /// Waits until the leader has asked once more for the stream's shards.
    async fn until_listing(&self) {
        let before = self.cloud.calls("a").count("ListShards");
        while self.cloud.calls("a").count("ListShards") == before {
            sleep(SECOND / 10).await;
        }
    }

    fn assert_none_twice(&self) {
        let seen = self.seen.lock().expect("no test panics in here");
        assert!(seen.values().all(|count| *count == 1), "C5: nobody died");
    }
}

/// S75: the leader acts on a listing from before.
#[tokio::test(start_paused = true)]
async fn after_a_reshard_of_two_hundred_shards_all_are_read_though_the_listing_is_old() {
    let fleet = Fleet::start(200).await;
    fleet.put_and_read("before").await;
    fleet.cloud.faults("a").next("ListShards", Fault::DelayResponse(20 * SECOND));
    fleet.until_listing().await;
    fleet.stream.update_shard_count(150).await;
    let took = fleet.put_and_read("after").await;
    assert!(took <= 15 * SECOND, "took {took:?}");
    // The old listing arrives, and the next one.
    sleep(60 * SECOND).await;
    let took = fleet.put_and_read("later").await;
    assert!(took <= 2 * SECOND, "took {took:?}");
    let load = fleet.load();
    assert_eq!(load.values().sum::<usize>(), 150);
    assert!(load.len() == 4 && load.values().all(|load| (37..=38).contains(load)), "{load:?}");
    fleet.assert_none_twice();
}
