//! UpdateShardCount: lineage, time, bounds.

use std::collections::BTreeSet;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, StreamMode, StreamModeDetails, StreamStatus};
use kinesis_testkit::{Cloud, Limits, Shard, Stream};

use crate::{FIRST, clicks, code, refusal, sleep, without_retries};

async fn update(a: &Client, target: i32) -> (String, String) {
    let call = a.update_shard_count().stream_name("clicks").target_shard_count(target);
    refusal(call.scaling_type(ScalingType::UniformScaling).send().await)
}

/// Numbers of the parents of each shard.
fn parents(shards: &[Shard]) -> Vec<Vec<usize>> {
    let number = |id: &String| id.trim_start_matches("shardId-").parse().expect("a number");
    shards.iter().map(|shard| shard.parents.iter().map(number).collect()).collect()
}

/// The open shards cover all hash keys once, in ranges as even as they can be.
fn assert_even(stream: &Stream, n: usize) {
    let open = stream.open_shards();
    assert_eq!(open.len(), n);
    let mut next = 0_u128;
    let mut sizes = BTreeSet::new();
    for shard in &open {
        assert_eq!(*shard.hash_keys.start(), next);
        next = shard.hash_keys.end().wrapping_add(1);
        sizes.insert(shard.hash_keys.end() - shard.hash_keys.start());
    }
    assert_eq!(next, 0);
    // Rounding only: some keys more or less of 2^128.
    assert!(sizes.last().unwrap() - sizes.first().unwrap() < 1000, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn doubling_splits_every_shard_and_halving_merges_them() {
    let (_cloud, stream, a) = clicks(2).await;
    let call = a.update_shard_count().stream_arn(stream.arn()).target_shard_count(4);
    let answer = call.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
    assert_eq!((answer.stream_name.as_deref(), answer.stream_arn), (Some("clicks"), Some(stream.arn())));
    assert_eq!((answer.current_shard_count, answer.target_shard_count), (Some(2), Some(4)));
    let status = async || {
        let answer = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
        let summary = answer.stream_description_summary.unwrap();
        (summary.stream_status, summary.open_shard_count)
    };
    assert_eq!(status().await, (StreamStatus::Updating, 2));
    sleep(310).await;
    assert_eq!(status().await, (StreamStatus::Updating, 3), "one shard after the other");
    sleep(300).await;
    assert_eq!(status().await, (StreamStatus::Active, 4));
    assert_eq!(parents(&stream.shards()), [vec![], vec![], vec![0], vec![0], vec![1], vec![1]]);
    assert_even(&stream, 4);

    stream.update_shard_count(2).await;
    assert_eq!(parents(&stream.shards())[6..], [[2, 3], [4, 5]]);
    assert_even(&stream, 2);
}

/// Neither 3 nor 7 divides the hash keys evenly: what differs by rounding counts as the same.
#[tokio::test(start_paused = true)]
async fn twice_as_many_is_one_split_of_each_however_many_there_are() {
    for n in [3, 7, 100] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", n).await;
        let before = stream.open_shards();
        let n = before.len();
        stream.update_shard_count(2 * n as u32).await;
        let shards = stream.shards();
        let expected: Vec<_> = (0..n).flat_map(|parent| [vec![parent], vec![parent]]).collect();
        assert_eq!(parents(&shards[n..]), expected);
        assert_even(&stream, 2 * n);
        stream.update_shard_count(n as u32).await;
        let ranges = |shards: &[Shard]| shards.iter().map(|shard| shard.hash_keys.clone()).collect::<Vec<_>>();
        assert_eq!(ranges(&stream.open_shards()), ranges(&before));
        assert_eq!(stream.shards().len(), 4 * n);
    }
}

#[tokio::test(start_paused = true)]
async fn rounding_does_not_add_up_over_many_changes() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 600).await;
    for n in [300, 150, 75] {
        stream.update_shard_count(n).await;
    }
    assert_eq!(stream.shards().len(), 600 + 300 + 150 + 75, "merges only");
    assert_eq!(stream.open_shards().len(), 75);
}

/// As many as a stream may have. It ends in a moment only if a step costs the same however many shards there are.
#[tokio::test(start_paused = true)]
async fn thousands_of_shards_are_doubled_and_halved() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 5000).await;
    let ranges = || stream.open_shards().into_iter().map(|shard| shard.hash_keys).collect::<Vec<_>>();
    let before = ranges();
    stream.update_shard_count(10_000).await;
    assert_eq!((ranges().len(), stream.shards().len()), (10_000, 15_000), "each was split once");
    stream.update_shard_count(5000).await;
    assert!(ranges() == before, "each pair was merged once");
    assert_eq!(stream.shards().len(), 20_000);
}

/// The lineage that the service made of 4 shards when it was asked for 3.
#[tokio::test(start_paused = true)]
async fn where_ranges_do_not_line_up_there_are_shards_that_live_for_a_moment() {
    let (_cloud, stream, a) = clicks(4).await;
    stream.update_shard_count(3).await;
    let shards = stream.shards();
    let lineage = [vec![1], vec![1], vec![0, 4], vec![2], vec![2], vec![5, 7], vec![8, 3]];
    assert_eq!(parents(&shards)[4..], lineage);
    let open: Vec<&str> = shards.iter().filter(|shard| shard.open).map(|shard| shard.id.as_str()).collect();
    assert_eq!(open, ["shardId-000000000006", "shardId-000000000009", "shardId-000000000010"]);
    assert_even(&stream, 3);
    let listed = a.list_shards().stream_name("clicks").send().await.unwrap().shards.unwrap();
    assert_eq!(listed.len(), 11);
    assert_eq!(listed[6].adjacent_parent_shard_id.as_deref(), Some("shardId-000000000004"));
}

#[tokio::test(start_paused = true)]
async fn every_count_can_be_reached_with_a_whole_lineage() {
    let mut limits = Limits::default();
    limits.shard_count_updates_per_day = usize::MAX;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 5).await;
    stream.split(2).await;
    for n in [6, 7, 10, 19, 11, 6, 3, 2, 1, 2] {
        let before = stream.shards().len();
        let record = stream.put("user-7", format!("{n}")).await;
        stream.update_shard_count(n).await;
        assert_even(&stream, n as usize);
        let shards = stream.shards();
        for shard in &shards[before..] {
            assert!(matches!(shard.parents.len(), 1 | 2), "{shard:?}");
            for parent in &shard.parents {
                let parent = shards.iter().find(|other| other.id == *parent).unwrap();
                assert!(!parent.open);
                assert!(parent.ending_sequence_number.as_ref() < Some(&shard.starting_sequence_number));
            }
        }
        assert!(stream.put("user-7", "after").await.sequence_number > record.sequence_number);
    }
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_and_reach_the_shards_of_the_moment() {
    let (_cloud, stream, a) = clicks(4).await;
    let call = a.update_shard_count().stream_name("clicks").target_shard_count(3);
    call.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
    sleep(310).await;
    let middle = stream.shards()[4].hash_keys.clone();
    let record = stream.put_with_hash_key("k", *middle.start(), "x").await;
    assert_eq!(record.shard_id, "shardId-000000000004");
    assert_eq!(
        code(a.split_shard().stream_name("clicks").shard_to_split(FIRST).new_starting_hash_key("7").send().await),
        "ResourceInUseException"
    );
    // However late the next look is, all steps have been made, each at its time.
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(stream.open_shards().len(), 3);
    assert_eq!(stream.put_with_hash_key("k", *middle.start(), "y").await.shard_id, "shardId-000000000006");
}

#[tokio::test(start_paused = true)]
async fn not_more_than_double_and_not_less_than_half() {
    let (_cloud, stream, a) = clicks(3).await;
    let expected = "UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: \
                    3 Target shard count: 7";
    assert_eq!(update(&a, 7).await, ("LimitExceededException".to_owned(), expected.to_owned()));
    let expected = "UpdateShardCount cannot scale down below half your current open shard count. Current open shard \
                    count: 3 Target shard count: 1";
    assert_eq!(update(&a, 1).await, ("LimitExceededException".to_owned(), expected.to_owned()));
    for (target, what) in [(0, "ValidationException"), (-1, "ValidationException")] {
        assert_eq!(update(&a, target).await.0, what, "{target}");
    }
    let unknown = a.update_shard_count().stream_name("clicks").target_shard_count(3);
    let unknown = refusal(unknown.scaling_type(ScalingType::from("RANDOM")).send().await);
    assert_eq!(unknown.0, "ValidationException");
    stream.update_shard_count(6).await;
    stream.update_shard_count(3).await;
    stream.update_shard_count(2).await;
    assert_eq!(stream.try_update_shard_count(5).await.unwrap_err().code(), "LimitExceededException");
}

#[tokio::test(start_paused = true)]
async fn limits_of_stream_and_account() {
    let mut limits = Limits::default();
    limits.shards_per_stream = 6;
    limits.open_shards = 10;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 4).await;
    let other = cloud.create_stream("other", 4).await;
    let a = without_retries(&cloud.connect("a").await);
    assert_eq!(update(&a, 7).await.0, "LimitExceededException", "over what a stream may have");
    stream.update_shard_count(6).await;
    let full = refusal(
        a.update_shard_count()
            .stream_name("other")
            .target_shard_count(5)
            .scaling_type(ScalingType::UniformScaling)
            .send()
            .await,
    );
    assert_eq!(full.0, "LimitExceededException");
    assert!(full.1.starts_with("This request would exceed the shard limit for the account 123456789012"), "{full:?}");
    assert_eq!(other.try_split(0).await.unwrap_err().code(), "LimitExceededException");
    other.merge(0, 1).await;
    other.split(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_above_the_limit_may_only_go_below_it() {
    let mut limits = Limits::default();
    limits.shards_per_stream = 6;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 8).await;
    assert_eq!(stream.try_update_shard_count(6).await.unwrap_err().code(), "LimitExceededException");
    stream.update_shard_count(5).await;
    assert_even(&stream, 5);
}

#[tokio::test(start_paused = true)]
async fn ten_times_in_a_rolling_day() {
    let (_cloud, stream, a) = clicks(1).await;
    for n in [2, 1, 2, 1, 2, 1, 2, 1, 2, 1] {
        stream.update_shard_count(n).await;
    }
    assert_eq!(update(&a, 2).await.0, "LimitExceededException");
    tokio::time::sleep(std::time::Duration::from_secs(24 * 3600)).await;
    stream.update_shard_count(2).await;
}

#[tokio::test(start_paused = true)]
async fn an_on_demand_stream_refuses() {
    let cloud = Cloud::new();
    let a = without_retries(&cloud.connect("a").await);
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
    a.create_stream().stream_name("clicks").stream_mode_details(mode).send().await.unwrap();
    sleep(300).await;
    assert_eq!(
        update(&a, 5).await,
        (
            "ValidationException".to_owned(),
            "Request is invalid. Stream clicks under account 123456789012 is in On-Demand mode.".to_owned()
        )
    );
}
