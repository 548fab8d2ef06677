//! What a check is given: clients of one service under test, and names of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{StreamMode, StreamModeDetails};
use tokio::sync::Semaphore;

use super::stream::Stream;

/// A service under test and what its checks share.
#[derive(Debug, Clone)]
pub struct Endpoint {
    kinesis: aws_sdk_kinesis::config::Builder,
    dynamodb: aws_sdk_dynamodb::config::Builder,
    creating: Arc<Semaphore>,
}

impl Endpoint {
    /// From the configuration of the clients. Retries are the checks' own affair.
    pub fn new(kinesis: aws_sdk_kinesis::config::Builder, dynamodb: aws_sdk_dynamodb::config::Builder) -> Self {
        // The service refuses a sixth stream in CREATING.
        Self { kinesis, dynamodb, creating: Arc::new(Semaphore::new(5)) }
    }

    pub(super) fn probe(&self, prefix: impl Into<String>) -> Probe {
        let patient = RetryConfig::standard().with_max_attempts(8).with_max_backoff(Duration::from_secs(1));
        let once = RetryConfig::disabled();
        let client = |retries| aws_sdk_kinesis::Client::from_conf(self.kinesis.clone().retry_config(retries).build());
        Probe {
            kinesis: client(patient.clone()),
            once: client(once),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(self.dynamodb.clone().retry_config(patient).build()),
            prefix: prefix.into(),
            creating: self.creating.clone(),
            made: Arc::default(),
        }
    }
}

/// The clients that a check may use, and streams of its own.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Repeats a call that was throttled.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Repeats nothing.
    pub once: aws_sdk_kinesis::Client,
    /// Repeats a call that was throttled.
    pub dynamodb: aws_sdk_dynamodb::Client,
    prefix: String,
    creating: Arc<Semaphore>,
    made: Arc<Mutex<Vec<String>>>,
}

impl Probe {
    /// A name that no other check uses, for a stream or a table. It is removed when the check is over.
    pub fn name(&self, suffix: &str) -> String {
        let name = format!("{}{suffix}", self.prefix);
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        name
    }

    /// A new provisioned stream, ACTIVE.
    pub async fn stream(&self, shards: i32) -> Result<Stream> {
        self.stream_named("", shards).await
    }

    /// The same under this check's name with a suffix, for a check that needs several.
    pub async fn stream_named(&self, suffix: &str, shards: i32) -> Result<Stream> {
        let stream = self.unmade(suffix);
        let _one_of_five = self.creating.acquire().await?;
        self.kinesis.create_stream().stream_name(&stream.name).shard_count(shards).send().await.context("creating")?;
        stream.active().await?;
        Ok(stream)
    }

    /// A new on-demand stream, ACTIVE.
    pub async fn on_demand(&self) -> Result<Stream> {
        let stream = self.unmade("");
        let _one_of_five = self.creating.acquire().await?;
        let create = self.kinesis.create_stream().stream_name(&stream.name).stream_mode_details(on_demand());
        create.send().await.context("creating")?;
        stream.active().await?;
        Ok(stream)
    }

    /// The handle of a stream that does not exist yet.
    pub fn unmade(&self, suffix: &str) -> Stream {
        Stream { kinesis: self.kinesis.clone(), name: self.name(suffix) }
    }

    /// The time on the service's side.
    pub fn now(&self) -> DateTime {
        let clock = self.kinesis.config().time_source().expect("the SDK has a default time source");
        DateTime::from(clock.now())
    }

    /// Waits: virtual time with the model, real time otherwise.
    pub async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    /// Deletes the streams that the check made, so that the next ones find an account with room.
    pub(super) async fn clean_up(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            // Most are gone or never were: a check that deletes, or a name that was refused.
            let delete = self.kinesis.delete_stream().stream_name(&name).enforce_consumer_deletion(true);
            drop(delete.send().await);
        }
    }
}

/// The details that ask for an on-demand stream.
pub(super) fn on_demand() -> StreamModeDetails {
    mode(StreamMode::OnDemand)
}

/// The details that ask for a mode.
pub(super) fn mode(mode: StreamMode) -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(mode).build().expect("the mode is all that it needs")
}
