//! What encoding and decoding cost beside the work nobody can avoid, measured in turns in one run.
//!
//! The floor of encoding is MD5 of every key, MD5 of every aggregate and one copy of its bytes; that of decoding is MD5 of every
//! aggregate, and MD5 of every key where records are filtered by hash range. Each figure is the fastest of several rounds; the ratio is
//! what to compare, on any machine.
//!
//! `cargo run --release -p kinesis-aggregation --example bench`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kinesis_aggregation::{Aggregator, HashKey, HashKeyRange, Payload};
use md5::{Digest, Md5};

/// What the KPL closes an aggregate at.
const MAX_BYTES: usize = 51_200;
const ROUNDS: usize = 15;
/// Bytes of user data in a round.
const ROUND_BYTES: usize = 20_000_000;

struct Work {
    name: &'static str,
    keys: Vec<String>,
    data: Vec<u8>,
    records: usize,
}

fn main() {
    println!(
        "{:<34} {:>9} {:>7} {:>9} {:>7} {:>9} {:>7}",
        "", "encode", "/floor", "decode", "/floor", "filtered", "/floor"
    );
    for (name, distinct, size) in [
        ("100 B, 36-byte keys, all different", usize::MAX, 100),
        ("100 B, 1000 keys", 1000, 100),
        ("100 B, one key", 1, 100),
        ("1 kB, all different", usize::MAX, 1000),
        ("10 kB, all different", usize::MAX, 10_000),
    ] {
        let records = ROUND_BYTES / size;
        let keys = (0..distinct.min(records)).map(|index| format!("{index:036}")).collect();
        Work { name, keys, data: vec![7; size], records }.measure();
    }
    println!("nanoseconds a user record; aggregates of {MAX_BYTES} bytes; fastest of {ROUNDS} rounds");
}

impl Work {
    fn measure(&self) {
        let mut encoded = Vec::new();
        self.encode(|data| encoded.push(data.clone()));
        let [mut encode, mut encode_floor, mut decode, mut decode_floor, mut filtered, mut filtered_floor] =
            [Duration::MAX; 6];
        for _ in 0..ROUNDS {
            fastest(&mut encode, || self.encoded_bytes());
            fastest(&mut encode_floor, || self.hash_keys() + copy_and_hash(&encoded));
            fastest(&mut decode, || decode_all(&encoded, None));
            fastest(&mut decode_floor, || hash(&encoded));
            // One hash key short of everything: the filter must look, and drops nothing.
            let almost_full = HashKeyRange::new(HashKey::new(1), HashKey::MAX);
            fastest(&mut filtered, || decode_all(&encoded, Some(&almost_full)));
            fastest(&mut filtered_floor, || hash(&encoded) + self.hash_distinct_keys(&encoded));
        }
        let nanos = |time: Duration| time.as_nanos() as f64 / self.records as f64;
        let ratio = |time: Duration, floor: Duration| time.as_secs_f64() / floor.as_secs_f64();
        println!(
            "{:<34} {:>9.1} {:>7.2} {:>9.1} {:>7.2} {:>9.1} {:>7.2}",
            self.name,
            nanos(encode),
            ratio(encode, encode_floor),
            nanos(decode),
            ratio(decode, decode_floor),
            nanos(filtered),
            ratio(filtered, filtered_floor),
        );
    }

    fn keys(&self) -> impl Iterator<Item = &String> {
        self.keys.iter().cycle().take(self.records)
    }

    fn encode(&self, mut send: impl FnMut(&Bytes)) {
        let mut aggregator = Aggregator::new(MAX_BYTES);
        for key in self.keys() {
            if !aggregator.try_add(key, None, &self.data) {
                send(aggregator.take().expect("records are in").data());
                assert!(aggregator.try_add(key, None, &self.data), "an empty aggregator takes every record");
            }
        }
        send(aggregator.take().expect("the last record is in").data());
    }

    fn encoded_bytes(&self) -> usize {
        let mut bytes = 0;
        self.encode(|data| bytes += black_box(data).len());
        bytes
    }

    fn hash_keys(&self) -> usize {
        self.keys().map(|key| HashKey::of(key).as_u128() as usize & 1).sum()
    }

    /// As many keys as a filter must hash: those of every aggregate once.
    fn hash_distinct_keys(&self, encoded: &[Bytes]) -> usize {
        let per_aggregate = self.records / encoded.len();
        let distinct = self.keys.len().min(per_aggregate.max(1)) * encoded.len();
        self.keys.iter().cycle().take(distinct).map(|key| HashKey::of(key).as_u128() as usize & 1).sum()
    }
}

fn decode_all(encoded: &[Bytes], range: Option<&HashKeyRange>) -> usize {
    let mut bytes = 0;
    for data in encoded {
        let Payload::Aggregate(aggregate) = Payload::parse(data) else { continue };
        if range.is_none_or(|range| aggregate.is_within(range)) {
            bytes += aggregate.into_iter().map(|record| black_box(record).data.len()).sum::<usize>();
        }
    }
    bytes
}

fn hash(encoded: &[Bytes]) -> usize {
    encoded.iter().map(|data| Md5::digest(data)[0] as usize).sum()
}

fn copy_and_hash(encoded: &[Bytes]) -> usize {
    encoded.iter().map(|data| Md5::digest(black_box(data.to_vec()))[0] as usize).sum()
}

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn fastest(best: &mut Duration, work: impl FnOnce() -> usize) {
    let started = Instant::now();
    black_box(work());
    *best = (*best).min(started.elapsed());
}
