//! SDK clients that reach the cloud.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::connector::Connector;
use crate::service::REGION;

/// The SDK clients of one worker, and the configuration they were made from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connection {
    /// Kinesis.
    pub kinesis: aws_sdk_kinesis::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    config: SdkConfig,
    retries: RetryPartition,
}

impl Connection {
    pub(crate) fn new(name: &str, connector: Connector) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url("http://cloud.test")
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "test",
                "test",
                None,
                None,
                "kinesis-testkit",
            )))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SharedTimeSource::new(connector.network.clock))
            .http_client(connector)
            .build();
        // Left alone, all clients of the process would spend retries from one bucket: one test's black hole would
        // change another's retries.
        let retries = RetryPartition::custom(name.to_owned()).build();
        Self {
            kinesis: aws_sdk_kinesis::Client::from_conf(kinesis_config(&config, &retries).build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb_config(&config, &retries).build()),
            config,
            retries,
        }
    }

    /// What both clients were made from, for `aws_sdk_…::config::Builder::from`.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.config
    }

    /// The configuration of [`kinesis`](Self::kinesis), to be changed and built anew, for example with timeouts.
    pub fn kinesis_config(&self) -> aws_sdk_kinesis::config::Builder {
        kinesis_config(&self.config, &self.retries)
    }

    /// The configuration of [`dynamodb`](Self::dynamodb), to be changed and built anew.
    pub fn dynamodb_config(&self) -> aws_sdk_dynamodb::config::Builder {
        dynamodb_config(&self.config, &self.retries)
    }
}

fn kinesis_config(config: &SdkConfig, retries: &RetryPartition) -> aws_sdk_kinesis::config::Builder {
    aws_sdk_kinesis::config::Builder::from(config).retry_partition(retries.clone())
}

fn dynamodb_config(config: &SdkConfig, retries: &RetryPartition) -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::from(config).retry_partition(retries.clone())
}
