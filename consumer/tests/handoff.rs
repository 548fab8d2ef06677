//! Hand-offs take as long as the worker that hands over was given (Q22).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::Batch;
use kinesis_testkit::Cloud;
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

/// Closures take 100 s and the hand-off time is 300 s. A leader that waited for its own idea of a hand-off dropped them after 47 s, and
/// the new owner began with the same records.
#[tokio::test(start_paused = true)]
async fn work_of_a_hundred_seconds_is_done_before_the_shard_goes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    for n in 0..20 {
        stream.put(&format!("user-{n}"), n.to_string()).await;
    }
    let log: Arc<Mutex<Vec<Took>>> = Arc::default();
    let mut running = Vec::new();
    for name in ["a", "b"] {
        let consumer = builder(&cloud, name).await.handoff_time(300 * SECOND).build().await.expect("a stream");
        let (log, cloud) = (Arc::clone(&log), cloud.clone());
        running.push(tokio::spawn(consumer.run(move |batch: Batch| {
            let (log, cloud) = (Arc::clone(&log), cloud.clone());
            async move {
                let from = cloud.clock().elapsed();
                let took = Took { worker: name, shard: batch.shard().to_string(), from, to: None };
                let mut work = Work { log, took };
                sleep(100 * SECOND).await;
                work.took.to = Some(cloud.clock().elapsed());
                Ok::<(), std::io::Error>(())
            }
        })));
        sleep(5 * SECOND).await;
    }
    sleep(60 * SECOND).await;
    // What comes after the first batches is the new owner's.
    for n in 20..40 {
        stream.put(&format!("user-{n}"), n.to_string()).await;
    }
    sleep(300 * SECOND).await;
    let mut log = log.lock().expect("no panic in a closure").clone();
    log.sort_by_key(|took| took.from);
    assert!(log.iter().all(|took| took.to.is_some()), "nothing is dropped half-way: {log:#?}");
    let workers =
        |shard: &str| log.iter().filter(|took| took.shard == shard).map(|took| took.worker).collect::<Vec<_>>();
    let mut by_shard: Vec<_> = stream.shards().iter().map(|shard| workers(&shard.id)).collect();
    by_shard.sort();
    assert_eq!(by_shard, [vec!["a", "a"], vec!["a", "b"]], "one shard has gone to b: {log:#?}");
    for task in running {
        task.abort();
    }
}
