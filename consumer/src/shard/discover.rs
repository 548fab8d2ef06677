//! Which shards the stream has, as the service lists them.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType, ShardIteratorType, StreamStatus};
use kinesis_service_errors::Causes;
use tokio::time::Instant;

pub use self::error::DiscoverError;
use self::listing::Listing;
use super::failure::Failure;
use super::identity::StreamIdentity;
use super::shard::ListedShard;
use super::stream::Stream;
use crate::backoff::{Backoff, Patience, Pauses, StartPatience};
use crate::failed_call::FailedCall;
use crate::record::{SequenceNumber, ShardId};
use crate::watch::Denials;

mod error;
mod listing;

/// Lists a stream's shards, and finds out whether there is a stream at all.
#[derive(Debug)]
pub(crate) struct Discover {
    stream: Stream,
    rng: Mutex<fastrand::Rng>,
    /// What all of a start shares, if this is part of one.
    start: Option<StartPatience>,
    denials: Denials,
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
    pub(crate) fn new(stream: Stream, rng: fastrand::Rng) -> Self {
        Self { stream, rng: Mutex::new(rng), start: None, denials: Denials::default() }
    }

    /// Reports which actions the stream does not allow.
    pub(crate) fn watched(mut self, denials: &Denials) -> Self {
        self.denials = denials.clone();
        self
    }

    /// Waits, until the start ends, as long as that has patience, also for what somebody can mend.
    pub(crate) fn starting(mut self, patience: &StartPatience) -> Self {
        self.start = Some(patience.clone());
        self
    }

    /// All shards that the filter lets through, from one listing of one age.
    ///
    /// A page that fails is asked for again with backoff and the pages already read are kept; when the service no
    /// longer knows where the listing stood, it starts over. Cancel safe: dropping the future forgets the listing.
    pub(crate) async fn list(&self, filter: ListFilter) -> Result<Vec<ListedShard>, DiscoverError> {
        let mut trying = self.trying(LIST);
        let mut listing = Listing::default();
        loop {
            let error = match self.page(filter, listing.token()).await {
                Ok(page) => {
                    trying.succeeded();
                    listing.take(page)?;
                    if listing.is_complete() {
                        return Ok(listing.into_shards());
                    }
                    continue;
                }
                Err(error) => error,
            };
            if trying.failed(error).await? == Failure::Expired {
                listing = Listing::default();
            }
        }
    }

    /// Waits until the stream can be read, and fails early when it does not exist. Returns which stream it is.
    ///
    /// Without permission to describe the stream a first page of its shards tells whether there is one.
    pub(crate) async fn wait_until_active(&self) -> Result<Option<StreamIdentity>, DiscoverError> {
        let mut trying = self.trying(DESCRIBE);
        let started = Instant::now();
        loop {
            let error = match self.describe().await {
                Ok((StreamStatus::Creating, _)) if started.elapsed() < CREATION => {
                    trying.succeeded();
                    tokio::time::sleep(CREATION_POLL).await;
                    trying.apart(CREATION_POLL);
                    continue;
                }
                Ok((status @ (StreamStatus::Creating | StreamStatus::Deleting), _)) => {
                    return Err(DiscoverError::NotActive {
                        stream: self.stream.to_string(),
                        status: status.as_str().to_owned(),
                        waited: started.elapsed(),
                    });
                }
                // A stream that is being resharded can be read, and one of a status of tomorrow is worth trying.
                Ok((_, identity)) => return Ok(identity),
                Err(error) => error,
            };
            if let SdkError::ServiceError(service) = &error
                && matches!(service.err(), DescribeStreamSummaryError::AccessDeniedException(_))
            {
                tracing::warn!(stream = %self.stream, "not allowed to call DescribeStreamSummary; asking ListShards whether the stream exists");
                return self.look_for_shards().await.map(|()| None);
            }
            trying.failed(error).await?;
        }
    }

    async fn look_for_shards(&self) -> Result<(), DiscoverError> {
        let mut trying = self.trying(LIST);
        while let Err(error) = self.page(ListFilter::AtLatest, None).await {
            trying.failed(error).await?;
        }
        Ok(())
    }

    async fn page(
        &self,
        filter: ListFilter,
        token: Option<String>,
    ) -> Result<ListShardsOutput, SdkError<ListShardsError, HttpResponse>> {
        let request = self.stream.client().list_shards();
        // A token stands for the stream and the filter, and the service refuses them beside it.
        let request = match token {
            Some(token) => request.next_token(token),
            None => request
                .set_stream_name(self.stream.name())
                .set_stream_arn(self.stream.arn())
                .set_shard_filter(filter.to_request()),
        };
        let answer = request.send().await;
        self.note(LIST, &answer);
        answer
    }

    async fn describe(&self) -> Result<Described, SdkError<DescribeStreamSummaryError, HttpResponse>> {
        let request = self.stream.client().describe_stream_summary();
        let request = request.set_stream_name(self.stream.name()).set_stream_arn(self.stream.arn());
        let answer = request.send().await;
        self.note(DESCRIBE, &answer);
        Ok(answer?.stream_description_summary.map_or((StreamStatus::Active, None), |summary| {
            let identity = StreamIdentity::new(&summary.stream_arn, summary.stream_creation_timestamp);
            (summary.stream_status, identity)
        }))
    }

    /// Which stream this is now: asked once. `None` without an answer, or with one that does not say.
    pub(crate) async fn identity(&self) -> Option<StreamIdentity> {
        match self.describe().await {
            // One that is going away is asked again: another may come under its name.
            Ok((StreamStatus::Deleting, _)) => None,
            Ok((_, identity)) => identity,
            Err(error) => {
                tracing::debug!(stream = %self.stream, error = &error as &dyn Error, "which stream this is could not be asked");
                None
            }
        }
    }

    /// Whether a number is of that shard of this stream, by the service's word. `None`: it does not say.
    pub(crate) async fn holds(&self, shard: &ShardId, number: &SequenceNumber) -> Result<Option<bool>, DiscoverError> {
        let mut trying = self.trying(ITERATOR);
        loop {
            let request = self
                .stream
                .client()
                .get_shard_iterator()
                .set_stream_name(self.stream.name())
                .set_stream_arn(self.stream.arn())
                .shard_id(shard.as_str())
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number.as_str());
            let answer = request.send().await;
            self.note(ITERATOR, &answer);
            let Err(error) = answer else { return Ok(Some(true)) };
            if is_foreign_number(&error) {
                return Ok(Some(false));
            }
            if matches!(Failure::of(&error), Failure::InvalidArgument | Failure::NotFound) {
                return Ok(None);
            }
            trying.failed(error).await?;
        }
    }

    /// Notes the answer to a call: every call of this goes through here.
    fn note<T, E>(&self, action: &'static str, answer: &Result<T, SdkError<E, HttpResponse>>)
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match answer {
            Ok(_) => self.denials.allowed(action),
            Err(error) if Failure::of(error) == Failure::Denied => {
                let (stream, place, code) = (&self.stream, self.stream.place(), error.code().unwrap_or("refused"));
                let seen = format!("{code} for the stream {stream} in {place}: {}", Causes(error));
                self.denials.denied(action, format!("kinesis:{action}"), seen);
            }
            Err(_) => {}
        }
    }

    fn trying(&self, operation: &'static str) -> Trying<'_> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Trying {
            discover: self,
            operation,
            since: Instant::now(),
            pauses: BACKOFF.pauses(rng),
            patience: Patience::of(PATIENCE),
        }
    }

    /// The patience of a start that has not ended: nothing else waits, and what somebody can mend is worth half a minute. Later a
    /// caller that lists tries again by itself.
    fn start(&self) -> Option<&StartPatience> {
        self.start.as_ref().filter(|start| !start.has_ended())
    }
}

/// One call, made until it succeeds.
struct Trying<'a> {
    discover: &'a Discover,
    operation: &'static str,
    since: Instant,
    pauses: Pauses,
    patience: Patience,
}

impl Trying<'_> {
    fn succeeded(&mut self) {
        self.since = Instant::now();
        self.pauses.restart();
        self.patience.restart();
    }

    /// Time in which a stream that is being made was waited for.
    fn apart(&self, waited: Duration) {
        if let Some(start) = self.discover.start() {
            start.apart(waited);
        }
    }

    /// Waits before the call is made again, or says why it is not.
    async fn failed<E>(&mut self, error: SdkError<E, HttpResponse>) -> Result<Failure, DiscoverError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let (failure, code) = (Failure::of(&error), error.code().map(str::to_owned));
        let pause = self.pauses.draw();
        let mut in_time = self.patience.failed(self.since.elapsed(), pause);
        let start = self.discover.start().map(|start| start.failed(pause));
        if let Some(left) = start {
            in_time = left.is_some();
        }
        let again = match failure {
            Failure::NotFound | Failure::InvalidArgument => false,
            Failure::Denied => in_time && start.is_some(),
            Failure::Unsent => self.patience.failures() < MAX_UNSENT,
            Failure::Expired | Failure::Throttled | Failure::Transient => in_time,
        };
        if !again {
            return Err(self.given_up(failure, code, error.into()));
        }
        let (stream, operation, failures) = (&self.discover.stream, self.operation, self.patience.failures());
        let place = stream.place();
        match start.flatten() {
            Some(left) if failures == 1 && failure != Failure::Expired => {
                tracing::warn!(%stream, %place, operation, code, error = %Causes(&error), "the start waits: trying again for {left:.0?}");
            }
            _ => {
                tracing::debug!(%stream, %place, operation, code, ?failure, failures, ?pause, error = %Causes(&error), "trying again")
            }
        }
        tokio::time::sleep(pause).await;
        Ok(failure)
    }

    fn given_up(&self, failure: Failure, code: Option<String>, source: Box<dyn Error + Send + Sync>) -> DiscoverError {
        let (stream, operation) = (&self.discover.stream, self.operation);
        let place = stream.place().to_string();
        match failure {
            Failure::NotFound => return DiscoverError::NoStream { stream: stream.to_string(), place, source },
            Failure::Unsent => return DiscoverError::Unsent { operation, stream: stream.to_string(), source },
            _ => {}
        }
        let call = Box::new(FailedCall {
            operation: operation.to_owned(),
            of: format!("the stream {stream}"),
            place,
            attempts: self.patience.failures(),
            spent: self.since.elapsed(),
            code,
        });
        match failure {
            Failure::InvalidArgument | Failure::Denied => DiscoverError::Refused { call, source },
            _ => DiscoverError::Unavailable { call, source },
        }
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

/// Whether the service says that a number is another stream's. It refuses numbers for other reasons too, in other words.
pub(crate) fn is_foreign_number<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    let message = service.err().message().unwrap_or_default();
    service.err().code() == Some("InvalidArgumentException") && message.contains("did not come from this stream")
}

/// What the service says of a stream.
type Described = (StreamStatus, Option<StreamIdentity>);

const LIST: &str = "ListShards";
const DESCRIBE: &str = "DescribeStreamSummary";
const ITERATOR: &str = "GetShardIterator";

/// ListShards allows 1000 calls a second and stream, DescribeStreamSummary 20 an account: a second's pause is plenty,
/// five let a crowd of workers through.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Long enough for a hiccup, for new keys to be known everywhere, for a token to be renewed; short enough for a leader to go on with the
/// rest of its duties and ask again in its next round.
const PATIENCE: Duration = Duration::from_secs(30);

/// Without any source of credentials, or a region, waiting helps nobody.
const MAX_UNSENT: u32 = 3;

/// A stream is usually made within a minute; so a program can create one and start its workers at once.
const CREATION: Duration = Duration::from_secs(300);
const CREATION_POLL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
