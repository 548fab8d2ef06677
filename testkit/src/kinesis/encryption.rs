//! StartStreamEncryption and StopStreamEncryption. Nothing is encrypted, and any key will do: there is no KMS here.

use serde::Deserialize;

use super::account::Account;
use super::rolling::RollingDay;
use super::stream::{Change, Stream};
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamEncryption {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    encryption_type: Option<String>,
    key_id: Option<String>,
}

impl Account {
    /// Begins for the records written once the stream is ACTIVE again.
    pub(crate) fn start_stream_encryption(&mut self, request: StreamEncryption, now: Tick) -> Result<(), Refusal> {
        let key = request.check()?;
        let (updating, most) = (self.limits.updating, self.limits.encryption_changes_per_day);
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        count(&mut stream.encryption.starts, most, "start", &stream.name, now)?;
        stream.update(now + updating, Change::Encryption { key: Some(key) });
        Ok(())
    }

    pub(crate) fn stop_stream_encryption(&mut self, request: StreamEncryption, now: Tick) -> Result<(), Refusal> {
        request.check()?;
        let (updating, most) = (self.limits.updating, self.limits.encryption_changes_per_day);
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        count(&mut stream.encryption.stops, most, "stop", &stream.name, now)?;
        stream.update(now + updating, Change::Encryption { key: None });
        Ok(())
    }
}

impl StreamEncryption {
    /// The key.
    fn check(&self) -> Result<String, Refusal> {
        match self.encryption_type.as_deref() {
            None => return Err(Refusal::missing("encryptionType")),
            Some("KMS") => {}
            Some("NONE") => return Err(Refusal::invalid_argument("KMS is the only valid encryption type.")),
            Some(other) => {
                let what = "Member must satisfy enum value set: [NONE, KMS]";
                return Err(Refusal::constraint(other, "encryptionType", what));
            }
        }
        let key = self.key_id.as_deref().ok_or_else(|| Refusal::missing("keyId"))?;
        match key.chars().count() {
            0 => Err(Refusal::constraint("", "keyId", "Member must have length greater than or equal to 1")),
            1..=2048 => Ok(()),
            _ => Err(Refusal::too_long("keyId", 2048)),
        }?;
        if !is_key(key) {
            return Err(Refusal::invalid_argument(format!(
                "KeyId {key} is neither a key id nor an alias nor the ARN of one."
            )));
        }
        Ok(key.to_owned())
    }
}

impl Stream {
    /// `NONE` or `KMS`.
    pub(crate) const fn encryption_type(&self) -> &'static str {
        if self.encryption.key.is_some() { "KMS" } else { "NONE" }
    }
}

fn count(day: &mut RollingDay, most: usize, what: &str, stream: &str, now: Tick) -> Result<(), Refusal> {
    if !day.allows(most, now) {
        return Err(Refusal::limit_exceeded(format!(
            "Stream {stream} under account {ACCOUNT_ID} cannot {what} encryption more than {most} times in a rolling 24 \
             hour period."
        )));
    }
    day.count(most, now);
    Ok(())
}

/// A GUID, `alias/…`, or the ARN of a key or an alias.
fn is_key(text: &str) -> bool {
    let named = |text: &str, prefix: &str| text.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
    match text.strip_prefix("arn:aws").and_then(|rest| rest.splitn(5, ':').nth(4)) {
        Some(resource) => named(resource, "alias/") || resource.strip_prefix("key/").is_some_and(is_guid),
        None => named(text, "alias/") || is_guid(text),
    }
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_ways_to_name_a_key() {
        for key in [
            "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012",
            "arn:aws-cn:kms:cn-north-1:123456789012:alias/MyAliasName",
            "12345678-1234-1234-1234-123456789012",
            "alias/MyAliasName",
            "alias/aws/kinesis",
        ] {
            assert!(is_key(key), "{key}");
        }
        for other in ["", "key", "alias/", "arn:aws:kms:us-east-1:123456789012:key/7", "12345678-1234-1234-1234"] {
            assert!(!is_key(other), "{other}");
        }
    }
}
