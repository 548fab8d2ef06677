//! What a user record costs in allocations: at most 0.2 each way, from ten records in an aggregate on.

use allocation_counter::measure;
use bytes::Bytes;
use kinesis_aggregation::{Aggregator, HashKey, HashKeyRange, Payload, deaggregate};

const BUDGET: f64 = 0.2;

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("key-{index:032}")).collect()
}

fn aggregate(keys: &[String], explicit: bool) -> Bytes {
    let mut aggregator = Aggregator::new(1 << 20);
    for key in keys {
        assert!(aggregator.try_add(key, explicit.then(|| HashKey::of(key)), &[7; 100]));
    }
    // The service's answer arrives in memory of its own that nobody has sliced yet.
    aggregator.take().expect("records are in").data().to_vec().into()
}

fn per_record(records: usize, work: impl FnOnce()) -> f64 {
    measure(work).count_total as f64 / records as f64
}

#[test]
fn decoding() {
    for (count, distinct) in [(10, 10), (10, 1), (100, 100), (500, 500), (500, 8)] {
        let keys: Vec<String> = keys(distinct).into_iter().cycle().take(count).collect();
        for explicit in [false, true] {
            let data = aggregate(&keys, explicit);
            let cost = per_record(count, || {
                let Payload::Aggregate(aggregate) = Payload::parse(&data) else { panic!("an aggregate") };
                // Narrower than everything, or the filter would not look.
                assert!(aggregate.is_within(&HashKeyRange::new(HashKey::new(1), HashKey::MAX)));
                assert_eq!(aggregate.unknown_hash_keys(), 0);
                assert_eq!(aggregate.into_iter().map(|record| record.data.len()).sum::<usize>(), count * 100);
            });
            assert!(
                cost <= BUDGET,
                "{cost} allocations a record: {count} records, {distinct} keys, explicit {explicit}"
            );
        }
    }
}

#[test]
fn decoding_little_aggregates() {
    for count in [2, 5, 8] {
        let data = aggregate(&keys(count), false);
        // The first slice of fresh memory makes it shared: one allocation of `Bytes`, whatever we do.
        let shared = data.clone();
        let cost = per_record(count, || assert_eq!(deaggregate(shared).count(), count));
        assert_eq!(cost, 0.0, "{count} records");
    }
}

#[test]
fn encoding() {
    for (count, distinct) in [(20, 20), (100, 100), (500, 500), (500, 8)] {
        let keys: Vec<String> = keys(distinct).into_iter().cycle().take(count).collect();
        for explicit in [false, true] {
            let mut aggregator = Aggregator::new(1 << 20);
            let mut round = || {
                for key in &keys {
                    assert!(aggregator.try_add(key, explicit.then(|| HashKey::of(key)), &[7; 100]));
                }
                aggregator.take().map(|record| record.len())
            };
            assert_eq!(round(), Some(count), "the first aggregate grows the buffers");
            let cost = per_record(count, || assert_eq!(round(), Some(count)));
            assert!(
                cost <= BUDGET,
                "{cost} allocations a record: {count} records, {distinct} keys, explicit {explicit}"
            );
        }
    }
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    // A key of 2^40 bytes, a record of 2^60, and a body of nothing but empty keys, which are two bytes each.
    let lies: [&[u8]; 2] = [b"\x0A\x80\x80\x80\x80\x80\x20x", b"\x1A\x80\x80\x80\x80\x80\x80\x80\x80\x10x"];
    for body in lies {
        let data = kinesis_aggregation::messages::seal(body);
        let _shared = data.clone();
        let info = measure(|| assert!(matches!(Payload::parse(&data), Payload::Damaged(_))));
        assert_eq!(info.bytes_total, 0, "{body:?}");
    }
    let data = kinesis_aggregation::messages::seal(&b"\x0A\x00".repeat(100_000));
    let _shared = data.clone();
    let info = measure(|| assert!(matches!(Payload::parse(&data), Payload::Aggregate(_))));
    assert!(info.bytes_total <= 4 * data.len() as u64, "{} bytes for {}", info.bytes_total, data.len());
}
