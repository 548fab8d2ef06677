//! Checkpoints over restarts: of a worker that writes none, of one that prepared one, and after answers without records.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_consumer::lease::Checkpoint;
use kinesis_consumer::{Batch, Consumer, Event, Position, Shard};
use kinesis_testkit::{Cloud, Stream};
use tokio::time::sleep;

use self::common::{builder, row};

mod common;

const SHARD: &str = "shardId-000000000000";

async fn cloud() -> (Cloud, Stream) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    for data in ["a", "b", "c"] {
        stream.put("user-7", data).await;
    }
    (cloud, stream)
}

/// A worker and its shard.
async fn shard(cloud: &Cloud, worker: &str) -> (Consumer, Shard) {
    let mut consumer = builder(cloud, worker).await.build().await.expect("built");
    let shard = consumer.next_shard().await.expect("it is the only worker");
    (consumer, shard)
}

async fn batch(shard: &mut Shard) -> Batch {
    match shard.next().await {
        Some(Event::Batch(batch)) => batch,
        other => panic!("no batch: {other:?}"),
    }
}

fn data(batch: &Batch) -> Vec<&[u8]> {
    batch.records().iter().map(|record| &record.data()[..]).collect()
}

/// S145: everything again, by contract.
#[tokio::test(start_paused = true)]
async fn an_application_that_never_checkpoints_begins_anew_at_each_start() {
    let (cloud, _stream) = cloud().await;
    for worker in ["first", "second"] {
        let (consumer, mut shard) = shard(&cloud, worker).await;
        assert_eq!(data(&batch(&mut shard).await), [b"a", b"b", b"c"]);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(row(&cloud, SHARD).await.expect("a lease")["checkpoint"], "TRIM_HORIZON");
        consumer.handle().shutdown(Duration::from_secs(1)).await;
    }
}

/// S153: the next owner is told what the former one had prepared and what it kept with it, and begins at what was
/// committed.
#[tokio::test(start_paused = true)]
async fn a_prepared_checkpoint_is_told_and_the_committed_one_is_where_reading_starts() {
    let (cloud, stream) = cloud().await;
    let numbers: Vec<_> = stream.records().into_iter().map(|record| record.sequence_number).collect();
    let (consumer, mut first) = shard(&cloud, "first").await;
    let read = batch(&mut first).await;
    first.checkpoint(&read.records()[0].position()).await.expect("the lease is held");
    drop(first);
    consumer.handle().shutdown(Duration::from_secs(1)).await;

    // As a Java worker leaves it that has prepared the third and then died.
    let mut item = cloud.table("app").item(SHARD).expect("a lease");
    item.insert("pendingCheckpoint".to_owned(), AttributeValue::S(numbers[2].clone()));
    item.insert("pendingCheckpointSubSequenceNumber".to_owned(), AttributeValue::N("0".to_owned()));
    item.insert("pendingCheckpointState".to_owned(), AttributeValue::B(Blob::new(*b"state")));
    cloud.table("app").put(item);

    let (_consumer, mut second) = shard(&cloud, "second").await;
    let at = |n: usize| Position {
        sequence_number: numbers[n].parse().expect("a number"),
        sub_sequence: 0,
        shard: SHARD.into(),
    };
    let pending = second.pending().expect("something was prepared");
    assert_eq!((&pending.checkpoint, pending.state.as_deref()), (&Checkpoint::At(at(2)), Some(&b"state"[..])));
    assert_eq!(second.start(), &Checkpoint::At(at(0)));
    let read = batch(&mut second).await;
    assert_eq!(data(&read), [b"b", b"c"]);
    // A checkpoint ends what was prepared.
    second.checkpoint(read.last()).await.expect("the lease is held");
    assert!(!row(&cloud, SHARD).await.expect("a lease").keys().any(|name| name.starts_with("pending")));
}

/// S99: answers without records, of an open shard and of one that is closed, leave what may be checkpointed as it was.
#[tokio::test(start_paused = true)]
async fn answers_without_records_do_not_take_back_what_may_be_checkpointed() {
    let (cloud, stream) = cloud().await;
    let (_consumer, mut shard) = shard(&cloud, "a").await;
    let read = batch(&mut shard).await;
    let calls = cloud.calls("a").count("GetRecords");
    sleep(Duration::from_secs(10)).await;
    stream.split(0).await;
    sleep(Duration::from_secs(10)).await;
    assert!(cloud.calls("a").count("GetRecords") > calls + 3, "there were answers without records");
    shard.checkpoint(read.last()).await.expect("it was delivered");
    assert_eq!(row(&cloud, SHARD).await.expect("a lease")["checkpoint"], stream.records()[2].sequence_number);
    assert!(matches!(shard.next().await, Some(Event::Ended(_))));
}

/// What expired behind a checkpoint while nobody read is gone; reading goes on with what is there.
#[tokio::test(start_paused = true)]
async fn records_that_expired_after_the_checkpoint_are_passed_over() {
    let (cloud, stream) = cloud().await;
    let (consumer, mut first) = shard(&cloud, "first").await;
    let read = batch(&mut first).await;
    first.checkpoint(&read.records()[0].position()).await.expect("the lease is held");
    drop(first);
    consumer.handle().shutdown(Duration::from_secs(1)).await;
    sleep(Duration::from_secs(23 * 3600)).await;
    stream.put("user-7", "d").await;
    sleep(Duration::from_secs(2 * 3600)).await;

    let (consumer, mut second) = shard(&cloud, "second").await;
    let read = batch(&mut second).await;
    assert_eq!(data(&read), [b"d"]);
    second.checkpoint(&read.records()[0].position()).await.expect("the lease is held");
    let row = row(&cloud, SHARD).await.expect("a lease");
    assert_eq!(row["checkpoint"], read.records()[0].position().sequence_number.to_string());
    consumer.handle().shutdown(Duration::from_secs(1)).await;
}
