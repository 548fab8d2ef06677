//! What the failure of a Kinesis call means for its caller.

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// What to do about a failed call. In order of how soon the same call can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// An iterator or a page token was too old: get a new one and go on.
    Expired,
    /// Too many calls or too much data: slow down.
    Throttled,
    /// No answer, or the service had a fault of its own: try again.
    Transient,
    /// It never left: no credentials, no region, or something unheard of on the way out.
    Unsent,
    /// The stream or the shard does not exist.
    NotFound,
    /// An argument was refused. For iterators also: its place in the shard is not there any more.
    InvalidArgument,
    /// Refused for want of permission, credentials or a key; only people can change that.
    Denied,
}

impl Failure {
    pub(crate) fn of<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Self {
        match error {
            SdkError::ServiceError(service) => Self::of_code(service.err().code()),
            SdkError::ConstructionFailure(_) => Self::Unsent,
            // What is wrong before the connection is even tried comes as a dispatch failure of no kind.
            SdkError::DispatchFailure(failure) if failure.is_other() && failure.as_other().is_none() => Self::Unsent,
            _ => Self::Transient,
        }
    }

    fn of_code(code: Option<&str>) -> Self {
        match code {
            Some("ExpiredIteratorException" | "ExpiredNextTokenException") => Self::Expired,
            Some(
                "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "KMSThrottlingException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "SlowDown",
            ) => Self::Throttled,
            Some("ResourceNotFoundException") => Self::NotFound,
            Some("InvalidArgumentException" | "ValidationException" | "SerializationException") => {
                Self::InvalidArgument
            }
            Some(
                "AccessDeniedException"
                | "AccessDenied"
                | "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "IncompleteSignatureException"
                | "MissingAuthenticationTokenException"
                | "OptInRequired"
                | "KMSAccessDeniedException"
                | "KMSDisabledException"
                | "KMSInvalidStateException"
                | "KMSNotFoundException"
                | "KMSOptInRequired",
            ) => Self::Denied,
            // InternalFailure, ResourceInUse of a stream that is being created or changed, expired tokens that the next
            // attempt renews, and whatever the service may add.
            _ => Self::Transient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_knows_is_worth_another_try() {
        assert_eq!(Failure::of_code(Some("InternalFailure")), Failure::Transient);
        assert_eq!(Failure::of_code(Some("SomethingNew")), Failure::Transient);
        assert_eq!(Failure::of_code(None), Failure::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_credentials_or_region_never_leaves() {
        let cloud = kinesis_testkit::Cloud::new();
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

    #[test]
    fn every_error_of_get_records_has_its_meaning() {
        for (code, meaning) in [
            ("ExpiredIteratorException", Failure::Expired),
            ("ProvisionedThroughputExceededException", Failure::Throttled),
            ("KMSThrottlingException", Failure::Throttled),
            ("ResourceNotFoundException", Failure::NotFound),
            ("InvalidArgumentException", Failure::InvalidArgument),
            ("AccessDeniedException", Failure::Denied),
            ("KMSDisabledException", Failure::Denied),
            ("KMSInvalidStateException", Failure::Denied),
            ("KMSAccessDeniedException", Failure::Denied),
            ("KMSNotFoundException", Failure::Denied),
            ("KMSOptInRequired", Failure::Denied),
            ("InternalFailureException", Failure::Transient),
        ] {
            assert_eq!(Failure::of_code(Some(code)), meaning, "{code}");
        }
    }
}
