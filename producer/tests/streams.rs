//! Streams that are not the usual kind: the service distributes the records, or splits the shards by itself.

mod common;

use std::time::Duration;

use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamMode, StreamModeDetails};
use common::{builder, copies, delivered, millis};
use kinesis_producer::Record;
use kinesis_testkit::{Cloud, Fault, Limits, Stream};

#[tokio::test(start_paused = true)]
async fn where_the_service_distributes_the_records_none_are_aggregated_and_all_arrive_once() {
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

/// A fleet starts in one moment: the service describes 20 streams a second for the whole account.
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
        cloud.faults("a").next_n("DescribeStreamSummary", 20, fault);
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
