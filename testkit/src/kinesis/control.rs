//! Rates of the control plane.

use serde::Deserialize;

use super::account::Account;
use super::bucket::Bucket;
use super::token::ListToken;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;
use crate::wire::Wire;

/// The ways in which a request names a stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    next_token: Option<String>,
}

impl Account {
    /// Refuses a call of the control plane that comes too soon after others.
    pub(crate) fn admit(&mut self, wire: Wire, operation: &str, body: &[u8], now: Tick) -> Result<(), Refusal> {
        let Some(rate) = self.limits.control_calls_per_second.get(operation).copied() else { return Ok(()) };
        // What cannot be read is refused by the operation itself, and does not count.
        let Ok(names) = wire.parse::<Names>(body) else { return Ok(()) };
        let name = names.stream();
        let stream = name.as_ref().and_then(|name| self.streams.get_mut(name));
        let buckets = match stream {
            Some(stream) if PER_STREAM.contains(&operation) => &mut stream.control,
            // Nor does a stream that does not exist have a rate.
            None if PER_STREAM.contains(&operation) => return Ok(()),
            _ => &mut self.control,
        };
        if !buckets.contains_key(operation) {
            buckets.insert(operation.to_owned(), Bucket::full(rate, now));
        }
        let bucket = buckets.get_mut(operation).expect("it was just put there");
        if bucket.holds(1, now) {
            bucket.take(1, now);
            return Ok(());
        }
        Err(Refusal::limit_exceeded(match name {
            Some(name) => format!("Rate exceeded for stream {name} under account {ACCOUNT_ID}."),
            None => "Rate exceeded.".to_owned(),
        }))
    }
}

impl Names {
    fn stream(self) -> Option<String> {
        let arn = self.stream_arn.or(self.resource_arn).or(self.consumer_arn);
        let from_arn = || Some(arn?.split_once(":stream/")?.1.split('/').next()?.to_owned());
        let from_token = || Some(ListToken::parse(&self.next_token?)?.stream);
        self.stream_name.or_else(from_arn).or_else(from_token)
    }
}

/// The operations that the service counts stream by stream; it counts the others over the account.
const PER_STREAM: [&str; 14] = [
    "DecreaseStreamRetentionPeriod",
    "DeregisterStreamConsumer",
    "DescribeStreamConsumer",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListTagsForStream",
    "MergeShards",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "UpdateShardCount",
];
