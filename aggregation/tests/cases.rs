//! What the real KPL, encoders of other languages and broken senders have written.

mod support;

use bytes::Bytes;
use kinesis_aggregation::{Aggregator, Damage, HashKey, HashKeyRange, Payload, deaggregate};
use support::{
    cases::{self, Expected, Record},
    reference,
};

#[test]
fn every_case_reads_as_expected() {
    for case in cases::all() {
        let records: Vec<Record> = deaggregate(case.data.clone())
            .map(|record| {
                let text = |text: Option<&str>| text.map(str::to_owned);
                (text(record.partition_key()).unwrap_or_default(), text(record.explicit_hash_key()), record.data)
            })
            .collect();
        let expected = match case.expected {
            Expected::Records(records) => records,
            Expected::Plain | Expected::Error => vec![(String::new(), None, case.data.clone())],
        };
        assert_eq!(records, expected, "{}", case.id);
    }
}

#[test]
fn every_case_is_told_apart_and_damage_has_its_reason() {
    for case in cases::all() {
        let (is_aggregate, damage) = match Payload::parse(&case.data) {
            Payload::Plain => (false, None),
            Payload::Aggregate(_) => (true, None),
            Payload::Damaged(damage) => (false, Some(damage)),
        };
        let expected = match (case.kind.as_str(), case.id.as_str()) {
            (_, "two-bytes") | ("plain" | "wrong-magic", _) => None,
            ("bad-digest" | "truncated", _) | (_, "user-data-starts-with-magic") => Some(Damage::Digest),
            ("bad-body", _) => Some(Damage::Malformed),
            ("missing-field", _) => Some(Damage::MissingField),
            ("bad-index", _) => Some(Damage::Index),
            _ => None,
        };
        let expected = if case.id == "cut-20" { Some(Damage::Truncated) } else { expected };
        assert_eq!(damage, expected, "{}", case.id);
        assert_eq!(is_aggregate, matches!(case.expected, Expected::Records(_)), "{}", case.id);
    }
}

#[test]
fn the_reference_agrees_on_every_case() {
    for case in cases::all() {
        reference::assert_agrees(&case.data);
    }
}

#[test]
fn what_is_read_from_the_kpl_is_written_byte_for_byte_as_the_kpl_did() {
    let mut compared = 0;
    for case in cases::all() {
        let Expected::Records(records) = case.expected else { continue };
        if case.kind == "kpl" {
            let mut aggregator = Aggregator::new(1 << 20);
            for (key, explicit_hash_key, data) in &records {
                let explicit_hash_key = explicit_hash_key.as_ref().map(|text| text.parse().expect("canonical"));
                assert!(aggregator.try_add(key, explicit_hash_key, data));
            }
            assert_eq!(aggregator.take().map(|record| record.data().clone()), Some(case.data), "{}", case.id);
            compared += 1;
        }
    }
    assert_eq!(compared, 6);
}

#[test]
fn a_record_of_unknown_hash_key_is_counted_and_never_filtered() {
    let unknown = |id: &str| {
        let case = cases::all().into_iter().find(|case| case.id == id).expect("the case is there");
        let Payload::Aggregate(aggregate) = Payload::parse(&case.data) else { panic!("{id} is an aggregate") };
        let hash_keys = aggregate.clone().into_iter().filter_map(|record| record.hash_key());
        let range = hash_keys.map(HashKeyRange::from).reduce(|range, key| range.extended_to(key.start));
        let range = range.unwrap_or_else(|| HashKey::new(1).into());
        assert!(aggregate.is_within(&range), "{id}");
        aggregate.unknown_hash_keys()
    };
    assert_eq!(unknown("node-agg-undefined-ehk"), 2);
    assert_eq!(unknown("ehk-negative"), 1);
    assert_eq!(unknown("ehk-empty-string"), 1);
    assert_eq!(unknown("ehk-table-unused"), 0, "a dummy entry nobody points to");
    assert_eq!(unknown("ehk-max-min"), 0);
}

#[test]
fn records_are_slices_of_the_data() {
    let case = cases::all().into_iter().find(|case| case.id == "kpl-ehk-4").expect("the case is there");
    let within = |part: &Bytes| case.data.as_ptr_range().contains(&part.as_ptr());
    for record in deaggregate(case.data.clone()) {
        assert!(within(&record.data));
        assert!(record.partition_key.is_some_and(|key| within(key.as_bytes())));
        assert!(record.explicit_hash_key.is_some_and(|key| within(key.as_bytes())));
    }
}
