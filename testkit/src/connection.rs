//! SDK clients that reach the cloud.

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::connector::Connector;
use crate::credentials::WorkerCredentials;
use crate::service::REGION;
use crate::worker_clock::WorkerClock;

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
    clock: WorkerClock,
}

impl Connection {
    pub(crate) fn new(name: &str, connector: Connector) -> Self {
        let clock = connector.network.worker_clock();
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url("http://cloud.test")
            .credentials_provider(SharedCredentialsProvider::new(WorkerCredentials { clock: clock.clone() }))
            .sleep_impl(SharedAsyncSleep::new(clock.clone()))
            .time_source(SharedTimeSource::new(clock.clone()))
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
            clock,
        }
    }

    /// What both clients were made from, for `aws_sdk_…::config::Builder::from`.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.config
    }

    /// The clocks that the worker sees: those of the cloud, except while it is [frozen](crate::Cloud::freeze).
    pub fn clock(&self) -> WorkerClock {
        self.clock.clone()
    }

    /// Runs `future` as a part of the worker: while the worker is [frozen](crate::Cloud::freeze) it is not polled, and
    /// what woke it meanwhile it finds at the thaw.
    ///
    /// Tasks that the future spawns are not a part of it: to stand still too they have to be run in the same way.
    ///
    /// Dropping it drops `future`.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        self.clock.run(future).await
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
