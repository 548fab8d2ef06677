use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_sdk_kinesis::types::{HashKeyRange as ListedRange, Shard};
use kinesis_aggregation::HashKey;

use super::*;
use crate::accounts::Accounts;
use crate::contents::Plain;
use crate::delivery::Delivery;
use crate::pipeline::fixture::{accounts, at, queue};
use crate::record::Record;
use crate::stream::listing::Listing;

const HALF: u128 = 1 << 127;

/// Two shards, the lower with serial 0.
fn map() -> ShardMap {
    let shard = |id: &str, start: u128, end: u128| {
        let range = ListedRange::builder().starting_hash_key(start.to_string()).ending_hash_key(end.to_string());
        let numbers = aws_sdk_kinesis::types::SequenceNumberRange::builder().starting_sequence_number("1");
        Shard::builder()
            .shard_id(id)
            .hash_key_range(range.build().expect("both ends"))
            .sequence_number_range(numbers.build().expect("a start"))
            .build()
            .expect("all that is required")
    };
    let listing = Listing::read(&[shard("shard-0", 0, HALF - 1), shard("shard-1", HALF, u128::MAX)]).expect("whole");
    let mut serials = 0..;
    let new_queue = |_, range: kinesis_aggregation::HashKeyRange| {
        queue(serials.next().unwrap_or_default(), range.start.as_u128(), range.end.as_u128())
    };
    ShardMap::next(None, listing, at(0), Duration::ZERO, new_queue).0
}

fn aggregate(accounts: &Arc<Accounts>, hash_keys: &[u128]) -> (Batch, Vec<Delivery>) {
    let mut batch = Batch::open(accounts, Box::new(Aggregator::new(50_000)), at(3), false);
    let deliveries = hash_keys.iter().map(|hash_key| {
        let data = hash_key.to_string();
        let hash_key = HashKey::new(*hash_key);
        let route = Route::keyed("k", Some(hash_key));
        batch.try_add(&Record::new("k", &data).explicit_hash_key(hash_key), &route).expect("there is room")
    });
    let deliveries = deliveries.collect();
    (batch, deliveries)
}

fn poll(delivery: &mut Delivery) -> Option<(String, u64)> {
    match Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(receipt) => {
            let receipt = receipt.expect("written");
            Some((receipt.sequence_number.to_string(), receipt.sub_sequence))
        }
    }
}

#[test]
fn a_batch_of_one_shard_stays_as_it_is() {
    let accounts = accounts();
    let (mut batch, _deliveries) = aggregate(&accounts, &[HALF, HALF + 1]);
    let before = batch.build().entry();
    let mut parts = reroute(batch, &map());
    assert_eq!(parts.len(), 1);
    let (queue, batch) = &mut parts[0];
    assert_eq!((queue.serial(), batch.opened), (1, at(3)));
    assert_eq!(batch.build().entry(), before, "the same bytes");
}

#[test]
fn a_batch_of_two_shards_becomes_two_and_its_deliveries_follow() {
    let accounts = accounts();
    let (batch, mut deliveries) = aggregate(&accounts, &[HALF + 1, 5, HALF, 6, 7]);
    let parts = reroute(batch, &map());
    let shards: Vec<u64> = parts.iter().map(|(queue, _)| queue.serial()).collect();
    assert_eq!(shards, [0, 1]);
    for (queue, mut batch) in parts {
        assert_eq!(batch.opened, at(3), "their age counts from the first put");
        let contents = batch.build().clone();
        assert!(queue.range().covers(&contents.range().expect("routed by us")));
        for index in 0..contents.len() {
            let record = contents.owned_record(index);
            let hash_key = record.explicit_hash_key().expect("put with one");
            assert_eq!(record.data(), hash_key.to_string().as_bytes());
        }
        assert!(deliveries.iter_mut().any(|delivery| poll(delivery).is_none()));
        batch.written("shard".into(), queue.serial().to_string().into());
    }
    let ends: Vec<_> = deliveries.iter_mut().map(|delivery| poll(delivery).expect("both are written")).collect();
    let end = |number: &str, sub| (number.to_owned(), sub);
    assert_eq!(ends, [end("1", 0), end("0", 0), end("1", 1), end("0", 1), end("0", 2)]);
    assert_eq!(accounts.budget.held(), 0);
    assert!(accounts.pending.is_empty());
}

/// Q31: an aggregate is split for a service that distributes the records.
#[test]
fn if_the_service_distributes_records_an_aggregate_is_split() {
    let accounts = accounts();
    let map = ShardMap::unrouted(queue(9, 0, u128::MAX), Some(&map()));
    let (batch, mut deliveries) = aggregate(&accounts, &[5, HALF, 5]);
    let parts = reroute(batch, &map);
    assert_eq!(parts.len(), 3);
    for (n, (_, mut part)) in parts.into_iter().enumerate() {
        let contents = part.build().clone();
        assert!(matches!(contents, Contents::Plain(_)) && contents.entry().partition_key().is_some());
        part.written("shard-7".into(), n.to_string().into());
    }
    let ends: Vec<_> = deliveries.iter_mut().map(poll).collect();
    assert_eq!(ends, ["0", "1", "2"].map(|number| Some((number.to_owned(), 0))));
    assert!(accounts.pending.is_empty());
}

#[test]
fn keyless_records_are_made_anew_for_the_shard_with_room() {
    let accounts = accounts();
    let map = map();
    let (low, high) = (&map.queues()[0], &map.queues()[1]);
    let mut batch = Batch::open(&accounts, Box::new(Aggregator::new(50_000)), at(0), true);
    let mut deliveries: Vec<Delivery> = ["a", "b"]
        .map(|data| {
            let route = Route::keyless(low.range().start);
            batch.try_add(&Record::keyless(data), &route).expect("there is room")
        })
        .into();
    batch = move_to_shard(batch, high);
    let contents = batch.build().clone();
    assert!(high.range().covers(&contents.range().expect("routed by us")));
    assert_eq!(contents.owned_record(1), Record::keyless("b").to_owned());
    batch.written("shard-1".into(), "9".into());
    let ends: Vec<_> = deliveries.iter_mut().map(poll).collect();
    assert_eq!(ends, [Some(("9".to_owned(), 0)), Some(("9".to_owned(), 1))]);

    let plain =
        Plain { partition_key: None, explicit_hash_key: None, keyless_to: Some(low.range().start), data: "c".into() };
    let mut moved = move_to_shard(Batch::plain(&accounts, plain, at(0), true), high);
    let entry = moved.build().entry();
    assert_eq!(entry.explicit_hash_key(), Some(HALF.to_string().as_str()));
    assert_eq!(entry.partition_key(), Some("a"));
}
