//! SplitShard and MergeShards: lineage, what goes on meanwhile, refusals.

use aws_sdk_kinesis::types::{ShardIteratorType as From, StreamStatus};
use kinesis_testkit::{Cloud, Limits};

use crate::{FIRST, clicks, clicks_without_rates, code, get, iterator, refusal, sleep, texts, without_retries};

const SECOND: &str = "shardId-000000000001";
const THIRD: &str = "shardId-000000000002";

#[tokio::test(start_paused = true)]
async fn a_split_shard_has_two_children_that_share_its_keys() {
    let (_cloud, stream, a) = clicks(1).await;
    let before = stream.put("k", "before").await;
    assert_eq!(stream.split(0).await, [SECOND, THIRD]);
    let [parent, low, high] = stream.shards().try_into().unwrap();
    assert_eq!((parent.open, low.open, high.open), (false, true, true));
    assert_eq!((&low.parents, &high.parents), (&vec![FIRST.to_owned()], &vec![FIRST.to_owned()]));
    assert_eq!((low.hash_keys, high.hash_keys), (0..=(1 << 127) - 1, 1 << 127..=u128::MAX));
    let ending = parent.ending_sequence_number.unwrap();
    assert!(ending > before.sequence_number);
    assert!(low.starting_sequence_number > ending && high.starting_sequence_number > ending);

    let after = stream.put("k", "after").await;
    assert_ne!(after.shard_id, FIRST);
    assert!(after.sequence_number > before.sequence_number);
    let listed = a.list_shards().stream_name("clicks").send().await.unwrap().shards.unwrap();
    assert_eq!(listed[0].sequence_number_range.as_ref().unwrap().ending_sequence_number.as_ref(), Some(&ending));
    assert_eq!(listed[1].parent_shard_id.as_deref(), Some(FIRST));
    assert_eq!(listed[1].adjacent_parent_shard_id, None);

    // The ending number is one that a reader may start from.
    let at_end = a.get_shard_iterator().stream_name("clicks").shard_id(FIRST);
    let at_end =
        at_end.shard_iterator_type(From::AtSequenceNumber).starting_sequence_number(ending).send().await.unwrap();
    assert!(get(&a, at_end.shard_iterator.unwrap()).await.next_shard_iterator.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_merged_shard_has_both_parents() {
    let (_cloud, stream, a) = clicks(2).await;
    assert_eq!(stream.merge(SECOND, FIRST).await, THIRD, "the helper puts them in order");
    let child = stream.shards().pop().unwrap();
    assert_eq!(child.parents, [FIRST, SECOND]);
    assert_eq!(child.hash_keys, 0..=u128::MAX);
    let listed = a.list_shards().stream_name("clicks").send().await.unwrap().shards.unwrap();
    assert_eq!(listed[2].parent_shard_id.as_deref(), Some(FIRST));
    assert_eq!(listed[2].adjacent_parent_shard_id.as_deref(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_names_its_children() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.put("k", "1").await;
    stream.put("k", "2").await;
    stream.split(0).await;
    let one =
        a.get_records().shard_iterator(iterator(&a, FIRST, From::TrimHorizon).await).limit(1).send().await.unwrap();
    assert_eq!((texts(&one), one.child_shards().len()), (vec!["1"], 0));
    let end = get(&a, one.next_shard_iterator.unwrap()).await;
    assert_eq!((texts(&end), &end.next_shard_iterator, end.millis_behind_latest), (vec!["2"], &None, Some(0)));
    let children = end.child_shards();
    assert_eq!(children.iter().map(|child| child.shard_id.as_str()).collect::<Vec<_>>(), [SECOND, THIRD]);
    assert!(children.iter().all(|child| child.parent_shards == [FIRST]));
    assert_eq!(children[1].hash_key_range.as_ref().unwrap().starting_hash_key, (1_u128 << 127).to_string());

    // Both parents of a merge name the child, and it names both of them.
    let child = stream.merge(0, 1).await;
    for parent in [SECOND, THIRD] {
        let end = get(&a, iterator(&a, parent, From::Latest).await).await;
        assert_eq!(end.next_shard_iterator, None);
        assert_eq!(end.child_shards()[0].shard_id, child);
        assert_eq!(end.child_shards()[0].parent_shards, [SECOND, THIRD]);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_writes_go_on_while_the_stream_is_updating() {
    let (_cloud, stream, a) = clicks(1).await;
    let open = iterator(&a, FIRST, From::TrimHorizon).await;
    let split = a.split_shard().stream_name("clicks").shard_to_split(FIRST).new_starting_hash_key("100");
    split.send().await.unwrap();
    let status = async || {
        let answer = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
        answer.stream_description_summary.unwrap().stream_status
    };
    assert_eq!(status().await, StreamStatus::Updating);
    let put = a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into());
    assert_eq!(put.send().await.unwrap().shard_id, FIRST);
    let answer = get(&a, open).await;
    assert_eq!((texts(&answer), answer.next_shard_iterator.is_some()), (vec!["x"], true));
    let (code_, message) = refusal(
        a.merge_shards().stream_name("clicks").shard_to_merge(FIRST).adjacent_shard_to_merge(FIRST).send().await,
    );
    assert_eq!(code_, "ResourceInUseException");
    assert_eq!(message, "Stream clicks under account 123456789012 not ACTIVE, instead in state UPDATING");
    assert_eq!(code(a.delete_stream().stream_name("clicks").send().await), "ResourceInUseException");
    sleep(300).await;
    assert_eq!(status().await, StreamStatus::Active);
    assert_eq!(stream.open_shards().len(), 2);
}

/// Scenario S85.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_split_or_merged() {
    let (_cloud, stream, a) = clicks_without_rates(3).await;
    let split = |shard: &str, at: String| {
        a.split_shard().stream_name("clicks").shard_to_split(shard).new_starting_hash_key(at).send()
    };
    let merge = |shard: &str, adjacent: &str| {
        a.merge_shards().stream_name("clicks").shard_to_merge(shard).adjacent_shard_to_merge(adjacent).send()
    };
    let (code_, message) = refusal(merge(FIRST, THIRD).await);
    assert_eq!(code_, "InvalidArgumentException");
    assert_eq!(
        message,
        "Shards shardId-000000000000 and shardId-000000000002 in stream clicks under account 123456789012 are not an \
         adjacent pair of shards eligible for merging"
    );
    assert_eq!(code(merge(SECOND, FIRST).await), "InvalidArgumentException", "named the other way round");
    assert_eq!(code(merge(FIRST, FIRST).await), "InvalidArgumentException");
    assert_eq!(code(merge(FIRST, "shardId-000000000009").await), "ResourceNotFoundException");

    let range = stream.shards()[1].hash_keys.clone();
    let (first, last) = (*range.start(), *range.end());
    for at in [first, first + 1, last, last + 1, first - 1, 0] {
        let (code, message) = refusal(split(SECOND, at.to_string()).await);
        assert_eq!(code, "InvalidArgumentException", "{at}");
        assert_eq!(
            message,
            format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {SECOND} in stream clicks under account \
                 123456789012 is not both greater than one plus the shard's StartingHashKey {first} and less than the \
                 shard's EndingHashKey {last}."
            )
        );
    }
    assert_eq!(code(split(SECOND, "9".repeat(39)).await), "InvalidArgumentException");
    assert_eq!(code(split(SECOND, "-1".to_owned()).await), "ValidationException");
    let missing = refusal(split("shardId-000000000009", "7".to_owned()).await);
    assert_eq!(missing.0, "ResourceNotFoundException");
    assert_eq!(missing.1, "Could not find shard shardId-000000000009 in stream clicks under account 123456789012.");

    split(SECOND, (first + 2).to_string()).await.unwrap();
    sleep(300).await;
    let (code_, message) = refusal(split(SECOND, (first + 5).to_string()).await);
    assert_eq!(code_, "InvalidArgumentException");
    assert_eq!(
        message,
        "Shard shardId-000000000001 in stream clicks under account 123456789012 has already been merged or split, and \
         thus is not eligible for merging or splitting."
    );
    assert_eq!(code(merge(FIRST, SECOND).await), "InvalidArgumentException");
    assert_eq!(stream.shards().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_split_needs_room_in_the_account() {
    let mut limits = Limits::default();
    limits.open_shards = 2;
    let cloud = Cloud::builder().limits(limits).build();
    cloud.create_stream("clicks", 2).await;
    let a = without_retries(&cloud.connect("a").await);
    let split = a.split_shard().stream_name("clicks").shard_to_split(FIRST).new_starting_hash_key("7");
    assert_eq!(code(split.send().await), "LimitExceededException");
}

#[tokio::test(start_paused = true)]
async fn a_key_s_records_are_in_order_over_many_generations() {
    let (_cloud, stream, _a) = clicks(1).await;
    let mut last = String::new();
    for round in 0..20 {
        let record = stream.put("user-7", format!("{round}")).await;
        assert!(record.sequence_number > last);
        last = record.sequence_number;
        if round % 3 == 2 {
            stream.merge(0, 1).await
        } else {
            stream.split(0).await[0].clone()
        };
    }
    let mut covered = 0_u128;
    for shard in stream.open_shards() {
        assert_eq!(*shard.hash_keys.start(), covered);
        covered = shard.hash_keys.end().wrapping_add(1);
    }
    assert_eq!(covered, 0, "the open shards cover all hash keys once");
}
