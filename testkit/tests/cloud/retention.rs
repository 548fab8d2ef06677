//! Retention periods: their bounds, and what is gone after a change.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ScalingType, ShardFilter, ShardFilterType, ShardIteratorType as From};
use kinesis_testkit::Stream;

use crate::{FIRST, clicks, code, get, iterator, refusal, sleep, texts};

const HOUR: u64 = 3_600_000;

async fn increase(a: &Client, hours: i32) -> Result<(), (String, String)> {
    let call = a.increase_stream_retention_period().stream_name("clicks").retention_period_hours(hours).send().await;
    if call.is_ok() { Ok(()) } else { Err(refusal(call)) }
}

async fn decrease(a: &Client, hours: i32) -> Result<(), (String, String)> {
    let call = a.decrease_stream_retention_period().stream_name("clicks").retention_period_hours(hours).send().await;
    if call.is_ok() { Ok(()) } else { Err(refusal(call)) }
}

async fn hours(a: &Client) -> (i32, i32) {
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    let stream = a.describe_stream().stream_name("clicks").send().await.unwrap();
    (
        summary.stream_description_summary.unwrap().retention_period_hours,
        stream.stream_description.unwrap().retention_period_hours,
    )
}

fn data(stream: &Stream) -> Vec<String> {
    stream.records().into_iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn from_a_day_to_a_year() {
    let (_cloud, _stream, a) = clicks(1).await;
    assert_eq!(hours(&a).await, (24, 24));
    increase(&a, 8760).await.unwrap();
    assert_eq!(hours(&a).await, (8760, 8760));
    let invalid = |message: &str| Err(("InvalidArgumentException".to_owned(), message.to_owned()));
    let long = "Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long.";
    assert_eq!(increase(&a, 8761).await, invalid(long));
    decrease(&a, 25).await.unwrap();
    let short = "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.";
    assert_eq!(decrease(&a, 23).await, invalid(short));
    assert_eq!(
        increase(&a, 24).await,
        invalid(
            "Requested retention period (24 hours) for stream clicks can not be shorter than existing retention period \
             (25 hours). Use DecreaseRetentionPeriod API."
        )
    );
    assert_eq!(
        decrease(&a, 26).await,
        invalid(
            "Requested retention period (26 hours) for stream clicks can not be longer than existing retention period (25 \
             hours). Use IncreaseRetentionPeriod API."
        )
    );
    increase(&a, 25).await.unwrap();
    decrease(&a, 24).await.unwrap();
    assert_eq!(hours(&a).await, (24, 24));
    let unknown = a.increase_stream_retention_period().stream_name("other").retention_period_hours(48).send().await;
    assert_eq!(code(unknown), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_longer_period_keeps_what_has_not_expired_and_brings_nothing_back() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.put("k", "old").await;
    sleep(HOUR).await;
    stream.put("k", "young").await;
    sleep(23 * HOUR + 1).await;
    increase(&a, 168).await.unwrap();
    assert_eq!(data(&stream), ["young"]);
    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    assert_eq!(texts(&get(&a, from).await), ["young"]);
    sleep(144 * HOUR).await;
    assert_eq!(data(&stream), ["young"], "6 days and 23 hours old");
    sleep(2 * HOUR).await;
    assert!(data(&stream).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shorter_period_takes_effect_at_once() {
    let (_cloud, stream, a) = clicks(1).await;
    increase(&a, 48).await.unwrap();
    stream.put("k", "old").await;
    sleep(25 * HOUR).await;
    stream.put("k", "young").await;
    let open = iterator(&a, FIRST, From::TrimHorizon).await;
    decrease(&a, 24).await.unwrap();
    assert_eq!(texts(&get(&a, open).await), ["young"]);
    increase(&a, 48).await.unwrap();
    assert_eq!(data(&stream), ["young"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_expired_stays_gone() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.split(0).await;
    sleep(20 * HOUR).await;
    let third = stream.split(0).await;
    let list = async |kind: ShardFilterType| {
        let filter = ShardFilter::builder().r#type(kind).build().unwrap();
        let answer = a.list_shards().stream_name("clicks").shard_filter(filter).send().await.unwrap();
        answer.shards.unwrap().into_iter().map(|shard| shard.shard_id).collect::<Vec<_>>()
    };
    let closed_late = stream.shards()[1].id.clone();
    sleep(5 * HOUR).await;
    increase(&a, 168).await.unwrap();
    let last = stream.shards()[2].id.clone();
    // The trim horizon does not go back: the shards open then are the two of the first split.
    assert_eq!(list(ShardFilterType::AtTrimHorizon).await, [closed_late.clone(), last.clone()]);
    assert_eq!(list(ShardFilterType::FromTrimHorizon).await, [&[closed_late, last], &third[..]].concat());
    let gone = a.get_shard_iterator().stream_name("clicks").shard_id(FIRST).shard_iterator_type(From::TrimHorizon);
    assert_eq!(code(gone.send().await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_updating_waits_with_it() {
    let (_cloud, stream, a) = clicks(1).await;
    let call = a.update_shard_count().stream_arn(stream.arn()).target_shard_count(2);
    call.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
    assert_eq!(increase(&a, 48).await.unwrap_err().0, "ResourceInUseException");
    assert_eq!(decrease(&a, 24).await.unwrap_err().0, "ResourceInUseException");
    let size = a.update_max_record_size().stream_arn(stream.arn()).max_record_size_in_kib(2048).send().await;
    assert_eq!(code(size), "ResourceInUseException");
    sleep(300).await;
    increase(&a, 48).await.unwrap();
}
