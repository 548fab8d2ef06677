use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::Record as KinesisRecord;
use bytes::Bytes;
use kinesis_aggregation::{Aggregator, HashKey};

use super::*;

const SHARD: &str = "shardId-000000000000";

fn kinesis_record(number: u64, key: &str, data: Bytes) -> KinesisRecord {
    KinesisRecord::builder()
        .sequence_number(number.to_string())
        .partition_key(key)
        .data(Blob::from_maybe_shared(data))
        .approximate_arrival_timestamp(DateTime::from_millis(1_700_000_000_123))
        .build()
        .expect("all that is required is there")
}

/// Returns an aggregate of records with these keys; their data is the key again.
fn aggregate(keys: &[&str]) -> Bytes {
    let mut aggregator = Aggregator::new(100_000);
    for key in keys {
        assert!(aggregator.try_add(key, None, key.as_bytes()));
    }
    aggregator.take().expect("records were added").data().clone()
}

fn deaggregating(range: Option<HashKeyRange>, done: Option<Position>) -> Deaggregator {
    Deaggregator::new(SHARD.into(), range, done)
}

fn position(number: u64, sub_sequence: u64) -> Position {
    Position { sequence_number: number.to_string().parse().expect("a number"), sub_sequence, shard: SHARD.into() }
}

/// Returns the positions and keys of the delivered records.
fn deaggregate(deaggregator: &mut Deaggregator, records: Vec<KinesisRecord>) -> (Vec<(String, String)>, Deaggregated) {
    let deaggregated = deaggregator.deaggregate(records).expect("numbers");
    let shown = deaggregated.records.iter().map(|r| (r.position().to_string(), r.partition_key().to_owned())).collect();
    (shown, deaggregated)
}

fn shown(records: &[(&str, &str)]) -> Vec<(String, String)> {
    records.iter().map(|(position, key)| ((*position).to_owned(), (*key).to_owned())).collect()
}

#[test]
fn plain_records_and_aggregates_come_out_in_order() {
    let mut deaggregator = deaggregating(None, None);
    let answer = vec![
        kinesis_record(7, "plain", Bytes::from_static(b"data")),
        kinesis_record(8, "a", aggregate(&["x", "y", "x"])),
    ];
    let (records, deaggregated) = deaggregate(&mut deaggregator, answer);
    assert_eq!(records, shown(&[("7/0", "plain"), ("8/0", "x"), ("8/1", "y"), ("8/2", "x")]));
    assert_eq!(deaggregated.records[0].data(), &Bytes::from_static(b"data"));
    assert!(!deaggregated.records[0].is_aggregated() && deaggregated.records[1].is_aggregated());
    assert_eq!(deaggregated.records[3].arrival(), deaggregated.records[0].arrival());
    assert_eq!(deaggregated.counts, ReadCounts { kinesis_records: 2, records: 4, bytes: 7, ..ReadCounts::default() });
    assert_eq!(
        (deaggregated.first, deaggregated.last),
        (Some("7".parse().expect("a number")), Some("8".parse().expect("a number")))
    );
    assert_eq!(deaggregator.seen, Some(position(8, 2)));
}

#[test]
fn keys_and_data_are_slices_of_the_answer() {
    let data = aggregate(&["key", "other"]);
    let within = |part: &[u8]| data.as_ptr_range().contains(&part.as_ptr());
    let (_, deaggregated) = deaggregate(&mut deaggregating(None, None), vec![kinesis_record(1, "a", data.clone())]);
    for record in &deaggregated.records {
        assert!(within(record.data()) && within(record.partition_key().as_bytes()));
    }
}

#[test]
fn resumes_inside_of_an_aggregate() {
    // S147
    let mut deaggregator = deaggregating(None, Some(position(8, 2)));
    let answer = vec![
        kinesis_record(7, "a", aggregate(&["u", "v"])),
        kinesis_record(8, "a", aggregate(&["a", "b", "c", "d", "e"])),
    ];
    assert_eq!(deaggregate(&mut deaggregator, answer).0, shown(&[("8/3", "d"), ("8/4", "e")]));
}

#[test]
fn a_checkpoint_beyond_its_aggregate_takes_all_of_it_for_done_and_says_so() {
    // S149
    let mut deaggregator = deaggregating(None, Some(position(8, 7)));
    let answer =
        vec![kinesis_record(8, "a", aggregate(&["a", "b", "c", "d", "e"])), kinesis_record(9, "p", Bytes::new())];
    let (records, deaggregated) = deaggregate(&mut deaggregator, answer);
    assert_eq!(records, shown(&[("9/0", "p")]));
    assert_eq!(deaggregated.checkpoint_beyond, Some(5));
    let (_, deaggregated) = deaggregate(
        &mut deaggregating(None, Some(position(8, 4))),
        vec![kinesis_record(8, "a", aggregate(&["a", "b"]))],
    );
    assert_eq!(deaggregated.checkpoint_beyond, Some(2));
    let (_, deaggregated) = deaggregate(
        &mut deaggregating(None, Some(position(8, 1))),
        vec![kinesis_record(8, "a", aggregate(&["a", "b"]))],
    );
    assert_eq!(deaggregated.checkpoint_beyond, None);
}

#[test]
fn what_the_service_repeats_is_not_delivered_again() {
    // C3
    let mut deaggregator = deaggregating(None, None);
    let answer = || vec![kinesis_record(7, "p", Bytes::new()), kinesis_record(8, "a", aggregate(&["x", "y"]))];
    assert_eq!(deaggregate(&mut deaggregator, answer()).0.len(), 3);
    assert_eq!(deaggregate(&mut deaggregator, answer()).0.len(), 0);
    assert_eq!(
        deaggregate(
            &mut deaggregator,
            vec![kinesis_record(10, "p", Bytes::new()), kinesis_record(9, "p", Bytes::new())]
        )
        .0,
        shown(&[("10/0", "p")])
    );
}

#[test]
fn one_key_outside_of_the_range_drops_the_whole_aggregate() {
    // S169, seen by a consumer that filters.
    let lower = HashKeyRange::new(HashKey::MIN, HashKey::new(u128::MAX / 2));
    let key_in = |wanted: bool| {
        (0..)
            .map(|n| format!("user-{n}"))
            .find(|key| lower.contains(HashKey::of(key)) == wanted)
            .expect("half of all keys are")
    };
    let (inside, outside) = (key_in(true), key_in(false));
    let mut deaggregator = deaggregating(Some(lower), None);
    let answer = vec![
        kinesis_record(1, "a", aggregate(&[&inside, &outside, &inside])),
        kinesis_record(2, "a", aggregate(&[&inside, &inside])),
        // The service put it here, so a plain record is never filtered.
        kinesis_record(3, &outside, Bytes::new()),
    ];
    let (records, deaggregated) = deaggregate(&mut deaggregator, answer);
    assert_eq!(records, shown(&[("2/0", &inside), ("2/1", &inside), ("3/0", &outside)]));
    assert_eq!(deaggregated.counts.misrouted_records, 3);
}

/// Q7: the KCL delivered a prefix of an aggregate that we find damaged, and stored a checkpoint inside it.
#[test]
fn a_checkpoint_inside_of_what_is_no_whole_aggregate_delivers_it_again_once() {
    let mut damaged = aggregate(&["x", "y", "z"]).to_vec();
    *damaged.last_mut().expect("not empty") ^= 1;
    for data in [Bytes::from(damaged), Bytes::from_static(b"plain")] {
        let mut deaggregator = deaggregating(None, Some(position(8, 2)));
        let record = kinesis_record(8, "a", data);
        assert_eq!(deaggregate(&mut deaggregator, vec![record.clone()]).0, shown(&[("8/0", "a")]));
        // The service repeats a record; within an epoch positions strictly increase (C3).
        let next = kinesis_record(9, "b", Bytes::from_static(b"b"));
        assert_eq!(deaggregate(&mut deaggregator, vec![record, next]).0, shown(&[("9/0", "b")]));
    }
    let whole = vec![kinesis_record(8, "a", Bytes::from_static(b"plain"))];
    assert_eq!(deaggregate(&mut deaggregating(None, Some(position(8, 0))), whole).0, shown(&[]));
}

#[test]
fn a_damaged_aggregate_is_delivered_as_it_is() {
    let mut data = aggregate(&["x", "y"]).to_vec();
    *data.last_mut().expect("not empty") ^= 1;
    let data = Bytes::from(data);
    let (records, deaggregated) =
        deaggregate(&mut deaggregating(None, None), vec![kinesis_record(1, "a", data.clone())]);
    assert_eq!(records, shown(&[("1/0", "a")]));
    assert_eq!(deaggregated.records[0].data(), &data);
    assert!(!deaggregated.records[0].is_aggregated());
    assert_eq!(deaggregated.counts.damaged_aggregates, 1);
}

#[test]
fn a_number_that_is_none_leaves_the_whole_answer_for_another_try() {
    let mut deaggregator = deaggregating(None, None);
    let bad = KinesisRecord::builder().sequence_number("LATEST").data(Blob::new("")).build().expect("complete");
    let before = deaggregator.clone();
    assert!(deaggregator.deaggregate(vec![kinesis_record(1, "p", Bytes::new()), bad]).is_err());
    assert_eq!(deaggregator, before);
}

#[test]
fn what_is_kept_in_memory_is_counted() {
    let data = aggregate(&["x", "y"]);
    let (_, deaggregated) = deaggregate(&mut deaggregating(None, None), vec![kinesis_record(1, "a", data.clone())]);
    assert!(deaggregated.bytes_held >= (data.len() + 2 * size_of::<Record>()) as u64);
    assert_eq!(size_of::<Record>(), 208);
}
