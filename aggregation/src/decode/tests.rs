use bytes::Bytes;

use super::{Damage, Payload, deaggregate};
use crate::{HashKey, HashKeyRange, messages::seal};

fn aggregate(body: &[u8]) -> super::Aggregate {
    match Payload::parse(&seal(body)) {
        Payload::Aggregate(aggregate) => aggregate,
        other => panic!("{other:?}"),
    }
}

fn damage(body: &[u8]) -> Option<Damage> {
    match Payload::parse(&seal(body)) {
        Payload::Damaged(damage) => Some(damage),
        _ => None,
    }
}

fn keys(body: &[u8]) -> Vec<String> {
    deaggregate(seal(body)).map(|record| record.partition_key().unwrap_or("none").to_owned()).collect()
}

#[test]
fn damage_has_its_reason() {
    assert_eq!(damage(b""), Some(Damage::Truncated), "the KCL wants a body");
    assert_eq!(damage(b"\x0A\x05abc"), Some(Damage::Malformed), "a key longer than what is left");
    assert_eq!(damage(b"\x0A\x01a\x1A\x02\x08\x00"), Some(Damage::MissingField), "no data");
    assert_eq!(damage(b"\x0A\x01a\x1A\x02\x1A\x00"), Some(Damage::MissingField), "no key index");
    assert_eq!(damage(b"\x0A\x01a\x1A\x06\x08\x00\x1A\x00\x22\x00"), Some(Damage::MissingField), "a tag without key");
    assert_eq!(damage(b"\x0A\x01a\x1A\x04\x08\x01\x1A\x00"), Some(Damage::Index), "one past the table");
    assert_eq!(damage(b"\x0A\x01a\x1A\x06\x08\x00\x10\x00\x1A\x00"), Some(Damage::Index), "no such table");
    let huge = b"\x0A\x01a\x1A\x0D\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x1A\x00";
    assert_eq!(damage(huge), Some(Damage::Index), "the largest index there is");
}

#[test]
fn a_known_field_of_another_type_is_an_unknown_one() {
    // Field 1 as a varint and as four fixed bytes, field 3 as a group; then a key and a record whose index is also given as a string.
    let body = b"\x08\x05\x0D1234\x1B\x08\x01\x1C\x0A\x01a\x1A\x07\x08\x00\x0A\x01z\x1A\x00";
    assert_eq!(keys(body), ["a"]);
    assert_eq!(damage(b"\x0A\x01a\x1A\x05\x0A\x01\x00\x1A\x00"), Some(Damage::MissingField), "that string is no index");
}

#[test]
fn nesting_without_end_is_refused() {
    let groups = [b"\x2B".repeat(100_000), b"\x2C".repeat(100_000)].concat();
    assert_eq!(damage(&groups), Some(Damage::Malformed));
}

#[test]
fn a_key_that_is_not_utf8_is_shown_and_hashed_as_java_does() {
    let body = b"\x0A\x02k\xFF\x1A\x04\x08\x00\x1A\x00\x1A\x04\x08\x00\x1A\x00";
    assert_eq!(keys(body), ["k\u{FFFD}", "k\u{FFFD}"]);
    let hash_key = HashKey::of("k\u{FFFD}");
    assert!(aggregate(body).is_within(&hash_key.into()));
    assert!(!aggregate(body).is_within(&HashKey::of("k").into()));
}

#[test]
fn keys_are_slices_whether_long_or_short() {
    for len in [1, 64, 65, 1000] {
        let key = "ü".repeat(len);
        let body =
            [b"\x0A".as_slice(), &varint(key.len()), key.as_bytes(), &b"\x1A\x04\x08\x00\x1A\x00".repeat(2)].concat();
        let data = seal(&body);
        for record in deaggregate(data.clone()) {
            let found = record.partition_key().expect("it has a key");
            assert_eq!(found, key);
            assert!(data.as_ptr_range().contains(&found.as_ptr()), "a slice of what came in");
        }
    }
}

/// Two entries that are not UTF-8 beside one that is, short and long, used in turns.
#[test]
fn entries_that_are_not_utf8_are_each_shown_as_their_own() {
    for len in [1, 100] {
        let entries = [vec![0xFF; len], b"plain".to_vec(), [b"x".as_slice(), &vec![0xFE; len]].concat()];
        let table: Vec<u8> =
            entries.iter().flat_map(|key| [b"\x0A".as_slice(), &varint(key.len()), key].concat()).collect();
        let records: Vec<u8> = [0, 2, 1, 2, 0].iter().flat_map(|index| [0x1A, 4, 8, *index, 0x1A, 0]).collect();
        let replaced = "\u{FFFD}".repeat(len);
        let shown = [replaced.clone(), "plain".to_owned(), format!("x{replaced}")];
        assert_eq!(keys(&[table, records].concat()), [0, 2, 1, 2, 0].map(|index: usize| shown[index].clone()));
    }
}

fn varint(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number as u64, &mut bytes);
    bytes
}

#[test]
fn one_record_outside_puts_the_aggregate_outside() {
    // Hash keys 5 and 7, and a third entry that no record uses.
    let body = b"\x0A\x01a\x12\x015\x12\x017\x12\x0299\x1A\x06\x08\x00\x10\x00\x1A\x00\x1A\x06\x08\x00\x10\x01\x1A\x00";
    let range = |start, end| HashKeyRange::new(HashKey::new(start), HashKey::new(end));
    let aggregate = aggregate(body);
    assert!(aggregate.is_within(&range(5, 7)) && aggregate.is_within(&HashKeyRange::FULL));
    assert!(!aggregate.is_within(&range(5, 6)) && !aggregate.is_within(&range(6, 7)));
}

#[test]
fn tables_of_any_size_are_found_before_between_and_after_the_records() {
    for count in [1_u8, 8, 9, 100] {
        let entry = |index: u8| vec![0x0A, 1, index];
        let record = |index: u8| vec![0x1A, 4, 0x08, index, 0x1A, 0];
        let expected: Vec<String> = (0..count).map(|index| char::from(index).to_string()).collect();
        let entries: Vec<u8> = (0..count).flat_map(entry).collect();
        let records: Vec<u8> = (0..count).flat_map(record).collect();
        let mixed: Vec<u8> = (0..count).flat_map(|index| [record(index), entry(index)].concat()).collect();
        assert_eq!(keys(&[&entries[..], &records].concat()), expected);
        assert_eq!(keys(&[&records[..], &entries].concat()), expected);
        assert_eq!(keys(&mixed), expected);
    }
}

#[test]
fn the_iterator_knows_what_is_left() {
    let mut records = deaggregate(seal(b"\x0A\x01a\x1A\x04\x08\x00\x1A\x00\x1A\x04\x08\x00\x1A\x00"));
    assert_eq!(records.len(), 2);
    assert_eq!(records.next().map(|record| record.sub_sequence_number), Some(0));
    assert_eq!((records.len(), records.size_hint()), (1, (1, Some(1))));
    assert_eq!(records.next().map(|record| record.sub_sequence_number), Some(1));
    assert!(records.next().is_none() && records.next().is_none());
    assert_eq!(deaggregate(Bytes::from_static(b"x")).len(), 1);
}
