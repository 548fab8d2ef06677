//! A fleet of workers in virtual time: a split, a crash, a newcomer, a shutdown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer, ConsumerHandle};
use kinesis_testkit::{Cloud, Fault, Stream};
use rustix::time::{ClockId, clock_gettime};
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
    limited_worker(cloud, name, seen, usize::MAX).await
}

async fn limited_worker(cloud: &Cloud, name: &str, seen: &Seen, max_leases: usize) -> Worker {
    let connection = cloud.connect(name).await;
    let consumer = Consumer::builder("app", "clicks")
        .max_leases(max_leases)
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

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_its_share_within_15_seconds_and_nothing_is_delivered_twice() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 8).await;
    let seen = Seen::default();
    let a = worker(&cloud, "a", &seen).await;
    let mut data = put(&stream, 0, 100).await;
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    let b = worker(&cloud, "b", &seen).await;
    let joined = Instant::now();
    // Records all the time, so that every owner checkpoints each second.
    for round in 1..=40 {
        data.extend(put(&stream, round * 100, 100).await);
        sleep(Duration::from_millis(500)).await;
    }
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    // When b had its fourth shard.
    let mut shards = std::collections::BTreeSet::new();
    let fair = seen.all().into_iter().filter(|one| one.worker == "b").find(|one| {
        shards.insert(one.shard.clone());
        shards.len() >= 3
    });
    let took = fair.expect("b got a share").at - joined;
    assert!(took <= Duration::from_secs(15), "C8: took {took:?}");
    assert!(seen.counts().values().all(|count| *count == 1), "C5: none twice after completed hand-offs");
    seen.assert_ordered();
    a.handle.shutdown(Duration::from_secs(10)).await;
    b.handle.shutdown(Duration::from_secs(10)).await;
}

/// C7: whom the table names next may begin long before the answer to the transfer is here.
#[tokio::test(start_paused = true)]
async fn what_is_not_done_by_the_deadline_is_dropped_before_another_is_named() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    cloud.table("app").keep_writes(usize::MAX);
    put(&stream, 0, 20).await;
    let connection = cloud.connect("a").await;
    let stuck = Consumer::builder("app", "clicks")
        .kinesis(connection.kinesis)
        .dynamodb(connection.dynamodb)
        .worker_id("a")
        .handoff_time(Duration::from_secs(5))
        .build()
        .await
        .expect("stream and table are there");
    let dropped = Arc::new(Mutex::new(BTreeMap::new()));
    let (clock, noted) = (cloud.clock(), Arc::clone(&dropped));
    let _a = tokio::spawn(stuck.run(move |batch: Batch| {
        let guard = OnDrop(Some({
            let (noted, shard) = (Arc::clone(&noted), batch.shard().to_string());
            move || _ = noted.lock().expect("no panic").insert(shard, clock.elapsed())
        }));
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), std::io::Error>>().await
        }
    }));
    sleep(Duration::from_secs(5)).await;
    cloud.faults("a").dynamodb().always(Fault::DelayResponse(Duration::from_secs(1)));
    let b = worker(&cloud, "b", &Seen::default()).await;
    sleep(Duration::from_secs(30)).await;
    let dropped = dropped.lock().expect("no panic").clone();
    let (shard, at) = dropped.first_key_value().expect("b gets a shard");
    let writes = cloud.table("app").writes();
    let named = writes.iter().find(|write| {
        let is = |name: &str, value: &str| {
            write.item.as_ref().and_then(|item| item.get(name)?.as_s().ok()).is_some_and(|text| text == value)
        };
        let in_handoff = write.item.as_ref().is_some_and(|item| item.contains_key("checkpointOwner"));
        is("leaseKey", shard) && is("leaseOwner", "b") && !in_handoff
    });
    let named = named.expect("b is named").at;

    assert!(*at <= named, "dropped at {at:?}, and b named at {named:?}");
    b.handle.shutdown(Duration::from_secs(10)).await;
}

/// Says when user code is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|say| say());
    }
}

#[tokio::test(start_paused = true)]
async fn an_orderly_shutdown_leaves_its_shards_to_others_at_once_and_nothing_is_delivered_twice() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let seen = Seen::default();
    let a = worker(&cloud, "a", &seen).await;
    let _b = worker(&cloud, "b", &seen).await;
    sleep(Duration::from_secs(20)).await;
    let mut data = put(&stream, 0, 100).await;
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    // As long as it takes is a natural thing to ask for.
    let asked = Instant::now();
    a.handle.shutdown(Duration::MAX).await;
    a.task.await.expect("no panic");
    assert!(asked.elapsed() <= Duration::from_secs(2), "took {:?}", asked.elapsed());
    data.extend(put(&stream, 100, 100).await);
    let took = until_all_seen(&seen, &data, Duration::from_secs(30)).await;
    assert!(took <= Duration::from_secs(9), "less than a lease duration, but {took:?}");
    assert!(seen.counts().values().all(|count| *count == 1), "C5: none twice");
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_does_not_count_against_the_limit_of_leases() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let seen = Seen::default();
    let _a = limited_worker(&cloud, "a", &seen, 2).await;
    let mut data = put(&stream, 0, 10).await;
    until_all_seen(&seen, &data, Duration::from_secs(5)).await;
    stream.split(0).await;
    data.extend(put(&stream, 10, 50).await);
    let took = until_all_seen(&seen, &data, Duration::from_secs(30)).await;
    assert!(took <= Duration::from_secs(3), "C8: took {took:?}");
    seen.assert_ordered();
}

/// What a user's test of both costs: two workers, 40 records, and some twenty virtual seconds. The crate page of the test kit
/// says what was measured; the bound here is for debug builds on slow machines.
#[tokio::test(start_paused = true)]
async fn a_test_of_a_split_and_a_crash_costs_little() {
    let began = cpu();
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let seen = Seen::default();
    let a = worker(&cloud, "a", &seen).await;
    let b = worker(&cloud, "b", &seen).await;
    let mut data = put(&stream, 0, 20).await;
    stream.split(0).await;
    a.task.abort();
    data.extend(put(&stream, 20, 20).await);
    until_all_seen(&seen, &data, Duration::from_secs(60)).await;
    b.handle.shutdown(Duration::from_secs(10)).await;
    b.task.await.expect("no panic");
    let cost = cpu() - began;
    println!("{cost:?} of CPU");
    assert!(cost < Duration::from_secs(2), "{cost:?}");
}

/// What this thread has used so far, on which all tasks of a test run: other programs do not count.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time that was used is not negative")
}
