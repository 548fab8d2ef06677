//! The tags of one resource, and what a tag may be.

use std::collections::BTreeMap;

use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

/// The tags of one resource, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tags(BTreeMap<String, String>);

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

    /// In the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Keys that are not there are ignored.
    pub(crate) fn remove(&mut self, keys: &[String]) {
        for key in keys {
            self.0.remove(key);
        }
    }
}

pub(crate) fn check_keys(asked: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
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

pub(crate) fn check_key_length(key: &str, member: &str) -> Result<(), Refusal> {
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

pub(crate) const MOST_TAGS: usize = 50;
const MOST_KEY_CHARS: usize = 128;
const MOST_VALUE_CHARS: usize = 256;
