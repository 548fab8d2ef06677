//! A stream's registered consumers: who may subscribe, and who does.

use std::collections::BTreeMap;

use super::names::{is_stream_name, stream_arn};
use super::seat::Seat;
use super::tags::Tags;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) created: Tick,
    /// The creation time in its ARN, in seconds: no two consumers of one name and stream share one.
    pub(crate) mark: u64,
    pub(crate) status: ConsumerStatus,
    /// When the present state ends; `None` while ACTIVE.
    pub(crate) due: Option<Tick>,
    pub(crate) tags: Tags,
    /// As JSON.
    pub(crate) policy: Option<String>,
    /// By shard number: where it subscribed at least once.
    pub(crate) seats: BTreeMap<u32, Seat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsumerStatus {
    /// Registered, cannot subscribe yet.
    Creating,
    Active,
    /// On its way out, cannot subscribe any more.
    Deleting,
}

impl ConsumerStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
        }
    }
}

impl Consumer {
    pub(crate) fn arn(&self, stream: &str) -> String {
        format!("{}/consumer/{}:{}", stream_arn(stream), self.name, self.mark)
    }

    pub(crate) fn check_active(&self, arn: &str) -> Result<(), Refusal> {
        if self.status == ConsumerStatus::Active {
            return Ok(());
        }
        Err(Refusal::in_use(format!("Consumer {arn} is not ACTIVE, instead in state {}.", self.status.as_str())))
    }
}

/// The consumers of one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumers {
    pub(crate) by_name: BTreeMap<String, Consumer>,
    /// The highest mark of those that are gone.
    last_gone: u64,
}

impl Consumers {
    /// Ends every state whose time has come.
    pub(crate) fn settle(&mut self, now: Tick) {
        let Self { by_name, last_gone } = self;
        by_name.retain(|_, consumer| {
            if consumer.due.is_none_or(|due| due > now) {
                return true;
            }
            consumer.due = None;
            let gone = consumer.status == ConsumerStatus::Deleting;
            if gone {
                *last_gone = consumer.mark.max(*last_gone);
            }
            consumer.status = ConsumerStatus::Active;
            !gone
        });
    }

    pub(crate) fn next_mark(&self, now: Tick) -> u64 {
        now.as_secs().max(self.last_gone + 1)
    }

    pub(crate) fn creating(&self) -> usize {
        self.by_name.values().filter(|consumer| consumer.status == ConsumerStatus::Creating).count()
    }
}

/// What a consumer's ARN says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerArn<'a> {
    pub(crate) stream_arn: &'a str,
    pub(crate) name: &'a str,
    pub(crate) mark: u64,
}

impl<'a> ConsumerArn<'a> {
    pub(crate) fn parse(arn: &'a str) -> Result<Self, Refusal> {
        let parts = arn.split_once("/consumer/").and_then(|(stream_arn, rest)| {
            let (name, mark) = rest.rsplit_once(':')?;
            Some(Self { stream_arn, name, mark: mark.parse().ok()? })
        });
        parts.filter(|parts| is_consumer_name(parts.name)).ok_or_else(|| {
            Refusal::constraint(
                arn,
                "consumerARN",
                "Member must satisfy regular expression pattern: \
                 ^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+",
            )
        })
    }
}

pub(crate) fn check_consumer_name(name: &str) -> Result<(), Refusal> {
    if is_consumer_name(name) {
        return Ok(());
    }
    let constraint = match name.chars().count() {
        0 => "Member must have length greater than or equal to 1",
        129.. => "Member must have length less than or equal to 128",
        _ => "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
    };
    Err(Refusal::constraint(name, "consumerName", constraint))
}

fn is_consumer_name(name: &str) -> bool {
    is_stream_name(name)
}

pub(crate) fn consumer_not_found(which: &str) -> Refusal {
    Refusal::not_found(format!("Consumer {which} not found."))
}

pub(crate) fn already_subscribed(stream: &str, shard: &str, consumer: &str) -> Refusal {
    Refusal::in_use(format!(
        "Another active subscription exists for this consumer: {ACCOUNT_ID}:{stream}:{shard}:{consumer}"
    ))
}
