//! Hand-offs take as long as the worker that hands over was given (Q22).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, RunError};
use kinesis_testkit::{Cloud, Shard, Stream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::common::builder;

mod common;

const SECOND: Duration = Duration::from_secs(1);

/// A closure at work: says when it began, and whether it came to its end.
struct Work {
    log: Arc<Mutex<Vec<Took>>>,
    took: Took,
}

#[derive(Clone, Debug)]
struct Took {
    worker: &'static str,
    shard: String,
    from: Duration,
    to: Option<Duration>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.log.lock().expect("no panic in a closure").push(self.took.clone());
    }
}

/// Workers whose closures take as long as they are told to.
struct Fleet {
    cloud: Cloud,
    work: Arc<Mutex<Duration>>,
    log: Arc<Mutex<Vec<Took>>>,
}

impl Fleet {
    async fn join(&self, name: &'static str) -> JoinHandle<Result<(), RunError>> {
        let consumer = builder(&self.cloud, name).await.handoff_time(300 * SECOND).build().await.expect("a stream");
        let (log, cloud, lasts) = (Arc::clone(&self.log), self.cloud.clone(), Arc::clone(&self.work));
        tokio::spawn(consumer.run(move |batch: Batch| {
            let (log, cloud) = (Arc::clone(&log), cloud.clone());
            let lasts = *lasts.lock().expect("no panic in a closure");
            async move {
                let from = cloud.clock().elapsed();
                let took = Took { worker: name, shard: batch.shard().to_string(), from, to: None };
                let mut work = Work { log, took };
                sleep(lasts).await;
                work.took.to = Some(cloud.clock().elapsed());
                Ok::<(), std::io::Error>(())
            }
        }))
    }

    /// The workers that each shard was read by, in order, once no closure was dropped half-way.
    fn readers(&self, shards: &[Shard]) -> Vec<Vec<&'static str>> {
        let mut log = self.log.lock().expect("no panic in a closure").clone();
        log.sort_by_key(|took| took.from);
        assert!(log.iter().all(|took| took.to.is_some()), "nothing is dropped half-way: {log:#?}");
        let readers =
            |shard: &Shard| log.iter().filter(|took| took.shard == shard.id).map(|took| took.worker).collect();
        let mut by_shard: Vec<Vec<_>> = shards.iter().map(readers).collect();
        by_shard.sort();
        by_shard
    }
}

async fn put(stream: &Stream, shards: &[Shard]) {
    for shard in shards {
        stream.put_with_hash_key("user-7", *shard.hash_keys.start(), "work").await;
    }
}

/// Closures take 100 s and the hand-off time is 300 s. A leader that waited for its own idea of a hand-off dropped them after 47 s, and
/// the new owner began with the same records. The leader hands over itself.
#[tokio::test(start_paused = true)]
async fn work_of_a_hundred_seconds_is_done_before_the_leaders_shard_goes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let shards = stream.open_shards();
    let fleet = Fleet { cloud, work: Arc::new(Mutex::new(100 * SECOND)), log: Arc::default() };
    put(&stream, &shards).await;
    let mut running = vec![fleet.join("a").await];
    sleep(5 * SECOND).await;
    running.push(fleet.join("b").await);
    sleep(60 * SECOND).await;
    // What comes after the first batches is the new owner's.
    put(&stream, &shards).await;
    sleep(300 * SECOND).await;
    assert_eq!(fleet.readers(&shards), [["a", "a"], ["a", "b"]], "one shard has gone to b");
    running.iter().for_each(JoinHandle::abort);
}

/// As before; another worker than the leader hands over, and the leader knows only what that one has said.
#[tokio::test(start_paused = true)]
async fn work_of_a_hundred_seconds_is_done_before_the_shard_of_another_goes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 6).await;
    let shards = stream.open_shards();
    let fleet = Fleet { cloud, work: Arc::default(), log: Arc::default() };
    let mut running = vec![fleet.join("a").await, fleet.join("b").await];
    sleep(60 * SECOND).await;
    *fleet.work.lock().expect("no panic in a closure") = 100 * SECOND;
    put(&stream, &shards).await;
    sleep(5 * SECOND).await;
    running.push(fleet.join("c").await);
    sleep(60 * SECOND).await;
    put(&stream, &shards).await;
    sleep(300 * SECOND).await;
    let expected = [["a", "a"], ["a", "a"], ["a", "c"], ["b", "b"], ["b", "b"], ["b", "c"]];
    assert_eq!(fleet.readers(&shards), expected, "c has got a shard of each");
    running.iter().for_each(JoinHandle::abort);
}
