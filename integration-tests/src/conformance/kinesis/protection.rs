//! Encryption, shard-level metrics, and DryRun.

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{EncryptionType, MetricsName, PutRecordsRequestEntry, ShardIteratorType, StreamStatus};

use super::consumers::register;
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::Stream;

checks! {
    encryption_is_switched_on: "StartStreamEncryption", "UPDATING, then ACTIVE with EncryptionType KMS and the key";
    an_encrypted_put_says_so: "PutRecord", "EncryptionType: KMS";
    an_encrypted_record_says_so: "Record", "EncryptionType: KMS";
    encryption_is_switched_off: "StopStreamEncryption", "UPDATING, then ACTIVE with EncryptionType NONE";
    an_unknown_stream_is_not_encrypted: "StartStreamEncryption", "ResourceNotFoundException";
    a_metric_is_enabled: "EnableEnhancedMonitoring", "CurrentShardLevelMetrics before, DesiredShardLevelMetrics after";
    all_metrics_are_enabled_by_all: "EnableEnhancedMonitoring", "'The value \"ALL\" enables every metric'";
    a_metric_is_disabled: "DisableEnhancedMonitoring", "ShardLevelMetrics: those to disable";
    an_unknown_metric_is_refused: "EnableEnhancedMonitoring", "ShardLevelMetrics: one of eight; ValidationException";
    a_dry_put_writes_nothing: "PutRecord", "DryRun: 'Checks if your request will succeed'; DryRunOperationException";
    dry_puts_write_nothing: "PutRecords", "DryRun: DryRunOperationException";
    a_dry_iterator_is_none: "GetShardIterator", "DryRun: DryRunOperationException";
    a_dry_read_reads_nothing: "GetRecords", "DryRun: DryRunOperationException";
    a_dry_subscription_is_none: "SubscribeToShard", "DryRun: DryRunOperationException";
    a_dry_run_of_what_would_fail_fails_so: "PutRecord", "DryRun: the error that the request would have had";
}

const ONLY: &str = "shardId-000000000000";
const KEY: &str = "alias/aws/kinesis";

async fn encryption_is_switched_on(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    start(&stream).await?;
    ensure!(stream.status().await? == StreamStatus::Updating);
    stream.active().await?;
    let summary = stream.summary().await?;
    ensure!(
        summary.encryption_type == Some(EncryptionType::Kms) && summary.key_id.as_deref() == Some(KEY),
        "{summary:?}"
    );
    Ok(())
}

async fn an_encrypted_put_says_so(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    start(&stream).await?;
    stream.active().await?;
    let put = stream.put("k", "x").await?;
    ensure!(put.encryption_type == Some(EncryptionType::Kms), "{put:?}");
    Ok(())
}

async fn an_encrypted_record_says_so(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    start(&stream).await?;
    stream.active().await?;
    stream.put("k", "x").await?;
    let records = stream.drain(&stream.oldest(ONLY).await?).await?;
    ensure!(records[0].encryption_type == Some(EncryptionType::Kms), "{records:?}");
    Ok(())
}

async fn encryption_is_switched_off(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    start(&stream).await?;
    stream.active().await?;
    let stop = probe.kinesis.stop_stream_encryption().stream_name(&stream.name);
    stop.encryption_type(EncryptionType::Kms).key_id(KEY).send().await?;
    ensure!(stream.status().await? == StreamStatus::Updating);
    stream.active().await?;
    let found = stream.summary().await?.encryption_type;
    ensure!(found.as_ref().is_none_or(|kind| *kind == EncryptionType::None), "{found:?}");
    Ok(())
}

async fn an_unknown_stream_is_not_encrypted(probe: Probe) -> Result<()> {
    let start = probe.kinesis.start_stream_encryption().stream_name(probe.name(""));
    refused(start.encryption_type(EncryptionType::Kms).key_id(KEY).send().await, "ResourceNotFoundException")
}

async fn a_metric_is_enabled(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let enable = probe.kinesis.enable_enhanced_monitoring().stream_name(&stream.name);
    let answer = enable.shard_level_metrics(MetricsName::IncomingBytes).send().await?;
    ensure!(answer.current_shard_level_metrics().is_empty(), "{answer:?}");
    ensure!(answer.desired_shard_level_metrics() == [MetricsName::IncomingBytes], "{answer:?}");
    stream.active().await?;
    ensure!(metrics(&stream).await? == [MetricsName::IncomingBytes]);
    Ok(())
}

async fn all_metrics_are_enabled_by_all(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let enable = probe.kinesis.enable_enhanced_monitoring().stream_name(&stream.name);
    enable.shard_level_metrics(MetricsName::All).send().await?;
    stream.active().await?;
    let found = metrics(&stream).await?;
    ensure!(found.len() == 7, "{found:?}");
    Ok(())
}

async fn a_metric_is_disabled(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let enable = probe.kinesis.enable_enhanced_monitoring().stream_name(&stream.name);
    let enable = enable.shard_level_metrics(MetricsName::IncomingBytes);
    enable.shard_level_metrics(MetricsName::OutgoingBytes).send().await?;
    stream.active().await?;
    let disable = probe.kinesis.disable_enhanced_monitoring().stream_name(&stream.name);
    disable.shard_level_metrics(MetricsName::IncomingBytes).send().await?;
    stream.active().await?;
    ensure!(metrics(&stream).await? == [MetricsName::OutgoingBytes]);
    Ok(())
}

async fn an_unknown_metric_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let enable = probe.kinesis.enable_enhanced_monitoring().stream_name(&stream.name);
    refused(enable.shard_level_metrics(MetricsName::from("Something")).send().await, "ValidationException")
}

async fn a_dry_put_writes_nothing(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let put = probe.once.put_record().stream_name(&stream.name).partition_key("k").data(Blob::new("x"));
    refused(put.dry_run(true).send().await, "DryRunOperationException")?;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn dry_puts_write_nothing(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let entry = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x")).build()?;
    let put = probe.once.put_records().stream_name(&stream.name).records(entry);
    refused(put.dry_run(true).send().await, "DryRunOperationException")?;
    ensure!(stream.data(ONLY).await?.is_empty());
    Ok(())
}

async fn a_dry_iterator_is_none(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let request = stream.iterator_of(ONLY, ShardIteratorType::Latest).dry_run(true);
    refused(request.send().await, "DryRunOperationException")
}

async fn a_dry_read_reads_nothing(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let get = probe.once.get_records().shard_iterator(stream.oldest(ONLY).await?).dry_run(true);
    refused(get.send().await, "DryRunOperationException")
}

async fn a_dry_subscription_is_none(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let consumer = register(&stream, "reader").await?.consumer_arn;
    let latest = aws_sdk_kinesis::types::StartingPosition::builder().r#type(ShardIteratorType::Latest).build()?;
    let subscribe = probe.once.subscribe_to_shard().consumer_arn(consumer).shard_id(ONLY).starting_position(latest);
    refused(subscribe.dry_run(true).send().await, "DryRunOperationException")
}

async fn a_dry_run_of_what_would_fail_fails_so(probe: Probe) -> Result<()> {
    let put = probe.once.put_record().stream_name(probe.name("")).partition_key("k").data(Blob::new("x"));
    refused(put.dry_run(true).send().await, "ResourceNotFoundException")
}

async fn start(stream: &Stream) -> Result<()> {
    let start = stream.kinesis.start_stream_encryption().stream_name(&stream.name);
    start.encryption_type(EncryptionType::Kms).key_id(KEY).send().await?;
    Ok(())
}

async fn metrics(stream: &Stream) -> Result<Vec<MetricsName>> {
    let monitoring = stream.summary().await?.enhanced_monitoring.into_iter().next().context("no monitoring")?;
    Ok(monitoring.shard_level_metrics.unwrap_or_default())
}
