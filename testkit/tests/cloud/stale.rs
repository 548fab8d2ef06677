//! Listings that are old, shards that are not known yet, pages that are refused.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType, ShardIteratorType as From};
use kinesis_testkit::{Cloud, Fault, Lag, Limits};

use crate::subscribe::{consumer, from, try_subscribe};
use crate::{FIRST, clicks_without_rates, code, get, iterator, refusal, sleep, texts};

const SECOND: &str = "shardId-000000000001";
const THIRD: &str = "shardId-000000000002";

/// Ids of the shards listed; in brackets those that are closed.
async fn listed(a: &Client) -> Vec<String> {
    let answer = a.list_shards().stream_name("clicks").send().await.unwrap();
    let described = a.describe_stream().stream_name("clicks").send().await.unwrap().stream_description.unwrap();
    assert_eq!(answer.shards(), described.shards(), "both are as old");
    named(answer.shards())
}

fn named(shards: &[aws_sdk_kinesis::types::Shard]) -> Vec<String> {
    let closed = |shard: &aws_sdk_kinesis::types::Shard| {
        shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number.is_some())
    };
    let number =
        |shard: &aws_sdk_kinesis::types::Shard| shard.shard_id().trim_start_matches("shardId-00000000000").to_owned();
    let name = |shard| if closed(shard) { format!("({})", number(shard)) } else { number(shard) };
    shards.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_hidden_shard_is_lacking_and_cannot_be_read_by_one_worker() {
    let (cloud, stream, a) = clicks_without_rates(1).await;
    let b = cloud.connect("b").await.kinesis;
    stream.split(0).await;
    stream.put_with_hash_key("k", 0, "x").await;
    let reading = iterator(&a, SECOND, From::TrimHorizon).await;
    let arn = consumer(&a, &stream, "reader").await;
    let hidden = cloud.faults("a").always(Fault::HideShard(SECOND.to_owned()));
    assert_eq!(listed(&a).await, ["(0)", "2"]);
    assert_eq!(hidden.struck(), 2);
    let ask = || a.get_shard_iterator().stream_name("clicks").shard_id(SECOND).shard_iterator_type(From::TrimHorizon);
    let words = "Shard shardId-000000000001 in stream clicks under account 123456789012 does not exist".to_owned();
    assert_eq!(refusal(ask().send().await), ("ResourceNotFoundException".to_owned(), words));
    assert_eq!(code(a.get_records().shard_iterator(&reading).send().await), "ResourceNotFoundException");
    assert_eq!(code(try_subscribe(&a, &arn, SECOND, from(From::TrimHorizon)).await), "ResourceNotFoundException");
    iterator(&a, THIRD, From::TrimHorizon).await;
    assert_eq!(hidden.struck(), 5, "those calls alone that would have shown it");
    assert_eq!(listed(&b).await, ["(0)", "1", "2"]);

    cloud.faults("a").heal();
    assert_eq!(texts(&get(&a, reading).await), ["x"]);
    // Its parent named it all the time.
    cloud.faults("a").always_for("ListShards", Fault::HideShard(SECOND.to_owned()));
    ask().send().await.expect("only the listing lacks it");
}

#[tokio::test(start_paused = true)]
async fn a_listing_can_be_as_old_as_one_likes() {
    let (cloud, stream, a) = clicks_without_rates(2).await;
    sleep(10_000).await;
    stream.split(0).await;
    sleep(1000).await;
    assert_eq!(listed(&a).await, ["(0)", "1", "2", "3"]);
    let old = cloud.faults("a").always(Fault::StaleListing(Duration::from_secs(5)));
    assert_eq!(listed(&a).await, ["0", "1"]);
    let latest = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().unwrap();
    let answer = a.list_shards().stream_name("clicks").shard_filter(latest).send().await.unwrap();
    assert_eq!(named(answer.shards()), ["0", "1"], "the filter sees the old shards too");
    assert_eq!(old.struck(), 3);
    sleep(5000).await;
    assert_eq!(listed(&a).await, ["(0)", "1", "2", "3"], "the split is that old now");
    cloud.faults("a").heal();
    cloud.faults("a").always(Fault::StaleListing(Duration::from_secs(3600)));
    assert_eq!(listed(&a).await, ["0", "1"], "a stream has its first shards from the beginning");
}

#[tokio::test(start_paused = true)]
async fn a_page_can_be_older_than_the_one_before() {
    let (cloud, stream, a) = clicks_without_rates(3).await;
    sleep(10_000).await;
    stream.split(1).await;
    let page = async |token: Option<String>| {
        let request = a.list_shards().max_results(2);
        let request = match token {
            Some(token) => request.next_token(token),
            None => request.stream_name("clicks"),
        };
        let answer = request.send().await.unwrap();
        (named(answer.shards()), answer.next_token)
    };
    let (first, token) = page(None).await;
    assert_eq!(first, ["0", "(1)"]);
    cloud.faults("a").next("ListShards", Fault::StaleListing(Duration::from_secs(5)));
    let (second, token) = page(token).await;
    assert_eq!((second, token), (vec!["2".to_owned()], None), "closed parent, no children: a listing that was torn");
}

#[tokio::test(start_paused = true)]
async fn a_stream_s_listings_and_newborn_shards_can_lag_for_all() {
    let (cloud, stream, a) = clicks_without_rates(1).await;
    let outside = cloud.outside().kinesis;
    sleep(10_000).await;
    stream.listing_lag(Duration::from_secs(2));
    stream.birth_lag(Duration::from_secs(1));
    let [child, _] = stream.split(0).await;
    let ask = || a.get_shard_iterator().stream_name("clicks").shard_id(&child).shard_iterator_type(From::TrimHorizon);
    stream.put_with_hash_key("k", 0, "written at once").await;
    assert_eq!(code(ask().send().await), "ResourceNotFoundException");
    let parent = get(&a, iterator(&a, FIRST, From::TrimHorizon).await).await;
    assert_eq!(parent.child_shards().len(), 2, "the end of its parent names it");
    sleep(1000).await;
    assert_eq!(texts(&get(&a, ask().send().await.unwrap().shard_iterator.unwrap()).await), ["written at once"]);
    assert_eq!((listed(&a).await, listed(&outside).await), (vec!["0".to_owned()], vec!["0".to_owned()]));
    sleep(1000).await;
    assert_eq!(listed(&a).await, ["(0)", "1", "2"]);
    stream.listing_lag(Lag::None);
    stream.split(0).await;
    assert_eq!(listed(&a).await, ["(0)", "(1)", "2", "3", "4"]);
}

/// Of many answers some are new and some old, in any order.
#[tokio::test(start_paused = true)]
async fn a_lag_that_is_drawn_makes_listings_go_forth_and_back() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).build();
    cloud.stream("clicks").listing_lag(Lag::UpTo(Duration::from_secs(10)));
    let stream = cloud.create_stream("clicks", 1).await;
    let a = cloud.connect("a").await.kinesis;
    sleep(20_000).await;
    stream.split(0).await;
    sleep(5000).await;
    let mut lengths = Vec::new();
    for _ in 0..20 {
        lengths.push(a.list_shards().stream_name("clicks").send().await.unwrap().shards().len());
    }
    assert!(lengths.windows(2).any(|pair| pair[0] > pair[1]) && lengths.windows(2).any(|pair| pair[0] < pair[1]));
    sleep(5000).await;
    assert_eq!(listed(&a).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_page_of_a_listing_can_be_throttled_while_others_pass() {
    let (cloud, _stream, a) = clicks_without_rates(5).await;
    let throttled = cloud.faults("a").always_for("ListShards", Fault::ThrottlePage(2));
    for _ in 0..2 {
        let first = a.list_shards().stream_name("clicks").max_results(2).send().await.unwrap();
        let token = first.next_token.unwrap();
        for _ in 0..2 {
            assert_eq!(code(a.list_shards().next_token(&token).max_results(2).send().await), "LimitExceededException");
        }
    }
    assert_eq!(throttled.struck(), 4);
    cloud.faults("a").heal();
    let first = a.list_shards().stream_name("clicks").max_results(2).send().await.unwrap();
    let second = a.list_shards().next_token(first.next_token.unwrap()).max_results(2).send().await.unwrap();
    cloud.faults("a").always_for("ListShards", Fault::ThrottlePage(2));
    let third = a.list_shards().next_token(second.next_token.unwrap()).max_results(2).send().await.unwrap();
    assert_eq!((third.shards().len(), third.next_token), (1, None), "page 3 passes");
}
