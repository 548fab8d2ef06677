//! A second decoder, slow and plain: prost's derived messages after a pass that does what protobuf does and prost does not, namely treat a
//! known field of another type as unknown.

use bytes::Bytes;
use kinesis_aggregation::{HashKey, HashKeyRange, Payload, UserRecord, deaggregate, messages::AggregatedRecord};
use md5::{Digest, Md5};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};

#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Plain,
    Damaged,
    Records(Vec<Record>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) partition_key: Bytes,
    pub(crate) explicit_hash_key: Option<Bytes>,
    pub(crate) data: Bytes,
}

/// What the data of a Kinesis record is, by the format's rules in the shortest form.
pub(crate) fn verdict(data: &[u8]) -> Verdict {
    let Some(rest) = data.strip_prefix(b"\xF3\x89\x9A\xC2") else { return Verdict::Plain };
    if rest.len() <= 16 {
        return Verdict::Damaged;
    }
    let (body, digest) = rest.split_at(rest.len() - 16);
    if Md5::digest(body)[..] != *digest {
        return Verdict::Damaged;
    }
    let Ok(body) = keep_known(body, &AGGREGATED_RECORD) else { return Verdict::Damaged };
    let Ok(message) = AggregatedRecord::decode(body.as_slice()) else { return Verdict::Damaged };
    if !message.is_initialized() {
        return Verdict::Damaged;
    }
    records(&message).map_or(Verdict::Damaged, Verdict::Records)
}

fn records(message: &AggregatedRecord) -> Option<Vec<Record>> {
    let at = |table: &[Bytes], index: u64| table.get(usize::try_from(index).ok()?).cloned();
    let read = |record: &kinesis_aggregation::messages::Record| {
        let explicit_hash_key = match record.explicit_hash_key_index {
            Some(index) => Some(at(&message.explicit_hash_key_table, index)?),
            None => None,
        };
        let partition_key = at(&message.partition_key_table, record.partition_key_index?)?;
        Some(Record { partition_key, explicit_hash_key, data: record.data.clone()? })
    };
    message.records.iter().map(read).collect()
}

/// Fields a message knows: number, type, and the schema of a message inside.
struct Schema(&'static [(u32, WireType, Option<&'static Self>)]);

static AGGREGATED_RECORD: Schema = Schema(&[
    (1, WireType::LengthDelimited, None),
    (2, WireType::LengthDelimited, None),
    (3, WireType::LengthDelimited, Some(&RECORD)),
]);
static RECORD: Schema = Schema(&[
    (1, WireType::Varint, None),
    (2, WireType::Varint, None),
    (3, WireType::LengthDelimited, None),
    (4, WireType::LengthDelimited, Some(&TAG)),
]);
static TAG: Schema = Schema(&[(1, WireType::LengthDelimited, None), (2, WireType::LengthDelimited, None)]);

fn keep_known(message: &[u8], schema: &Schema) -> Result<Vec<u8>, DecodeError> {
    let (mut rest, mut kept) = (message, Vec::new());
    while !rest.is_empty() {
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        let mut content = rest;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        match schema.0.iter().find(|known| known.0 == number && known.1 == wire_type) {
            None => {}
            Some((_, _, None)) => kept.extend_from_slice(&field[..field.len() - rest.len()]),
            Some((_, _, Some(inner))) => {
                let len = decode_varint(&mut content)? as usize;
                let inner = keep_known(&content[..len], inner)?;
                encode_key(number, wire_type, &mut kept);
                encode_varint(inner.len() as u64, &mut kept);
                kept.extend(inner);
            }
        }
    }
    Ok(kept)
}

/// Panics unless the crate says the same of the data as the reference.
pub(crate) fn assert_agrees(data: &Bytes) {
    let records: Vec<UserRecord> = deaggregate(data.clone()).collect();
    let untouched = || {
        assert_eq!(records.len(), 1);
        assert_eq!((&records[0].data, records[0].partition_key()), (data, None));
        assert_eq!(records[0].sub_sequence_number, 0);
    };
    match (Payload::parse(data), verdict(data)) {
        (Payload::Plain, Verdict::Plain) | (Payload::Damaged(_), Verdict::Damaged) => untouched(),
        (Payload::Aggregate(aggregate), Verdict::Records(expected)) => {
            assert_eq!(aggregate.len(), expected.len());
            assert_eq!(records.len(), expected.len());
            for (index, (record, expected)) in records.iter().zip(&expected).enumerate() {
                assert_eq!(record.sub_sequence_number, index as u64);
                assert_eq!(record.data, expected.data);
                assert_text(record.partition_key(), Some(&expected.partition_key));
                assert_text(record.explicit_hash_key(), expected.explicit_hash_key.as_ref());
            }
            assert_filter(&aggregate, &records);
        }
        (ours, reference) => panic!("{ours:?}, but the reference says {reference:?}"),
    }
}

fn assert_text(text: Option<&str>, bytes: Option<&Bytes>) {
    assert_eq!(text.is_some(), bytes.is_some());
    let (Some(text), Some(bytes)) = (text, bytes) else { return };
    match str::from_utf8(bytes) {
        Ok(expected) => assert_eq!(text, expected),
        Err(_) => assert!(text.contains(char::REPLACEMENT_CHARACTER)),
    }
}

/// The filter looks at each table entry once; this one at each record, and at ranges that end at a record's hash key or beside it.
fn assert_filter(aggregate: &kinesis_aggregation::Aggregate, records: &[UserRecord]) {
    let hash_keys: Vec<HashKey> = records.iter().filter_map(UserRecord::hash_key).collect();
    assert_eq!(aggregate.unknown_hash_keys(), records.len() - hash_keys.len());
    let low = hash_keys.iter().min().map_or(0, |key| key.as_u128());
    let high = hash_keys.iter().max().map_or(0, |key| key.as_u128());
    for start in [low, low.saturating_add(1), 0] {
        for end in [high, high.saturating_sub(1), u128::MAX] {
            let range = HashKeyRange::new(HashKey::new(start), HashKey::new(end));
            let expected = hash_keys.iter().all(|&key| range.contains(key));
            assert_eq!(aggregate.is_within(&range), expected, "{range}");
        }
    }
}
