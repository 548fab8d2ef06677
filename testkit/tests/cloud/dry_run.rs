//! `DryRun`: all checks, no effect.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType as From;

use crate::{FIRST, clicks, code, entry, get, iterator, refusal, sleep, texts};

const DRY: &str = "DryRunOperationException";

#[tokio::test(start_paused = true)]
async fn what_would_have_succeeded_is_refused_as_a_dry_run_and_changes_nothing() {
    let (_cloud, stream, a) = clicks(1).await;
    stream.put("k", "1").await;
    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    let put = a.put_record().stream_name("clicks").partition_key("k").data(Blob::new("x"));
    let (code_, message) = refusal(put.dry_run(true).send().await);
    assert_eq!(code_, DRY);
    assert_eq!(message, "The request would have succeeded, but the DryRun parameter was specified.");
    sleep(1000).await;
    assert_eq!(code(a.put_records().stream_name("clicks").records(entry("k", "x")).dry_run(true).send().await), DRY);
    sleep(1000).await;
    let ask = a.get_shard_iterator().stream_name("clicks").shard_id(FIRST).shard_iterator_type(From::Latest);
    assert_eq!(code(ask.dry_run(true).send().await), DRY);
    sleep(1000).await;
    assert_eq!(code(a.get_records().shard_iterator(&from).dry_run(true).send().await), DRY);
    assert_eq!(stream.records().len(), 1);
    assert_eq!(texts(&get(&a, from).await), ["1"]);

    let real = a.put_record().stream_name("clicks").partition_key("k").data(Blob::new("x")).dry_run(false);
    real.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_would_have_failed_fails_in_the_same_way() {
    let (_cloud, stream, a) = clicks(1).await;
    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    let put = |name: &str, size: usize| {
        let data = Blob::new(vec![b'x'; size]);
        a.put_record().stream_name(name).partition_key("k").data(data).dry_run(true).send()
    };
    assert_eq!(code(put("other", 1).await), "ResourceNotFoundException");
    assert_eq!(code(put("clicks", 1 << 20).await), "ValidationException");
    let batch = a.put_records().stream_name("clicks").set_records(Some(vec![entry("k", "x"); 501])).dry_run(true);
    assert_eq!(code(batch.send().await), "ValidationException");
    let ask = a.get_shard_iterator().stream_name("clicks").shard_iterator_type(From::AtSequenceNumber).dry_run(true);
    assert_eq!(code(ask.clone().shard_id("shardId-000000000007").send().await), "ResourceNotFoundException");
    assert_eq!(code(ask.shard_id(FIRST).send().await), "InvalidArgumentException");
    let read = || a.get_records().dry_run(true);
    assert_eq!(code(read().shard_iterator(&from).limit(10_001).send().await), "InvalidArgumentException");
    sleep(301_000).await;
    assert_eq!(code(read().shard_iterator(&from).send().await), "ExpiredIteratorException");
    // None of these counted as a dry run.
    assert_eq!(code(put("clicks", 1).await), DRY);
    assert!(stream.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dry_runs_have_a_rate_of_their_own() {
    let (cloud, _stream, a) = clicks(1).await;
    cloud.create_stream("other", 1).await;
    let put =
        |name: &str| a.put_record().stream_name(name).partition_key("k").data(Blob::new("x")).dry_run(true).send();
    let full = vec![entry("k", "x"); 500];
    for _ in 0..2 {
        a.put_records().stream_name("clicks").set_records(Some(full.clone())).send().await.unwrap();
    }
    assert_eq!(code(put("clicks").await), DRY, "the shard's rate has no part in it");
    assert_eq!(code(put("clicks").await), "ThrottlingException");
    let from = a.get_shard_iterator().stream_name("clicks").shard_id(FIRST).shard_iterator_type(From::Latest);
    assert_eq!(code(from.dry_run(true).send().await), "ThrottlingException", "all operations together");
    assert_eq!(code(put("other").await), DRY);
    sleep(1000).await;
    assert_eq!(code(put("clicks").await), DRY);
}
