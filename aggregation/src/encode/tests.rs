use super::{Aggregator, is_marked};
use crate::{HashKey, UserRecord};

/// The KPL's format written down by hand, and by AWS's Python encoder: two records, two keys.
const VECTOR: &str =
    "f3899ac20a03706b310a03706b321a0908001a0568656c6c6f1a0908011a05776f726c6487c22af1ed18e292eb55b018413a3cff";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn two_records_are_the_known_52_bytes() {
    let mut aggregator = Aggregator::new(52);
    assert!(aggregator.try_add("pk1", None, b"hello"));
    assert_eq!(aggregator.encoded_len_with("pk2", None, 5), 52);
    assert!(aggregator.try_add("pk2", None, b"world"));
    assert_eq!(aggregator.encoded_len(), 52);
    let record = aggregator.take().expect("two records are in");
    assert_eq!(hex(record.data()), VECTOR);
    assert_eq!((record.partition_key(), record.len()), ("a", 2));
    assert_eq!(record.explicit_hash_key(), HashKey::of("pk1"), "the first decides where the aggregate goes");
}

#[test]
fn one_byte_less_and_the_second_does_not_fit() {
    let mut aggregator = Aggregator::new(51);
    assert!(aggregator.try_add("pk1", None, b"hello"));
    assert!(!aggregator.try_add("pk2", None, b"world"));
    assert_eq!((aggregator.len(), aggregator.encoded_len()), (1, 5));
    aggregator.set_max_bytes(52);
    assert!(aggregator.try_add("pk2", None, b"world"), "the refused key is not in the table, and the limit has moved");
    assert_eq!(hex(aggregator.take().expect("two records are in").data()), VECTOR);
}

/// Else a reader would take it apart.
#[test]
fn a_single_record_that_is_an_aggregate_itself_gets_an_envelope() {
    let mut aggregator = Aggregator::new(1000);
    assert!(aggregator.try_add("a", None, b"one") && aggregator.try_add("b", None, b"two"));
    let inner = aggregator.take().expect("two records are in");
    assert!(is_marked(inner.data()));
    assert!(aggregator.try_add("user-7", None, inner.data()));
    let len = aggregator.encoded_len();
    let outer = aggregator.take().expect("it is in");
    assert_eq!((outer.data().len(), outer.len(), outer.is_aggregated()), (len, 1, true));
    let read: Vec<UserRecord> = crate::deaggregate(outer.data().clone()).collect();
    assert_eq!((read.len(), read[0].partition_key(), &read[0].data), (1, Some("user-7"), inner.data()));
}

#[test]
fn a_single_record_passes_raw_whatever_its_size() {
    let mut aggregator = Aggregator::new(10);
    assert!(aggregator.try_add("user-7", Some(HashKey::new(7)), &[1; 1000]));
    assert_eq!(aggregator.encoded_len(), 1000);
    let record = aggregator.take().expect("it is in");
    assert_eq!(record.data(), &[1; 1000][..]);
    assert!(!record.is_aggregated());
    assert_eq!((record.partition_key(), record.explicit_hash_key()), ("user-7", HashKey::new(7)));
    let expected = UserRecord {
        partition_key: Some("user-7".into()),
        explicit_hash_key: Some("7".into()),
        data: record.data().clone(),
        sub_sequence_number: 0,
    };
    assert_eq!(record.user_record(0), expected);
}

#[test]
fn keys_and_hash_keys_are_written_once_in_the_order_of_first_use() {
    let mut aggregator = Aggregator::new(1000);
    for (key, hash_key) in [("b", None), ("a", Some(9)), ("b", Some(8)), ("a", Some(9))] {
        assert!(aggregator.try_add(key, hash_key.map(HashKey::new), b""));
    }
    let record = aggregator.take().expect("records are in");
    let body = &record.data()[4..record.data().len() - 16];
    let expected = [
        &b"\x0A\x01b\x0A\x01a\x12\x019\x12\x018"[..],
        b"\x1A\x04\x08\x00\x1A\x00",
        b"\x1A\x06\x08\x01\x10\x00\x1A\x00",
    ]
    .concat();
    assert_eq!(hex(&body[..expected.len()]), hex(&expected), "index 0 is written");
    assert_eq!(hex(&body[expected.len()..]), hex(b"\x1A\x06\x08\x00\x10\x01\x1A\x00\x1A\x06\x08\x01\x10\x00\x1A\x00"));
}

#[test]
fn a_key_that_begins_like_another_is_another() {
    let mut aggregator = Aggregator::new(10_000);
    let keys = ["", "k", "kk", "kkk", "k", "", "kkk"];
    for key in keys {
        assert!(aggregator.try_add(key, None, key.as_bytes()));
    }
    let record = aggregator.take().expect("records are in");
    let read: Vec<_> = record.user_records().map(|record| record.partition_key().map(str::to_owned)).collect();
    assert_eq!(read, keys.map(|key| Some(key.to_owned())));
}

/// S175: as soon as keys look like numbers, a table of keys that is sorted by what they look like exchanges them.
#[test]
fn keys_keep_their_records_whatever_they_look_like() {
    let mut aggregator = Aggregator::new(10_000);
    let keys = ["20", "3", "100", "b", "3", "", "020", "-1", "1e2", "B"];
    for (n, key) in keys.iter().enumerate() {
        assert!(aggregator.try_add(key, None, format!("{n}").as_bytes()));
    }
    let record = aggregator.take().expect("records are in");
    let read = record
        .user_records()
        .map(|record| (record.partition_key().map(str::to_owned), String::from_utf8_lossy(&record.data).into_owned()));
    let expected = keys.iter().enumerate().map(|(n, key)| (Some((*key).to_owned()), n.to_string()));
    assert_eq!(read.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn the_explicit_hash_key_decides_and_the_range_covers_all() {
    let mut aggregator = Aggregator::new(1000);
    for hash_key in [50, 10, 90] {
        assert!(aggregator.try_add("k", Some(HashKey::new(hash_key)), b"x"));
    }
    let record = aggregator.take().expect("records are in");
    assert_eq!(record.explicit_hash_key(), HashKey::new(50));
    assert_eq!(record.hash_key_range().to_string(), "10..=90");
}

#[test]
fn buffers_are_kept_and_nothing_of_the_last_aggregate_with_them() {
    let mut aggregator = Aggregator::new(10_000);
    assert_eq!(aggregator.capacity_bytes(), 0);
    assert!(aggregator.try_add("pk0", Some(HashKey::new(1)), &[0; 500]) && aggregator.try_add("pk1", None, b"x"));
    assert!(aggregator.take().is_some());
    let kept = aggregator.capacity_bytes();
    assert!(kept >= 500);

    assert!(aggregator.try_add("pk1", None, b"hello") && aggregator.try_add("pk2", None, b"world"));
    assert_eq!(hex(aggregator.take().expect("two records are in").data()), VECTOR);
    assert_eq!(aggregator.capacity_bytes(), kept, "nothing grew");
    assert!(aggregator.take().is_none());
}
