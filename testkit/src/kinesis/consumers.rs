//! DescribeStreamConsumer and ListStreamConsumers.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::consumer::Consumer;
use super::list::page_size;
use super::names::{stream_arn, stream_not_found};
use super::token::ConsumersToken;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::wire::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStreamConsumer {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreamConsumers {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    stream_creation_timestamp: Option<Timestamp>,
}

impl Account {
    pub(crate) fn describe_stream_consumer(
        &mut self,
        request: DescribeStreamConsumer,
    ) -> Result<impl Serialize, Refusal> {
        let (stream, consumer) = self.named_consumer(
            request.consumer_arn.as_deref(),
            request.stream_arn.as_deref(),
            request.consumer_name.as_deref(),
        )?;
        let consumer_description =
            ConsumerDescription { consumer: ConsumerAnswer::of(consumer, stream), stream_arn: stream_arn(stream) };
        Ok(DescribeAnswer { consumer_description })
    }

    /// In the order of their names.
    pub(crate) fn list_stream_consumers(
        &mut self,
        request: ListStreamConsumers,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let limit = page_size("maxResults", request.max_results, 100)?;
        let arn = request.stream_arn.as_deref().ok_or_else(|| Refusal::missing("streamARN"))?;
        let token = request.next_token.as_deref().map(|text| self.check_token(text, now)).transpose()?;
        if token.is_some() && request.stream_creation_timestamp.is_some() {
            let what = "NextToken and StreamCreationTimestamp cannot be provided together.";
            return Err(Refusal::invalid_argument(what));
        }
        let stream = self.stream(None, Some(arn))?;
        if token.as_ref().is_some_and(|token| token.stream != stream.name) {
            return Err(Refusal::invalid_argument("NextToken is not one of this stream."));
        }
        let meant = request.stream_creation_timestamp.map(|at| at.0).or_else(|| Some(token.as_ref()?.created));
        if meant.is_some_and(|created| created.as_millis() != stream.created.as_millis()) {
            return Err(stream_not_found(&stream.name));
        }
        let after = token.map_or(Bound::Unbounded, |token| Bound::Excluded(token.after));
        let mut rest = stream.consumers.by_name.range((after, Bound::Unbounded)).map(|(_, consumer)| consumer);
        let consumers: Vec<_> =
            rest.by_ref().take(limit).map(|consumer| ConsumerAnswer::of(consumer, &stream.name)).collect();
        let more = rest.next().is_some();
        let next_token = consumers.last().filter(|_| more).map(|last| {
            let (stream, created) = (stream.name.clone(), stream.created);
            ConsumersToken { stream, created, after: last.consumer_name.clone(), issued: now }.to_text()
        });
        Ok(ListAnswer { consumers, next_token })
    }

    fn check_token(&self, text: &str, now: Tick) -> Result<ConsumersToken, Refusal> {
        let token = ConsumersToken::parse(text).ok_or_else(|| Refusal::invalid_argument("NextToken is invalid."))?;
        if token.issued.saturating_add(self.limits.token_life) < now {
            return Err(Refusal::expired_token("The pagination token has expired.".to_owned()));
        }
        Ok(token)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumerAnswer {
    consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_status: &'static str,
    consumer_creation_timestamp: Timestamp,
}

impl ConsumerAnswer {
    pub(crate) fn of(consumer: &Consumer, stream: &str) -> Self {
        Self {
            consumer_name: consumer.name.clone(),
            consumer_arn: consumer.arn(stream),
            consumer_status: consumer.status.as_str(),
            consumer_creation_timestamp: Timestamp(consumer.created),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeAnswer {
    consumer_description: ConsumerDescription,
}

#[derive(Serialize)]
struct ConsumerDescription {
    #[serde(flatten)]
    consumer: ConsumerAnswer,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    consumers: Vec<ConsumerAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}
