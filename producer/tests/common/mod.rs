//! What all tests share: a cloud, and two readers of the stream.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part, and none is a crate that others use")]

pub mod between;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kinesis_aggregation::{HashKey, Payload, deaggregate};
use kinesis_producer::{Builder, Producer, Receipt};
use kinesis_testkit::{Cloud, Stream};

/// A user record in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub shard: String,
    pub sequence_number: String,
    pub sub_sequence: u64,
    pub key: String,
    pub data: Bytes,
    pub hash_key: HashKey,
}

/// A cloud with a stream of this many shards, and a producer's builder.
pub async fn cloud(shards: i32) -> (Cloud, Stream, Builder) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", shards).await;
    let builder = builder(&cloud).await;
    (cloud, stream, builder)
}

/// A producer's builder at worker "a".
pub async fn builder(cloud: &Cloud) -> Builder {
    Producer::builder(cloud.connect("a").await.kinesis, "clicks").seed(7)
}

/// The records that a reader without a filter sees.
pub fn stored(stream: &Stream) -> Vec<Seen> {
    read(stream, false)
}

/// The records that a consumer with a hash-key filter delivers. It drops an aggregate with any record outside its
/// shard's range.
pub fn delivered(stream: &Stream) -> Vec<Seen> {
    read(stream, true)
}

fn read(stream: &Stream, filter: bool) -> Vec<Seen> {
    let ranges: BTreeMap<String, _> = stream.shards().into_iter().map(|shard| (shard.id, shard.hash_keys)).collect();
    let mut seen = Vec::new();
    for record in stream.records() {
        assert!(!matches!(Payload::parse(&record.data), Payload::Damaged(_)));
        let users: Vec<Seen> = deaggregate(record.data.clone())
            .map(|user| {
                let key = user.partition_key.as_deref().unwrap_or(&record.partition_key).to_owned();
                let outer = || match &record.explicit_hash_key {
                    Some(text) => text.parse().expect("a hash key"),
                    None => HashKey::of(&key),
                };
                let hash_key =
                    if user.partition_key.is_some() { user.hash_key().expect("a hash key") } else { outer() };
                Seen {
                    shard: record.shard_id.clone(),
                    sequence_number: record.sequence_number.clone(),
                    sub_sequence: user.sub_sequence_number,
                    key,
                    data: user.data,
                    hash_key,
                }
            })
            .collect();
        if !filter || users.iter().all(|user| ranges[&user.shard].contains(&user.hash_key.as_u128())) {
            seen.extend(users);
        }
    }
    seen
}

/// P2: exactly this record is where the receipt says, and a filtering consumer delivers it there.
pub fn assert_at(seen: &[Seen], receipt: &Receipt, key: &str, data: &[u8]) {
    let place = |seen: &Seen| (seen.shard.clone(), seen.sequence_number.clone(), seen.sub_sequence);
    let wanted = (receipt.shard.to_string(), receipt.sequence_number.to_string(), receipt.sub_sequence);
    // In the stream's order: by shard, then by sequence number.
    let found =
        seen.binary_search_by_key(&wanted, place).unwrap_or_else(|_| panic!("nothing delivered at {receipt:?}"));
    assert_eq!((seen[found].key.as_str(), &seen[found].data[..]), (key, data), "at {receipt:?}");
}

/// How often each payload occurs.
pub fn copies(seen: &[Seen]) -> BTreeMap<Bytes, usize> {
    let mut copies = BTreeMap::new();
    for seen in seen {
        *copies.entry(seen.data.clone()).or_default() += 1;
    }
    copies
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
