//! Unusual streams: the service distributes the records, or splits the shards by itself.

mod common;

use std::time::Duration;

use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamMode, StreamModeDetails};
use common::{assert_at, builder, copies, delivered, millis, stored};
use kinesis_producer::{Linger, Record};
use kinesis_testkit::{Cloud, Fault, Limits, Stream};

#[tokio::test(start_paused = true)]
async fn if_the_service_distributes_records_none_is_aggregated() {
    let cloud = Cloud::new();
    let stream = on_demand(&cloud).await;
    let update = cloud.outside().kinesis.update_stream_record_distribution_strategy().stream_arn(stream.arn());
    update.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await.expect("an on-demand stream");

    let producer = builder(&cloud).await.build().await.expect("a producer");
    let mut deliveries = Vec::new();
    for n in 0..200 {
        deliveries.push((n, producer.put(Record::new("one key for all", &n.to_string())).await.expect("admitted")));
    }
    for (n, delivery) in deliveries {
        let receipt = delivery.await.expect("written");
        let at = |record: &&kinesis_testkit::Record| record.sequence_number == receipt.sequence_number.to_string();
        let record = stream.records().iter().find(at).cloned().expect("there");
        assert_eq!((record.data, record.shard_id), (n.to_string().into(), receipt.shard.to_string()));
        assert_eq!(receipt.attempts, 1, "no shard is wrong");
    }
    assert_eq!(stream.records().len(), 200);
    let shards: std::collections::BTreeSet<_> = stream.records().into_iter().map(|record| record.shard_id).collect();
    assert!(shards.len() > 1, "one key, and still more than one shard: {shards:?}");
}

/// A fleet starts at one moment: the service describes 20 streams a second for the whole account.
#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_what_it_is_until_it_answers() {
    for fault in [Fault::Throttle, Fault::ServerError] {
        let cloud = Cloud::new();
        let stream = on_demand(&cloud).await;
        let update = cloud.outside().kinesis.update_stream_record_distribution_strategy().stream_arn(stream.arn());
        update
            .record_distribution_strategy(RecordDistributionStrategy::Auto)
            .send()
            .await
            .expect("an on-demand stream");
        cloud.faults("a").next_n("DescribeStreamSummary", 10, fault);
        let producer = builder(&cloud).await.build().await.expect("a producer");
        let mut deliveries = Vec::new();
        for n in 0..10 {
            deliveries.push(producer.put(Record::new("k", &n.to_string())).await.expect("admitted"));
        }
        for delivery in deliveries {
            delivery.await.expect("written");
        }
        assert_eq!(stream.records().len(), 10, "nothing is aggregated where the service distributes the records");
    }
}

/// Q31: the stream is switched to AUTO while the producer runs. Waiting aggregates are split, and later records are
/// sent one by one. Nothing is lost, and copies are few.
#[tokio::test(start_paused = true)]
async fn a_stream_switched_to_auto_gets_single_records() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 64).await;
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("all is set");
    let update = cloud.outside().kinesis.update_stream_mode().stream_arn(stream.arn()).stream_mode_details(mode);
    update.send().await.expect("a new mode");
    tokio::time::sleep(millis(3000)).await;
    let producer = builder(&cloud).await.build().await.expect("a producer");
    producer.put(Record::new("k", "before")).await.expect("admitted").await.expect("written");
    set_distribution(&cloud, &stream, RecordDistributionStrategy::Auto).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let mut deliveries = Vec::new();
    for n in 0..6400 {
        let key = format!("user-{n}");
        deliveries.push(producer.put(Record::new(&key, &n.to_string())).await.expect("admitted"));
        if n % 64 == 0 {
            tokio::time::sleep(millis(10)).await;
        }
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    let seen = copies(&stored(&stream));
    assert_eq!(seen.len(), 6401);
    let (most, all) = (seen.values().max().copied().unwrap_or_default(), seen.values().sum::<usize>());
    assert!(most <= 6 && all < 3 * 6401, "most {most}, in all {all}");
    assert!(cloud.calls("a").count("DescribeStreamSummary") <= 6);

    // Back again: aggregates, each on its shard.
    set_distribution(&cloud, &stream, RecordDistributionStrategy::UserPartitionKey).await;
    tokio::time::sleep(Duration::from_secs(340)).await;
    producer.put(Record::new("k", "wakes it")).await.expect("admitted").await.expect("written");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = stream.records().len();
    let batch: Vec<_> =
        (0..500).map(|n| producer.try_put(Record::new("one", &n.to_string())).expect("admitted")).collect();
    for delivery in batch {
        delivery.await.expect("written");
    }
    assert!(stream.records().len() - before < 10, "they share Kinesis records again");
}

/// Q31: a stream's maximum record size is raised while the producer runs. A producer in use asks every five minutes.
#[tokio::test(start_paused = true)]
async fn a_larger_record_size_is_noticed() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let producer = builder(&cloud).await.build().await.expect("a producer");
    assert_eq!(producer.max_record_bytes(), 1 << 20);
    let update = cloud.outside().kinesis.update_max_record_size().stream_arn(stream.arn()).max_record_size_in_kib(2048);
    update.send().await.expect("a larger size");
    let large = vec![b'x'; 3 << 19];
    producer.put(Record::new("k", &large)).await.expect_err("more than is known to be taken");
    tokio::time::sleep(Duration::from_secs(340)).await;
    // Too large for the known limit, but a reason to ask.
    producer.put(Record::new("k", &large)).await.expect_err("more than is known to be taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(producer.max_record_bytes(), 2 << 20);
    producer.put(Record::new("k", &large)).await.expect("admitted").await.expect("written");
}

/// Q31: a stream's maximum record size is lowered while the producer runs. The service rejects the larger aggregate,
/// and accepts each of its records.
#[tokio::test(start_paused = true)]
async fn an_aggregate_above_a_lowered_record_size_is_divided() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let set_size = |kib| {
        cloud.outside().kinesis.update_max_record_size().stream_arn(stream.arn()).max_record_size_in_kib(kib).send()
    };
    set_size(4096).await.expect("a larger size");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let builder = builder(&cloud).await.max_aggregate_bytes(3 << 20).max_buffered_bytes(200 << 20);
    let producer = builder.linger(Linger::FromFirstPut(Duration::from_secs(1))).build().await.expect("a producer");
    set_size(1024).await.expect("a smaller size");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut deliveries = Vec::new();
    for n in 0..25_u32 {
        let mut data = vec![b'x'; 100_000];
        data[..4].copy_from_slice(&n.to_be_bytes());
        let (key, hash_key) = (format!("k{n}"), u128::from(n) << 100);
        let record = Record::new(&key, &data).explicit_hash_key(hash_key);
        deliveries.push((producer.put(record).await.expect("admitted"), key.clone(), data.clone()));
    }
    let mut receipts = Vec::new();
    for (delivery, key, data) in deliveries {
        receipts.push((delivery.await.expect("each is small enough"), key, data));
    }
    let seen = delivered(&stream);
    for (receipt, key, data) in &receipts {
        assert_at(&seen, receipt, key, data);
        assert_eq!(receipt.attempts, 2);
    }
    assert_eq!(stored(&stream).len(), 25);
    assert!(stream.records().len() <= 4, "still aggregated");
    // A record that is itself too large is refused and returned.
    let large = vec![b'x'; 2 << 20];
    let (with, large) = (producer.put(Record::new("k", "with")).await, producer.put(Record::new("k", &large)).await);
    with.expect("admitted").await.expect("written");
    if let Ok(delivery) = large {
        assert!(!delivery.await.expect_err("too large").is_retryable());
    }
}

async fn set_distribution(cloud: &Cloud, stream: &Stream, strategy: RecordDistributionStrategy) {
    let update = cloud.outside().kinesis.update_stream_record_distribution_strategy().stream_arn(stream.arn());
    update.record_distribution_strategy(strategy).send().await.expect("an on-demand stream");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_splits_by_itself_under_load_loses_nothing() {
    let mut limits = Limits::default();
    limits.on_demand_window = Duration::from_secs(5);
    let cloud = Cloud::builder().limits(limits).build();
    let stream = on_demand(&cloud).await;
    let before = stream.open_shards().len();
    let producer = builder(&cloud).await.build().await.expect("a producer");
    let data = vec![b'x'; 20_000];
    let mut deliveries = Vec::new();
    for n in 0..3_000_u32 {
        let mut data = data.clone();
        data[..4].copy_from_slice(&n.to_be_bytes());
        deliveries.push(producer.put(Record::new(&format!("user-{n}"), &data)).await.expect("admitted"));
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
    assert!(stream.open_shards().len() > before, "it was to split");
    let copies = copies(&delivered(&stream));
    assert_eq!(copies.len(), 3_000);
}

async fn on_demand(cloud: &Cloud) -> Stream {
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("all is set");
    let create = cloud.outside().kinesis.create_stream().stream_name("clicks").stream_mode_details(mode);
    create.send().await.expect("a new stream");
    tokio::time::sleep(millis(1000)).await;
    cloud.stream("clicks")
}
