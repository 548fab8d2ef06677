//! ListShards: filters, pages, tokens.

use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::builders::ShardFilterBuilder;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType as Type};
use kinesis_testkit::{Cloud, Stream};

use crate::{FIRST, clicks, code, sleep};

/// Numbers of the shards that pass the filter.
async fn list(a: &Client, filter: ShardFilterBuilder) -> Vec<u32> {
    let answer = a.list_shards().stream_name("clicks").shard_filter(filter.build().unwrap()).send().await;
    numbers(answer.unwrap().shards.unwrap().into_iter().map(|shard| shard.shard_id))
}

fn numbers(ids: impl Iterator<Item = String>) -> Vec<u32> {
    ids.map(|id| id.strip_prefix("shardId-").unwrap().parse().unwrap()).collect()
}

fn filter(kind: Type) -> ShardFilterBuilder {
    ShardFilter::builder().r#type(kind)
}

fn at(time: SystemTime) -> DateTime {
    DateTime::from_millis(DateTime::from(time).to_millis().unwrap())
}

/// Shards 0 and 1; an hour later 0 → 2, 3; an hour later 2 + 3 → 4. Returns the times in between.
async fn history(cloud: &Cloud, stream: &Stream) -> [SystemTime; 3] {
    let hour = Duration::from_secs(3600);
    let mut times = [cloud.clock().now(); 3];
    tokio::time::sleep(hour / 2).await;
    times[0] = cloud.clock().now();
    tokio::time::sleep(hour / 2).await;
    stream.split(0).await;
    tokio::time::sleep(hour / 2).await;
    times[1] = cloud.clock().now();
    tokio::time::sleep(hour / 2).await;
    stream.merge(0, 1).await;
    tokio::time::sleep(hour / 2).await;
    times[2] = cloud.clock().now();
    times
}

#[tokio::test(start_paused = true)]
async fn the_six_filters() {
    let (cloud, stream, a) = clicks(2).await;
    let created = cloud.clock().now() - Duration::from_secs(100);
    let times = history(&cloud, &stream).await;

    assert_eq!(list(&a, filter(Type::AtLatest)).await, [1, 4]);
    assert_eq!(list(&a, filter(Type::AtTrimHorizon)).await, [0, 1]);
    assert_eq!(list(&a, filter(Type::FromTrimHorizon)).await, [0, 1, 2, 3, 4]);
    assert_eq!(list(&a, filter(Type::AfterShardId).shard_id("shardId-000000000002")).await, [3, 4]);
    assert_eq!(list(&a, filter(Type::AtTimestamp).timestamp(at(times[0]))).await, [0, 1]);
    assert_eq!(list(&a, filter(Type::AtTimestamp).timestamp(at(times[1]))).await, [1, 2, 3]);
    assert_eq!(list(&a, filter(Type::AtTimestamp).timestamp(at(times[2]))).await, [1, 4]);
    assert_eq!(list(&a, filter(Type::FromTimestamp).timestamp(at(times[0]))).await, [0, 1, 2, 3, 4]);
    assert_eq!(list(&a, filter(Type::FromTimestamp).timestamp(at(times[1]))).await, [1, 2, 3, 4]);
    assert_eq!(list(&a, filter(Type::FromTimestamp).timestamp(at(times[2]))).await, [1, 4]);
    assert_eq!(
        list(&a, filter(Type::AtTimestamp).timestamp(at(created))).await,
        [0, 1],
        "corrected to the trim horizon"
    );

    // 23.5 hours later shard 0 was closed more than a day ago and is gone; 2 and 3 were open at the trim horizon.
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!(list(&a, filter(Type::AtTrimHorizon)).await, [1, 2, 3]);
    let all = a.list_shards().stream_name("clicks").send().await.unwrap().shards.unwrap();
    assert_eq!(numbers(all.into_iter().map(|shard| shard.shard_id)), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_s_closing_moment_belongs_to_it_and_to_its_children() {
    let (cloud, stream, a) = clicks(1).await;
    stream.split(0).await;
    let moment = cloud.clock().now();
    assert_eq!(list(&a, filter(Type::AtTimestamp).timestamp(at(moment))).await, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn pages_go_on_where_the_last_one_ended() {
    let (cloud, stream, a) = clicks(2).await;
    history(&cloud, &stream).await;
    let first = a.list_shards().stream_name("clicks").max_results(2);
    let first = first.shard_filter(filter(Type::FromTrimHorizon).build().unwrap()).send().await.unwrap();
    let mut seen = numbers(first.shards.unwrap().into_iter().map(|shard| shard.shard_id));
    let mut token = first.next_token;
    while let Some(next) = token {
        let page = a.list_shards().next_token(next).max_results(1).send().await.unwrap();
        seen.extend(numbers(page.shards.unwrap().into_iter().map(|shard| shard.shard_id)));
        token = page.next_token;
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);

    let filtered =
        a.list_shards().stream_name("clicks").max_results(1).shard_filter(filter(Type::AtLatest).build().unwrap());
    let page = filtered.send().await.unwrap();
    let rest = a.list_shards().set_next_token(page.next_token).send().await.unwrap();
    assert_eq!(
        numbers(rest.shards.unwrap().into_iter().map(|shard| shard.shard_id)),
        [4],
        "the filter travels with the token"
    );
    let after = a.list_shards().stream_name("clicks").exclusive_start_shard_id(FIRST).send().await.unwrap();
    assert_eq!(after.shards.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_page_has_1000_shards_at_most() {
    let (_cloud, _stream, a) = clicks(1001).await;
    for asked in [None, Some(10_000)] {
        let page = a.list_shards().stream_name("clicks").set_max_results(asked).send().await.unwrap();
        assert_eq!(page.shards.unwrap().len(), 1000);
        assert!(page.next_token.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_list_shards_refuses() {
    let (cloud, stream, a) = clicks(2).await;
    let page = a.list_shards().stream_name("clicks").max_results(1).send().await.unwrap();
    let token = page.next_token.unwrap();
    let next = || a.list_shards().next_token(&token);
    assert_eq!(code(next().stream_name("clicks").send().await), "InvalidArgumentException");
    assert_eq!(code(next().stream_arn(stream.arn()).send().await), "InvalidArgumentException");
    assert_eq!(code(next().exclusive_start_shard_id(FIRST).send().await), "InvalidArgumentException");
    assert_eq!(
        code(next().stream_creation_timestamp(at(cloud.clock().now())).send().await),
        "InvalidArgumentException"
    );
    assert_eq!(code(a.list_shards().next_token("nonsense").send().await), "InvalidArgumentException");
    assert_eq!(code(a.list_shards().send().await), "InvalidArgumentException");
    let named = || a.list_shards().stream_name("clicks");
    for max in [0, 10_001] {
        assert_eq!(code(named().max_results(max).send().await), "ValidationException", "{max}");
    }
    let with = |filter: ShardFilterBuilder| named().shard_filter(filter.build().unwrap()).send();
    assert_eq!(code(with(filter(Type::AfterShardId)).await), "InvalidArgumentException");
    assert_eq!(code(with(filter(Type::AtTimestamp)).await), "InvalidArgumentException");
    assert_eq!(code(with(filter("ALL".into())).await), "ValidationException");
    for kind in [Type::AtLatest, Type::AtTrimHorizon, Type::FromTrimHorizon, Type::AtTimestamp, Type::FromTimestamp] {
        assert_eq!(code(with(filter(kind).shard_id(FIRST)).await), "InvalidArgumentException");
    }
    let now = at(cloud.clock().now());
    for kind in [Type::AtLatest, Type::AtTrimHorizon, Type::FromTrimHorizon] {
        assert_eq!(code(with(filter(kind).timestamp(now)).await), "InvalidArgumentException");
    }
    let tomorrow = at(cloud.clock().now() + Duration::from_secs(86_400));
    assert_eq!(code(with(filter(Type::FromTimestamp).timestamp(tomorrow)).await), "InvalidArgumentException");

    sleep(299_000).await;
    next().send().await.unwrap();
    sleep(2_000).await;
    assert_eq!(code(next().send().await), "ExpiredNextTokenException");
}

#[tokio::test(start_paused = true)]
async fn the_creation_time_tells_streams_of_one_name_apart() {
    let (cloud, _stream, a) = clicks(1).await;
    let created = async || {
        let answer = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
        answer.stream_description_summary.unwrap().stream_creation_timestamp
    };
    let first = created().await;
    let with = |time| a.list_shards().stream_name("clicks").stream_creation_timestamp(time).send();
    with(first).await.unwrap();
    a.delete_stream().stream_name("clicks").send().await.unwrap();
    sleep(300).await;
    cloud.create_stream("clicks", 1).await;
    assert_eq!(code(with(first).await), "ResourceNotFoundException");
    with(created().await).await.unwrap();
}
