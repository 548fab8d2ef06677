//! On-demand streams: their capacity, how they split by themselves, and the way from one mode to the other.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, StreamDescriptionSummary, StreamMode, StreamModeDetails, StreamStatus};
use kinesis_testkit::{Cloud, Limits, Stream};

use crate::{clicks, code, entry, refusal, sleep, without_retries};

fn details(mode: StreamMode) -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(mode).build().expect("a mode")
}

/// A cloud with the on-demand stream "clicks".
pub(crate) async fn on_demand(limits: Limits) -> (Cloud, Stream, Client) {
    let cloud = Cloud::builder().limits(limits).latency(Duration::ZERO).build();
    let a = without_retries(&cloud.connect("a").await);
    let stream = cloud.create_on_demand_stream("clicks").await;
    (cloud, stream, a)
}

async fn summary(a: &Client) -> StreamDescriptionSummary {
    let answer = a.describe_stream_summary().stream_name("clicks").send().await.expect("the stream");
    answer.stream_description_summary.expect("a summary")
}

async fn switch(a: &Client, arn: &str, mode: StreamMode) -> Result<(), String> {
    let call = a.update_stream_mode().stream_arn(arn).stream_mode_details(details(mode)).send().await;
    if call.is_ok() { Ok(()) } else { Err(code(call)) }
}

/// Puts `n` records of `size` bytes at once into the shard that holds `hash_key`; returns how many were throttled.
async fn load(a: &Client, hash_key: u128, n: usize, size: usize) -> i32 {
    let mut record = entry("k", vec![b'x'; size - 1]);
    record.explicit_hash_key = Some(hash_key.to_string());
    let call = a.put_records().stream_name("clicks").set_records(Some(vec![record; n]));
    call.send().await.expect("an answer").failed_record_count.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_takes_four_mib_and_4000_records_a_second() {
    let (_cloud, stream, a) = on_demand(Limits::default()).await;
    let shards = stream.open_shards();
    assert_eq!(shards.len(), 4);
    for shard in &shards {
        let key = *shard.hash_keys.start();
        assert_eq!(load(&a, key, 500, 10).await + load(&a, key, 500, 10).await, 0);
        assert_eq!(load(&a, key, 1, 10).await, 1);
    }
    sleep(1000).await;
    for shard in &shards {
        assert_eq!(load(&a, *shard.hash_keys.start(), 2, 1 << 19).await, 0);
        assert_eq!(load(&a, *shard.hash_keys.start(), 1, 10).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_half_of_what_it_takes_is_split() {
    let mut limits = Limits::default();
    limits.on_demand_window = Duration::from_secs(5);
    let (_cloud, stream, a) = on_demand(limits).await;
    let [quiet, bytes, records, _] = [0, 1, 2, 3].map(|i| *stream.open_shards()[i].hash_keys.start());
    // The window began with the stream: its first second is half gone.
    sleep(200).await;
    for second in 0..5 {
        // One record more than the mark, in each of two shards, and just the mark in a third.
        let extra = usize::from(second == 0);
        assert_eq!(load(&a, quiet, 4, 125_000).await, 0);
        assert_eq!(load(&a, bytes, 4, 125_000).await + load(&a, bytes, extra.max(1), 1 + 9 * extra).await, 0);
        assert_eq!(load(&a, records, 500, 10).await + load(&a, records, extra.max(1), 10).await, 0);
        sleep(if second == 4 { 499 } else { 1000 }).await;
    }
    assert_eq!(summary(&a).await.stream_status, StreamStatus::Active);
    sleep(1).await;
    let during = summary(&a).await;
    assert_eq!((during.stream_status, during.open_shard_count), (StreamStatus::Updating, 4));
    sleep(600).await;
    let after = summary(&a).await;
    assert_eq!((after.stream_status, after.open_shard_count), (StreamStatus::Active, 6));
    let shards = stream.shards();
    let parents: Vec<_> = shards[4..].iter().map(|shard| shard.parents[0].as_str()).collect();
    assert_eq!(parents, [shards[1].id.as_str(), &shards[1].id, &shards[2].id, &shards[2].id]);
    assert!(shards[0].open && shards[3].open);
    let size = |i: usize| shards[i].hash_keys.end() - shards[i].hash_keys.start();
    assert_eq!(size(4), size(5), "split evenly");

    // Without traffic nothing more happens, however long.
    sleep(3_600_000).await;
    assert_eq!(summary(&a).await.open_shard_count, 6);
}

#[tokio::test(start_paused = true)]
async fn a_provisioned_stream_never_splits_by_itself() {
    let mut limits = Limits::default();
    limits.on_demand_window = Duration::from_secs(1);
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = without_retries(&cloud.connect("a").await);
    for _ in 0..5 {
        load(&a, 0, 500, 1500).await;
        sleep(1000).await;
    }
    assert_eq!((stream.shards().len(), summary(&a).await.stream_status), (1, StreamStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn the_mode_can_be_switched_twice_a_day_and_the_shards_stay() {
    let (_cloud, stream, a) = clicks(2).await;
    let arn = stream.arn();
    let split = async || {
        let call = a.update_shard_count().stream_name("clicks").target_shard_count(3);
        call.scaling_type(ScalingType::UniformScaling).send().await
    };
    assert_eq!(summary(&a).await.record_distribution_strategy, None);
    switch(&a, &arn, StreamMode::OnDemand).await.unwrap();
    assert_eq!(summary(&a).await.stream_status, StreamStatus::Updating);
    assert_eq!(switch(&a, &arn, StreamMode::Provisioned).await, Err("ResourceInUseException".to_owned()));
    sleep(300).await;
    let active = summary(&a).await;
    assert_eq!(active.stream_mode_details.unwrap().stream_mode, StreamMode::OnDemand);
    assert_eq!((active.stream_status, active.open_shard_count), (StreamStatus::Active, 2));
    assert_eq!(code(split().await), "ValidationException");
    switch(&a, &arn, StreamMode::OnDemand).await.unwrap();
    switch(&a, &arn, StreamMode::Provisioned).await.unwrap();
    sleep(300).await;
    split().await.unwrap();
    sleep(2000).await;
    assert_eq!(switch(&a, &arn, StreamMode::OnDemand).await, Err("LimitExceededException".to_owned()));
    sleep(24 * 3_600_000).await;
    switch(&a, &arn, StreamMode::OnDemand).await.unwrap();
    assert_eq!(
        switch(&a, &arn.replace("clicks", "x"), StreamMode::OnDemand).await,
        Err("ResourceNotFoundException".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_has_so_many_on_demand_streams() {
    let mut limits = Limits::default();
    limits.on_demand_streams = 2;
    limits.open_shards = 1;
    let (cloud, _stream, a) = on_demand(limits).await;
    let provisioned = cloud.create_stream("p", 1).await;
    let create = |name: &str| a.create_stream().stream_name(name).stream_mode_details(details(StreamMode::OnDemand));
    create("second").send().await.unwrap();
    assert_eq!(cloud.try_create_on_demand_stream("third").await.unwrap_err().code(), "LimitExceededException");
    assert_eq!(code(create("third").send().await), "LimitExceededException");
    assert_eq!(switch(&a, &provisioned.arn(), StreamMode::OnDemand).await, Err("LimitExceededException".to_owned()));
    sleep(300).await;
    // Its four shards would count.
    let (code, message) = refusal(
        a.update_stream_mode()
            .stream_arn(cloud.stream("second").arn())
            .stream_mode_details(details(StreamMode::Provisioned))
            .send()
            .await,
    );
    assert_eq!(code, "LimitExceededException");
    assert!(message.contains("Current shard count for the account: 1. Limit: 1."), "{message}");
}
