//! Tags of streams: AddTagsToStream, RemoveTagsFromStream, ListTagsForStream, and by ARN TagResource, UntagResource,
//! ListTagsForResource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

/// The tags of one resource, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tags(BTreeMap<String, String>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddTags {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemoveTags {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTags {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    exclusive_start_tag_key: Option<String>,
    limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsForResource {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
}

impl Account {
    pub(crate) fn add_tags(&mut self, request: AddTags) -> Result<(), Refusal> {
        let tags = Tags::parse(request.tags)?;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        stream.tags.add(tags, &format!("stream {}", stream.name))
    }

    pub(crate) fn remove_tags(&mut self, request: RemoveTags) -> Result<(), Refusal> {
        let keys = check_keys(request.tag_keys)?;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        stream.tags.remove(&keys);
        Ok(())
    }

    pub(crate) fn list_tags(&mut self, request: ListTags) -> Result<impl Serialize + use<>, Refusal> {
        let limit = match request.limit.map(usize::try_from) {
            None => MOST_TAGS,
            Some(Ok(n @ 1..=MOST_TAGS)) => n,
            Some(Ok(n)) if n > MOST_TAGS => {
                return Err(Refusal::constraint(n, "limit", "Member must have value less than or equal to 50"));
            }
            _ => {
                let n = request.limit.unwrap_or_default();
                return Err(Refusal::constraint(n, "limit", "Member must have value greater than or equal to 1"));
            }
        };
        if let Some(key) = &request.exclusive_start_tag_key {
            check_key_length(key, "exclusiveStartTagKey")?;
        }
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let after = request.exclusive_start_tag_key.unwrap_or_default();
        let mut rest = stream.tags.0.iter().filter(|(key, _)| **key > after);
        let tags = rest.by_ref().take(limit).map(TagAnswer::of).collect();
        Ok(ListTagsAnswer { tags, has_more_tags: Some(rest.next().is_some()) })
    }

    pub(crate) fn tag_resource(&mut self, request: TagResource) -> Result<(), Refusal> {
        let tags = Tags::parse(request.tags)?;
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        self.active_resource(&arn)?.tags.add(tags, &format!("resource {arn}"))
    }

    pub(crate) fn untag_resource(&mut self, request: UntagResource) -> Result<(), Refusal> {
        let keys = check_keys(request.tag_keys)?;
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        self.active_resource(&arn)?.tags.remove(&keys);
        Ok(())
    }

    pub(crate) fn list_tags_for_resource(
        &mut self,
        request: ListTagsForResource,
    ) -> Result<impl Serialize + use<>, Refusal> {
        let arn = request.resource_arn.ok_or_else(|| Refusal::missing("resourceARN"))?;
        let tags = self.resource(&arn)?.tags.0.iter().map(TagAnswer::of).collect();
        Ok(ListTagsAnswer { tags, has_more_tags: None })
    }
}

impl Tags {
    /// At least one. A tag without a value has an empty one.
    pub(crate) fn parse(asked: Option<BTreeMap<String, Option<String>>>) -> Result<Self, Refusal> {
        let asked = asked.ok_or_else(|| Refusal::missing("tags"))?;
        if asked.is_empty() {
            return Err(Refusal::constraint("{}", "tags", "Member must have length greater than or equal to 1"));
        }
        let tags: BTreeMap<String, String> =
            asked.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect();
        for (key, value) in &tags {
            if !(1..=MOST_KEY_CHARS).contains(&key.chars().count()) {
                let what = "Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member \
                            must have length greater than or equal to 1]";
                return Err(Refusal::constraint(format!("{{{key}={value}}}"), "tags", what));
            }
            if value.chars().count() > MOST_VALUE_CHARS {
                let what = "Map value must satisfy constraint: [Member must have length less than or equal to 256, Member \
                            must have length greater than or equal to 0]";
                return Err(Refusal::constraint(format!("{{{key}={value}}}"), "tags", what));
            }
            check_chars(key)?;
            check_chars(value)?;
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(Refusal::invalid_argument(format!(
                    "Tag key {key} is not allowed: keys may not begin with aws:."
                )));
            }
        }
        Ok(Self(tags))
    }

    /// All or none of `more`.
    pub(crate) fn add(&mut self, more: Self, whose: &str) -> Result<(), Refusal> {
        let new = more.0.keys().filter(|key| !self.0.contains_key(*key)).count();
        if self.0.len() + new > MOST_TAGS {
            return Err(Refusal::invalid_argument(format!(
                "Failed to add tags to {whose} under account {ACCOUNT_ID} because a given resource cannot have more than \
                 {MOST_TAGS} tags associated with it."
            )));
        }
        self.0.extend(more.0);
        Ok(())
    }

    /// Keys that are not there are ignored.
    fn remove(&mut self, keys: &[String]) {
        for key in keys {
            self.0.remove(key);
        }
    }
}

fn check_keys(asked: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    let keys = asked.ok_or_else(|| Refusal::missing("tagKeys"))?;
    match keys.len() {
        0 => return Err(Refusal::constraint("[]", "tagKeys", "Member must have length greater than or equal to 1")),
        1..=MOST_TAGS => {}
        _ => return Err(Refusal::too_long("tagKeys", MOST_TAGS)),
    }
    for (i, key) in keys.iter().enumerate() {
        check_key_length(key, &format!("tagKeys.{}.member", i + 1))?;
        check_chars(key)?;
    }
    Ok(keys)
}

fn check_key_length(key: &str, member: &str) -> Result<(), Refusal> {
    match key.chars().count() {
        0 => Err(Refusal::constraint("", member, "Member must have length greater than or equal to 1")),
        1..=MOST_KEY_CHARS => Ok(()),
        _ => Err(Refusal::constraint(key, member, "Member must have length less than or equal to 128")),
    }
}

fn check_chars(text: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c);
    if text.chars().all(allowed) {
        return Ok(());
    }
    Err(Refusal::invalid_argument(
        "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . : / = + - @.",
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsAnswer {
    tags: Vec<TagAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more_tags: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagAnswer {
    key: String,
    value: String,
}

impl TagAnswer {
    fn of((key, value): (&String, &String)) -> Self {
        Self { key: key.clone(), value: value.clone() }
    }
}

const MOST_TAGS: usize = 50;
const MOST_KEY_CHARS: usize = 128;
const MOST_VALUE_CHARS: usize = 256;
