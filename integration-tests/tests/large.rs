//! Streams of hundreds and thousands of shards, resharded as a whole while a leader reads a listing that is old or torn.

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
    lease_duration: Duration,
    max_idle_poll: Duration,
}

impl Fleet {
    /// Workers a to d; a leads.
    async fn start(shards: i32, lease_duration: Duration, max_idle_poll: Duration) -> Self {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", shards).await;
        let fleet = Self { cloud, stream, seen: Seen::default(), lease_duration, max_idle_poll };
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
            .lease_duration(self.lease_duration)
            .max_idle_poll(self.max_idle_poll)
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

    /// Waits until the leader has asked for so many pages more of the stream's shards.
    async fn until_listing(&self, pages: usize) {
        let before = self.cloud.calls("a").count("ListShards");
        while self.cloud.calls("a").count("ListShards") < before + pages {
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
async fn after_a_reshard_of_four_hundred_shards_all_are_read_though_the_listing_is_old() {
    let fleet = Fleet::start(400, 10 * SECOND, SECOND).await;
    fleet.put_and_read("before").await;
    fleet.cloud.faults("a").next("ListShards", Fault::DelayResponse(20 * SECOND));
    fleet.until_listing(1).await;
    fleet.stream.update_shard_count(300).await;
    let took = fleet.put_and_read("after").await;
    assert!(took <= 15 * SECOND, "took {took:?}");
    // The old listing arrives, and the next one.
    sleep(60 * SECOND).await;
    let took = fleet.put_and_read("later").await;
    assert!(took <= 2 * SECOND, "took {took:?}");
    let load = fleet.load();
    assert_eq!(load.values().sum::<usize>(), 300);
    assert!(load.len() == 4 && load.values().all(|load| load.abs_diff(75) <= 1), "{load:?}");
    fleet.assert_none_twice();
}

/// S165: the second page of a listing is of another age than the first.
#[tokio::test(start_paused = true)]
async fn a_stream_of_1500_shards_that_doubles_is_read_whole_though_its_listing_is_torn() {
    let fleet = Fleet::start(1500, 60 * SECOND, 20 * SECOND).await;
    fleet.put_and_read("before").await;
    let faults = fleet.cloud.faults("a");
    faults.next("ListShards", Fault::DelayResponse(SECOND / 10));
    faults.next("ListShards", Fault::DelayRequest(25 * SECOND));
    fleet.until_listing(2).await;
    fleet.stream.update_shard_count(3000).await;
    let took = fleet.put_and_read("after").await;
    assert!(took <= 120 * SECOND, "took {took:?}");
    sleep(60 * SECOND).await;
    let load = fleet.load();
    assert_eq!(load.values().sum::<usize>(), 3000);
    assert!(load.len() == 4, "{load:?}");
    fleet.assert_none_twice();
}
