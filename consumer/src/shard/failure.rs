//! What the failure of a Kinesis call means for its caller.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_async::future::timeout::TimedOutError;
use kinesis_service_errors::{Kind, Recovery};

/// What to do about a failed call. In order of how soon the same call can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// An iterator or a page token was too old: get a new one and go on.
    Expired,
    /// Too many calls or too much data: slow down.
    Throttled,
    /// No answer, or the service had a fault of its own: try again.
    Transient,
    /// It never left: no source of credentials, no region, or something unheard of on the way out.
    Unsent,
    /// The stream or the shard does not exist.
    NotFound,
    /// An argument was refused. For iterators also: its place in the shard is not there any more.
    InvalidArgument,
    /// Refused for want of permission, credentials or a key, or with a code that nobody knows: it passes when somebody acts.
    Denied,
}

impl Failure {
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match (Kind::of_error(error), error) {
            (Some(kind), _) => Self::of_kind(kind),
            (None, SdkError::ConstructionFailure(_)) => Self::Unsent,
            // What is wrong before the connection is even tried comes as a dispatch failure of no kind.
            (None, SdkError::DispatchFailure(failure)) if failure.is_other() && failure.as_other().is_none() => {
                let source = failure.as_connector_error().map(|error| error as &(dyn Error + 'static));
                if source.is_some_and(credentials_may_come) { Self::Transient } else { Self::Unsent }
            }
            _ => Self::Transient,
        }
    }

    fn of_kind(kind: Kind) -> Self {
        match (kind, kind.recovery()) {
            (Kind::Expired, _) => Self::Expired,
            (Kind::NotFound, _) => Self::NotFound,
            (kind, _) if kind.is_throttle() => Self::Throttled,
            (_, Recovery::Soon) => Self::Transient,
            (_, Recovery::NeedsAction) => Self::Denied,
            (_, Recovery::Never) => Self::InvalidArgument,
        }
    }
}

/// Whether there is a source of credentials that failed or hung, and may do better the next time.
fn credentials_may_come(error: &(dyn Error + 'static)) -> bool {
    use CredentialsError::{CredentialsNotLoaded, InvalidConfiguration};
    std::iter::successors(Some(error), |error| (**error).source()).any(|cause| match cause.downcast_ref() {
        Some(error) => !matches!(error, CredentialsNotLoaded(_) | InvalidConfiguration(_)),
        // The SDK gives up a source of credentials that does not answer.
        None => cause.is::<TimedOutError>() || cause.to_string().contains("timed out"),
    })
}

#[cfg(test)]
mod tests {
    use kinesis_testkit::{Cloud, Fault};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_without_credentials_or_region_never_leaves() {
        let cloud = Cloud::new();
        let connection = cloud.connect("a").await;
        let failure = async |config: aws_sdk_kinesis::config::Builder| {
            let client = aws_sdk_kinesis::Client::from_conf(config.build());
            client.list_streams().send().await.map_or_else(|error| Failure::of(&error), |_| panic!("it was sent"))
        };
        let mut without_credentials = aws_sdk_kinesis::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_kinesis::config::Region::new("us-east-1"));
        without_credentials.set_http_client(connection.kinesis.config().http_client());
        without_credentials.set_sleep_impl(connection.kinesis.config().sleep_impl());
        assert_eq!(failure(without_credentials).await, Failure::Unsent);
        assert_eq!(failure(connection.kinesis_config().region(None)).await, Failure::Unsent);
        assert_eq!(cloud.calls("a").len(), 0);
    }

    /// Rule `one table of codes`: no code is judged here, only what its kind means for a reader.
    #[test]
    fn every_kind_of_code_has_its_meaning() {
        for (code, meaning) in [
            ("ExpiredIteratorException", Failure::Expired),
            ("ExpiredNextTokenException", Failure::Expired),
            ("ProvisionedThroughputExceededException", Failure::Throttled),
            ("LimitExceededException", Failure::Throttled),
            ("KMSThrottlingException", Failure::Throttled),
            ("ThrottledException", Failure::Throttled),
            ("InternalFailureException", Failure::Transient),
            ("ResourceInUseException", Failure::Transient),
            ("RequestTimeTooSkewed", Failure::Transient),
            ("ResourceNotFoundException", Failure::NotFound),
            ("InvalidArgumentException", Failure::InvalidArgument),
            ("ValidationException", Failure::InvalidArgument),
            ("AccessDeniedException", Failure::Denied),
            ("ExpiredTokenException", Failure::Denied),
            ("InvalidClientTokenId", Failure::Denied),
            ("KMSDisabledException", Failure::Denied),
            ("KMSInvalidStateException", Failure::Denied),
            ("OptInRequired", Failure::Denied),
            ("SomethingNew", Failure::Denied),
        ] {
            assert_eq!(Failure::of_kind(Kind::of_code(code, Some(400))), meaning, "{code}");
        }
        assert_eq!(Failure::of_kind(Kind::of_code("SomethingNew", Some(503))), Failure::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_cannot_be_had_for_a_while_are_worth_another_try() {
        for fault in [Fault::FailCredentials, Fault::HangCredentials] {
            let cloud = Cloud::new();
            cloud.faults("a").always(fault);
            let error = cloud.connect("a").await.kinesis.list_streams().send().await.expect_err("no credentials");
            assert_eq!(Failure::of(&error), Failure::Transient, "{error:?}");
            assert_eq!(cloud.calls("a").len(), 0);
        }
    }
}
