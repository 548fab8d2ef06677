//! Registered consumers: their life, their limits, how they are found.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Consumer, ConsumerStatus};
use kinesis_testkit::{Cloud, Limits, Stream};

use crate::{clicks, code, refusal, sleep};

async fn register(a: &Client, stream: &Stream, name: &str) -> Consumer {
    let answer = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name(name).send().await;
    answer.expect("registered").consumer.expect("a consumer")
}

/// Names and states, page by page.
async fn list(a: &Client, stream: &Stream, page: i32) -> Vec<Vec<(String, ConsumerStatus)>> {
    let pages = a.list_stream_consumers().stream_arn(stream.arn()).max_results(page).into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.expect("pages");
    let names = |consumer: Consumer| (consumer.consumer_name, consumer.consumer_status);
    pages.into_iter().map(|page| page.consumers.unwrap_or_default().into_iter().map(names).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_creating_then_active_then_deleting_then_gone() {
    let (_cloud, stream, a) = clicks(1).await;
    let made = register(&a, &stream, "app").await;
    assert_eq!(made.consumer_status, ConsumerStatus::Creating);
    let since = made.consumer_creation_timestamp.secs();
    assert_eq!(made.consumer_arn, format!("{}/consumer/app:{since}", stream.arn()));

    let by_arn = || a.describe_stream_consumer().consumer_arn(&made.consumer_arn).send();
    let by_name = || a.describe_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send();
    let status = by_arn().await.unwrap().consumer_description.unwrap().consumer_status;
    assert_eq!(status, ConsumerStatus::Creating);
    sleep(300).await;
    let described = by_name().await.unwrap().consumer_description.unwrap();
    assert_eq!(described.consumer_status, ConsumerStatus::Active);
    assert_eq!((described.stream_arn, described.consumer_arn), (stream.arn(), made.consumer_arn.clone()));

    a.deregister_stream_consumer().consumer_arn(&made.consumer_arn).send().await.unwrap();
    let status = by_arn().await.unwrap().consumer_description.unwrap().consumer_status;
    assert_eq!(status, ConsumerStatus::Deleting);
    sleep(300).await;
    assert_eq!(code(by_arn().await), "ResourceNotFoundException");
    assert_eq!(code(by_name().await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_until_it_is_gone_and_never_gives_the_same_arn_again() {
    let (_cloud, stream, a) = clicks(1).await;
    let first = register(&a, &stream, "app").await;
    let again = || a.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send();
    assert_eq!(code(again().await), "ResourceInUseException");
    a.deregister_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send().await.unwrap();
    assert_eq!(code(again().await), "ResourceInUseException", "still DELETING");
    sleep(300).await;
    let second = again().await.unwrap().consumer.unwrap();
    assert_ne!(second.consumer_arn, first.consumer_arn);
    let gone = a.describe_stream_consumer().consumer_arn(&first.consumer_arn).send().await;
    assert_eq!(code(gone), "ResourceNotFoundException");
    a.describe_stream_consumer().consumer_arn(second.consumer_arn).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn five_may_be_creating_and_twenty_registered() {
    let mut limits = Limits::default();
    limits.consumer_creating = Duration::from_secs(5);
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = crate::without_retries(&cloud.connect("a").await);
    let register =
        |n: usize| a.register_stream_consumer().stream_arn(stream.arn()).consumer_name(format!("c{n:02}")).send();
    for n in 0..20 {
        if n > 0 && n % 5 == 0 {
            let (code, message) = refusal(register(n).await);
            assert_eq!(code, "LimitExceededException");
            assert!(message.contains("5 consumers in the CREATING state"), "{message}");
            sleep(5000).await;
        }
        register(n).await.unwrap();
        sleep(200).await;
    }
    sleep(5000).await;
    let (code, message) = refusal(register(20).await);
    assert_eq!(code, "LimitExceededException");
    assert!(message.contains("20 consumers"), "{message}");
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    assert_eq!(summary.stream_description_summary.unwrap().consumer_count, Some(20));
    let pages = list(&a, &stream, 8).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4]);
    let names: Vec<_> = pages.concat().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, (0..20).map(|n| format!("c{n:02}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_page_token_expires_and_belongs_to_its_stream() {
    let (cloud, stream, a) = clicks(1).await;
    for name in ["x", "y"] {
        register(&a, &stream, name).await;
    }
    let first = a.list_stream_consumers().stream_arn(stream.arn()).max_results(1).send().await.unwrap();
    let token = first.next_token.unwrap();
    let next =
        |stream: &Stream, token: &str| a.list_stream_consumers().stream_arn(stream.arn()).next_token(token).send();
    let other = cloud.create_stream("other", 1).await;
    assert_eq!(code(next(&other, &token).await), "InvalidArgumentException");
    assert_eq!(code(next(&stream, "damaged").await), "InvalidArgumentException");
    sleep(299_000).await;
    let rest = next(&stream, &token).await.unwrap();
    assert_eq!(rest.consumers.unwrap()[0].consumer_name, "y");
    assert_eq!(rest.next_token, None);
    sleep(2000).await;
    assert_eq!(code(next(&stream, &token).await), "ExpiredNextTokenException");
}

#[tokio::test(start_paused = true)]
async fn the_creation_time_tells_streams_of_one_name_apart() {
    let (_cloud, stream, a) = clicks(1).await;
    register(&a, &stream, "app").await;
    let summary = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    let created = summary.stream_description_summary.unwrap().stream_creation_timestamp;
    let list = |at: DateTime| a.list_stream_consumers().stream_arn(stream.arn()).stream_creation_timestamp(at).send();
    assert_eq!(list(created).await.unwrap().consumers.unwrap().len(), 1);
    let other = DateTime::from_secs(created.secs() - 60);
    assert_eq!(code(list(other).await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_refused() {
    let (_cloud, stream, a) = clicks(1).await;
    let made = register(&a, &stream, "app").await;
    let describe = || a.describe_stream_consumer();
    for half in [describe(), describe().stream_arn(stream.arn()), describe().consumer_name("app")] {
        assert_eq!(code(half.send().await), "InvalidArgumentException");
    }
    let mixed = describe().consumer_arn(&made.consumer_arn).consumer_name("other").send().await;
    assert_eq!(code(mixed), "InvalidArgumentException");
    for arn in [stream.arn(), format!("{}/consumer/app", stream.arn()), format!("{}/consumer/a b:1", stream.arn())] {
        assert_eq!(code(describe().consumer_arn(arn).send().await), "ValidationException");
    }
    for name in ["", "a b", &"x".repeat(129)] {
        let answer = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name(name).send().await;
        assert_eq!(code(answer), "ValidationException", "{name:?}");
    }
    let nowhere = a.register_stream_consumer().stream_arn(stream.arn() + "-not").consumer_name("app").send().await;
    assert_eq!(code(nowhere), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_consumers_is_deleted_only_when_that_is_enforced() {
    let (cloud, stream, a) = clicks(1).await;
    register(&a, &stream, "app").await;
    for enforce in [None, Some(false)] {
        let delete = a.delete_stream().stream_name("clicks").set_enforce_consumer_deletion(enforce).send().await;
        assert_eq!(code(delete), "ResourceInUseException");
    }
    a.delete_stream().stream_name("clicks").enforce_consumer_deletion(true).send().await.unwrap();
    sleep(300).await;
    let again = cloud.create_stream("clicks", 1).await;
    assert_eq!(list(&a, &again, 10).await, [[]]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_yet_takes_no_consumer() {
    let cloud = Cloud::new();
    let a = crate::without_retries(&cloud.connect("a").await);
    a.create_stream().stream_name("clicks").shard_count(1).send().await.unwrap();
    let stream = cloud.stream("clicks");
    let early = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send().await;
    assert_eq!(code(early), "ResourceInUseException");
    tokio::time::sleep(Duration::from_millis(300)).await;
    register(&a, &stream, "app").await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_has_tags_of_its_own() {
    let (_cloud, stream, a) = clicks(1).await;
    let register = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").tags("team", "red");
    let arn = register.send().await.unwrap().consumer.unwrap().consumer_arn;
    let early = a.tag_resource().resource_arn(&arn).tags("stage", "test").send().await;
    assert_eq!(code(early), "ResourceInUseException", "still CREATING");
    sleep(300).await;
    a.tag_resource().resource_arn(&arn).tags("stage", "test").send().await.unwrap();
    let tags = a.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags.unwrap();
    let tags: Vec<_> = tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    assert_eq!(tags, [("stage".to_owned(), "test".to_owned()), ("team".to_owned(), "red".to_owned())]);
    let of_stream = a.list_tags_for_stream().stream_name("clicks").send().await.unwrap();
    assert_eq!(of_stream.tags, []);
}
