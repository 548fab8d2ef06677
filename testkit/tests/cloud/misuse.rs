//! A test that asks for what is not possible is told so.

use kinesis_testkit::{Cloud, Refused};

use super::*;

fn said(result: Result<impl Debug, Refused>) -> (String, String) {
    let refused = result.expect_err("a refusal");
    assert_eq!(refused.to_string(), format!("stream {}: {}: {}", "clicks", refused.code(), refused.message()));
    (refused.code().to_owned(), refused.message().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_named_in_every_refusal() {
    let cloud = Cloud::new();
    let stream = cloud.stream("clicks");
    let expected =
        ("ResourceNotFoundException".to_owned(), "Stream clicks under account 123456789012 not found.".to_owned());
    assert_eq!(said(stream.try_put("key", "data").await), expected);
    assert_eq!(said(stream.try_put_with_hash_key("key", 1, "data").await), expected);
    assert_eq!(said(stream.try_split(0).await), expected);
    assert_eq!(said(stream.try_merge(0, 1).await), expected);
    assert_eq!(said(stream.try_records()), expected);
    assert_eq!(said(stream.try_shards()), expected);
    assert_eq!(said(stream.try_open_shards()), expected);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_made_is_refused() {
    let cloud = Cloud::new();
    assert_eq!(said(cloud.try_create_stream("clicks", 0).await).0, "ValidationException");
    assert_eq!(said(cloud.try_create_stream("clicks", -1).await).0, "ValidationException");
    assert_eq!(said(cloud.try_create_stream("clicks", 20_001).await).0, "LimitExceededException");
    cloud.create_stream("clicks", 1).await;
    assert_eq!(said(cloud.try_create_stream("clicks", 1).await).0, "ResourceInUseException");
    let refused = cloud.try_create_stream("no spaces", 1).await.expect_err("a refusal");
    assert_eq!(refused.code(), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_not_there_is_refused_with_what_is() {
    let (_, stream, _) = clicks(2).await;
    let (code, message) = said(stream.try_split(2).await);
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "there is no open shard 2 (counted from 0, of 2 open ones)");
    assert_eq!(said(stream.try_split("shardId-7").await).1, "there is no shard shardId-7");

    let [left, _] = stream.split(0).await;
    assert_eq!(said(stream.try_split(FIRST).await).0, "InvalidArgumentException");
    assert_eq!(said(stream.try_merge(0, 2).await).0, "InvalidArgumentException");
    assert_eq!(said(stream.try_merge(left.as_str(), left.as_str()).await).0, "InvalidArgumentException");
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_too_few_hash_keys_cannot_be_split() {
    let (_, stream, _) = clicks(1).await;
    let mut splits = 0;
    let refused = loop {
        let last = stream.open_shards().len() - 1;
        match stream.try_split(last).await {
            Ok(_) => splits += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((splits, refused.code()), (127, "InvalidArgumentException"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_stream_takes_is_refused() {
    let (_, stream, _) = clicks(1).await;
    assert_eq!(said(stream.try_put("", "data").await).0, "ValidationException");
    assert_eq!(said(stream.try_put("key", vec![0; 2 << 20]).await).0, "ValidationException");
    assert_eq!(stream.records(), []);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "stream clicks: ResourceNotFoundException: there is no open shard 5")]
async fn the_methods_that_assert_fail_the_test_with_the_same_words() {
    let (_, stream, _) = clicks(1).await;
    stream.split(5).await;
}
