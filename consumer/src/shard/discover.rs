//! Which shards the stream has, as the service lists them.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType, StreamStatus};

use self::listing::Listing;
use super::failure::Failure;
use super::shard::ListedShard;
use super::stream::Stream;
use crate::backoff::{Backoff, Pauses};

mod listing;

/// Lists a stream's shards, and finds out whether there is a stream at all.
#[derive(Debug)]
pub(crate) struct Discover {
    stream: Stream,
    rng: Mutex<fastrand::Rng>,
}

/// Which shards to list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ListFilter {
    /// Every shard whose records have not all expired.
    All,
    /// The shards that are open now.
    AtLatest,
    /// The shards that were open at the trim horizon.
    AtTrimHorizon,
    /// The shards that were open at that time.
    AtTimestamp(DateTime),
}

impl Discover {
    pub(crate) const fn new(stream: Stream, rng: fastrand::Rng) -> Self {
        Self { stream, rng: Mutex::new(rng) }
    }

    /// All shards that the filter lets through, from one listing of one age.
    ///
    /// A page that fails is asked for again with back-off and the pages already read are kept; when the service no
    /// longer knows where the listing stood, it starts over. Cancel safe: dropping the future forgets the listing.
    pub(crate) async fn list(&self, filter: ListFilter) -> Result<Vec<ListedShard>, DiscoverError> {
        let mut pauses = self.pauses();
        let mut listing = Listing::default();
        let mut failures = 0;
        loop {
            let (failure, source) = match self.page(filter, listing.token()).await {
                Ok(page) => {
                    failures = 0;
                    pauses.restart();
                    listing.take(page)?;
                    if listing.is_complete() {
                        return Ok(listing.into_shards());
                    }
                    continue;
                }
                Err(error) => (Failure::of(&error), error.into()),
            };
            failures += 1;
            if failure == Failure::Expired {
                listing = Listing::default();
            }
            self.pause_after(LIST, failure, source, failures, &mut pauses).await?;
        }
    }

    /// Waits until the stream can be read, and fails early when there is none.
    ///
    /// Without permission to describe the stream nothing is known, and nothing is refused.
    pub(crate) async fn wait_until_active(&self) -> Result<(), DiscoverError> {
        let mut pauses = self.pauses();
        let mut failures = 0;
        let started = tokio::time::Instant::now();
        loop {
            let (failure, source) = match self.status().await {
                Ok(StreamStatus::Creating) if started.elapsed() < CREATION => {
                    tokio::time::sleep(CREATION_POLL).await;
                    continue;
                }
                Ok(status @ (StreamStatus::Creating | StreamStatus::Deleting)) => {
                    return Err(DiscoverError::NotActive {
                        stream: self.stream.to_string(),
                        status: status.as_str().to_owned(),
                        waited: started.elapsed(),
                    });
                }
                // A stream that is being resharded can be read, and one of a status of tomorrow is worth trying.
                Ok(_) => return Ok(()),
                Err(error) => (Failure::of(&error), error),
            };
            if let SdkError::ServiceError(service) = &source
                && matches!(service.err(), DescribeStreamSummaryError::AccessDeniedException(_))
            {
                tracing::warn!(stream = %self.stream, "not allowed to describe the stream; trusting that it exists");
                return Ok(());
            }
            failures += 1;
            self.pause_after(DESCRIBE, failure, source.into(), failures, &mut pauses).await?;
        }
    }

    async fn page(
        &self,
        filter: ListFilter,
        token: Option<String>,
    ) -> Result<ListShardsOutput, SdkError<ListShardsError, impl fmt::Debug + Send + Sync + use<>>> {
        let request = self.stream.client().list_shards();
        // A token stands for the stream and the filter, and the service refuses them beside it.
        let request = match token {
            Some(token) => request.next_token(token),
            None => request
                .set_stream_name(self.stream.name())
                .set_stream_arn(self.stream.arn())
                .set_shard_filter(filter.to_request()),
        };
        request.send().await
    }

    async fn status(
        &self,
    ) -> Result<StreamStatus, SdkError<DescribeStreamSummaryError, impl fmt::Debug + Send + Sync + use<>>> {
        let request = self.stream.client().describe_stream_summary();
        let answer = request.set_stream_name(self.stream.name()).set_stream_arn(self.stream.arn()).send().await?;
        Ok(answer.stream_description_summary.map_or(StreamStatus::Active, |summary| summary.stream_status))
    }

    /// Waits before the call is repeated, or says why it is not.
    async fn pause_after(
        &self,
        operation: &'static str,
        failure: Failure,
        source: Box<dyn Error + Send + Sync>,
        failures: u32,
        pauses: &mut Pauses,
    ) -> Result<(), DiscoverError> {
        match failure {
            Failure::NotFound => Err(DiscoverError::NoStream { stream: self.stream.to_string(), source }),
            Failure::InvalidArgument | Failure::Denied => Err(DiscoverError::Refused { operation, source }),
            Failure::Unsent if failures >= MAX_UNSENT => Err(DiscoverError::Unsent { operation, source }),
            Failure::Expired | Failure::Throttled | Failure::Transient if failures >= MAX_FAILURES => {
                Err(DiscoverError::Unavailable { operation, attempts: failures, source })
            }
            Failure::Expired | Failure::Throttled | Failure::Transient | Failure::Unsent => {
                let pause = pauses.draw();
                tracing::debug!(stream = %self.stream, operation, ?failure, failures, ?pause, error = &*source as &dyn Error, "trying again");
                tokio::time::sleep(pause).await;
                Ok(())
            }
        }
    }

    fn pauses(&self) -> Pauses {
        BACKOFF.pauses(self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork())
    }
}

impl ListFilter {
    fn to_request(self) -> Option<ShardFilter> {
        let (kind, timestamp) = match self {
            Self::All => return None,
            Self::AtLatest => (ShardFilterType::AtLatest, None),
            Self::AtTrimHorizon => (ShardFilterType::AtTrimHorizon, None),
            Self::AtTimestamp(time) => (ShardFilterType::AtTimestamp, Some(time)),
        };
        Some(
            ShardFilter::builder()
                .r#type(kind)
                .set_timestamp(timestamp)
                .build()
                .expect("the one required field, the type, is set above"),
        )
    }
}

/// The shards of a stream could not be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// There is no stream of that name or ARN.
    #[error("the stream {stream} does not exist")]
    NoStream {
        /// The stream as given.
        stream: String,
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
    /// The service refused the call; the same call will be refused again until permissions or settings change.
    #[error("the service refused {operation}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// What the service said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The call never left: there are no credentials, or no region, or they could not be had.
    #[error("{operation} could not be sent: are credentials and a region configured?")]
    Unsent {
        /// The operation.
        operation: &'static str,
        /// What the SDK said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The service was throttling or did not answer, several times in a row. Worth trying later.
    #[error("{operation} failed {attempts} times in a row")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// How often it was tried since it last succeeded.
        attempts: u32,
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
}

const LIST: &str = "ListShards";
const DESCRIBE: &str = "DescribeStreamSummary";

/// ListShards allows 1000 calls a second and stream, DescribeStreamSummary 20 an account: a second's pause is plenty,
/// five let a crowd of workers through.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// About half a minute with the pauses above: long enough for a hiccup, short enough for a leader to go on with the rest
/// of its duties and ask again in its next round.
const MAX_FAILURES: u32 = 12;

/// Sources of credentials try again by themselves.
const MAX_UNSENT: u32 = 3;

/// A stream is usually made within a minute; so a program can create one and start its workers at once.
const CREATION: Duration = Duration::from_secs(300);
const CREATION_POLL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
