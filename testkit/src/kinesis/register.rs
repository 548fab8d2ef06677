//! RegisterStreamConsumer and DeregisterStreamConsumer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::consumer::{Consumer, ConsumerStatus, check_consumer_name};
use super::consumers::ConsumerAnswer;
use super::stream::Mode;
use super::tags::Tags;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RegisterStreamConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeregisterStreamConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

impl Account {
    pub(crate) fn register_stream_consumer(
        &mut self,
        request: RegisterStreamConsumer,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let stream_arn = request.stream_arn.as_deref().ok_or_else(|| Refusal::missing("streamARN"))?;
        let name = request.consumer_name.ok_or_else(|| Refusal::missing("consumerName"))?;
        check_consumer_name(&name)?;
        let mut tags = Tags::default();
        if request.tags.is_some() {
            tags.add(Tags::parse(request.tags)?, &format!("consumer {name}"))?;
        }
        // Over all streams: the limit is the account's.
        let creating: usize = self.streams.values().map(|stream| stream.consumers.creating()).sum();
        let limits = self.limits.clone();
        let advantage = self.commitment.is_enabled(now);
        let stream = self.stream(None, Some(stream_arn))?;
        if !stream.takes_calls() {
            return Err(Refusal::in_use(format!(
                "Stream {} under account {ACCOUNT_ID} not ACTIVE, instead in state {}",
                stream.name,
                stream.status.as_str()
            )));
        }
        let most = match stream.mode {
            Mode::OnDemand if advantage => limits.consumers_per_advantage_stream,
            _ => limits.consumers_per_stream,
        };
        let stream_name = stream.name.clone();
        let consumers = &mut stream.consumers;
        if consumers.by_name.contains_key(&name) {
            return Err(Refusal::in_use(format!(
                "Consumer {name} under stream {stream_name} already exists for account {ACCOUNT_ID}."
            )));
        }
        if consumers.by_name.len() >= most {
            return Err(Refusal::limit_exceeded(format!(
                "Stream {stream_name} under account {ACCOUNT_ID} has {} consumers, and may not have more.",
                consumers.by_name.len()
            )));
        }
        if creating >= limits.consumers_creating {
            return Err(Refusal::limit_exceeded(format!(
                "Account {ACCOUNT_ID} has {creating} consumers in the CREATING state, and may not have more."
            )));
        }
        let consumer = Consumer {
            created: now,
            mark: consumers.next_mark(now),
            status: ConsumerStatus::Creating,
            due: Some(now.saturating_add(limits.consumer_creating)),
            tags,
            policy: None,
            seats: BTreeMap::new(),
            name: name.clone(),
        };
        let answer = RegisterAnswer { consumer: ConsumerAnswer::of(&consumer, &stream_name) };
        consumers.by_name.insert(name, consumer);
        Ok(answer)
    }

    /// Its subscriptions end at once.
    pub(crate) fn deregister_stream_consumer(
        &mut self,
        request: DeregisterStreamConsumer,
        now: Tick,
    ) -> Result<(), Refusal> {
        let deleting = self.limits.consumer_deleting;
        let (_, consumer) = self.named_consumer(
            request.consumer_arn.as_deref(),
            request.stream_arn.as_deref(),
            request.consumer_name.as_deref(),
        )?;
        if consumer.status != ConsumerStatus::Deleting {
            consumer.status = ConsumerStatus::Deleting;
            consumer.due = Some(now + deleting);
            consumer.seats.clear();
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterAnswer {
    consumer: ConsumerAnswer,
}
