//! Names and ARNs of streams, shards and consumers.

use crate::refusal::Refusal;
use crate::service::{ACCOUNT_ID, REGION};

pub(crate) fn stream_arn(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/{name}")
}

pub(crate) fn stream_not_found(name: &str) -> Refusal {
    Refusal::not_found(format!("Stream {name} under account {ACCOUNT_ID} not found."))
}

pub(crate) fn check_stream_name(name: &str) -> Result<(), Refusal> {
    check_name(name, "streamName")
}

/// Streams and shards are named alike.
pub(crate) fn check_name(name: &str, member: &str) -> Result<(), Refusal> {
    if is_stream_name(name) {
        return Ok(());
    }
    let constraint = match name.chars().count() {
        0 => "Member must have length greater than or equal to 1",
        129.. => "Member must have length less than or equal to 128",
        _ => "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
    };
    Err(Refusal::constraint(name, member, constraint))
}

/// Names of streams and of consumers have one form.
pub(crate) fn is_stream_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
