//! Server-side encryption, as far as it is seen from outside.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{EncryptionType, ShardIteratorType as From, StreamStatus};

use crate::{FIRST, clicks, code, entry, get, iterator, sleep};

const KEY: &str = "alias/aws/kinesis";

async fn start(a: &Client, kind: EncryptionType, key: &str) -> Result<(), String> {
    let call = a.start_stream_encryption().stream_name("clicks").encryption_type(kind).key_id(key).send().await;
    if call.is_ok() { Ok(()) } else { Err(code(call)) }
}

async fn stop(a: &Client) -> Result<(), String> {
    let call = a.stop_stream_encryption().stream_name("clicks").encryption_type(EncryptionType::Kms).key_id(KEY);
    let call = call.send().await;
    if call.is_ok() { Ok(()) } else { Err(code(call)) }
}

/// What both descriptions say.
async fn described(a: &Client) -> (Option<EncryptionType>, Option<String>) {
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    let summary = summary.stream_description_summary.unwrap();
    let stream = a.describe_stream().stream_name("clicks").send().await.unwrap().stream_description.unwrap();
    assert_eq!((&summary.encryption_type, &summary.key_id), (&stream.encryption_type, &stream.key_id));
    (stream.encryption_type, stream.key_id)
}

#[tokio::test(start_paused = true)]
async fn records_written_while_it_is_on_are_encrypted() {
    let (_cloud, _stream, a) = clicks(1).await;
    let put = async || {
        let one = a.put_record().stream_name("clicks").partition_key("k").data(b"x".as_slice().into()).send().await;
        let many = a.put_records().stream_name("clicks").records(entry("k", "y")).send().await.unwrap();
        assert_eq!(one.as_ref().unwrap().encryption_type, many.encryption_type);
        many.encryption_type.unwrap()
    };
    assert_eq!(described(&a).await, (Some(EncryptionType::None), None));
    assert_eq!(put().await, EncryptionType::None);
    start(&a, EncryptionType::Kms, KEY).await.unwrap();
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    assert_eq!(summary.stream_description_summary.unwrap().stream_status, StreamStatus::Updating);
    assert_eq!(put().await, EncryptionType::None, "not before the stream is ACTIVE again");
    assert_eq!(start(&a, EncryptionType::Kms, KEY).await, Err("ResourceInUseException".to_owned()));
    sleep(300).await;
    assert_eq!(described(&a).await, (Some(EncryptionType::Kms), Some(KEY.to_owned())));
    assert_eq!(put().await, EncryptionType::Kms);
    stop(&a).await.unwrap();
    sleep(300).await;
    assert_eq!(described(&a).await, (Some(EncryptionType::None), None));
    assert_eq!(put().await, EncryptionType::None);

    let from = iterator(&a, FIRST, From::TrimHorizon).await;
    let kinds: Vec<_> = get(&a, from).await.records.into_iter().map(|record| record.encryption_type.unwrap()).collect();
    let (none, kms) = (EncryptionType::None, EncryptionType::Kms);
    assert_eq!(kinds, [&none, &none, &none, &none, &kms, &kms, &none, &none].map(Clone::clone));
}

#[tokio::test(start_paused = true)]
async fn only_kms_and_only_keys() {
    let (_cloud, _stream, a) = clicks(1).await;
    assert_eq!(start(&a, EncryptionType::None, KEY).await, Err("InvalidArgumentException".to_owned()));
    assert_eq!(start(&a, EncryptionType::from("ROT13"), KEY).await, Err("ValidationException".to_owned()));
    for key in ["", &"k".repeat(2049)] {
        assert_eq!(start(&a, EncryptionType::Kms, key).await, Err("ValidationException".to_owned()));
    }
    assert_eq!(start(&a, EncryptionType::Kms, "my key").await, Err("InvalidArgumentException".to_owned()));
    assert_eq!(described(&a).await, (Some(EncryptionType::None), None));
}

#[tokio::test(start_paused = true)]
async fn twenty_five_times_a_day_each() {
    let (_cloud, _stream, a) = clicks(1).await;
    for _ in 0..25 {
        start(&a, EncryptionType::Kms, KEY).await.unwrap();
        sleep(300).await;
        stop(&a).await.unwrap();
        sleep(300).await;
    }
    assert_eq!(start(&a, EncryptionType::Kms, KEY).await, Err("LimitExceededException".to_owned()));
    assert_eq!(stop(&a).await, Err("LimitExceededException".to_owned()));
    sleep(24 * 3_600_000).await;
    start(&a, EncryptionType::Kms, KEY).await.unwrap();
}
