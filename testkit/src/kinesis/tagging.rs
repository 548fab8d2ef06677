//! Tags of streams: AddTagsToStream, RemoveTagsFromStream, ListTagsForStream, and by ARN TagResource, UntagResource,
//! ListTagsForResource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::tags::{MOST_TAGS, Tags, check_key_length, check_keys};
use crate::refusal::Refusal;

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
        let mut rest = stream.tags.iter().filter(|(key, _)| **key > after);
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
        let tags = self.resource(&arn)?.tags.iter().map(TagAnswer::of).collect();
        Ok(ListTagsAnswer { tags, has_more_tags: None })
    }
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
