//! Why the shards of a stream could not be found out.

use std::error::Error;
use std::time::Duration;

use kinesis_service_errors::{Kind, Recovery};

use crate::failed_call::FailedCall;

/// The shards of a stream could not be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// There is no stream of that name or ARN.
    #[error("the stream {stream} does not exist in {place}")]
    NoStream {
        /// The stream as given.
        stream: String,
        /// The region and the endpoint.
        place: String,
        /// What the service said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stream is going away, or was not made in time.
    #[error("the stream {stream} is still {status} after {waited:?}")]
    NotActive {
        /// The stream as given.
        stream: String,
        /// Its status in the service's words.
        status: String,
        /// How long was waited for another one.
        waited: Duration,
    },
    /// The service refused the call, and will until permissions, keys or settings change.
    #[error("{call}")]
    Refused {
        /// Which call, and how often it was tried.
        call: Box<FailedCall>,
        /// What the service said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The call never left: there are no credentials, or no region.
    #[error("{operation} of the stream {stream} could not be sent: are credentials and a region configured?")]
    Unsent {
        /// The operation.
        operation: &'static str,
        /// The stream as given.
        stream: String,
        /// What the SDK said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service was throttling or did not answer for half a minute. Worth trying later.
    #[error("{call}")]
    Unavailable {
        /// Which call, and how often it was tried.
        call: Box<FailedCall>,
        /// The last failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The listing holds a shard that is no shard. Nothing was made of the rest of it either.
    #[error("the service lists a shard {shard:?} with {reason}")]
    Malformed {
        /// The shard's id as listed.
        shard: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DiscoverError {
    /// Whether the same call can succeed later without anybody changing settings or permissions.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unsent { .. })
    }

    /// Whether the action is not allowed, so that it passes when somebody acts. A worker that runs has it among its findings.
    pub(crate) fn is_denied(&self) -> bool {
        let Self::Refused { call, .. } = self else { return false };
        call.code.as_deref().is_some_and(|code| Kind::of_code(code, None).recovery() == Recovery::NeedsAction)
    }

    /// Logs that a worker that runs could not do something and goes on. What is denied is among its findings already.
    pub(crate) fn log(&self, what: &'static str) {
        let error = self as &dyn Error;
        match self.is_denied() {
            true => tracing::debug!(error, "{what} failed"),
            false => tracing::warn!(error, "{what} failed"),
        }
    }
}
