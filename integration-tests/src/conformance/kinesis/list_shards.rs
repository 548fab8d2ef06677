//! ListShards: filters, pages and tokens.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::operation::list_shards::builders::ListShardsFluentBuilder;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType};

use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, covers_all, ids, is_open};

checks! {
    all_shards_are_listed: "ListShards", "'Lists the shards in a stream and provides information about each'";
    an_open_shard_has_no_last_number: "SequenceNumberRange", "'Shards that are in the OPEN state have an ending sequence number of null'";
    a_closed_shard_is_still_listed: "ListShards", "shards within the retention period, also closed ones";
    a_child_names_its_parent: "Shard", "ParentShardId";
    pages_hold_each_shard_once: "ListShards", "MaxResults: at most so many, and a NextToken for the rest";
    a_page_may_have_another_size: "ListShards", "'You can optionally specify a value for the MaxResults parameter when you specify NextToken'";
    the_last_page_has_no_token: "ListShards", "NextToken: only when there are more shards";
    a_token_excludes_the_stream_name: "ListShards", "StreamName: not with NextToken; InvalidArgumentException";
    a_token_excludes_a_start: "ListShards", "ExclusiveStartShardId: not with NextToken; InvalidArgumentException";
    a_token_excludes_a_creation_time: "ListShards", "StreamCreationTimestamp: not with NextToken; InvalidArgumentException";
    a_made_up_token_is_refused: "ListShards", "InvalidArgumentException";
    a_token_lives_300_seconds: "ListShards", "'you have 300 seconds to use that value'; ExpiredNextTokenException", Hours;
    a_list_has_at_least_one: "ListShards", "MaxResults: 1 to 10000";
    a_list_has_at_most_1000: "ListShards", "'The default value is 1000', and at most that", Hours;
    a_start_is_exclusive: "ListShards", "ExclusiveStartShardId: from the shard that 'immediately follows' it";
    after_shard_id_is_the_same_as_a_start: "ShardFilter", "AFTER_SHARD_ID: 'starting with the shard whose ID immediately follows'";
    after_shard_id_needs_the_shard: "ListShards", "AFTER_SHARD_ID: 'you must also provide' ShardId";
    at_latest_are_the_open_shards: "ShardFilter", "AT_LATEST: 'only the currently open shards'";
    at_trim_horizon_are_those_open_then: "ShardFilter", "AT_TRIM_HORIZON: 'all the shards that were open at TRIM_HORIZON'";
    from_trim_horizon_are_all: "ShardFilter", "FROM_TRIM_HORIZON: 'all the shards within the retention period'";
    at_timestamp_are_those_open_then: "ShardFilter", "AT_TIMESTAMP: started by then, and still open or ended after then";
    at_timestamp_now_are_the_open_ones: "ShardFilter", "AT_TIMESTAMP: of now, the open shards";
    from_timestamp_are_those_not_yet_closed: "ShardFilter", "FROM_TIMESTAMP: closed after then, 'and also all open shards'";
    from_a_time_before_the_stream_are_all: "ShardFilter", "FROM_TIMESTAMP: 'Corrected to TRIM_HORIZON' when it is older";
    a_time_filter_needs_the_time: "ListShards", "AT_TIMESTAMP and FROM_TIMESTAMP: 'you must also provide' Timestamp";
    an_unknown_filter_is_refused: "ShardFilter", "Type: one of six";
    a_filter_holds_for_all_pages: "ListShards", "NextToken: the rest of the same list";
    a_creation_time_names_the_stream: "ListShards", "StreamCreationTimestamp: 'to distinguish data streams that have the same name'";
    an_unknown_stream_has_no_shards: "ListShards", "ResourceNotFoundException";
    an_expired_shard_is_not_listed: "ListShards", "'This action does not list expired shards'", Hours;
}

async fn all_shards_are_listed(probe: Probe) -> Result<()> {
    let shards = probe.stream(3).await?.shards().await?;
    ensure!(shards.len() == 3, "{shards:?}");
    covers_all(&shards)?;
    ensure!(shards.iter().all(|shard| shard.parent_shard_id.is_none() && shard.adjacent_parent_shard_id.is_none()));
    let numbers = shards.iter().filter_map(|shard| shard.sequence_number_range.as_ref());
    ensure!(numbers.filter(|range| !range.starting_sequence_number.is_empty()).count() == 3, "{shards:?}");
    Ok(())
}

async fn an_open_shard_has_no_last_number(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let closed: Vec<_> = stream.shards().await?.into_iter().filter(|shard| !is_open(shard)).collect();
    ensure!(ids(&closed) == ["shardId-000000000000"], "{closed:?}");
    Ok(())
}

async fn a_closed_shard_is_still_listed(probe: Probe) -> Result<()> {
    let shards = split(&probe).await?.shards().await?;
    ensure!(shards.len() == 4 && shards[0].shard_id == "shardId-000000000000", "{:?}", ids(&shards));
    Ok(())
}

async fn a_child_names_its_parent(probe: Probe) -> Result<()> {
    let shards = split(&probe).await?.shards().await?;
    for child in &shards[2..] {
        ensure!(child.parent_shard_id.as_deref() == Some("shardId-000000000000"), "{child:?}");
        ensure!(child.adjacent_parent_shard_id.is_none(), "{child:?}");
    }
    Ok(())
}

async fn pages_hold_each_shard_once(probe: Probe) -> Result<()> {
    let stream = probe.stream(5).await?;
    let (first, token) = page(list(&stream).max_results(2)).await?;
    let (second, token) = page(probe.kinesis.list_shards().set_next_token(token).max_results(2)).await?;
    let (third, _) = page(probe.kinesis.list_shards().set_next_token(token).max_results(2)).await?;
    ensure!([first.len(), second.len(), third.len()] == [2, 2, 1]);
    ensure!([first, second, third].concat() == stream.shards().await?);
    Ok(())
}

async fn a_page_may_have_another_size(probe: Probe) -> Result<()> {
    let stream = probe.stream(4).await?;
    let (_, token) = page(list(&stream).max_results(1)).await?;
    let (second, token) = page(probe.kinesis.list_shards().set_next_token(token).max_results(2)).await?;
    ensure!(ids(&second) == ["shardId-000000000001", "shardId-000000000002"], "{second:?}");
    ensure!(token.is_some());
    Ok(())
}

async fn the_last_page_has_no_token(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    ensure!(page(list(&stream).max_results(2)).await?.1.is_none(), "all on one page");
    let (_, token) = page(list(&stream).max_results(1)).await?;
    ensure!(page(probe.kinesis.list_shards().set_next_token(token)).await?.1.is_none(), "the second page");
    Ok(())
}

async fn a_token_excludes_the_stream_name(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let (_, token) = page(list(&stream).max_results(1)).await?;
    refused(list(&stream).set_next_token(token).send().await, "InvalidArgumentException")
}

async fn a_token_excludes_a_start(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let (_, token) = page(list(&stream).max_results(1)).await?;
    let both = probe.kinesis.list_shards().set_next_token(token).exclusive_start_shard_id("shardId-000000000000");
    refused(both.send().await, "InvalidArgumentException")
}

async fn a_token_excludes_a_creation_time(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let (_, token) = page(list(&stream).max_results(1)).await?;
    let both = probe.kinesis.list_shards().set_next_token(token);
    let both = both.stream_creation_timestamp(stream.summary().await?.stream_creation_timestamp);
    refused(both.send().await, "InvalidArgumentException")
}

async fn a_made_up_token_is_refused(probe: Probe) -> Result<()> {
    let list = probe.kinesis.list_shards().next_token("made-up");
    refused(list.send().await, "InvalidArgumentException|ExpiredNextTokenException")
}

async fn a_token_lives_300_seconds(probe: Probe) -> Result<()> {
    let stream = probe.stream(2).await?;
    let (_, token) = page(list(&stream).max_results(1)).await?;
    let next = probe.kinesis.list_shards().set_next_token(token);
    probe.pause(Duration::from_secs(295)).await;
    next.clone().send().await?;
    probe.pause(Duration::from_secs(10)).await;
    refused(next.send().await, "ExpiredNextTokenException")
}

async fn a_list_has_at_least_one(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    refused(list(&stream).max_results(0).send().await, "ValidationException")?;
    refused(list(&stream).max_results(10_001).send().await, "ValidationException")
}

async fn a_list_has_at_most_1000(probe: Probe) -> Result<()> {
    let stream = probe.stream(1001).await?;
    for list in [list(&stream), list(&stream).max_results(5000)] {
        let (shards, token) = page(list).await?;
        ensure!(shards.len() == 1000 && token.is_some(), "{} shards", shards.len());
    }
    Ok(())
}

async fn a_start_is_exclusive(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    let (shards, _) = page(list(&stream).exclusive_start_shard_id("shardId-000000000000")).await?;
    ensure!(ids(&shards) == ["shardId-000000000001", "shardId-000000000002"], "{shards:?}");
    Ok(())
}

async fn after_shard_id_is_the_same_as_a_start(probe: Probe) -> Result<()> {
    let stream = probe.stream(3).await?;
    let after = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id("shardId-000000000001");
    let (shards, _) = page(list(&stream).shard_filter(after.build()?)).await?;
    ensure!(ids(&shards) == ["shardId-000000000002"], "{shards:?}");
    Ok(())
}

async fn after_shard_id_needs_the_shard(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let after = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).build()?;
    refused(list(&stream).shard_filter(after).send().await, "InvalidArgumentException|ValidationException")
}

async fn at_latest_are_the_open_shards(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let found = filtered(&stream, ShardFilterType::AtLatest, None).await?;
    ensure!(found == [1, 2, 3], "{found:?}");
    Ok(())
}

async fn at_trim_horizon_are_those_open_then(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let found = filtered(&stream, ShardFilterType::AtTrimHorizon, None).await?;
    ensure!(found == [0, 1], "{found:?}");
    Ok(())
}

async fn from_trim_horizon_are_all(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let found = filtered(&stream, ShardFilterType::FromTrimHorizon, None).await?;
    ensure!(found == [0, 1, 2, 3], "{found:?}");
    Ok(())
}

async fn at_timestamp_are_those_open_then(probe: Probe) -> Result<()> {
    let (stream, before) = split_at(&probe).await?;
    let found = filtered(&stream, ShardFilterType::AtTimestamp, Some(before)).await?;
    ensure!(found == [0, 1], "{found:?}");
    Ok(())
}

async fn at_timestamp_now_are_the_open_ones(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    probe.pause(Duration::from_millis(1500)).await;
    let found = filtered(&stream, ShardFilterType::AtTimestamp, Some(probe.now())).await?;
    ensure!(found == [1, 2, 3], "{found:?}");
    Ok(())
}

async fn from_timestamp_are_those_not_yet_closed(probe: Probe) -> Result<()> {
    let (stream, before) = split_at(&probe).await?;
    let found = filtered(&stream, ShardFilterType::FromTimestamp, Some(before)).await?;
    ensure!(found == [0, 1, 2, 3], "before the split: {found:?}");
    probe.pause(Duration::from_millis(1500)).await;
    let found = filtered(&stream, ShardFilterType::FromTimestamp, Some(probe.now())).await?;
    ensure!(found == [1, 2, 3], "after the split: {found:?}");
    Ok(())
}

async fn from_a_time_before_the_stream_are_all(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let long_ago = DateTime::from_secs(probe.now().secs() - 48 * 3600);
    let found = filtered(&stream, ShardFilterType::FromTimestamp, Some(long_ago)).await?;
    ensure!(found == [0, 1, 2, 3], "{found:?}");
    Ok(())
}

async fn a_time_filter_needs_the_time(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for kind in [ShardFilterType::AtTimestamp, ShardFilterType::FromTimestamp] {
        let filter = ShardFilter::builder().r#type(kind).build()?;
        refused(list(&stream).shard_filter(filter).send().await, "InvalidArgumentException|ValidationException")?;
    }
    Ok(())
}

async fn an_unknown_filter_is_refused(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let filter = ShardFilter::builder().r#type(ShardFilterType::from("SOME")).build()?;
    refused(list(&stream).shard_filter(filter).send().await, "ValidationException")
}

async fn a_filter_holds_for_all_pages(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    let open = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build()?;
    let (mut all, mut token) = page(list(&stream).shard_filter(open).max_results(1)).await?;
    while let Some(next) = token {
        let (shards, after) = page(probe.kinesis.list_shards().next_token(next).max_results(1)).await?;
        all.extend(shards);
        token = after;
    }
    ensure!(all.len() == 3 && all.iter().all(is_open), "{:?}", ids(&all));
    Ok(())
}

async fn a_creation_time_names_the_stream(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let created = stream.summary().await?.stream_creation_timestamp;
    let (shards, _) = page(list(&stream).stream_creation_timestamp(created)).await?;
    ensure!(shards.len() == 1);
    let another = DateTime::from_secs(created.secs() - 3600);
    refused(list(&stream).stream_creation_timestamp(another).send().await, "ResourceNotFoundException")
}

async fn an_unknown_stream_has_no_shards(probe: Probe) -> Result<()> {
    refused(list(&probe.unmade("")).send().await, "ResourceNotFoundException")
}

async fn an_expired_shard_is_not_listed(probe: Probe) -> Result<()> {
    let stream = split(&probe).await?;
    probe.pause(Duration::from_secs(23 * 3600)).await;
    ensure!(stream.shards().await?.len() == 4);
    probe.pause(Duration::from_secs(2 * 3600)).await;
    let shards = stream.shards().await?;
    ensure!(shards.len() == 3 && shards.iter().all(is_open), "{:?}", ids(&shards));
    Ok(())
}

/// A stream whose shard 0 of two was split into 2 and 3.
async fn split(probe: &Probe) -> Result<Stream> {
    Ok(split_at(probe).await?.0)
}

/// The same, and a time between its creation and the split.
async fn split_at(probe: &Probe) -> Result<(Stream, DateTime)> {
    let stream = probe.stream(2).await?;
    // Some services remember whole seconds.
    probe.pause(Duration::from_millis(1500)).await;
    let before = probe.now();
    probe.pause(Duration::from_millis(1500)).await;
    stream.split(&stream.shards().await?[0]).await?;
    Ok((stream, before))
}

fn list(stream: &Stream) -> ListShardsFluentBuilder {
    stream.kinesis.list_shards().stream_name(&stream.name)
}

async fn page(list: ListShardsFluentBuilder) -> Result<(Vec<Shard>, Option<String>)> {
    let answer = list.send().await?;
    Ok((answer.shards.context("no shards")?, answer.next_token))
}

/// The numbers of the shards that a filter leaves.
async fn filtered(stream: &Stream, kind: ShardFilterType, time: Option<DateTime>) -> Result<Vec<u32>> {
    let filter = ShardFilter::builder().r#type(kind).set_timestamp(time).build()?;
    let (shards, _) = page(list(stream).shard_filter(filter)).await?;
    let mut numbers = Vec::new();
    for id in ids(&shards) {
        numbers.push(id.trim_start_matches("shardId-").parse()?);
    }
    numbers.sort_unstable();
    Ok(numbers)
}
