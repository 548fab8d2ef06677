//! Records arrive as they were put, at the places in their receipts.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{assert_at, cloud, copies, delivered, millis, stored};
use kinesis_aggregation::deaggregate;
use kinesis_producer::{Aggregation, HashKey, Linger, Record};
use kinesis_testkit::{Cloud, Limits};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn every_record_is_where_its_receipt_says() {
    let (cloud, stream, builder) = cloud(3).await;
    let producer = builder.build().await.expect("a producer");
    let mut deliveries = Vec::new();
    for n in 0..5000 {
        let (key, data) = (format!("user-{}", n % 700), format!("{n}-{}", "x".repeat(n % 300)));
        let delivery = producer.put(Record::new(&key, &data)).await.expect("admitted");
        deliveries.push((key, data, delivery));
    }
    let mut expected = BTreeSet::new();
    let mut receipts = Vec::new();
    for (key, data, delivery) in deliveries {
        receipts.push((key, data.clone(), delivery.await.expect("written")));
        expected.insert(data.into());
    }
    let seen = delivered(&stream);
    for (key, data, receipt) in &receipts {
        assert_at(&seen, receipt, key, data.as_bytes());
        assert_eq!(receipt.attempts, 1);
    }
    assert_eq!(copies(&seen).into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(stored(&stream).len(), 5000, "nothing twice");
    assert!(stream.records().len() < 60, "{} Kinesis records", stream.records().len());
    assert!(cloud.calls("a").count("PutRecords") < 30);
    assert!(producer.close(millis(100)).await.undelivered.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lone_record_is_sent_at_once_and_unchanged() {
    let (_cloud, stream, builder) = cloud(2).await;
    let producer = builder.build().await.expect("a producer");
    for n in 0..3 {
        let start = Instant::now();
        let data = format!("lone {n}");
        producer.put(Record::new("k", &data)).await.expect("admitted").await.expect("written");
        assert!(start.elapsed() <= millis(2), "{:?}: the call takes 1 ms", start.elapsed());
        tokio::time::sleep(millis(500)).await;
    }
    let data: Vec<_> = stream.records().into_iter().map(|record| (record.partition_key, record.data)).collect();
    assert_eq!(data, ["lone 0", "lone 1", "lone 2"].map(|data| ("k".to_owned(), data.into())));
}

#[tokio::test(start_paused = true)]
async fn a_steady_trickle_makes_one_aggregate_per_linger_and_shard() {
    for linger in [Linger::from(millis(120)), Linger::FromFirstPut(millis(120))] {
        let (_cloud, stream, builder) = cloud(1).await;
        let producer = builder.linger(linger).build().await.expect("a producer");
        let start = Instant::now();
        let mut deliveries = Vec::new();
        for n in 0..100 {
            deliveries.push(producer.put(Record::new("k", &n.to_string())).await.expect("admitted"));
            tokio::time::sleep(millis(10)).await;
        }
        for delivery in deliveries {
            delivery.await.expect("written");
        }
        let most = start.elapsed().as_millis() as usize / 120 + 1;
        let count = stream.records().len();
        assert!((most - 2..=most).contains(&count), "{linger:?}: {count} Kinesis records in {:?}", start.elapsed());
    }
}

/// S177
#[tokio::test(start_paused = true)]
async fn explicit_hash_keys_at_the_ends_of_a_range_reach_the_shard_that_holds_them() {
    let (_cloud, stream, builder) = cloud(4).await;
    let producer = builder.build().await.expect("a producer");
    for split in [false, true] {
        if split {
            stream.split(2).await;
        }
        for shard in stream.open_shards() {
            let mut deliveries = Vec::new();
            for hash_key in [*shard.hash_keys.start(), *shard.hash_keys.end()] {
                let record = Record::new("same", "x").explicit_hash_key(hash_key);
                deliveries.push((hash_key, producer.put(record).await.expect("admitted")));
            }
            for (hash_key, delivery) in deliveries {
                let receipt = delivery.await.expect("written");
                let there = delivered(&stream).into_iter().find(|seen| {
                    *seen.sequence_number == *receipt.sequence_number && seen.sub_sequence == receipt.sub_sequence
                });
                let there = there.expect("delivered");
                assert_eq!((there.shard.as_str(), there.hash_key), (shard.id.as_str(), HashKey::new(hash_key)));
                assert_eq!(there.key, "same");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_aggregation_every_record_is_a_kinesis_record() {
    let (_cloud, stream, builder) = cloud(2).await;
    let producer = builder.aggregation(Aggregation::Off).build().await.expect("a producer");
    let records: Vec<_> = (0..1200).map(|n| (format!("k{n}"), format!("data {n}"))).collect();
    let failed = producer.put_all(records.iter().map(|(key, data)| Record::new(key, data))).await;
    assert!(failed.is_empty());
    let mut written: Vec<_> =
        stream.records().into_iter().map(|record| (record.partition_key, record.data.to_vec())).collect();
    let mut expected: Vec<_> = records.into_iter().map(|(key, data)| (key, data.into_bytes())).collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_an_aggregate_is_sent_alone() {
    let mut limits = Limits::default();
    limits.max_record_size_kib = 3000;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let producer = common::builder(&cloud).await.build().await.expect("a producer");
    assert_eq!(producer.max_record_bytes(), 3000 << 10);
    let large = vec![7; (3000 << 10) - 1];
    let receipt = producer.put(Record::new("k", &large)).await.expect("admitted").await.expect("written");
    assert_eq!(stream.records()[0].data, large);
    assert_eq!(receipt.sub_sequence, 0);
    let refused = producer.put(Record::new("kk", &large)).await.expect_err("one byte too many");
    assert_eq!(
        refused.to_string(),
        "the record was refused: data and partition key are 3072001 bytes, but the stream takes 3072000"
    );
    assert_eq!(refused.into_record().data(), &large);
}

#[tokio::test(start_paused = true)]
async fn keyless_records_go_where_there_is_room() {
    let (_cloud, stream, builder) = cloud(4).await;
    let producer = builder.build().await.expect("a producer");
    let data: Vec<String> = (0..4000).map(|n| format!("{n:0>1000}")).collect();
    let start = Instant::now();
    assert!(producer.put_all(data.iter().map(Record::keyless)).await.is_empty());
    assert!(start.elapsed() < Duration::from_secs(1), "4 MB in {:?}: every shard's burst is used", start.elapsed());
    let seen = delivered(&stream);
    assert_eq!(seen.len(), 4000);
    for shard in stream.open_shards() {
        let share = seen.iter().filter(|seen| seen.shard == shard.id).count();
        assert!((600..1400).contains(&share), "{share} records on {}", shard.id);
    }
}

#[tokio::test(start_paused = true)]
async fn all_shards_of_a_large_stream_are_used() {
    // S163: more than one page of ListShards.
    let (cloud, stream, builder) = cloud(1500).await;
    let producer = builder.build().await.expect("a producer");
    assert!(cloud.calls("a").count("ListShards") >= 2);
    let mut deliveries = Vec::new();
    for shard in stream.open_shards() {
        let record = Record::new("k", "x").explicit_hash_key(*shard.hash_keys.end());
        deliveries.push((shard.id, producer.put(record).await.expect("admitted")));
    }
    for (shard, delivery) in deliveries {
        assert_eq!(*delivery.await.expect("written").shard, *shard);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_named_by_its_arn() {
    let (cloud, stream, _) = cloud(2).await;
    let client = cloud.connect("a").await.kinesis;
    let producer = kinesis_producer::Producer::builder(client, stream.arn()).build().await.expect("a producer");
    producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
    assert_eq!(stored(&stream).len(), 1);
}

/// The rate of a shard is kept, so nothing is throttled (P7).
#[tokio::test(start_paused = true)]
async fn a_shard_is_never_sent_more_than_its_rate() {
    let (_cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    let data = "x".repeat(10_000);
    let start = Instant::now();
    let mut deliveries = Vec::new();
    for _ in 0..1000 {
        deliveries.push(producer.put(Record::new("k", &data)).await.expect("admitted"));
    }
    for delivery in deliveries {
        assert_eq!(delivery.await.expect("written").attempts, 1);
    }
    let seconds = start.elapsed().as_secs_f64();
    assert!((8.4..9.2).contains(&seconds), "10 MB less the burst, at 1 MiB a second: {seconds} s");
    assert_eq!(stored(&stream).len(), 1000);
}

/// S173: with the key of the previous aggregate, all aggregates would go to one shard.
#[tokio::test(start_paused = true)]
async fn each_aggregate_is_routed_by_its_own_first_record() {
    let (_cloud, stream, builder) = cloud(4).await;
    let producer = builder.build().await.expect("a producer");
    let records: Vec<(String, String)> =
        (0..4000).map(|n| (format!("key-{}", n * 7919), format!("{n:0>500}"))).collect();
    let failed = producer.put_all(records.iter().map(|(key, data)| Record::new(key, data))).await;
    assert!(failed.is_empty(), "{failed:?}");
    let mut aggregates = 0;
    for record in stream.records() {
        let first = deaggregate(record.data.clone()).next().expect("no record is empty");
        let Some(key) = &first.partition_key else { continue };
        aggregates += 1;
        let hash_key = |key: &str| HashKey::of(key).to_string();
        let outer = record.explicit_hash_key.clone().unwrap_or_else(|| hash_key(&record.partition_key));
        assert_eq!(outer, hash_key(key));
    }
    assert!(aggregates > 20, "{aggregates} aggregates");
    for shard in stream.open_shards() {
        let share = delivered(&stream).iter().filter(|seen| seen.shard == shard.id).count();
        assert!((900..1100).contains(&share), "{share} of 4000 on {}", shard.id);
    }
}

/// P2: data that is an aggregate itself, for example from a program that copies a stream, arrives as it was put. A
/// reader would deaggregate it if it were sent alone and unchanged.
#[tokio::test(start_paused = true)]
async fn data_that_is_an_aggregate_arrives_whole() {
    let (_cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    let mut receipts = Vec::new();
    for size in [10, 60_000, (1 << 20) - 400] {
        let mut aggregator = kinesis_aggregation::Aggregator::new(usize::MAX);
        assert!(aggregator.try_add("a", None, b"one") && aggregator.try_add("b", None, &vec![b'x'; size]));
        let data = aggregator.take().expect("two records").data().clone();
        let receipt = producer.put(Record::new("k", &data)).await.expect("admitted").await.expect("written");
        receipts.push((receipt, data));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let seen = delivered(&stream);
    assert_eq!(seen.len(), 3);
    for (receipt, data) in &receipts {
        assert_at(&seen, receipt, "k", data);
    }
}
