//! What a stream can be set to: retention, record size, distribution, mode.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamMode};

use crate::conformance::checks;
use crate::conformance::probe::{Probe, mode};
use crate::conformance::refusal::refused;
use crate::conformance::stream::Stream;

checks! {
    retention_can_be_lengthened: "IncreaseStreamRetentionPeriod", "RetentionPeriodHours: the new period, in the summary";
    retention_can_be_shortened: "DecreaseStreamRetentionPeriod", "RetentionPeriodHours: the new period, in the summary";
    retention_is_at_most_a_year: "IncreaseStreamRetentionPeriod", "'The maximum value of a stream's retention period is 8760 hours'";
    retention_is_at_least_a_day: "DecreaseStreamRetentionPeriod", "'The minimum value of a stream's retention period is 24 hours'";
    lengthening_does_not_shorten: "IncreaseStreamRetentionPeriod", "RetentionPeriodHours: 'Must be more than the current retention period'; InvalidArgumentException";
    shortening_does_not_lengthen: "DecreaseStreamRetentionPeriod", "RetentionPeriodHours: 'Must be less than the current retention period'; InvalidArgumentException";
    an_unknown_stream_has_no_retention: "IncreaseStreamRetentionPeriod", "ResourceNotFoundException";
    longer_retention_keeps_records: "IncreaseStreamRetentionPeriod", "'increases the time period during which records that have not yet expired are accessible'", Hours;
    longer_retention_revives_nothing: "IncreaseStreamRetentionPeriod", "'does not make previous, expired data' accessible", Hours;
    shorter_retention_loses_records: "DecreaseStreamRetentionPeriod", "'any data already in the stream that is older than 24 hours is inaccessible'", Hours;
    a_record_size_has_bounds: "UpdateMaxRecordSize", "MaxRecordSizeInKiB: 1024 to 10240; ValidationException";
    a_record_size_is_in_the_summary: "UpdateMaxRecordSize", "MaxRecordSizeInKiB of DescribeStreamSummary";
    a_large_record_is_taken_and_read: "UpdateMaxRecordSize", "'You can ingest and digest single records up to 10240 KiB'";
    a_record_above_the_size_is_refused: "UpdateMaxRecordSize", "the largest record of the stream, not of the service";
    an_unknown_stream_has_no_record_size: "UpdateMaxRecordSize", "ResourceNotFoundException";
    an_on_demand_stream_can_be_made_provisioned: "UpdateStreamMode", "StreamModeDetails, in the summary";
    a_provisioned_stream_can_be_made_on_demand: "UpdateStreamMode", "StreamModeDetails, in the summary";
    a_change_of_mode_keeps_the_shards: "UpdateStreamMode", "a change of mode loses no data and no shards";
    an_unknown_stream_has_no_mode: "UpdateStreamMode", "ResourceNotFoundException";
    a_mode_changes_twice_a_day: "Developer Guide, capacity modes", "'you can switch between the on-demand and provisioned capacity modes twice within 24 hours'; LimitExceededException", Rates;
    a_provisioned_stream_has_no_auto_distribution: "UpdateStreamRecordDistributionStrategy", "AUTO on a provisioned stream 'results in an InvalidArgumentException'";
    a_strategy_is_in_the_summary: "DescribeStreamSummary", "RecordDistributionStrategy: of an on-demand stream, USER_PARTITION_KEY by default";
    a_provisioned_stream_shows_no_strategy: "DescribeStreamSummary", "RecordDistributionStrategy: 'only present for streams that use the on-demand capacity mode'";
    auto_distribution_ignores_keys: "UpdateStreamRecordDistributionStrategy", "AUTO: 'distributes records evenly across shards', and ignores the partition key";
    auto_distribution_needs_no_key: "PutRecord", "PartitionKey: optional with AUTO";
    a_strategy_can_be_chosen_at_creation: "CreateStream", "RecordDistributionStrategy";
}

const ONLY: &str = "shardId-000000000000";

async fn retention_can_be_lengthened(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    lengthen(&stream, 48).await?;
    ensure!(stream.summary().await?.retention_period_hours == 48);
    Ok(())
}

async fn retention_can_be_shortened(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    lengthen(&stream, 48).await?;
    shorten(&stream, 36).await?;
    ensure!(stream.summary().await?.retention_period_hours == 36);
    Ok(())
}

async fn retention_is_at_most_a_year(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let increase = probe.kinesis.increase_stream_retention_period().stream_name(&stream.name);
    let over = increase.clone().retention_period_hours(8761);
    refused(over.send().await, "InvalidArgumentException|ValidationException")?;
    increase.retention_period_hours(8760).send().await?;
    Ok(())
}

async fn retention_is_at_least_a_day(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let decrease = probe.kinesis.decrease_stream_retention_period().stream_name(&stream.name);
    refused(decrease.retention_period_hours(23).send().await, "InvalidArgumentException|ValidationException")
}

async fn lengthening_does_not_shorten(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    lengthen(&stream, 48).await?;
    let increase = probe.kinesis.increase_stream_retention_period().stream_name(&stream.name);
    refused(increase.retention_period_hours(36).send().await, "InvalidArgumentException")
}

async fn shortening_does_not_lengthen(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let decrease = probe.kinesis.decrease_stream_retention_period().stream_name(&stream.name);
    refused(decrease.retention_period_hours(36).send().await, "InvalidArgumentException")
}

async fn an_unknown_stream_has_no_retention(probe: Probe) -> Result<()> {
    let increase = probe.kinesis.increase_stream_retention_period().stream_name(probe.name(""));
    refused(increase.retention_period_hours(48).send().await, "ResourceNotFoundException")
}

async fn longer_retention_keeps_records(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("k", "x").await?;
    lengthen(&stream, 48).await?;
    probe.pause(Duration::from_secs(40 * 3600)).await;
    ensure!(stream.data(ONLY).await? == ["x"]);
    probe.pause(Duration::from_secs(9 * 3600)).await;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn longer_retention_revives_nothing(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("k", "x").await?;
    probe.pause(Duration::from_secs(25 * 3600)).await;
    lengthen(&stream, 48).await?;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn shorter_retention_loses_records(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    lengthen(&stream, 48).await?;
    stream.put("k", "x").await?;
    probe.pause(Duration::from_secs(30 * 3600)).await;
    ensure!(stream.data(ONLY).await? == ["x"]);
    shorten(&stream, 24).await?;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn a_record_size_has_bounds(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let update = probe.kinesis.update_max_record_size().stream_arn(stream.arn().await?);
    refused(update.clone().max_record_size_in_kib(1023).send().await, "ValidationException")?;
    refused(update.max_record_size_in_kib(10_241).send().await, "ValidationException")
}

async fn a_record_size_is_in_the_summary(probe: Probe) -> Result<()> {
    let stream = sized(&probe, 2048).await?;
    let size = stream.summary().await?.max_record_size_in_kib;
    ensure!(size == Some(2048), "{size:?}");
    Ok(())
}

async fn a_large_record_is_taken_and_read(probe: Probe) -> Result<()> {
    let stream = sized(&probe, 5120).await?;
    stream.put("k", &"x".repeat(4 << 20)).await?;
    ensure!(stream.data(ONLY).await?[0].len() == 4 << 20);
    Ok(())
}

async fn a_record_above_the_size_is_refused(probe: Probe) -> Result<()> {
    let stream = sized(&probe, 2048).await?;
    let put = probe.kinesis.put_record().stream_name(&stream.name).partition_key("k");
    let put = put.data(Blob::new(vec![0; (2 << 20) + 1]));
    refused(put.send().await, "ValidationException|InvalidArgumentException")
}

async fn an_unknown_stream_has_no_record_size(probe: Probe) -> Result<()> {
    let update = probe.kinesis.update_max_record_size().stream_arn(elsewhere(&probe).await?);
    refused(update.max_record_size_in_kib(2048).send().await, "ResourceNotFoundException")
}

async fn an_on_demand_stream_can_be_made_provisioned(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    switch(&stream, StreamMode::Provisioned).await?;
    ensure!(current_mode(&stream).await? == StreamMode::Provisioned);
    Ok(())
}

async fn a_provisioned_stream_can_be_made_on_demand(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    switch(&stream, StreamMode::OnDemand).await?;
    ensure!(current_mode(&stream).await? == StreamMode::OnDemand);
    Ok(())
}

async fn a_change_of_mode_keeps_the_shards(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    let put = stream.put("k", "x").await?;
    let before = stream.shards().await?;
    switch(&stream, StreamMode::Provisioned).await?;
    ensure!(stream.shards().await? == before && stream.data(&put.shard_id).await? == ["x"]);
    Ok(())
}

async fn an_unknown_stream_has_no_mode(probe: Probe) -> Result<()> {
    let update = probe.kinesis.update_stream_mode().stream_arn(elsewhere(&probe).await?);
    refused(update.stream_mode_details(mode(StreamMode::OnDemand)).send().await, "ResourceNotFoundException")
}

async fn a_mode_changes_twice_a_day(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    switch(&stream, StreamMode::OnDemand).await?;
    switch(&stream, StreamMode::Provisioned).await?;
    let third = probe.once.update_stream_mode().stream_arn(stream.arn().await?);
    refused(third.stream_mode_details(mode(StreamMode::OnDemand)).send().await, "LimitExceededException")?;
    probe.pause(Duration::from_secs(24 * 3600)).await;
    switch(&stream, StreamMode::OnDemand).await
}

async fn a_provisioned_stream_has_no_auto_distribution(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let update = probe.kinesis.update_stream_record_distribution_strategy().stream_arn(stream.arn().await?);
    let update = update.record_distribution_strategy(RecordDistributionStrategy::Auto);
    refused(update.send().await, "InvalidArgumentException")
}

async fn a_strategy_is_in_the_summary(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    let found = stream.summary().await?.record_distribution_strategy;
    ensure!(found == Some(RecordDistributionStrategy::UserPartitionKey), "{found:?}");
    distribute(&stream).await?;
    let found = stream.summary().await?.record_distribution_strategy;
    ensure!(found == Some(RecordDistributionStrategy::Auto), "{found:?}");
    Ok(())
}

async fn a_provisioned_stream_shows_no_strategy(probe: Probe) -> Result<()> {
    ensure!(probe.stream(1).await?.summary().await?.record_distribution_strategy.is_none());
    Ok(())
}

async fn auto_distribution_ignores_keys(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    distribute(&stream).await?;
    let mut shards = BTreeSet::new();
    for _ in 0..40 {
        shards.insert(stream.put("same", "x").await?.shard_id);
    }
    ensure!(shards.len() == 4, "40 records went to {shards:?}");
    Ok(())
}

async fn auto_distribution_needs_no_key(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    distribute(&stream).await?;
    probe.kinesis.put_record().stream_name(&stream.name).data(Blob::new("x")).send().await?;
    Ok(())
}

async fn a_strategy_can_be_chosen_at_creation(probe: Probe) -> Result<()> {
    let stream = probe.unmade("");
    let create = probe.kinesis.create_stream().stream_name(&stream.name);
    let create = create.stream_mode_details(mode(StreamMode::OnDemand));
    create.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await?;
    let found = stream.summary().await?.record_distribution_strategy;
    ensure!(found == Some(RecordDistributionStrategy::Auto), "{found:?}");
    Ok(())
}

async fn lengthen(stream: &Stream, hours: i32) -> Result<()> {
    let increase = stream.kinesis.increase_stream_retention_period().stream_name(&stream.name);
    increase.retention_period_hours(hours).send().await?;
    stream.active().await
}

async fn shorten(stream: &Stream, hours: i32) -> Result<()> {
    let decrease = stream.kinesis.decrease_stream_retention_period().stream_name(&stream.name);
    decrease.retention_period_hours(hours).send().await?;
    stream.active().await
}

async fn sized(probe: &Probe, kib: i32) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    let update = probe.kinesis.update_max_record_size().stream_arn(stream.arn().await?);
    update.max_record_size_in_kib(kib).send().await?;
    stream.active().await?;
    Ok(stream)
}

async fn switch(stream: &Stream, to: StreamMode) -> Result<()> {
    let update = stream.kinesis.update_stream_mode().stream_arn(stream.arn().await?);
    update.stream_mode_details(mode(to)).send().await?;
    stream.active().await
}

async fn distribute(stream: &Stream) -> Result<()> {
    let update = stream.kinesis.update_stream_record_distribution_strategy().stream_arn(stream.arn().await?);
    update.record_distribution_strategy(RecordDistributionStrategy::Auto).send().await?;
    stream.active().await
}

async fn current_mode(stream: &Stream) -> Result<StreamMode> {
    Ok(stream.summary().await?.stream_mode_details.context("no mode")?.stream_mode)
}

/// The ARN of a stream that does not exist, in the account of one that does.
async fn elsewhere(probe: &Probe) -> Result<String> {
    Ok(probe.stream(1).await?.arn().await? + "-not-there")
}
