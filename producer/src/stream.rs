//! The stream: its name, its client, its kind, and its shards.

pub(crate) mod info;
pub(crate) mod listing;

use std::fmt;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;

use crate::settings::Settings;

/// The stream, by the name or ARN that the user gave.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Name(String),
    Arn(String),
}

impl Stream {
    pub(crate) fn new(name_or_arn: String) -> Self {
        if name_or_arn.starts_with("arn:") { Self::Arn(name_or_arn) } else { Self::Name(name_or_arn) }
    }

    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Arn(_) => None,
        }
    }

    pub(crate) fn arn(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Arn(arn) => Some(arn.clone()),
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Name(stream) | Self::Arn(stream)) = self;
        f.pad(stream)
    }
}

/// Returns the user's client with the producer's timeouts and without retries.
///
/// The SDK has no timeouts by default. Its retries would send 500 entries again because one failed, and hide the
/// failure.
pub(crate) fn client(users: &Client, settings: &Settings) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.request_timeout)
        .operation_attempt_timeout(settings.request_timeout)
        .operation_timeout(settings.request_timeout)
        .build();
    let config = users.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
    Client::from_conf(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_name_or_an_arn() {
        let named = Stream::new("clicks".into());
        assert_eq!((named.name().as_deref(), named.arn()), (Some("clicks"), None));
        let by_arn = Stream::new("arn:aws:kinesis:us-east-1:1:stream/clicks".into());
        assert_eq!((by_arn.name(), by_arn.arn().as_deref()), (None, Some("arn:aws:kinesis:us-east-1:1:stream/clicks")));
    }
}
