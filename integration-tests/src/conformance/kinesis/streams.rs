//! Streams: making, describing, listing and deleting them.

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::types::{EncryptionType, StreamMode, StreamStatus, Tag};

use crate::conformance::checks;
use crate::conformance::probe::{Probe, on_demand};
use crate::conformance::refusal::refused;
use crate::conformance::stream::{covers_all, ids};

checks! {
    a_new_stream_is_creating_then_active: "CreateStream", "returns at once and sets the status to CREATING, later to ACTIVE";
    a_provisioned_stream_needs_a_shard_count: "CreateStream", "with the provisioned mode 'you must specify the number of shards'";
    a_stream_name_is_unique: "CreateStream", "ResourceInUseException: a stream of this name is there";
    a_stream_has_at_least_one_shard: "CreateStream", "ShardCount: at least 1";
    a_stream_name_has_letters_digits_and_three_marks: "CreateStream", "StreamName: pattern `[a-zA-Z0-9_.-]+`";
    a_stream_name_has_at_most_128_characters: "CreateStream", "StreamName: length 1 to 128";
    an_account_has_a_limit_of_shards: "CreateStream", "LimitExceededException: more shards 'than are authorized for your account'";
    at_most_five_streams_are_creating: "CreateStream", "LimitExceededException: 'more than five streams in the CREATING state'", Rates;
    tags_are_there_from_the_first_moment: "CreateStream", "Tags 'take effect from the CREATING status'";
    a_stream_can_be_made_with_a_record_size: "CreateStream", "MaxRecordSizeInKiB: the largest record of the stream";
    a_record_size_at_creation_has_bounds: "CreateStream", "MaxRecordSizeInKiB: 1024 to 10240";
    an_on_demand_stream_needs_no_shard_count: "CreateStream", "the on-demand mode 'automatically manages the shards'";
    an_on_demand_stream_starts_with_four_shards: "Developer Guide, capacity modes", "a new on-demand stream takes 4 MB/s, so has 4 shards";
    the_shards_share_all_hash_keys_evenly: "HashKeyRange", "the ranges are contiguous; together they hold every 128-bit key";
    shard_ids_are_shard_and_twelve_digits: "Shard", "ShardId: unique in the stream; by example `shardId-000000000000`";
    a_summary_says_what_it_should: "DescribeStreamSummary", "name, ARN, status, retention, creation time, monitoring, encryption, open shards";
    a_summary_has_the_mode: "DescribeStreamSummary", "StreamModeDetails: PROVISIONED or ON_DEMAND";
    a_summary_has_the_largest_record_size: "DescribeStreamSummary", "MaxRecordSizeInKiB; 'up to 1 MiB in size by default' (GetRecords)";
    an_unknown_stream_is_not_found: "DescribeStreamSummary", "ResourceNotFoundException";
    a_stream_arn_has_region_account_and_name: "DescribeStreamSummary", "StreamARN: pattern `arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+`";
    a_description_has_the_shards: "DescribeStream", "the shard map: hash keys and sequence numbers of each shard";
    a_description_is_paged_by_limit: "DescribeStream", "Limit: at most so many shards; HasMoreShards";
    a_description_goes_on_after_a_shard: "DescribeStream", "ExclusiveStartShardId: from the shard that 'immediately follows' it";
    a_description_has_at_most_100_shards: "DescribeStream", "Limit: 100 by default, and at most";
    a_description_of_an_unknown_stream_is_refused: "DescribeStream", "ResourceNotFoundException";
    all_streams_are_listed_once_page_by_page: "ListStreams", "ExclusiveStartStreamName with the last name of the page before; HasMoreStreams";
    streams_are_listed_by_token: "ListStreams", "NextToken: goes on where the page before ended";
    listed_streams_have_summaries: "ListStreams", "StreamSummaries: name, ARN, status, mode, creation time";
    a_list_of_streams_has_at_least_one: "ListStreams", "Limit: at least 1";
    a_deleted_stream_is_deleting_then_gone: "DeleteStream", "'the specified stream is in the DELETING state' until it is deleted";
    an_unknown_stream_cannot_be_deleted: "DeleteStream", "ResourceNotFoundException";
    a_name_is_free_again_after_deletion: "DeleteStream", "deletes the stream 'and all its shards and data'";
    account_limits_count_open_shards: "DescribeLimits", "OpenShardCount and ShardLimit of the account";
    account_limits_count_on_demand_streams: "DescribeLimits", "OnDemandStreamCount and its limit";
}

async fn a_new_stream_is_creating_then_active(probe: Probe) -> Result<()> {
    let stream = probe.unmade("");
    probe.kinesis.create_stream().stream_name(&stream.name).shard_count(1).send().await?;
    ensure!(stream.status().await? == StreamStatus::Creating);
    stream.active().await
}

async fn a_provisioned_stream_needs_a_shard_count(probe: Probe) -> Result<()> {
    let create = probe.kinesis.create_stream().stream_name(probe.name(""));
    refused(create.send().await, "ValidationException|InvalidArgumentException")
}

async fn a_stream_name_is_unique(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(
        probe.kinesis.create_stream().stream_name(&stream.name).shard_count(1).send().await,
        "ResourceInUseException",
    )
}

async fn a_stream_has_at_least_one_shard(probe: Probe) -> Result<()> {
    refused(
        probe.kinesis.create_stream().stream_name(probe.name("")).shard_count(0).send().await,
        "ValidationException",
    )
}

async fn a_stream_name_has_letters_digits_and_three_marks(probe: Probe) -> Result<()> {
    let create = probe.kinesis.create_stream().shard_count(1);
    refused(create.clone().stream_name("white space").send().await, "ValidationException")?;
    refused(create.clone().stream_name("slash/").send().await, "ValidationException")?;
    create.stream_name(probe.name("_.-A9")).send().await?;
    Ok(())
}

async fn a_stream_name_has_at_most_128_characters(probe: Probe) -> Result<()> {
    let create = probe.kinesis.create_stream().shard_count(1);
    let start = probe.name("");
    let longest = probe.name(&"x".repeat(128 - start.len()));
    refused(create.clone().stream_name(format!("{longest}x")).send().await, "ValidationException")?;
    create.stream_name(longest).send().await?;
    Ok(())
}

async fn an_account_has_a_limit_of_shards(probe: Probe) -> Result<()> {
    let create = probe.once.create_stream().stream_name(probe.name("")).shard_count(100_000);
    refused(create.send().await, "LimitExceededException")
}

async fn at_most_five_streams_are_creating(probe: Probe) -> Result<()> {
    let create = |n: usize| probe.kinesis.create_stream().stream_name(probe.name(&n.to_string())).shard_count(1);
    for n in 0..5 {
        create(n).send().await?;
    }
    let sixth = probe.once.create_stream().stream_name(probe.name("6")).shard_count(1);
    refused(sixth.send().await, "LimitExceededException")
}

async fn tags_are_there_from_the_first_moment(probe: Probe) -> Result<()> {
    let name = probe.name("");
    probe.kinesis.create_stream().stream_name(&name).shard_count(1).tags("team", "blue").send().await?;
    let tags = probe.kinesis.list_tags_for_stream().stream_name(name).send().await?.tags;
    ensure!(tags == [Tag::builder().key("team").value("blue").build()?], "{tags:?}");
    Ok(())
}

async fn a_stream_can_be_made_with_a_record_size(probe: Probe) -> Result<()> {
    let stream = probe.unmade("");
    let create = probe.kinesis.create_stream().stream_name(&stream.name).shard_count(1);
    create.max_record_size_in_kib(4096).send().await?;
    ensure!(stream.summary().await?.max_record_size_in_kib == Some(4096));
    Ok(())
}

async fn a_record_size_at_creation_has_bounds(probe: Probe) -> Result<()> {
    let create = probe.kinesis.create_stream().stream_name(probe.name("")).shard_count(1);
    refused(create.clone().max_record_size_in_kib(1023).send().await, "ValidationException")?;
    refused(create.max_record_size_in_kib(10_241).send().await, "ValidationException")
}

async fn an_on_demand_stream_needs_no_shard_count(probe: Probe) -> Result<()> {
    let stream = probe.on_demand().await?;
    covers_all(&stream.open().await?)
}

async fn an_on_demand_stream_starts_with_four_shards(probe: Probe) -> Result<()> {
    let shards = probe.on_demand().await?.summary().await?.open_shard_count;
    ensure!(shards == 4, "{shards}");
    Ok(())
}

async fn the_shards_share_all_hash_keys_evenly(probe: Probe) -> Result<()> {
    let open = probe.stream(3).await?.open().await?;
    covers_all(&open)?;
    for shard in &open {
        let (first, last) = crate::conformance::stream::range(shard);
        ensure!((last - first).abs_diff(u128::MAX / 3) <= 3, "{} has {first} to {last}", shard.shard_id);
    }
    Ok(())
}

async fn shard_ids_are_shard_and_twelve_digits(probe: Probe) -> Result<()> {
    let shards = probe.stream(2).await?.shards().await?;
    ensure!(ids(&shards) == ["shardId-000000000000", "shardId-000000000001"], "{:?}", ids(&shards));
    Ok(())
}

async fn a_summary_says_what_it_should(probe: Probe) -> Result<()> {
    let before = probe.now().secs();
    let stream = probe.stream(2).await?;
    let summary = stream.summary().await?;
    ensure!(summary.stream_name == stream.name);
    ensure!(summary.stream_status == StreamStatus::Active);
    ensure!(summary.open_shard_count == 2);
    ensure!(summary.retention_period_hours == 24, "{} hours", summary.retention_period_hours);
    let created = summary.stream_creation_timestamp.secs();
    ensure!((before - 1..=probe.now().secs() + 1).contains(&created), "created at {created}, not after {before}");
    ensure!(summary.encryption_type.is_none_or(|kind| kind == EncryptionType::None));
    let metrics: Vec<_> = summary.enhanced_monitoring.iter().filter_map(|m| m.shard_level_metrics.clone()).collect();
    ensure!(metrics.iter().all(Vec::is_empty), "{metrics:?}");
    Ok(())
}

async fn a_summary_has_the_mode(probe: Probe) -> Result<()> {
    let summary = probe.stream(1).await?.summary().await?;
    let mode = summary.stream_mode_details.context("no mode")?.stream_mode;
    ensure!(mode == StreamMode::Provisioned, "{mode}");
    let stream = probe.unmade("2");
    probe.kinesis.create_stream().stream_name(&stream.name).stream_mode_details(on_demand()).send().await?;
    let mode = stream.summary().await?.stream_mode_details.context("no mode")?.stream_mode;
    ensure!(mode == StreamMode::OnDemand, "{mode}");
    Ok(())
}

async fn a_summary_has_the_largest_record_size(probe: Probe) -> Result<()> {
    let size = probe.stream(1).await?.summary().await?.max_record_size_in_kib;
    ensure!(size == Some(1024), "{size:?}");
    Ok(())
}

async fn an_unknown_stream_is_not_found(probe: Probe) -> Result<()> {
    let describe = probe.kinesis.describe_stream_summary().stream_name(probe.name(""));
    refused(describe.send().await, "ResourceNotFoundException")
}

async fn a_stream_arn_has_region_account_and_name(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let arn = stream.arn().await?;
    let parts: Vec<&str> = arn.split(':').collect();
    ensure!(parts.len() == 6 && parts[0] == "arn" && parts[2] == "kinesis", "{arn}");
    ensure!(parts[4].len() == 12 && parts[4].bytes().all(|b| b.is_ascii_digit()), "{arn}");
    ensure!(parts[5] == format!("stream/{}", stream.name), "{arn}");
    Ok(())
}

async fn a_description_has_the_shards(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let answer = probe.kinesis.describe_stream().stream_name(&stream.name).send().await?;
    let description = answer.stream_description.context("no description")?;
    ensure!(!description.has_more_shards);
    ensure!(description.shards == stream.shards().await?, "{:?}", description.shards);
    Ok(())
}

async fn a_description_is_paged_by_limit(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    let answer = probe.kinesis.describe_stream().stream_name(&stream.name).limit(2).send().await?;
    let description = answer.stream_description.context("no description")?;
    ensure!(description.has_more_shards && description.shards.len() == 2, "{description:?}");
    Ok(())
}

async fn a_description_goes_on_after_a_shard(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    let describe = probe.kinesis.describe_stream().stream_name(&stream.name);
    let answer = describe.exclusive_start_shard_id("shardId-000000000000").send().await?;
    let description = answer.stream_description.context("no description")?;
    ensure!(ids(&description.shards) == ["shardId-000000000001", "shardId-000000000002"]);
    ensure!(!description.has_more_shards);
    Ok(())
}

async fn a_description_has_at_most_100_shards(probe: Probe) -> Result<()> {
    let stream = probe.stream(101).await?;
    for limit in [None, Some(1000)] {
        let describe = probe.kinesis.describe_stream().stream_name(&stream.name).set_limit(limit);
        let description = describe.send().await?.stream_description.context("no description")?;
        ensure!(description.shards.len() == 100, "{} with limit {limit:?}", description.shards.len());
        ensure!(description.has_more_shards);
    }
    Ok(())
}

async fn a_description_of_an_unknown_stream_is_refused(probe: Probe) -> Result<()> {
    refused(probe.kinesis.describe_stream().stream_name(probe.name("")).send().await, "ResourceNotFoundException")
}

async fn all_streams_are_listed_once_page_by_page(probe: Probe) -> Result<()> {
    let mut made = Vec::new();
    for suffix in ["1", "2", "3"] {
        made.push(probe.stream_named(suffix, 1).await?.name);
    }
    let (mut listed, mut last) = (Vec::new(), None::<String>);
    loop {
        let list = probe.kinesis.list_streams().limit(2).set_exclusive_start_stream_name(last.take());
        let answer = list.send().await?;
        ensure!(answer.stream_names.len() <= 2, "{} names", answer.stream_names.len());
        last = answer.stream_names.last().cloned();
        listed.extend(answer.stream_names.into_iter().filter(|name| made.contains(name)));
        if !answer.has_more_streams {
            break;
        }
    }
    listed.sort();
    ensure!(listed == made, "{listed:?}");
    Ok(())
}

async fn streams_are_listed_by_token(probe: Probe) -> Result<()> {
    let mut made = Vec::new();
    for suffix in ["1", "2", "3"] {
        made.push(probe.stream_named(suffix, 1).await?.name);
    }
    let (mut listed, mut token) = (Vec::new(), None::<String>);
    loop {
        let answer = probe.kinesis.list_streams().limit(2).set_next_token(token.take()).send().await?;
        listed.extend(answer.stream_names.into_iter().filter(|name| made.contains(name)));
        if !answer.has_more_streams {
            break;
        }
        token = Some(answer.next_token.context("more streams, but no token")?);
    }
    listed.sort();
    ensure!(listed == made, "{listed:?}");
    Ok(())
}

async fn listed_streams_have_summaries(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let mut start = None::<String>;
    loop {
        let answer = probe.kinesis.list_streams().set_exclusive_start_stream_name(start.take()).send().await?;
        let summaries = answer.stream_summaries.context("no summaries")?;
        if let Some(found) = summaries.iter().find(|summary| summary.stream_name == stream.name) {
            ensure!(found.stream_arn == stream.arn().await? && found.stream_status == StreamStatus::Active);
            ensure!(found.stream_creation_timestamp.is_some());
            return Ok(());
        }
        ensure!(answer.has_more_streams, "not listed");
        start = answer.stream_names.last().cloned();
    }
}

async fn a_list_of_streams_has_at_least_one(probe: Probe) -> Result<()> {
    refused(probe.kinesis.list_streams().limit(0).send().await, "ValidationException")
}

async fn a_deleted_stream_is_deleting_then_gone(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    probe.kinesis.delete_stream().stream_name(&stream.name).send().await?;
    ensure!(stream.status().await? == StreamStatus::Deleting);
    stream.gone().await
}

async fn an_unknown_stream_cannot_be_deleted(probe: Probe) -> Result<()> {
    refused(probe.kinesis.delete_stream().stream_name(probe.name("")).send().await, "ResourceNotFoundException")
}

async fn a_name_is_free_again_after_deletion(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    stream.put("k", "old").await?;
    probe.kinesis.delete_stream().stream_name(&stream.name).send().await?;
    stream.gone().await?;
    let again = probe.stream(1).await?;
    ensure!(again.data("shardId-000000000000").await?.is_empty());
    Ok(())
}

async fn account_limits_count_open_shards(probe: Probe) -> Result<()> {
    probe.stream(3).await?;
    let limits = probe.kinesis.describe_limits().send().await?;
    ensure!(limits.open_shard_count >= 3 && limits.shard_limit >= limits.open_shard_count, "{limits:?}");
    Ok(())
}

async fn account_limits_count_on_demand_streams(probe: Probe) -> Result<()> {
    probe.on_demand().await?;
    let limits = probe.kinesis.describe_limits().send().await?;
    ensure!(limits.on_demand_stream_count >= 1, "{limits:?}");
    ensure!(limits.on_demand_stream_count_limit >= limits.on_demand_stream_count, "{limits:?}");
    Ok(())
}
