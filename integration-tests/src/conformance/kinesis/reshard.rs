//! SplitShard and MergeShards.

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::operation::merge_shards::builders::MergeShardsFluentBuilder;
use aws_sdk_kinesis::operation::split_shard::builders::SplitShardFluentBuilder;
use aws_sdk_kinesis::types::StreamStatus;

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, covers_all, ids, middle, range, sequence};

checks! {
    a_split_is_updating_then_active: "SplitShard", "'immediately returns a response and sets the stream status to UPDATING'";
    a_split_cuts_at_the_new_starting_key: "SplitShard", "NewStartingHashKey: the start of one child; the keys below go to the other";
    a_split_shard_is_closed: "SequenceNumberRange", "of a shard that is not open there is an EndingSequenceNumber";
    children_start_after_their_parent: "Shard", "sequence numbers of a child are larger than the parent's";
    new_shards_are_numbered_on: "Shard", "ShardId: unique in the stream";
    new_records_go_to_the_children: "SplitShard", "hash keys of the parent's range are the children's";
    old_records_stay_in_the_parent: "SplitShard", "data stays readable in the closed shard";
    writes_go_on_while_updating: "SplitShard", "'Read and write operations continue to work while the stream is in the UPDATING state'";
    the_open_shards_are_counted_after_a_split: "DescribeStreamSummary", "OpenShardCount";
    a_split_at_the_start_of_the_range_is_refused: "SplitShard", "NewStartingHashKey: within the shard's range, so that both children have keys; InvalidArgumentException";
    a_split_leaves_two_keys_to_the_lower_child: "SplitShard", "NewStartingHashKey: the service also refuses start + 1 (kinesalite's tests: 'greater than one plus the shard's StartingHashKey')";
    a_split_outside_the_range_is_refused: "SplitShard", "NewStartingHashKey: in the range being mapped into the shard; InvalidArgumentException";
    a_split_key_is_a_number: "SplitShard", "NewStartingHashKey: pattern `0|([1-9]\\d{0,38})`";
    an_unknown_shard_cannot_be_split: "SplitShard", "ResourceNotFoundException";
    a_closed_shard_cannot_be_split: "SplitShard", "InvalidArgumentException: it 'can't be used'";
    an_unknown_stream_cannot_be_split: "SplitShard", "ResourceNotFoundException";
    a_second_split_waits_for_the_first: "SplitShard", "'If the stream is in the ACTIVE state, you can call SplitShard'; else ResourceInUseException";
    a_merge_is_updating_then_active: "MergeShards", "'immediately returns a response and sets the StreamStatus to UPDATING'";
    a_merge_joins_two_ranges: "MergeShards", "'receives data for all hash key values covered by the two parent shards'";
    a_merged_shard_names_both_parents: "Shard", "ParentShardId and AdjacentParentShardId";
    a_merge_names_the_lower_shard_first: "MergeShards", "ShardToMerge lies below AdjacentShardToMerge (the reference is silent; kinesalite's tests, made against the service, say so)";
    shards_that_are_not_adjacent_cannot_be_merged: "MergeShards", "adjacent: 'a contiguous set with no gaps'; InvalidArgumentException";
    a_shard_cannot_be_merged_with_itself: "MergeShards", "two adjacent shards; InvalidArgumentException";
    an_unknown_shard_cannot_be_merged: "MergeShards", "ResourceNotFoundException";
    a_merge_waits_for_a_split: "MergeShards", "in UPDATING 'MergeShards returns a ResourceInUseException'";
    an_unknown_stream_cannot_be_merged: "MergeShards", "'If the specified stream does not exist' ResourceNotFoundException";
    a_split_may_be_merged_again: "MergeShards", "the children of a split are adjacent";
    an_on_demand_stream_cannot_be_split: "SplitShard", "'only supported for the data streams with the provisioned capacity mode'; ValidationException";
    an_on_demand_stream_cannot_be_merged: "MergeShards", "'only supported for the data streams with the provisioned capacity mode'; ValidationException";
}

const ZERO: &str = "shardId-000000000000";
const ONE: &str = "shardId-000000000001";

async fn a_split_is_updating_then_active(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.start_split(&stream.shards().await?[0]).await?;
    ensure!(stream.status().await? == StreamStatus::Updating);
    stream.active().await
}

async fn a_split_cuts_at_the_new_starting_key(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    split(&stream, ZERO, 1000).send().await?;
    stream.active().await?;
    let ranges: Vec<_> = stream.open().await?.iter().map(range).collect();
    ensure!(ranges == [(0, 999), (1000, u128::MAX)], "{ranges:?}");
    Ok(())
}

async fn a_split_shard_is_closed(probe: Probe) -> Result<()> {
    let stream = halved(&probe).await?;
    let numbers = stream.shards().await?[0].sequence_number_range.clone().context("no sequence numbers")?;
    let end = numbers.ending_sequence_number.context("no last sequence number")?;
    ensure!(sequence(&end) > sequence(&numbers.starting_sequence_number), "{end}");
    Ok(())
}

async fn children_start_after_their_parent(probe: Probe) -> Result<()> {
    let shards = halved(&probe).await?.shards().await?;
    let numbers: Vec<_> = shards.iter().filter_map(|shard| shard.sequence_number_range.clone()).collect();
    let end = numbers[0].ending_sequence_number.clone().context("no last sequence number")?;
    for child in &numbers[1..] {
        ensure!(sequence(&child.starting_sequence_number) > sequence(&end), "{child:?} after {end}");
    }
    Ok(())
}

async fn new_shards_are_numbered_on(probe: Probe) -> Result<()> {
    let stream = halved(&probe).await?;
    stream.merge(ONE, "shardId-000000000002").await?;
    let shards = stream.shards().await?;
    ensure!(ids(&shards) == [ZERO, ONE, "shardId-000000000002", "shardId-000000000003"], "{:?}", ids(&shards));
    Ok(())
}

async fn new_records_go_to_the_children(probe: Probe) -> Result<()> {
    let stream = halved(&probe).await?;
    let open = stream.open().await?;
    ensure!(stream.put_at(0, "low").await?.shard_id == open[0].shard_id);
    ensure!(stream.put_at(u128::MAX, "high").await?.shard_id == open[1].shard_id);
    ensure!(stream.data(&open[0].shard_id).await? == ["low"]);
    ensure!(stream.data(&open[1].shard_id).await? == ["high"]);
    Ok(())
}

async fn old_records_stay_in_the_parent(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("k", "before").await?;
    stream.split(&stream.shards().await?[0]).await?;
    stream.put("k", "after").await?;
    ensure!(stream.data(ZERO).await? == ["before"]);
    Ok(())
}

async fn writes_go_on_while_updating(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.start_split(&stream.shards().await?[0]).await?;
    stream.put("k", "meanwhile").await?;
    stream.active().await?;
    let mut found = Vec::new();
    for shard in stream.shards().await? {
        found.extend(stream.data(&shard.shard_id).await?);
    }
    ensure!(found == ["meanwhile"], "{found:?}");
    Ok(())
}

async fn the_open_shards_are_counted_after_a_split(probe: Probe) -> Result<()> {
    ensure!(halved(&probe).await?.summary().await?.open_shard_count == 2);
    Ok(())
}

async fn a_split_at_the_start_of_the_range_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let start = range(&stream.open().await?[1]).0;
    refused(split(&stream, ONE, start).send().await, "InvalidArgumentException")
}

async fn a_split_leaves_two_keys_to_the_lower_child(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(split(&stream, ZERO, 1).send().await, "InvalidArgumentException")?;
    split(&stream, ZERO, 2).send().await?;
    Ok(())
}

async fn a_split_outside_the_range_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    refused(split(&stream, ZERO, u128::MAX).send().await, "InvalidArgumentException")
}

async fn a_split_key_is_a_number(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let split = probe.kinesis.split_shard().stream_name(&stream.name).shard_to_split(ZERO);
    refused(split.new_starting_hash_key("ff").send().await, "ValidationException")
}

async fn an_unknown_shard_cannot_be_split(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(split(&stream, "shardId-000000000009", 1000).send().await, "ResourceNotFoundException")
}

async fn a_closed_shard_cannot_be_split(probe: Probe) -> Result<()> {
    let stream = halved(&probe).await?;
    refused(split(&stream, ZERO, 1000).send().await, "InvalidArgumentException|ResourceInUseException")
}

async fn an_unknown_stream_cannot_be_split(probe: Probe) -> Result<()> {
    refused(split(&probe.unmade(""), ZERO, 1000).send().await, "ResourceNotFoundException")
}

async fn a_second_split_waits_for_the_first(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let shards = stream.shards().await?;
    stream.start_split(&shards[0]).await?;
    refused(split(&stream, ONE, middle(&shards[1])).send().await, "ResourceInUseException")
}

async fn a_merge_is_updating_then_active(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    merge(&stream, ZERO, ONE).send().await?;
    ensure!(stream.status().await? == StreamStatus::Updating);
    stream.active().await
}

async fn a_merge_joins_two_ranges(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    stream.merge(ZERO, ONE).await?;
    let open = stream.open().await?;
    covers_all(&open)?;
    ensure!(open.len() == 2 && open[0].shard_id == "shardId-000000000003", "{:?}", ids(&open));
    Ok(())
}

async fn a_merged_shard_names_both_parents(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    stream.merge(ZERO, ONE).await?;
    let child = &stream.open().await?[0];
    ensure!(child.parent_shard_id.as_deref() == Some(ZERO), "{child:?}");
    ensure!(child.adjacent_parent_shard_id.as_deref() == Some(ONE), "{child:?}");
    Ok(())
}

async fn a_merge_names_the_lower_shard_first(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    refused(merge(&stream, ONE, ZERO).send().await, "InvalidArgumentException")
}

async fn shards_that_are_not_adjacent_cannot_be_merged(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    refused(merge(&stream, ZERO, "shardId-000000000002").send().await, "InvalidArgumentException")
}

async fn a_shard_cannot_be_merged_with_itself(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    refused(merge(&stream, ZERO, ZERO).send().await, "InvalidArgumentException")
}

async fn an_unknown_shard_cannot_be_merged(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    refused(merge(&stream, ZERO, "shardId-000000000009").send().await, "ResourceNotFoundException")
}

async fn a_merge_waits_for_a_split(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    stream.start_split(&stream.shards().await?[2]).await?;
    refused(merge(&stream, ZERO, ONE).send().await, "ResourceInUseException")
}

async fn an_unknown_stream_cannot_be_merged(probe: Probe) -> Result<()> {
    refused(merge(&probe.unmade(""), ZERO, ONE).send().await, "ResourceNotFoundException")
}

async fn a_split_may_be_merged_again(probe: Probe) -> Result<()> {
    let stream = halved(&probe).await?;
    stream.merge(ONE, "shardId-000000000002").await?;
    let open = stream.open().await?;
    covers_all(&open)?;
    ensure!(open.len() == 1);
    Ok(())
}

async fn an_on_demand_stream_cannot_be_split(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    let shard = &stream.open().await?[0];
    refused(split(&stream, &shard.shard_id, middle(shard)).send().await, "ValidationException")
}

async fn an_on_demand_stream_cannot_be_merged(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    refused(merge(&stream, ZERO, ONE).send().await, "ValidationException")
}

/// A stream whose only shard was split in the middle.
async fn halved(probe: &Probe) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    stream.split(&stream.shards().await?[0]).await?;
    Ok(stream)
}

fn split(stream: &Stream, shard: &str, at: u128) -> SplitShardFluentBuilder {
    let split = stream.kinesis.split_shard().stream_name(&stream.name).shard_to_split(shard);
    split.new_starting_hash_key(at.to_string())
}

fn merge(stream: &Stream, shard: &str, adjacent: &str) -> MergeShardsFluentBuilder {
    let merge = stream.kinesis.merge_shards().stream_name(&stream.name).shard_to_merge(shard);
    merge.adjacent_shard_to_merge(adjacent)
}
