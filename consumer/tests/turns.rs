//! Closures that are ready at once leave other tasks of the thread their turn (Q24).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kinesis_aggregation::Aggregator;
use kinesis_consumer::{Batch, Concurrency, Record};
use kinesis_testkit::{Cloud, Stream};
use tokio::task::yield_now;

use self::common::builder;

mod common;

/// Counts what is done, and how much at most between two turns of another task of the thread.
#[derive(Clone, Debug, Default)]
struct Turns {
    done: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    watched: Arc<AtomicBool>,
}

impl Turns {
    /// Notes that one more is done. Another task takes turns from then on, until nothing more is done: the clock of the test moves
    /// only when no task has anything to do.
    fn note(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        if !self.watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.clone().watch(done));
        }
    }

    async fn watch(self, mut before: usize) {
        let mut idle_turns = 0;
        while idle_turns < 10 {
            let done = self.done.load(Ordering::Relaxed);
            self.most.fetch_max(done - before, Ordering::Relaxed);
            idle_turns = if done == before { idle_turns + 1 } else { 0 };
            before = done;
            yield_now().await;
        }
        self.watched.store(false, Ordering::Relaxed);
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    async fn until_done(&self, of: usize) {
        let all_done = async {
            while self.done.load(Ordering::Relaxed) < of {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), all_done).await.expect("all is done in time");
    }
}

/// Puts one aggregate of small records; returns how many it holds.
async fn put_aggregate(stream: &Stream) -> usize {
    let mut aggregate = Aggregator::new(40_000);
    while aggregate.try_add("k", None, b"0123456789") {}
    let records = aggregate.len();
    stream.put("k", aggregate.take().expect("it holds records").data().clone()).await;
    records
}

#[tokio::test(start_paused = true)]
async fn records_that_are_ready_at_once_share_the_thread() {
    for concurrency in [Concurrency::per_key(64), Concurrency::unordered(1), Concurrency::unordered(200)] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        let mut records = 0;
        for _ in 0..10 {
            records += put_aggregate(&stream).await;
        }
        let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
        let turns = Turns::default();
        let noted = turns.clone();
        let running = tokio::spawn(consumer.run_records(concurrency, move |_: Record| {
            noted.note();
            async { Ok::<(), std::io::Error>(()) }
        }));
        turns.until_done(records).await;
        running.abort();
        // The budget of a task's turn in tokio is 128, and a task that has used it up can come again before others.
        assert!((1..=512).contains(&turns.most()), "{} of {records} records in one turn", turns.most());
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_are_ready_at_once_share_the_thread() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let consumer = builder(&cloud, "a").await.build().await.expect("stream and table are there");
    let turns = Turns::default();
    let noted = turns.clone();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let (noted, counted) = (noted.clone(), Arc::clone(&counted));
        async move {
            if counted.fetch_add(batch.records().len(), Ordering::Relaxed) == 0 {
                // Meanwhile more batches are read ahead.
                tokio::time::sleep(Duration::from_secs(120)).await;
            }
            noted.note();
            Ok::<(), std::io::Error>(())
        }
    }));
    let puts = 12;
    for _ in 0..puts {
        stream.put("k", "on its own").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    turns.until_done(4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    running.abort();
    assert_eq!(seen.load(Ordering::Relaxed), puts, "all came");
    assert!(turns.most() <= 2, "{} batches in one turn", turns.most());
}
