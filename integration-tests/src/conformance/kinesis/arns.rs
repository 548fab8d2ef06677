//! Streams named by their ARN, and requests that name none.

use anyhow::{Result, ensure};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{EncryptionType, MetricsName, PutRecordsRequestEntry, ScalingType, ShardIteratorType};

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, middle};

checks! {
    an_arn_names_the_stream_to_put_into: "PutRecord", "'you must use either the StreamARN or the StreamName parameter, or both'";
    an_arn_names_the_stream_of_many_puts: "PutRecords", "StreamARN";
    an_arn_names_the_stream_to_read: "GetShardIterator", "StreamARN; also of GetRecords";
    an_arn_names_the_stream_to_list: "ListShards", "StreamARN";
    an_arn_names_the_stream_to_describe: "DescribeStream", "StreamARN; also of DescribeStreamSummary";
    an_arn_names_the_stream_to_reshard: "SplitShard", "StreamARN; also of MergeShards and UpdateShardCount";
    an_arn_names_the_stream_to_retain: "IncreaseStreamRetentionPeriod", "StreamARN; also of DecreaseStreamRetentionPeriod";
    an_arn_names_the_stream_to_tag: "AddTagsToStream", "StreamARN; also of ListTagsForStream and RemoveTagsFromStream";
    an_arn_names_the_stream_to_watch: "EnableEnhancedMonitoring", "StreamARN; also of DisableEnhancedMonitoring";
    an_arn_names_the_stream_to_encrypt: "StartStreamEncryption", "StreamARN; also of StopStreamEncryption";
    an_arn_names_the_stream_to_delete: "DeleteStream", "StreamARN";
    name_and_arn_may_stand_together: "DescribeStreamSummary", "'the StreamARN or the StreamName parameter, or both'";
    one_of_name_and_arn_is_needed: "DescribeStreamSummary", "neither: ValidationException or InvalidArgumentException";
    an_arn_of_an_unknown_stream_is_not_found: "PutRecord", "ResourceNotFoundException";
    an_arn_has_its_form: "DescribeStreamSummary", "StreamARN: pattern `arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+`; ValidationException";
}

async fn an_arn_names_the_stream_to_put_into(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let put = probe.kinesis.put_record().stream_arn(arn).partition_key("k").data(Blob::new("x")).send().await?;
    ensure!(stream.data(&put.shard_id).await? == ["x"]);
    Ok(())
}

async fn an_arn_names_the_stream_of_many_puts(probe: Probe) -> Result<()> {
    let (_, arn) = named(&probe, 1).await?;
    let entry = PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x")).build()?;
    let answer = probe.kinesis.put_records().stream_arn(arn).records(entry).send().await?;
    ensure!(answer.failed_record_count == Some(0), "{answer:?}");
    Ok(())
}

async fn an_arn_names_the_stream_to_read(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let put = stream.put("k", "x").await?;
    let request = probe.kinesis.get_shard_iterator().stream_arn(&arn).shard_id(put.shard_id);
    let from = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?.shard_iterator;
    let answer = probe.kinesis.get_records().stream_arn(arn).set_shard_iterator(from).send().await?;
    ensure!(answer.records.len() == 1, "{answer:?}");
    Ok(())
}

async fn an_arn_names_the_stream_to_list(probe: Probe) -> Result<()> {
    let (_, arn) = named(&probe, 2).await?;
    ensure!(probe.kinesis.list_shards().stream_arn(arn).send().await?.shards().len() == 2);
    Ok(())
}

async fn an_arn_names_the_stream_to_describe(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let whole = probe.kinesis.describe_stream().stream_arn(&arn).send().await?.stream_description;
    ensure!(whole.is_some_and(|description| description.stream_name == stream.name));
    let summary = probe.kinesis.describe_stream_summary().stream_arn(&arn).send().await?.stream_description_summary;
    ensure!(summary.is_some_and(|summary| summary.stream_name == stream.name));
    Ok(())
}

async fn an_arn_names_the_stream_to_reshard(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let shard = &stream.shards().await?[0];
    let split = probe.kinesis.split_shard().stream_arn(&arn).shard_to_split(&shard.shard_id);
    split.new_starting_hash_key(middle(shard).to_string()).send().await?;
    stream.active().await?;
    let open = stream.open().await?;
    let merge = probe.kinesis.merge_shards().stream_arn(&arn).shard_to_merge(&open[0].shard_id);
    merge.adjacent_shard_to_merge(&open[1].shard_id).send().await?;
    stream.active().await?;
    let update = probe.kinesis.update_shard_count().stream_arn(&arn).target_shard_count(2);
    update.scaling_type(ScalingType::UniformScaling).send().await?;
    stream.active().await?;
    ensure!(stream.open().await?.len() == 2);
    Ok(())
}

async fn an_arn_names_the_stream_to_retain(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    probe.kinesis.increase_stream_retention_period().stream_arn(&arn).retention_period_hours(48).send().await?;
    stream.active().await?;
    probe.kinesis.decrease_stream_retention_period().stream_arn(&arn).retention_period_hours(30).send().await?;
    ensure!(stream.summary().await?.retention_period_hours == 30);
    Ok(())
}

async fn an_arn_names_the_stream_to_tag(probe: Probe) -> Result<()> {
    let (_, arn) = named(&probe, 1).await?;
    probe.kinesis.add_tags_to_stream().stream_arn(&arn).tags("a", "1").send().await?;
    ensure!(probe.kinesis.list_tags_for_stream().stream_arn(&arn).send().await?.tags.len() == 1);
    probe.kinesis.remove_tags_from_stream().stream_arn(&arn).tag_keys("a").send().await?;
    ensure!(probe.kinesis.list_tags_for_stream().stream_arn(&arn).send().await?.tags.is_empty());
    Ok(())
}

async fn an_arn_names_the_stream_to_watch(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let enable = probe.kinesis.enable_enhanced_monitoring().stream_arn(&arn);
    enable.shard_level_metrics(MetricsName::IncomingBytes).send().await?;
    stream.active().await?;
    let disable = probe.kinesis.disable_enhanced_monitoring().stream_arn(&arn);
    disable.shard_level_metrics(MetricsName::IncomingBytes).send().await?;
    Ok(())
}

async fn an_arn_names_the_stream_to_encrypt(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    let start = probe.kinesis.start_stream_encryption().stream_arn(&arn).encryption_type(EncryptionType::Kms);
    start.key_id("alias/aws/kinesis").send().await?;
    stream.active().await?;
    let stop = probe.kinesis.stop_stream_encryption().stream_arn(&arn).encryption_type(EncryptionType::Kms);
    stop.key_id("alias/aws/kinesis").send().await?;
    Ok(())
}

async fn an_arn_names_the_stream_to_delete(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    probe.kinesis.delete_stream().stream_arn(arn).send().await?;
    stream.gone().await
}

async fn name_and_arn_may_stand_together(probe: Probe) -> Result<()> {
    let (stream, arn) = named(&probe, 1).await?;
    probe.kinesis.describe_stream_summary().stream_name(&stream.name).stream_arn(arn).send().await?;
    Ok(())
}

async fn one_of_name_and_arn_is_needed(probe: Probe) -> Result<()> {
    let describe = probe.kinesis.describe_stream_summary();
    refused(describe.send().await, "ValidationException|InvalidArgumentException")
}

async fn an_arn_of_an_unknown_stream_is_not_found(probe: Probe) -> Result<()> {
    let (_, arn) = named(&probe, 1).await?;
    let put = probe.kinesis.put_record().stream_arn(arn + "-not-there").partition_key("k").data(Blob::new("x"));
    refused(put.send().await, "ResourceNotFoundException")
}

async fn an_arn_has_its_form(probe: Probe) -> Result<()> {
    let describe = probe.kinesis.describe_stream_summary().stream_arn("arn:aws:sqs:us-east-1:123456789012:queue");
    refused(describe.send().await, "ValidationException")
}

async fn named(probe: &Probe, shards: i32) -> Result<(Stream, String)> {
    let stream = probe.stream(shards).await?;
    let arn = stream.arn().await?;
    Ok((stream, arn))
}
