//! The stream that is read, and the client that reads it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::IdentityCache;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;

use crate::apart::{Apart, OwnTimers};
use crate::failed_call::Place;

/// A stream, by name or ARN, with a client whose calls end in time and are sent once. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    client: Client,
    address: Address,
    place: Place,
    _apart: Option<Arc<Apart>>,
}

#[derive(Clone, Debug)]
enum Address {
    Name(Arc<str>),
    Arn(Arc<str>),
}

impl Stream {
    /// The stream of that name or ARN.
    ///
    /// The client given is used with its own credentials, endpoint, connector and timeouts; only its retries are
    /// replaced by ours, which know what a repeated call means, and the timeouts that it does not set are set.
    pub(crate) fn new(client: &Client, name_or_arn: &str) -> Self {
        let own = client.config().timeout_config().cloned().unwrap_or_else(|| TimeoutConfig::builder().build());
        let timeouts = own.to_builder().take_unset_from(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(ATTEMPT),
        );
        let place = Place::of(client.config().region().map(AsRef::as_ref));
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            .interceptor(place.interceptor())
            .build();
        let address = if name_or_arn.starts_with("arn:") {
            Address::Arn(Arc::from(name_or_arn))
        } else {
            Address::Name(Arc::from(name_or_arn))
        };
        Self { client: Client::from_conf(config), address, place, _apart: None }
    }

    /// The same stream for the thread of the leases: with connections, timers and stored credentials of its own.
    pub(crate) fn apart(&self) -> Self {
        let apart = Arc::new(Apart::new());
        let own = self.client.config();
        let config = own
            .to_builder()
            .timeout_config(apart.timeouts(own.timeout_config(), SILENCE))
            .sleep_impl(OwnTimers)
            .identity_cache(IdentityCache::lazy().build());
        Self {
            client: Client::from_conf(config.build()),
            address: self.address.clone(),
            place: self.place.clone(),
            _apart: Some(apart),
        }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Where its calls go.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// For the request field `StreamName`.
    pub(crate) fn name(&self) -> Option<String> {
        match &self.address {
            Address::Name(name) => Some(name.to_string()),
            Address::Arn(_) => None,
        }
    }

    /// For the request field `StreamARN`.
    pub(crate) fn arn(&self) -> Option<String> {
        match &self.address {
            Address::Name(_) => None,
            Address::Arn(arn) => Some(arn.to_string()),
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Address::Name(text) | Address::Arn(text)) = &self.address;
        f.pad(text)
    }
}

/// As the producer; the SDK's own default is 3.1 s.
const CONNECT: Duration = Duration::from_secs(3);

/// Until an answer begins: one that was lost on the way must not hold its shard up for as long as a large one may take.
const SILENCE: Duration = Duration::from_secs(6);

/// The KCL's `kinesisRequestTimeout`, for the whole of an answer: it can be 10 MB.
const ATTEMPT: Duration = Duration::from_secs(30);
