//! The worst aggregates that can be built: what they cost is linear in their length, in time and in memory.
//!
//! The bounds: reading holds at most [`HELD`] bytes for each byte of the Kinesis record, beside the records that the caller keeps, and takes
//! at most [`NANOSECONDS`] of CPU for each, in an unoptimised build. Both are far above what is seen and far below what a step per record that
//! depends on the length of a key would take (a megabyte took minutes).

mod support;

use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use kinesis_aggregation::messages::seal;
use kinesis_aggregation::{HashKey, HashKeyRange, Payload};
use prost::encoding::encode_varint;

/// Bytes held for each byte of the Kinesis record.
const HELD: u64 = 15;
/// Of CPU for each byte of the Kinesis record, in an unoptimised build on a slow and busy machine.
const NANOSECONDS: u128 = 3_000;
/// The largest record of a stream with the service's default.
const LARGEST: usize = 1 << 20;

const KEYS: u8 = 0x0A;
const HASH_KEYS: u8 = 0x12;
const RECORDS: u8 = 0x1A;

fn field(key: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![key];
    encode_varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

/// The smallest record that points to a key, and to a hash key if given.
fn record(key: u64, hash_key: Option<u64>) -> Vec<u8> {
    let mut message = vec![0x08];
    encode_varint(key, &mut message);
    if let Some(hash_key) = hash_key {
        message.push(0x10);
        encode_varint(hash_key, &mut message);
    }
    message.extend([0x1A, 0]);
    field(RECORDS, &message)
}

/// The tables, then records by turns until the aggregate is as long as it may be.
fn filled(tables: Vec<u8>, records: impl IntoIterator<Item = Vec<u8>>) -> Bytes {
    let mut body = tables;
    let room = LARGEST - 20;
    for record in records {
        if body.len() + record.len() > room {
            break;
        }
        body.extend(record);
    }
    seal(&body)
}

fn one_key(key: &[u8]) -> Bytes {
    filled(field(KEYS, key), std::iter::repeat(record(0, None)))
}

fn one_hash_key(text: &[u8]) -> Bytes {
    filled([field(KEYS, b"k"), field(HASH_KEYS, text)].concat(), std::iter::repeat(record(0, Some(0))))
}

/// Many keys of one length that are used in turns, so that remembering the last one would not help.
fn many_keys(key: &[u8], bytes: usize) -> Bytes {
    let count = bytes / (key.len() + 2);
    let tables = field(KEYS, key).repeat(count);
    filled(tables, (0..count as u64).cycle().map(|index| record(index, None)))
}

fn worst() -> Vec<(&'static str, Bytes)> {
    let half = LARGEST / 2;
    vec![
        ("a long key", one_key(&vec![b'k'; half])),
        ("a long key that is not ASCII", one_key("ü".repeat(half / 2).as_bytes())),
        ("a long key that is not UTF-8", one_key(&vec![0xFF; half])),
        ("a long key that is not UTF-8 at its end", one_key(&[vec![b'k'; half], vec![0xFF]].concat())),
        ("a short key that is not UTF-8", one_key(&[0xFF; 64])),
        ("a long hash key", one_hash_key(&vec![b'x'; half])),
        ("a long number as hash key", one_hash_key(&vec![b'9'; half])),
        ("a long hash key of zeros", one_hash_key(&vec![b'0'; half])),
        ("a long hash key that is not UTF-8", one_hash_key(&vec![0xFF; half])),
        ("ten long keys", many_keys(&vec![b'k'; half / 10 - 4], half)),
        ("keys of 63 bytes", many_keys("ü".repeat(31).as_bytes(), half)),
        ("keys of 65 bytes", many_keys(&[b'k'; 65], half)),
        ("keys of one byte that is not UTF-8", many_keys(&[0xFF], half)),
        ("keys of 65 bytes that are not UTF-8", many_keys(&[0xFF; 65], half)),
        ("empty keys, all of them used once", many_keys(&[], 3 * LARGEST / 16)),
        ("nothing but empty keys", filled(field(KEYS, &[]).repeat(half - 20), [])),
        ("nothing but empty records", one_key(b"")),
        ("tags", filled(field(KEYS, b"k"), std::iter::repeat(field(RECORDS, b"\x08\x00\x1A\x00\x22\x02\x0A\x00")))),
    ]
}

/// Reads all that a consumer reads, and keeps no record.
fn read(data: &Bytes) {
    let Payload::Aggregate(aggregate) = Payload::parse(data) else { panic!("an aggregate") };
    let (len, unknown) = (aggregate.len(), aggregate.unknown_hash_keys());
    assert!(unknown == 0 || unknown == len);
    aggregate.is_within(&HashKeyRange::new(HashKey::new(1), HashKey::MAX));
    assert_eq!(aggregate.into_iter().count(), len);
}

#[test]
fn the_worst_aggregates_are_read_in_linear_time_and_memory() {
    for (name, data) in worst() {
        assert!(data.len() <= LARGEST, "{name}: {} bytes", data.len());
        // The first slice of memory makes it shared: an allocation of `Bytes`.
        let _shared = data.clone();
        let began = cpu_time();
        let held = measure(|| read(&data)).bytes_max;
        let took = cpu_time() - began;
        let len = data.len() as u64;
        println!("{name}: {} bytes, {:.1} held a byte, {:?}", len, held as f64 / len as f64, took);
        assert!(held <= HELD * len, "{name}: {held} bytes held for {len}");
        assert!(took.as_nanos() <= NANOSECONDS * u128::from(len), "{name}: {took:?} for {len} bytes");
    }
}

/// Tables and records drawn from a seed, as hostile as an encoder can be.
#[test]
fn drawn_aggregates_stay_within_the_same_bounds() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut body = Vec::new();
        let (mut keys, mut hash_keys) = (0, 0);
        let room = 1 << rng.usize(8..17);
        for _ in 0..rng.usize(1..40) {
            let letters: &[u8] = [b"k", b"\xFF", b"7", "ü".as_bytes(), b"\xED\xA0\x80"][rng.usize(..5)];
            let most = 1 << rng.usize(..12);
            let entry = letters.repeat(rng.usize(..most));
            let table = if rng.bool() { KEYS } else { HASH_KEYS };
            if table == KEYS {
                keys += 1
            } else {
                hash_keys += 1
            }
            body.extend(field(table, &entry));
        }
        if keys == 0 {
            continue;
        }
        while body.len() < room {
            let hash_key = (hash_keys > 0 && rng.bool()).then(|| rng.u64(..hash_keys));
            body.extend(record(rng.u64(..keys), hash_key));
        }
        let data = seal(&body);
        support::reference::assert_agrees(&data);
        let _shared = data.clone();
        let Payload::Aggregate(aggregate) = Payload::parse(&data) else { panic!("seed {seed}: an aggregate") };
        let began = cpu_time();
        let held = measure(|| assert_eq!(aggregate.clone().into_iter().count(), aggregate.len())).bytes_max;
        let took = cpu_time() - began;
        let len = data.len() as u64;
        // Below a few kilobytes the smallest tables are more than the data.
        assert!(held <= HELD * len.max(1 << 12), "seed {seed}: {held} bytes held for {len}");
        assert!(took.as_nanos() <= NANOSECONDS * u128::from(len.max(1 << 14)), "seed {seed}: {took:?} for {len} bytes");
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
