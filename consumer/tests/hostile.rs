//! Records that somebody built to hurt (Q46): they are delivered like others, and no shard stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use kinesis_aggregation::messages::seal;
use kinesis_consumer::{Batch, Concurrency, Record};
use kinesis_testkit::Cloud;

use self::common::builder;

mod common;

/// An aggregate of nearly 1 MiB: one key of half of that, and thousands of records of six bytes that point to it.
fn one_key_for_all(key: &[u8]) -> (Bytes, usize) {
    let mut body = vec![0x0A];
    let mut len = key.len();
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.extend(key);
    let records = ((1 << 20) - 64 - body.len()) / 6;
    body.extend([0x1A, 4, 8, 0, 0x1A, 0].repeat(records));
    (seal(&body), records)
}

/// Both entry points, and a key of each kind: text, and bytes that are no text, which are shown with U+FFFD.
#[tokio::test(start_paused = true)]
async fn a_record_of_many_records_that_share_a_long_key_is_delivered_like_others() {
    for (per_record, key) in [(false, b'k'), (false, 0xFF), (true, b'k'), (true, 0xFF)] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 2).await;
        let key = vec![key; 1 << 19];
        let (data, records) = one_key_for_all(&key);
        let shown = String::from_utf8_lossy(&key);
        let place = kinesis_aggregation::HashKey::of(&shown).as_u128();
        stream.put_with_hash_key("hostile", place, data).await;
        for hash_key in [0, u128::MAX] {
            stream.put_with_hash_key("good", hash_key, "x").await;
        }
        let consumer = builder(&cloud, "a").await.build().await.expect("built");
        let (handle, counts) = (consumer.handle(), Arc::new(Counts::default()));
        let counted = Arc::clone(&counts);
        let began = cpu_time();
        let running = if per_record {
            tokio::spawn(consumer.run_records(Concurrency::per_key(8), move |record: Record| {
                counted.add(&record);
                async { Ok::<(), std::io::Error>(()) }
            }))
        } else {
            tokio::spawn(consumer.run(move |batch: Batch| {
                batch.records().iter().for_each(|record| counted.add(record));
                async { Ok::<(), std::io::Error>(()) }
            }))
        };
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.shutdown(Duration::from_secs(1)).await;
        running.await.expect("no panic").expect("no error");
        let took = cpu_time() - began;
        assert_eq!((counts.good.load(Relaxed), counts.hostile.load(Relaxed)), (2, records), "per record: {per_record}");
        // An unoptimised build takes one to three seconds. When each record cost as much as its key, it took minutes.
        assert!(took < Duration::from_secs(20), "{took:?} of CPU");
    }
}

#[derive(Default)]
struct Counts {
    good: AtomicUsize,
    hostile: AtomicUsize,
}

impl Counts {
    fn add(&self, record: &Record) {
        let count = if record.partition_key() == "good" { &self.good } else { &self.hostile };
        count.fetch_add(1, Relaxed);
    }
}

/// What this thread has run so far: waiting for a busy machine does not count. Elsewhere than on Linux the time of day has to do.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    }
}
