//! UpdateMaxRecordSize, and records of more than 1 MiB on their way in and out.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType as From;

use crate::{FIRST, clicks, code, entry, get, iterator, refusal, sleep};

const MIB: usize = 1 << 20;

async fn resize(a: &Client, arn: &str, kib: i32) -> Result<(), String> {
    let call = a.update_max_record_size().stream_arn(arn).max_record_size_in_kib(kib).send().await;
    if call.is_ok() { Ok(()) } else { Err(code(call)) }
}

#[tokio::test(start_paused = true)]
async fn from_one_to_ten_mib() {
    let (_cloud, stream, a) = clicks(1).await;
    let arn = stream.arn();
    for kib in [0, 1023, 10_241, -1] {
        assert_eq!(resize(&a, &arn, kib).await, Err("ValidationException".to_owned()), "{kib}");
    }
    for kib in [10_240, 1024, 2000] {
        resize(&a, &arn, kib).await.unwrap();
        let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
        assert_eq!(summary.stream_description_summary.unwrap().max_record_size_in_kib, Some(kib));
    }
    let unknown = arn.replace("clicks", "other");
    assert_eq!(resize(&a, &unknown, 2000).await, Err("ResourceNotFoundException".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn larger_records_are_taken_from_then_on() {
    let (_cloud, stream, a) = clicks(1).await;
    let put = async |size: usize| {
        let data = Blob::new(vec![b'x'; size]);
        let result = a.put_record().stream_name("clicks").partition_key("k").data(data).send().await;
        if result.is_ok() { Ok(()) } else { Err(refusal(result).0) }
    };
    assert_eq!(put(MIB).await, Err("ValidationException".to_owned()), "1 MiB with the key is one byte too much");
    resize(&a, &stream.arn(), 1025).await.unwrap();
    put(1025 * 1024 - 1).await.unwrap();
    sleep(2000).await;
    assert_eq!(put(1025 * 1024).await, Err("ValidationException".to_owned()));
    resize(&a, &stream.arn(), 10_240).await.unwrap();
    put(10 * MIB - 1).await.unwrap();
    assert_eq!(put(1).await, Err("ProvisionedThroughputExceededException".to_owned()), "paid for afterwards");
    sleep(10_000).await;
    assert_eq!(put(10 * MIB).await, Err("ValidationException".to_owned()));
    let batch = a.put_records().stream_name("clicks").records(entry("k", vec![b'x'; 3 * MIB]));
    assert_eq!(batch.send().await.unwrap().failed_record_count, Some(0));

    // A smaller limit concerns new records only.
    resize(&a, &stream.arn(), 1024).await.unwrap();
    assert_eq!(stream.records().len(), 3);
    let batch = a.put_records().stream_name("clicks").records(entry("k", vec![b'x'; MIB]));
    assert_eq!(code(batch.send().await), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_ten_mib_and_locks_the_shard_for_five_seconds() {
    let (_cloud, stream, a) = clicks(1).await;
    resize(&a, &stream.arn(), 10_240).await.unwrap();
    for size in [4 * MIB, 4 * MIB, 2 * MIB, 10 * MIB] {
        stream.put("k", vec![b'x'; size - 1]).await;
    }
    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    let first = get(&a, from).await;
    assert_eq!(first.records.len(), 3, "exactly 10 MiB");
    let next = first.next_shard_iterator.unwrap();
    sleep(4990).await;
    let early = a.get_records().shard_iterator(&next).send().await;
    assert_eq!(code(early), "ProvisionedThroughputExceededException");
    sleep(10).await;
    let second = get(&a, next).await;
    assert_eq!((second.records.len(), second.records[0].data.as_ref().len()), (1, 10 * MIB - 1));
    assert_eq!(second.millis_behind_latest, Some(0));
}
