//! Splits and merges while records are in flight. A consumer that filters by hash-key range must miss nothing.

mod common;

use std::time::Duration;

use common::{Seen, assert_at, cloud, copies, delivered, millis, stored};
use kinesis_producer::{Aggregation, Delivery, Producer, Record};
use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Stream};

/// Puts a record each 5 ms while `meanwhile` runs and a second longer.
async fn put_while(producer: &Producer, meanwhile: impl Future<Output = ()>) -> Vec<(String, String, Delivery)> {
    let mut deliveries = Vec::new();
    let mut left = 200;
    let mut n = 0;
    tokio::pin!(meanwhile);
    let mut done = false;
    while left > 0 {
        for _ in 0..10 {
            let (key, data) = (format!("k{n}"), format!("{n}"));
            let delivery = producer.put(Record::new(&key, &data)).await.expect("admitted");
            deliveries.push((key, data, delivery));
            n += 1;
        }
        tokio::select! {
            biased;
            () = &mut meanwhile, if !done => done = true,
            () = tokio::time::sleep(millis(5)) => left -= usize::from(done),
        }
    }
    deliveries
}

/// P2 and P4 of a run without ambiguous attempts.
async fn audit(stream: &Stream, deliveries: Vec<(String, String, Delivery)>) -> Vec<Seen> {
    let mut receipts = Vec::new();
    for (key, data, delivery) in deliveries {
        receipts.push((key, data, delivery.await.expect("written")));
    }
    let seen = delivered(stream);
    for (key, data, receipt) in &receipts {
        assert_at(&seen, receipt, key, data.as_bytes());
    }
    let filtered = copies(&seen);
    assert_eq!(filtered.len(), receipts.len(), "every record reaches a filtering consumer");
    assert!(filtered.values().all(|copies| *copies == 1), "and once only: the misrouted copies are dropped");
    let all = copies(&stored(stream));
    for (_, data, receipt) in &receipts {
        assert!(all[data.as_bytes()] <= receipt.attempts as usize, "P4: {data} {receipt:?}");
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_split_loses_nothing() {
    let (cloud, stream, builder) = cloud(2).await;
    let producer = builder.build().await.expect("a producer");
    let deliveries = put_while(&producer, async {
        tokio::time::sleep(millis(500)).await;
        stream.split(0).await;
        tokio::time::sleep(millis(1500)).await;
        stream.split(1).await;
    })
    .await;
    let seen = audit(&stream, deliveries).await;
    for shard in stream.shards() {
        assert!(seen.iter().any(|seen| seen.shard == shard.id), "nothing on {}", shard.id);
    }
    // Once at the start, and once or a little more per split.
    assert!((3..8).contains(&cloud.calls("a").count("ListShards")), "{}", cloud.calls("a").count("ListShards"));
}

#[tokio::test(start_paused = true)]
async fn a_merge_loses_nothing() {
    let (_cloud, stream, builder) = cloud(3).await;
    let producer = builder.build().await.expect("a producer");
    let deliveries = put_while(&producer, async {
        tokio::time::sleep(millis(500)).await;
        stream.merge(0, 1).await;
    })
    .await;
    let stored = stored(&stream).len();
    let seen = audit(&stream, deliveries).await;
    assert!(stored <= seen.len(), "the child holds all that was for its parents: nothing is written twice");
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_splits_loses_nothing() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    // The map cannot be refreshed for a while, so every answer is judged by an old one.
    cloud.faults("a").next_n("ListShards", 3, Fault::Unavailable);
    let deliveries = put_while(&producer, async {
        for round in 0..3 {
            for shard in (0..1 << round).rev() {
                stream.split(shard).await;
            }
        }
    })
    .await;
    assert_eq!(stream.open_shards().len(), 8);
    audit(&stream, deliveries).await;
}

/// Aggregates for a parent are throttled until it is closed. They are split for the children, and each delivery follows
/// its record.
#[tokio::test(start_paused = true)]
async fn waiting_aggregates_are_rebuilt_when_their_shard_is_split() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    let parent = stream.open_shards()[0].id.clone();
    cloud.faults("a").always_for("PutRecords", Fault::FailEntries(Entries::OnShard(parent), EntryError::Throttled));
    let mut deliveries = Vec::new();
    for n in 0..200 {
        let (key, data) = (format!("k{n}"), format!("{n}"));
        let delivery = producer.put(Record::new(&key, &data)).await.expect("admitted");
        deliveries.push((key, data, delivery));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stream.records().is_empty());
    stream.split(0).await;
    let seen = audit(&stream, deliveries).await;
    assert_eq!(seen.len(), 200);
    assert!(stream.records().len() >= 2);
}

/// A single record cannot be on the wrong shard, so it is not written twice.
#[tokio::test(start_paused = true)]
async fn single_records_are_not_sent_again_for_another_shard() {
    let (_cloud, stream, builder) = cloud(1).await;
    let producer = builder.aggregation(Aggregation::Off).build().await.expect("a producer");
    stream.split(0).await;
    let deliveries = put_while(&producer, std::future::ready(())).await;
    for (_, _, delivery) in deliveries {
        assert_eq!(delivery.await.expect("written").attempts, 1);
    }
    assert!(copies(&stored(&stream)).values().all(|copies| *copies == 1));
}

/// Written on a shard that no listing names: the record is neither delivered nor sent again. It waits, and its outcome
/// is unknown.
#[tokio::test(start_paused = true)]
async fn an_aggregate_on_a_shard_that_is_never_listed_ends_unknown() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(Duration::from_secs(5)).build().await.expect("a producer");
    stream.split(0).await;
    cloud.faults("a").always_for("ListShards", Fault::Unavailable);
    // Two records of one half. The service writes them to the child that holds both.
    let mut deliveries = Vec::new();
    for hash_key in [1u128, 2] {
        let record = Record::new("k", "x").explicit_hash_key(hash_key);
        deliveries.push(producer.put(record).await.expect("admitted"));
    }
    for delivery in deliveries {
        let error = delivery.await.expect_err("not known");
        assert_eq!(error.outcome(), kinesis_producer::Outcome::Unknown);
        assert_eq!(error.attempts().last().map(|attempt| &*attempt.code), Some("UnknownShard"));
    }
    assert_eq!(stored(&stream).len(), 2, "sent once");
    assert_eq!(producer.buffered_bytes(), 0);

    // When the listing works again, such a record is written.
    cloud.faults("a").heal();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut deliveries = Vec::new();
    for hash_key in [1u128, 2] {
        let record = Record::new("k", "y").explicit_hash_key(hash_key);
        deliveries.push(producer.put(record).await.expect("admitted"));
    }
    for delivery in deliveries {
        assert_eq!(delivery.await.expect("written").attempts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_deleted_and_made_again_is_found_again() {
    let (cloud, stream, builder): (Cloud, Stream, _) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleted");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Its first shard has the old one's name. Until a record lands on another shard, nothing distinguishes the streams.
    cloud.create_stream("clicks", 4).await;
    for (_, _, delivery) in put_while(&producer, std::future::ready(())).await {
        delivery.await.expect("written");
    }
    let seen = delivered(&stream).len();
    let deliveries = put_while(&producer, std::future::ready(())).await;
    let count = deliveries.len();
    for (_, _, delivery) in deliveries {
        assert_eq!(delivery.await.expect("written").attempts, 1);
    }
    assert_eq!(delivered(&stream).len(), seen + count);
}

/// The stream is deleted and created again with other shards while the producer runs. Waiting records are then written,
/// and later records go where they belong.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_made_again_with_other_shards_is_learnt() {
    for (before, after) in [(4, 2), (1, 4), (2, 8), (3, 3)] {
        let (cloud, _stream, builder) = cloud(before).await;
        let producer = builder.build().await.expect("a producer");
        producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
        cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleted");
        let mut deliveries = Vec::new();
        for n in 0..50 {
            deliveries
                .push(producer.put(Record::new(&format!("k{n}"), &format!("waits {n}"))).await.expect("admitted"));
        }
        tokio::time::sleep(millis(3000)).await;
        let stream = cloud.create_stream("clicks", after).await;
        for delivery in deliveries {
            delivery.await.expect("written when the stream is there");
        }
        tokio::time::sleep(millis(5000)).await;
        let mut receipts = Vec::new();
        for n in 0..200 {
            let (key, data) = (format!("k{n}"), format!("late {n}"));
            receipts.push((producer.put(Record::new(&key, &data)).await.expect("admitted"), key, data));
        }
        let mut at = Vec::new();
        for (delivery, key, data) in receipts {
            at.push((delivery.await.expect("written"), key, data));
        }
        let seen = delivered(&stream);
        at.iter().for_each(|(receipt, key, data)| assert_at(&seen, receipt, key, data.as_bytes()));
    }
}

/// The same while nothing is put, so no refusal shows it. The creation time does, when the producer is used again.
#[tokio::test(start_paused = true)]
async fn a_stream_that_was_made_again_in_a_pause_is_learnt() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleted");
    tokio::time::sleep(millis(3000)).await;
    let stream = cloud.create_stream("clicks", 4).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    // Its first shard has the old one's name, and each aggregate begins with a record for that shard.
    for round in 0..2 {
        let records: Vec<_> = (0..8u128).map(|n| (n << 125, format!("{round} {n}"))).collect();
        let put = |(hash_key, data): &(u128, String)| {
            producer.try_put(Record::new("k", data).explicit_hash_key(*hash_key)).expect("admitted")
        };
        let deliveries: Vec<_> = records.iter().map(put).collect();
        for delivery in deliveries {
            delivery.await.expect("written");
        }
        tokio::time::sleep(millis(5000)).await;
    }
    let seen = copies(&delivered(&stream));
    assert!((0..8).all(|n| seen.contains_key(format!("1 {n}").as_bytes())), "{seen:?}");
}
