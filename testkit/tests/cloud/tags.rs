//! Tags, by stream name and by ARN.

use std::collections::HashMap;

use aws_sdk_kinesis::Client;
use kinesis_testkit::Cloud;

use crate::{clicks, clicks_without_rates, code, refusal, sleep, without_retries};

fn tags<const N: usize>(tags: [(&str, &str); N]) -> HashMap<String, String> {
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> HashMap<String, String> {
    numbers.map(|n| (format!("key-{n:02}"), n.to_string())).collect()
}

async fn add(a: &Client, tags: HashMap<String, String>) -> Result<(), String> {
    let call = a.add_tags_to_stream().stream_name("clicks").set_tags(Some(tags)).send().await;
    if call.is_ok() { Ok(()) } else { Err(code(call)) }
}

async fn listed(a: &Client) -> Vec<(String, String)> {
    let answer = a.list_tags_for_stream().stream_name("clicks").send().await.unwrap();
    assert!(!answer.has_more_tags);
    answer.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_overwritten_listed_and_removed() {
    let (_cloud, stream, a) = clicks(1).await;
    assert!(listed(&a).await.is_empty());
    add(&a, tags([("team", "ingest"), ("émission 7", ""), ("a:b/c=d+e-f@g.h_i", "x")])).await.unwrap();
    add(&a, tags([("team", "search")])).await.unwrap();
    let all = [("a:b/c=d+e-f@g.h_i", "x"), ("team", "search"), ("émission 7", "")];
    assert_eq!(listed(&a).await, all.map(|(key, value)| (key.to_owned(), value.to_owned())));

    let by_arn = a.list_tags_for_resource().resource_arn(stream.arn()).send().await.unwrap();
    assert_eq!(by_arn.tags().len(), 3);
    let call = a.remove_tags_from_stream().stream_arn(stream.arn()).tag_keys("team").tag_keys("nobody");
    call.send().await.unwrap();
    assert_eq!(listed(&a).await.len(), 2);
    a.untag_resource().resource_arn(stream.arn()).tag_keys("émission 7").send().await.unwrap();
    a.tag_resource().resource_arn(stream.arn()).tags("new", "1").send().await.unwrap();
    assert_eq!(listed(&a).await.into_iter().map(|tag| tag.0).collect::<Vec<_>>(), ["a:b/c=d+e-f@g.h_i", "new"]);
}

#[tokio::test(start_paused = true)]
async fn pages_of_tags() {
    let (_cloud, _stream, a) = clicks_without_rates(1).await;
    add(&a, numbered(0..25)).await.unwrap();
    let page = |after: &str, limit: i32| {
        let after = Some(after.to_owned()).filter(|after| !after.is_empty());
        a.list_tags_for_stream().stream_name("clicks").limit(limit).set_exclusive_start_tag_key(after).send()
    };
    let first = page("", 10).await.unwrap();
    assert_eq!((first.tags.len(), first.tags[9].key.as_str(), first.has_more_tags), (10, "key-09", true));
    let second = page("key-09", 15).await.unwrap();
    assert_eq!((second.tags.len(), second.tags[0].key.as_str(), second.has_more_tags), (15, "key-10", false));
    assert!(page("key-24", 50).await.unwrap().tags.is_empty());
    for limit in [0, -1, 51] {
        assert_eq!(code(page("", limit).await), "ValidationException", "{limit}");
    }
    assert_eq!(code(page(&"x".repeat(129), 1).await), "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_fifty_tags() {
    let (_cloud, stream, a) = clicks(1).await;
    add(&a, numbered(0..49)).await.unwrap();
    assert_eq!(add(&a, numbered(49..51)).await, Err("InvalidArgumentException".to_owned()));
    assert_eq!(listed(&a).await.len(), 49, "all or none");
    add(&a, numbered(48..50)).await.unwrap();
    let by_arn = a.tag_resource().resource_arn(stream.arn()).tags("one", "more").send().await;
    assert_eq!(code(by_arn), "InvalidArgumentException");
    let keys: Vec<String> = numbered(0..51).into_keys().collect();
    let remove = a.remove_tags_from_stream().stream_name("clicks");
    assert_eq!(code(remove.clone().set_tag_keys(Some(keys.clone())).send().await), "ValidationException");
    remove.set_tag_keys(Some(keys[1..].to_vec())).send().await.unwrap();
    assert!(listed(&a).await.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_tag_may_not_be() {
    let (_cloud, stream, a) = clicks_without_rates(1).await;
    let long = |n: usize| "ü".repeat(n);
    add(&a, tags([(&long(128), &long(256))])).await.unwrap();
    assert_eq!(add(&a, tags([(&long(129), "")])).await, Err("ValidationException".to_owned()));
    assert_eq!(add(&a, tags([("key", &long(257))])).await, Err("ValidationException".to_owned()));
    assert_eq!(add(&a, tags([("", "value")])).await, Err("ValidationException".to_owned()));
    assert_eq!(add(&a, tags([])).await, Err("ValidationException".to_owned()));
    for bad in ["100%", "a\nb", "a;b", "emoji 💥"] {
        assert_eq!(add(&a, tags([(bad, "")])).await, Err("InvalidArgumentException".to_owned()), "{bad}");
        assert_eq!(add(&a, tags([("key", bad)])).await, Err("InvalidArgumentException".to_owned()), "{bad}");
        let remove = a.remove_tags_from_stream().stream_name("clicks").tag_keys(bad).send().await;
        assert_eq!(code(remove), "InvalidArgumentException");
    }
    assert_eq!(add(&a, tags([("aws:mine", "")])).await, Err("InvalidArgumentException".to_owned()));
    assert_eq!(listed(&a).await.len(), 1);

    let other = stream.arn().replace("clicks", "other");
    let unknown = a.tag_resource().resource_arn(&other).tags("k", "v").send().await;
    assert_eq!(code(unknown), "ResourceNotFoundException");
    assert_eq!(code(a.list_tags_for_resource().resource_arn(&other).send().await), "ResourceNotFoundException");
    assert_eq!(code(a.untag_resource().resource_arn(&other).tag_keys("k").send().await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_created_with_tags_and_waits_with_others() {
    let cloud = Cloud::new();
    let a = without_retries(&cloud.connect("a").await);
    let create = |tags| a.create_stream().stream_name("clicks").shard_count(1).set_tags(Some(tags));
    assert_eq!(code(create(numbered(0..51)).send().await), "InvalidArgumentException");
    create(numbered(0..50)).send().await.unwrap();
    assert_eq!(listed(&a).await.len(), 50, "from CREATING on");
    let (code, message) = refusal(a.add_tags_to_stream().stream_name("clicks").tags("key-00", "new").send().await);
    assert_eq!(code, "ResourceInUseException");
    assert!(message.contains("CREATING"), "{message}");
    sleep(300).await;
    add(&a, tags([("key-00", "new")])).await.unwrap();
}
