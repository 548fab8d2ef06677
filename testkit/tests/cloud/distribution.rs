//! The record distribution strategy: who decides on the shard of a record.

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, RecordDistributionStrategy as Strategy, ShardIteratorType as From, StreamMode,
    StreamModeDetails,
};
use kinesis_testkit::Limits;

use crate::on_demand::on_demand;
use crate::{FIRST, clicks, code, entry, get, iterator, refusal, sleep};

async fn set(a: &Client, arn: &str, strategy: Strategy) -> Result<(), (String, String)> {
    let call = a.update_stream_record_distribution_strategy().stream_arn(arn);
    let call = call.record_distribution_strategy(strategy).send().await;
    if call.is_ok() { Ok(()) } else { Err(refusal(call)) }
}

async fn described(a: &Client) -> Option<Strategy> {
    let answer = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    answer.stream_description_summary.unwrap().record_distribution_strategy
}

#[tokio::test(start_paused = true)]
async fn auto_spreads_records_evenly_and_keeps_their_keys() {
    let (_cloud, stream, a) = on_demand(Limits::default()).await;
    assert_eq!(described(&a).await, Some(Strategy::UserPartitionKey));
    let before = stream.put("user-7", "before").await;
    set(&a, &stream.arn(), Strategy::Auto).await.unwrap();
    assert_eq!(described(&a).await, Some(Strategy::Auto));
    let mut same = entry("user-7", "x");
    same.explicit_hash_key = Some("0".to_owned());
    let answer = a.put_records().stream_name("clicks").set_records(Some(vec![same; 40])).send().await.unwrap();
    let mut per_shard = BTreeMap::new();
    for record in &answer.records {
        *per_shard.entry(record.shard_id.clone().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(per_shard.into_values().collect::<Vec<_>>(), [10, 10, 10, 10]);
    assert!(stream.records().iter().all(|record| record.partition_key == "user-7"));

    set(&a, &stream.arn(), Strategy::UserPartitionKey).await.unwrap();
    assert_eq!(stream.put("user-7", "after").await.shard_id, before.shard_id);
}

#[tokio::test(start_paused = true)]
async fn under_auto_a_record_needs_no_key_and_a_reader_gets_none() {
    let (_cloud, stream, a) = on_demand(Limits::default()).await;
    let put = || a.put_record().stream_name("clicks").data(Blob::new("x"));
    let without_key = PutRecordsRequestEntry::builder().data(Blob::new("y")).build().unwrap();
    let batch = || a.put_records().stream_name("clicks").records(entry("k", "x")).records(without_key.clone());
    let expected = "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null";
    assert_eq!(refusal(put().send().await), ("ValidationException".to_owned(), expected.to_owned()));
    let (code_, message) = refusal(batch().send().await);
    assert_eq!(code_, "ValidationException");
    assert!(message.contains("records.2.member.partitionKey"), "{message}");
    assert!(stream.records().is_empty());

    set(&a, &stream.arn(), Strategy::Auto).await.unwrap();
    let first = put().send().await.unwrap();
    assert_eq!(first.shard_id, FIRST);
    assert_eq!(batch().send().await.unwrap().failed_record_count, Some(0));
    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    assert_eq!(get(&a, from).await.records[0].partition_key, None);
    assert_eq!(code(put().partition_key("").send().await), "ValidationException", "an empty key is not a missing one");
    let ordered = put().sequence_number_for_ordering(first.sequence_number).send().await;
    assert_eq!(code(ordered), "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn auto_uses_the_room_of_all_shards() {
    let (_cloud, stream, a) = on_demand(Limits::default()).await;
    set(&a, &stream.arn(), Strategy::Auto).await.unwrap();
    let put = async |n: usize| {
        let records = vec![entry("k", "x"); n];
        let call = a.put_records().stream_name("clicks").set_records(Some(records)).send().await;
        call.unwrap().failed_record_count.unwrap()
    };
    for _ in 0..8 {
        assert_eq!(put(500).await, 0);
    }
    assert_eq!(put(1).await, 1, "4000 a second");
    sleep(1000).await;
    // One shard is full, the others take its share.
    let one = stream.open_shards().remove(0);
    set(&a, &stream.arn(), Strategy::UserPartitionKey).await.unwrap();
    let mut record = entry("k", vec![b'x'; (1 << 20) - 1]);
    record.explicit_hash_key = Some(one.hash_keys.start().to_string());
    a.put_records().stream_name("clicks").records(record).send().await.unwrap();
    set(&a, &stream.arn(), Strategy::Auto).await.unwrap();
    for _ in 0..6 {
        assert_eq!(put(500).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provisioned_stream_cannot_have_auto() {
    let (_cloud, stream, a) = clicks(1).await;
    let expected = "RecordDistributionStrategy=AUTO is only supported for on-demand streams. Stream clicks is using \
                    PROVISIONED mode.";
    let refused = Err(("InvalidArgumentException".to_owned(), expected.to_owned()));
    assert_eq!(set(&a, &stream.arn(), Strategy::Auto).await, refused);
    let create = a.create_stream().stream_name("auto").shard_count(1).record_distribution_strategy(Strategy::Auto);
    assert_eq!(code(create.send().await), "InvalidArgumentException");
    set(&a, &stream.arn(), Strategy::UserPartitionKey).await.unwrap();
    assert_eq!(set(&a, &stream.arn(), Strategy::from("RANDOM")).await.unwrap_err().0, "ValidationException");
    let other = stream.arn().replace("clicks", "other");
    assert_eq!(set(&a, &other, Strategy::Auto).await.unwrap_err().0, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_created_with_auto_and_then_stays_on_demand() {
    let (cloud, _stream, a) = on_demand(Limits::default()).await;
    let details = |mode| StreamModeDetails::builder().stream_mode(mode).build().unwrap();
    let create = a.create_stream().stream_name("auto").stream_mode_details(details(StreamMode::OnDemand));
    create.record_distribution_strategy(Strategy::Auto).send().await.unwrap();
    sleep(300).await;
    let put = a.put_record().stream_name("auto").data(Blob::new("x")).send().await.unwrap();
    assert_eq!(put.shard_id, FIRST);
    let call = a.update_stream_mode().stream_arn(cloud.stream("auto").arn());
    let call = call.stream_mode_details(details(StreamMode::Provisioned)).send().await;
    assert_eq!(code(call), "InvalidArgumentException");
}
