//! Rates of the control plane.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::{MetricsName, ScalingType};
use kinesis_testkit::{Cloud, Limits, Stream};

use crate::{FIRST, code, refusal, sleep, without_retries};

/// Calls without latency: the clock moves only where the test says so.
async fn still(limits: Limits) -> (Cloud, Stream, Client) {
    let cloud = Cloud::builder().limits(limits).latency(Duration::ZERO).build();
    let stream = cloud.create_stream("clicks", 2).await;
    let a = without_retries(&cloud.connect("a").await);
    (cloud, stream, a)
}

/// How many calls in a row are let in, whatever else becomes of them.
async fn admitted<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    call: impl AsyncFn() -> Result<T, SdkError<E>>,
) -> u32 {
    let mut n = 0;
    loop {
        let result = call().await;
        if result.is_err() {
            let (code, message) = refusal(result);
            if code == "LimitExceededException" && message.starts_with("Rate exceeded") {
                return n;
            }
        }
        n += 1;
        assert!(n <= 2000, "no rate");
    }
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_its_rate() {
    let (_cloud, stream, a) = still(Limits::default()).await;
    let arn = stream.arn();
    assert_eq!(admitted(async || a.create_stream().stream_name("no name").shard_count(1).send().await).await, 5);
    assert_eq!(admitted(async || a.delete_stream().stream_name("nobody").send().await).await, 5);
    assert_eq!(admitted(async || a.list_streams().send().await).await, 5);
    assert_eq!(admitted(async || a.describe_stream().stream_name("clicks").send().await).await, 10);
    assert_eq!(admitted(async || a.describe_stream_summary().stream_arn(&arn).send().await).await, 20);
    assert_eq!(admitted(async || a.describe_limits().send().await).await, 1);
    assert_eq!(admitted(async || a.describe_account_settings().send().await).await, 5);
    assert_eq!(admitted(async || a.list_shards().stream_name("clicks").send().await).await, 1000);
    let split =
        async || a.split_shard().stream_name("clicks").shard_to_split("x").new_starting_hash_key("7").send().await;
    assert_eq!(admitted(split).await, 5);
    let merge = async || {
        a.merge_shards().stream_name("clicks").shard_to_merge(FIRST).adjacent_shard_to_merge(FIRST).send().await
    };
    assert_eq!(admitted(merge).await, 5);
    let longer = async || a.increase_stream_retention_period().stream_arn(&arn).retention_period_hours(48).send().await;
    assert_eq!(admitted(longer).await, 5);
    let shorter =
        async || a.decrease_stream_retention_period().stream_arn(&arn).retention_period_hours(48).send().await;
    assert_eq!(admitted(shorter).await, 5);
    assert_eq!(admitted(async || a.add_tags_to_stream().stream_name("clicks").tags("k", "v").send().await).await, 5);
    assert_eq!(
        admitted(async || a.remove_tags_from_stream().stream_name("clicks").tag_keys("k").send().await).await,
        5
    );
    assert_eq!(admitted(async || a.list_tags_for_stream().stream_name("clicks").send().await).await, 5);
    assert_eq!(admitted(async || a.put_resource_policy().resource_arn(&arn).policy("{}").send().await).await, 5);
    assert_eq!(admitted(async || a.get_resource_policy().resource_arn(&arn).send().await).await, 5);
    assert_eq!(admitted(async || a.delete_resource_policy().resource_arn(&arn).send().await).await, 5);
    let all = MetricsName::All;
    let enable = async || a.enable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(all.clone()).send().await;
    assert_eq!(admitted(enable).await, 5);
    let disable =
        async || a.disable_enhanced_monitoring().stream_arn(&arn).shard_level_metrics(all.clone()).send().await;
    assert_eq!(admitted(disable).await, 5);
    let count = async || {
        a.update_shard_count()
            .stream_arn(&arn)
            .target_shard_count(9)
            .scaling_type(ScalingType::UniformScaling)
            .send()
            .await
    };
    assert_eq!(admitted(count).await, 10);
    assert_eq!(admitted(async || a.update_account_settings().send().await).await, 5);
    let warm = async || a.update_stream_warm_throughput().stream_arn(&arn).warm_throughput_mibps(1).send().await;
    assert_eq!(admitted(warm).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_second_later_the_next_are_let_in() {
    let (_cloud, _stream, a) = still(Limits::default()).await;
    assert_eq!(admitted(async || a.list_streams().send().await).await, 5);
    sleep(199).await;
    let (code_, message) = refusal(a.list_streams().send().await);
    assert_eq!((code_.as_str(), message.as_str()), ("LimitExceededException", "Rate exceeded."));
    sleep(1).await;
    a.list_streams().send().await.unwrap();
    sleep(60_000).await;
    assert_eq!(admitted(async || a.list_streams().send().await).await, 5);
}

#[tokio::test(start_paused = true)]
async fn some_rates_are_the_stream_s_and_some_the_account_s() {
    let (cloud, _stream, a) = still(Limits::default()).await;
    cloud.create_stream("other", 1).await;
    let tags = |name: &str| a.list_tags_for_stream().stream_name(name).send();
    assert_eq!(admitted(async || tags("clicks").await).await, 5);
    let (_, message) = refusal(tags("clicks").await);
    assert_eq!(message, "Rate exceeded for stream clicks under account 123456789012.");
    assert_eq!(admitted(async || tags("other").await).await, 5);
    assert_eq!(code(tags("nobody").await), "ResourceNotFoundException");

    let describe = |name: &str| a.describe_stream().stream_name(name).send();
    assert_eq!(admitted(async || describe("clicks").await).await, 10);
    let (_, message) = refusal(describe("other").await);
    assert_eq!(message, "Rate exceeded for stream other under account 123456789012.");
}

#[tokio::test(start_paused = true)]
async fn a_listing_by_token_counts_as_its_stream_s() {
    let mut limits = Limits::default();
    limits.control_calls_per_second.insert("ListShards".to_owned(), 2);
    let (_cloud, _stream, a) = still(limits).await;
    let first = a.list_shards().stream_name("clicks").max_results(1).send().await.unwrap();
    let next = || a.list_shards().set_next_token(first.next_token.clone()).send();
    next().await.unwrap();
    assert_eq!(code(next().await), "LimitExceededException");
    sleep(500).await;
    next().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_test_s_own_helpers_and_a_cloud_without_rates_know_none() {
    let (cloud, stream, _a) = still(Limits::default()).await;
    for n in 0..20 {
        cloud.create_stream(&format!("stream-{n}"), 1).await;
    }
    for _ in 0..6 {
        stream.split(0).await;
        stream.merge(0, 1).await;
    }
    let (_cloud, _stream, a) = still(Limits::without_rates()).await;
    for _ in 0..100 {
        a.list_streams().send().await.unwrap();
        a.describe_stream().stream_name("clicks").send().await.unwrap();
    }
}
