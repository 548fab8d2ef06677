//! Settings at the ends of their ranges mean "never".

use kinesis_testkit::{Fault, Lag, Limits};
use tokio::time::timeout;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_to_take_for_ever_does() {
    let mut limits = Limits::default();
    limits.token_life = Duration::MAX;
    limits.subscription_life = Duration::MAX;
    limits.subscription_heartbeat = Duration::MAX;
    limits.on_demand_window = Duration::MAX;
    let cloud = Cloud::builder().limits(limits).build();
    cloud.create_stream("clicks", 1).await.put("key", "data").await;
    let a = cloud.connect("a").await;
    let iterator = iterator(&a.kinesis, FIRST, ShardIteratorType::TrimHorizon).await;
    sleep(1_000_000).await;
    assert_eq!(a.kinesis.get_records().shard_iterator(iterator).send().await.unwrap().records.len(), 1);
    cloud.faults("a").next("PutRecord", Fault::DelayRequest(Duration::MAX));
    let put = a.kinesis.put_record().stream_name("clicks").partition_key("k").data(b"x".to_vec().into());
    assert!(timeout(Duration::from_secs(1_000_000), put.send()).await.is_err(), "it is still under way");
}

#[tokio::test(start_paused = true)]
async fn a_table_may_never_be_there() {
    let cloud = Cloud::new();
    let a = cloud.connect("a").await.dynamodb;
    cloud.dynamodb().creating(Duration::MAX);
    cloud.dynamodb().index_lag(Lag::UpTo(Duration::MAX));
    dynamodb::create_leases(&a).await;
    sleep(1_000_000_000).await;
    let status = a.describe_table().table_name("leases").send().await.unwrap().table.unwrap().table_status;
    assert_eq!(status, Some(aws_sdk_dynamodb::types::TableStatus::Creating));
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_lets_nothing_through() {
    let mut limits = Limits::default();
    limits.write_records_per_second = 0;
    let cloud = Cloud::builder().limits(limits).build();
    cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    let put = || a.put_record().stream_name("clicks").partition_key("k").data(b"x".to_vec().into()).send();
    for _ in 0..3 {
        assert_eq!(code(put().await), "ProvisionedThroughputExceededException");
    }
}
