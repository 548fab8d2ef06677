//! UpdateShardCount.

use std::time::Duration;

use anyhow::{Result, ensure};
use aws_sdk_kinesis::operation::update_shard_count::builders::UpdateShardCountFluentBuilder;
use aws_sdk_kinesis::types::{ScalingType, StreamStatus};

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, covers_all, ids, is_open, range};

checks! {
    a_new_count_is_updating_then_active: "UpdateShardCount", "'returns immediately and sets the status of the stream to UPDATING'";
    a_new_count_answers_with_both_counts: "UpdateShardCount", "CurrentShardCount, TargetShardCount, StreamName, StreamARN";
    a_doubled_stream_has_equal_shards: "UpdateShardCount", "'Uniform scaling creates shards of equal size'";
    a_halved_stream_has_equal_shards: "UpdateShardCount", "'Uniform scaling creates shards of equal size'";
    an_odd_count_has_equal_shards_too: "UpdateShardCount", "any target within the limits";
    new_shards_have_parents: "UpdateShardCount", "'performs splits or merges on individual shards'";
    old_records_outlive_a_new_count: "UpdateShardCount", "read and write go on; old shards stay readable";
    more_than_double_is_refused: "UpdateShardCount", "not 'Scale up to more than double your current shard count'";
    less_than_half_is_refused: "UpdateShardCount", "not 'Scale down below half your current shard count'";
    a_count_is_at_least_one: "UpdateShardCount", "TargetShardCount: at least 1";
    a_scaling_type_is_uniform: "UpdateShardCount", "ScalingType: UNIFORM_SCALING; else ValidationException";
    a_new_count_waits_for_a_split: "UpdateShardCount", "ResourceInUseException: not ACTIVE";
    an_unknown_stream_has_no_count: "UpdateShardCount", "ResourceNotFoundException";
    an_on_demand_stream_has_no_count_to_set: "UpdateShardCount", "'only supported for the data streams with the provisioned capacity mode'; ValidationException";
    a_count_changes_ten_times_a_day: "UpdateShardCount", "not 'Scale more than ten times per rolling 24-hour period per stream'; LimitExceededException", Rates;
}

async fn a_new_count_is_updating_then_active(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    update(&stream, 2).send().await?;
    ensure!(stream.status().await? == StreamStatus::Updating);
    stream.active().await?;
    ensure!(stream.summary().await?.open_shard_count == 2);
    Ok(())
}

async fn a_new_count_answers_with_both_counts(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let answer = update(&stream, 3).send().await?;
    ensure!(answer.current_shard_count == Some(2) && answer.target_shard_count == Some(3), "{answer:?}");
    ensure!(answer.stream_name.as_ref() == Some(&stream.name), "{answer:?}");
    ensure!(answer.stream_arn == Some(stream.arn().await?), "{answer:?}");
    Ok(())
}

async fn a_doubled_stream_has_equal_shards(probe: Probe) -> Result<()> {
    equal(&scaled(&probe, 2, 4).await?, 4).await
}

async fn a_halved_stream_has_equal_shards(probe: Probe) -> Result<()> {
    equal(&scaled(&probe, 4, 2).await?, 2).await
}

async fn an_odd_count_has_equal_shards_too(probe: Probe) -> Result<()> {
    equal(&scaled(&probe, 2, 3).await?, 3).await
}

async fn new_shards_have_parents(probe: Probe) -> Result<()> {
    let shards = scaled(&probe, 2, 3).await?.shards().await?;
    let known = ids(&shards);
    for shard in shards.iter().filter(|shard| is_open(shard) && shard.shard_id.as_str() > "shardId-000000000001") {
        ensure!(shard.parent_shard_id.as_deref().is_some_and(|parent| known.contains(&parent)), "{shard:?}");
    }
    Ok(())
}

async fn old_records_outlive_a_new_count(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("k", "before").await?;
    update(&stream, 2).send().await?;
    stream.put("k", "meanwhile").await?;
    stream.active().await?;
    stream.put("k", "after").await?;
    let mut found = Vec::new();
    for shard in stream.shards().await? {
        found.extend(stream.data(&shard.shard_id).await?);
    }
    found.sort();
    ensure!(found == ["after", "before", "meanwhile"], "{found:?}");
    Ok(())
}

async fn more_than_double_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    refused(update(&stream, 5).send().await, "InvalidArgumentException|LimitExceededException")
}

async fn less_than_half_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(5).await?;
    refused(update(&stream, 2).send().await, "InvalidArgumentException|LimitExceededException")
}

async fn a_count_is_at_least_one(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(update(&stream, 0).send().await, "ValidationException")
}

async fn a_scaling_type_is_uniform(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(update(&stream, 2).scaling_type(ScalingType::from("SOME_SCALING")).send().await, "ValidationException")
}

async fn a_new_count_waits_for_a_split(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    stream.start_split(&stream.shards().await?[0]).await?;
    refused(update(&stream, 4).send().await, "ResourceInUseException")
}

async fn an_unknown_stream_has_no_count(probe: Probe) -> Result<()> {
    refused(update(&probe.unmade(""), 2).send().await, "ResourceNotFoundException")
}

async fn an_on_demand_stream_has_no_count_to_set(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    refused(update(&stream, 5).send().await, "ValidationException")
}

async fn a_count_changes_ten_times_a_day(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for round in 0..10 {
        update(&stream, 1 + (round + 1) % 2).send().await?;
        stream.active().await?;
    }
    refused(update(&stream, 2).send().await, "LimitExceededException")?;
    probe.pause(Duration::from_secs(24 * 3600)).await;
    update(&stream, 2).send().await?;
    Ok(())
}

async fn scaled(probe: &Probe, from: i32, to: i32) -> Result<Stream> {
    let stream = probe.stream(from).await?;
    update(&stream, to).send().await?;
    stream.active().await?;
    Ok(stream)
}

/// The open shards share the hash keys evenly.
async fn equal(stream: &Stream, count: u128) -> Result<()> {
    let open = stream.open().await?;
    covers_all(&open)?;
    ensure!(open.len() as u128 == count, "{} open shards", open.len());
    for shard in &open {
        let (first, last) = range(shard);
        ensure!((last - first).abs_diff(u128::MAX / count) <= count + 1, "{} has {first} to {last}", shard.shard_id);
    }
    Ok(())
}

fn update(stream: &Stream, target: i32) -> UpdateShardCountFluentBuilder {
    let update = stream.kinesis.update_shard_count().stream_name(&stream.name).target_shard_count(target);
    update.scaling_type(ScalingType::UniformScaling)
}
