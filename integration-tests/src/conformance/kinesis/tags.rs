//! Tags of streams and consumers.

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::types::Tag;

use super::consumers::register;
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::Stream;

checks! {
    a_tag_is_added: "AddTagsToStream", "'Adds or updates tags'";
    a_tag_is_overwritten: "AddTagsToStream", "'overwrites any existing tags that correspond to the specified tag keys'";
    a_tag_is_removed: "RemoveTagsFromStream", "'Removed tags are deleted'";
    a_tag_that_is_not_there_is_no_error: "RemoveTagsFromStream", "'If you specify a tag that does not exist, it is ignored'";
    a_stream_has_at_most_50_tags: "AddTagsToStream", "'You can assign up to 50 tags to a data stream'";
    tags_are_listed_page_by_page: "ListTagsForStream", "Limit, HasMoreTags; ExclusiveStartTagKey goes on";
    a_tag_key_has_at_most_128_characters: "AddTagsToStream", "Tags: keys of 1 to 128 characters";
    a_tag_value_has_at_most_256_characters: "AddTagsToStream", "Tags: values of 0 to 256 characters";
    an_unknown_stream_has_no_tags: "ListTagsForStream", "ResourceNotFoundException";
    a_stream_is_tagged_by_arn: "TagResource", "ResourceARN of a stream; the same tags as ListTagsForStream's";
    a_stream_is_untagged_by_arn: "UntagResource", "TagKeys";
    a_consumer_is_tagged_by_arn: "TagResource", "ResourceARN of a consumer";
    a_consumer_is_registered_with_tags: "RegisterStreamConsumer", "Tags: 'take effect from the CREATING status of the consumer'";
}

async fn a_tag_is_added(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1"), ("b", "2")]).await?;
    ensure!(tags(&stream).await? == ["a=1", "b=2"]);
    Ok(())
}

async fn a_tag_is_overwritten(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1"), ("b", "2")]).await?;
    probe.kinesis.add_tags_to_stream().stream_name(&stream.name).tags("a", "3").send().await?;
    ensure!(tags(&stream).await? == ["a=3", "b=2"]);
    Ok(())
}

async fn a_tag_is_removed(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1"), ("b", "2")]).await?;
    probe.kinesis.remove_tags_from_stream().stream_name(&stream.name).tag_keys("a").send().await?;
    ensure!(tags(&stream).await? == ["b=2"]);
    Ok(())
}

async fn a_tag_that_is_not_there_is_no_error(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1")]).await?;
    probe.kinesis.remove_tags_from_stream().stream_name(&stream.name).tag_keys("other").send().await?;
    ensure!(tags(&stream).await? == ["a=1"]);
    Ok(())
}

async fn a_stream_has_at_most_50_tags(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    for start in [0, 10, 20, 30, 40] {
        let mut add = probe.kinesis.add_tags_to_stream().stream_name(&stream.name);
        for n in start..start + 10 {
            add = add.tags(format!("key-{n}"), "x");
        }
        add.send().await?;
    }
    let add = probe.once.add_tags_to_stream().stream_name(&stream.name).tags("more", "x");
    refused(add.send().await, "InvalidArgumentException|LimitExceededException")
}

async fn tags_are_listed_page_by_page(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1"), ("b", "2"), ("c", "3")]).await?;
    let list = probe.kinesis.list_tags_for_stream().stream_name(&stream.name).limit(2);
    let first = list.clone().send().await?;
    ensure!(pairs(&first.tags) == ["a=1", "b=2"] && first.has_more_tags, "{first:?}");
    let second = list.exclusive_start_tag_key("b").send().await?;
    ensure!(pairs(&second.tags) == ["c=3"] && !second.has_more_tags, "{second:?}");
    Ok(())
}

async fn a_tag_key_has_at_most_128_characters(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let add = probe.kinesis.add_tags_to_stream().stream_name(&stream.name);
    add.clone().tags("k".repeat(128), "x").send().await?;
    refused(add.tags("k".repeat(129), "x").send().await, "ValidationException|InvalidArgumentException")
}

async fn a_tag_value_has_at_most_256_characters(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let add = probe.kinesis.add_tags_to_stream().stream_name(&stream.name);
    add.clone().tags("long", "v".repeat(256)).send().await?;
    add.clone().tags("empty", "").send().await?;
    refused(add.tags("longer", "v".repeat(257)).send().await, "ValidationException|InvalidArgumentException")
}

async fn an_unknown_stream_has_no_tags(probe: Probe) -> Result<()> {
    let list = probe.kinesis.list_tags_for_stream().stream_name(probe.name(""));
    refused(list.send().await, "ResourceNotFoundException")
}

async fn a_stream_is_tagged_by_arn(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let arn = stream.arn().await?;
    probe.kinesis.tag_resource().resource_arn(&arn).tags("a", "1").send().await?;
    let listed = probe.kinesis.list_tags_for_resource().resource_arn(&arn).send().await?;
    ensure!(pairs(listed.tags()) == ["a=1"] && tags(&stream).await? == ["a=1"], "{listed:?}");
    Ok(())
}

async fn a_stream_is_untagged_by_arn(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("a", "1"), ("b", "2")]).await?;
    probe.kinesis.untag_resource().resource_arn(stream.arn().await?).tag_keys("a").send().await?;
    ensure!(tags(&stream).await? == ["b=2"]);
    Ok(())
}

async fn a_consumer_is_tagged_by_arn(probe: Probe) -> Result<()> {
    let stream = tagged(&probe, [("of", "stream")]).await?;
    let consumer = register(&stream, "reader").await?.consumer_arn;
    probe.kinesis.tag_resource().resource_arn(&consumer).tags("of", "consumer").send().await?;
    let listed = probe.kinesis.list_tags_for_resource().resource_arn(&consumer).send().await?;
    ensure!(pairs(listed.tags()) == ["of=consumer"] && tags(&stream).await? == ["of=stream"], "{listed:?}");
    Ok(())
}

async fn a_consumer_is_registered_with_tags(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let register = probe.kinesis.register_stream_consumer().stream_arn(stream.arn().await?).consumer_name("reader");
    let consumer = register.tags("a", "1").send().await?.consumer.context("no consumer")?;
    let listed = probe.kinesis.list_tags_for_resource().resource_arn(consumer.consumer_arn).send().await?;
    ensure!(pairs(listed.tags()) == ["a=1"], "{listed:?}");
    Ok(())
}

async fn tagged<const N: usize>(probe: &Probe, tags: [(&str, &str); N]) -> Result<Stream> {
    let stream = probe.stream(1).await?;
    let mut add = probe.kinesis.add_tags_to_stream().stream_name(&stream.name);
    for (key, value) in tags {
        add = add.tags(key, value);
    }
    add.send().await?;
    Ok(stream)
}

async fn tags(stream: &Stream) -> Result<Vec<String>> {
    Ok(pairs(&stream.kinesis.list_tags_for_stream().stream_name(&stream.name).send().await?.tags))
}

fn pairs(tags: &[Tag]) -> Vec<String> {
    let mut pairs: Vec<_> =
        tags.iter().map(|tag| format!("{}={}", tag.key, tag.value.as_deref().unwrap_or(""))).collect();
    pairs.sort();
    pairs
}
