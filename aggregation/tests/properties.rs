//! What must hold for all records, limits and bodies.

mod support;

use bytes::Bytes;
use kinesis_aggregation::{
    AggregatedRecord, Aggregator, HashKey, Payload, UserRecord, deaggregate,
    messages::{self, seal},
};
use proptest::prelude::*;
use prost::Message;
use support::{cases, mutate, reference};

#[derive(Clone, Debug)]
struct Input {
    key: String,
    explicit_hash_key: Option<HashKey>,
    data: Vec<u8>,
}

fn input() -> impl Strategy<Value = Input> {
    let key = prop_oneof![
        3 => "[a-c]",
        2 => "[a-z0-9]{1,40}",
        1 => "\\PC{1,20}",
        // Longer than 127 bytes, so that its length takes two.
        1 => "[a-z]{120,256}",
    ];
    let explicit_hash_key = prop_oneof![
        4 => Just(None),
        1 => (0..3_u128).prop_map(|value| Some(HashKey::new(value))),
        1 => any::<u128>().prop_map(|value| Some(HashKey::new(value))),
    ];
    let data = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(any::<u8>(), 100..400),
    ];
    (key, explicit_hash_key, data).prop_map(|(key, explicit_hash_key, data)| Input { key, explicit_hash_key, data })
}

impl Input {
    fn matches(&self, record: &UserRecord) -> bool {
        let explicit_hash_key = self.explicit_hash_key.map(|hash_key| hash_key.to_string());
        record.partition_key() == Some(self.key.as_str())
            && record.explicit_hash_key() == explicit_hash_key.as_deref()
            && record.data == self.data
    }

    fn hash_key(&self) -> HashKey {
        self.explicit_hash_key.unwrap_or_else(|| HashKey::of(&self.key))
    }
}

fn check_taken(record: &AggregatedRecord, inputs: &[Input]) {
    let first = &inputs[0];
    assert_eq!(record.len(), inputs.len());
    assert_eq!(record.is_aggregated(), inputs.len() > 1);
    assert_eq!(record.explicit_hash_key(), first.hash_key());
    assert_eq!(record.partition_key(), if inputs.len() > 1 { "a" } else { &first.key });
    let range = record.hash_key_range();
    assert_eq!(Some(range.start), inputs.iter().map(Input::hash_key).min());
    assert_eq!(Some(range.end), inputs.iter().map(Input::hash_key).max());

    for (index, (record, input)) in record.user_records().zip(inputs).enumerate() {
        assert!(input.matches(&record), "{record:?} is not {input:?}");
        assert_eq!(record.sub_sequence_number, index as u64);
        assert_eq!(record.hash_key(), Some(input.hash_key()));
    }
    if inputs.len() == 1 {
        assert_eq!(record.data(), &first.data);
        return;
    }
    let records: Vec<UserRecord> = deaggregate(record.data().clone()).collect();
    assert!(records.iter().eq(record.user_records().collect::<Vec<_>>().iter()));
    check_prost_reads(record.data(), inputs);
}

/// Another reader finds the same in it, and another writer would have written the same bytes.
fn check_prost_reads(data: &Bytes, inputs: &[Input]) {
    let body = data.slice(4..data.len() - 16);
    let message = messages::AggregatedRecord::decode(body).expect("prost reads what we write");
    assert_eq!(message.records.len(), inputs.len());
    for (record, input) in message.records.iter().zip(inputs) {
        let key = record.partition_key_index.map(|index| message.partition_key_table[index as usize].clone());
        let hash_key =
            record.explicit_hash_key_index.map(|index| message.explicit_hash_key_table[index as usize].clone());
        assert_eq!(key, Some(Bytes::copy_from_slice(input.key.as_bytes())));
        assert_eq!(hash_key, input.explicit_hash_key.map(|hash_key| hash_key.to_string().into()));
        assert_eq!(record.data.as_deref(), Some(&input.data[..]));
    }
    let mut keys = message.partition_key_table.clone();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), message.partition_key_table.len(), "a key is written once");
    assert_eq!(&message.to_data(), data);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out_within_the_limit_and_with_the_size_foretold(
        inputs in proptest::collection::vec(input(), 1..120),
        max_bytes in prop_oneof![Just(0_usize), 20..200_usize, 200..4000_usize, Just(1 << 20)],
    ) {
        let mut aggregator = Aggregator::new(max_bytes);
        let (mut taken, mut open) = (Vec::new(), Vec::<Input>::new());
        for input in inputs {
            let foretold = aggregator.encoded_len_with(&input.key, input.explicit_hash_key, input.data.len());
            let before = (aggregator.len(), aggregator.encoded_len());
            if aggregator.try_add(&input.key, input.explicit_hash_key, &input.data) {
                prop_assert_eq!(aggregator.encoded_len(), foretold);
                prop_assert!(foretold <= max_bytes || open.is_empty());
            } else {
                prop_assert!(foretold > max_bytes && !open.is_empty());
                prop_assert_eq!((aggregator.len(), aggregator.encoded_len()), before, "nothing changed");
                let record = aggregator.take().expect("records are in");
                prop_assert_eq!(record.data().len(), before.1);
                taken.push((record, std::mem::take(&mut open)));
                prop_assert_eq!((aggregator.is_empty(), aggregator.encoded_len()), (true, 0));
                prop_assert!(aggregator.try_add_hashed(input.hash_key(), &input.key, input.explicit_hash_key, &input.data));
            }
            open.push(input);
            prop_assert_eq!(aggregator.len(), open.len());
        }
        let encoded_len = aggregator.encoded_len();
        let last = aggregator.take().expect("the last record is in");
        prop_assert_eq!(last.data().len(), encoded_len);
        taken.push((last, open));
        prop_assert!(aggregator.take().is_none());

        for (record, inputs) in &taken {
            prop_assert!(record.len() == 1 || record.data().len() <= max_bytes);
            check_taken(record, inputs);
        }
    }

    #[test]
    fn fields_come_in_any_order_and_unknown_ones_do_no_harm(
        inputs in proptest::collection::vec(input(), 2..40),
        seed in any::<u64>(),
    ) {
        let mut aggregator = Aggregator::new(1 << 20);
        for input in &inputs {
            prop_assert!(aggregator.try_add(&input.key, input.explicit_hash_key, &input.data));
        }
        let data = aggregator.take().expect("records are in").data().clone();
        let shuffled = shuffle(&data[4..data.len() - 16], &mut fastrand::Rng::with_seed(seed));
        let shuffled: Vec<UserRecord> = deaggregate(seal(&shuffled)).collect();
        prop_assert_eq!(shuffled, deaggregate(data).collect::<Vec<_>>());
    }

    #[test]
    fn what_prost_writes_we_read(keys in proptest::collection::vec("[a-z]{0,5}", 1..5), records in proptest::collection::vec(
        (0..5_u64, proptest::option::of(0..3_u64), proptest::collection::vec(any::<u8>(), 0..20)), 0..20)) {
        let message = messages::AggregatedRecord {
            partition_key_table: keys.into_iter().map(Bytes::from).collect(),
            explicit_hash_key_table: vec![Bytes::from_static(b"0"), Bytes::from_static(b"undefined")],
            records: records.into_iter().map(|(key, hash_key, data)| messages::Record {
                partition_key_index: Some(key),
                explicit_hash_key_index: hash_key,
                data: Some(data.into()),
                tags: Vec::new(),
            }).collect(),
        };
        reference::assert_agrees(&message.to_data());
    }

    #[test]
    fn damage_is_judged_as_the_reference_judges_it(seed in any::<u64>()) {
        let corpus: Vec<Bytes> = cases::all().into_iter().map(|case| case.data).filter(|data| data.len() < 4096).collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..4 {
            reference::assert_agrees(&mutate::mutant(&mut rng, &corpus));
        }
    }

    #[test]
    fn any_bytes_are_taken(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        reference::assert_agrees(&seal(&data));
        prop_assert!(matches!(Payload::parse(&Bytes::from_static(b"")), Payload::Plain));
        reference::assert_agrees(&data.into());
    }
}

/// The fields of a body in another order, those of each table and the records among themselves in the old one, with unknown fields between.
fn shuffle(body: &[u8], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut queues: [Vec<&[u8]>; 3] = Default::default();
    let mut rest = body;
    while !rest.is_empty() {
        let field = rest;
        let (number, wire_type) = prost::encoding::decode_key(&mut rest).expect("our own bytes");
        prost::encoding::skip_field(wire_type, number, &mut rest, Default::default()).expect("our own bytes");
        queues[number as usize - 1].insert(0, &field[..field.len() - rest.len()]);
    }
    // A varint, eight and four fixed bytes, a string, a group that holds a varint.
    let unknown: [&[u8]; 5] = [b"\x28\x96\x01", b"\x2912345678", b"\x2D1234", b"\x32\x02hi", b"\x3B\x08\x01\x3C"];
    let mut shuffled = Vec::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        if let Some(field) = queues[rng.usize(..3)].pop() {
            shuffled.extend_from_slice(field);
            shuffled.extend_from_slice(unknown[rng.usize(..5)]);
        }
    }
    shuffled
}
