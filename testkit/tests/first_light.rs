//! One record through the cloud, in paused time.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Outcome};

#[tokio::test(start_paused = true)]
async fn a_record_goes_in_and_comes_out() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let a = cloud.connect("a").await;
    let put = a.kinesis.put_record().stream_name("clicks").partition_key("user-7").data(Blob::new("hello"));
    let put = put.send().await.unwrap();
    assert_eq!(stream.records()[0].sequence_number, put.sequence_number);

    let iterator = a.kinesis.get_shard_iterator().stream_name("clicks").shard_id(&put.shard_id);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap().shard_iterator;
    let answer = a.kinesis.get_records().shard_iterator(iterator.unwrap()).send().await.unwrap();
    assert_eq!(answer.records[0].data.as_ref(), b"hello");
    assert_eq!(answer.millis_behind_latest, Some(0));

    let children = stream.split(0).await;
    assert_eq!(stream.open_shards().len(), 3);
    assert_eq!(stream.merge(&*children[0], &*children[1]).await, "shardId-000000000004");
    let calls = cloud.calls("a");
    assert_eq!(calls.count("PutRecord"), 1);
    assert!(calls.iter().all(|call| call.outcome == Outcome::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_lets_nothing_through() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let a = cloud.connect("a").await;
    a.kinesis.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    cloud.faults("a").black_hole();
    let call = a.kinesis.describe_stream_summary().stream_name("clicks").send();
    assert!(tokio::time::timeout(Duration::from_secs(3600), call).await.is_err());
    cloud.faults("a").heal();
    a.kinesis.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    assert_eq!(cloud.calls("a").iter().nth(1).unwrap().outcome, Outcome::GivenUp);
}

#[tokio::test(start_paused = true)]
async fn dynamodb_is_there() {
    let cloud = Cloud::new();
    let a = cloud.connect("a").await;
    let error = a.dynamodb.describe_table().table_name("leases").send().await.unwrap_err().into_service_error();
    assert!(error.is_resource_not_found_exception());
}
