//! From a client and a stream's name to a running producer.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamDescriptionSummary};

use tokio::time::Instant;

use crate::error::{BuildError, Causes, ShardMapError};
use crate::pipeline::backoff::{SUMMARIES, full_jitter};
use crate::pipeline::send::{self, Stream};
use crate::pipeline::shard_map::Listing;
use crate::pipeline::{Pipeline, Plan};
use crate::producer::Producer;
use crate::settings::{Aggregation, Linger, RateLimit, Settings};

/// Builds a [`Producer`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    client: Client,
    stream: String,
    settings: Settings,
    seed: Option<u64>,
}

impl Builder {
    pub(crate) fn new(client: Client, stream: String) -> Self {
        Self { client, stream, settings: Settings::default(), seed: None }
    }

    /// All settings at once, instead of those set before.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// [`Settings::linger`]: how long a record may wait for company. Default: 120 ms since the shard's last close.
    pub fn linger(mut self, linger: impl Into<Linger>) -> Self {
        self.settings.linger = linger.into();
        self
    }

    /// [`Settings::aggregation`]: whether records share a Kinesis record. Default: on.
    pub fn aggregation(mut self, aggregation: Aggregation) -> Self {
        self.settings.aggregation = aggregation;
        self
    }

    /// [`Settings::max_aggregate_bytes`]: the largest aggregate. Default: 50 000 bytes.
    pub fn max_aggregate_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_aggregate_bytes = bytes;
        self
    }

    /// [`Settings::record_ttl`]: the age at which an undelivered record is given up. Default: 30 s.
    pub fn record_ttl(mut self, ttl: Duration) -> Self {
        self.settings.record_ttl = ttl;
        self
    }

    /// [`Settings::max_buffered_bytes`]: the most memory that admitted records may hold. Default: 64 MiB.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_buffered_bytes = bytes;
        self
    }

    /// [`Settings::rate_limit`]: what is sent to one shard. Default: 1000 Kinesis records and 1 MiB a second.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.settings.rate_limit = limit;
        self
    }

    /// [`Settings::max_requests_in_flight`]. Default: 24.
    pub fn max_requests_in_flight(mut self, requests: usize) -> Self {
        self.settings.max_requests_in_flight = requests;
        self
    }

    /// [`Settings::connect_timeout`]. Default: 3 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// [`Settings::request_timeout`]. Default: 6 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// Where the jitter of back-offs comes from: the same seed waits the same. Default: drawn from `fastrand`'s generator of this thread.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Asks the service about the stream and starts the producer on the current tokio runtime.
    ///
    /// ListShards must be allowed. DescribeStreamSummary should be: without its answer the stream is taken for one with records of at
    /// most 1 MiB that distributes them by partition key. While it is throttled or fails, it is asked again for up to 30 seconds.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: a setting is out of range, there is no such stream, or its shards cannot be listed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has started nothing.
    pub async fn build(self) -> Result<Producer, BuildError> {
        let Self { client, stream, settings, seed } = self;
        settings.check()?;
        let patient = send::patient_client(&client, &settings);
        let target = Stream::new(stream.clone());
        let seed = seed.unwrap_or_else(|| fastrand::Rng::new().u64(..));
        let traits = Traits::ask(&patient, &target, &stream, seed).await?;
        let listing = match traits.routed_by_us {
            true => Some(list(&patient, &target).await.map_err(|source| BuildError::Shards { stream, source })?),
            false => None,
        };
        let aggregate = settings.aggregation == Aggregation::On && traits.takes_aggregates && traits.routed_by_us;
        // The outer partition key counts: one letter.
        let max_aggregate_bytes =
            aggregate.then(|| settings.max_aggregate_bytes.min(traits.max_record_bytes) - OUTER_KEY_LEN);
        let pipeline = Pipeline::new(Plan {
            max_aggregate_bytes,
            listing,
            client: send::client(&client, &settings),
            stream: target,
            seed,
            settings,
        });
        Ok(Producer::start(pipeline, traits.max_record_bytes))
    }
}

/// What must be known of a stream to put into it.
struct Traits {
    max_record_bytes: usize,
    /// Whether partition keys decide the shard; if not, the service distributes the records itself and ignores keys.
    routed_by_us: bool,
    takes_aggregates: bool,
}

impl Default for Traits {
    /// What the service had for every stream before there was a choice.
    fn default() -> Self {
        Self { max_record_bytes: 1 << 20, routed_by_us: true, takes_aggregates: true }
    }
}

impl Traits {
    async fn ask(client: &Client, target: &Stream, stream: &str, seed: u64) -> Result<Self, BuildError> {
        let call = client.describe_stream_summary().set_stream_name(target.name()).set_stream_arn(target.arn());
        let (begun, mut rng) = (Instant::now(), fastrand::Rng::with_seed(seed));
        let mut answer = call.clone().send().await;
        // The service answers 20 of these a second for a whole account, and a fleet may start in one moment.
        for retry in 1.. {
            if !answer.as_ref().is_err_and(will_pass) || begun.elapsed() >= PATIENCE {
                break;
            }
            tokio::time::sleep(full_jitter(SUMMARIES, retry, &mut rng)).await;
            answer = call.clone().send().await;
        }
        match answer {
            Ok(answer) => {
                Ok(answer.stream_description_summary.map_or_else(Self::default, |summary| Self::read(&summary)))
            }
            Err(error)
                if matches!(
                    error.as_service_error(),
                    Some(DescribeStreamSummaryError::ResourceNotFoundException(_))
                ) =>
            {
                Err(BuildError::StreamNotFound { stream: stream.to_owned(), source: Box::new(error) })
            }
            // Not the service's answer but no way to it: ListShards would find none either.
            Err(
                error @ (SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) | SdkError::TimeoutError(_)),
            ) => Err(BuildError::Unreachable { stream: stream.to_owned(), source: Box::new(error) }),
            Err(error) => {
                tracing::warn!(
                    stream,
                    error = %Causes(&error),
                    "DescribeStreamSummary failed: assuming records of up to 1 MiB, distributed by partition key",
                );
                Ok(Self::default())
            }
        }
    }

    fn read(summary: &StreamDescriptionSummary) -> Self {
        let default = Self::default();
        let kib = summary.max_record_size_in_kib().and_then(|kib| usize::try_from(kib).ok()).filter(|kib| *kib > 0);
        let by_key = summary
            .record_distribution_strategy()
            .is_none_or(|strategy| *strategy == RecordDistributionStrategy::UserPartitionKey);
        let channels = summary.channel_count().is_some_and(|channels| channels > 0);
        if !by_key {
            tracing::info!(
                "the service distributes the records of this stream: partition keys are ignored, nothing is aggregated"
            );
        } else if channels {
            tracing::info!("channels read this stream and take no aggregates apart: nothing is aggregated");
        }
        Self {
            max_record_bytes: kib.map_or(default.max_record_bytes, |kib| kib << 10),
            routed_by_us: by_key,
            takes_aggregates: !channels,
        }
    }
}

/// Whether the service refused for a reason that passes by itself.
fn will_pass(error: &SdkError<DescribeStreamSummaryError, HttpResponse>) -> bool {
    let SdkError::ServiceError(refusal) = error else { return false };
    let is_throttled = matches!(refusal.err().code(), Some("LimitExceededException" | "ThrottlingException"));
    is_throttled || refusal.raw().status().is_server_error()
}

/// How long the question about the stream is asked again, before the usual is assumed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shards, asked for again while the listing is torn: the stream is being resharded, and will be whole in a moment.
async fn list(client: &Client, target: &Stream) -> Result<Listing, ShardMapError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Listing::fetch(client, target).await {
            Err(ShardMapError::Torn { .. }) if tries < MOST_TRIES => tokio::time::sleep(BETWEEN_TRIES).await,
            result => return result,
        }
    }
}

/// The partition key of an aggregate.
const OUTER_KEY_LEN: usize = 1;
/// Five seconds in all: more than pages of different age need, and less than a stream that is being made takes.
const MOST_TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::DateTime;
    use aws_sdk_kinesis::types::StreamStatus;
    use aws_sdk_kinesis::types::builders::StreamDescriptionSummaryBuilder as SummaryBuilder;

    use super::*;

    fn read(more: impl FnOnce(SummaryBuilder) -> SummaryBuilder) -> (usize, bool, bool) {
        let summary = StreamDescriptionSummary::builder()
            .stream_name("s")
            .stream_arn("arn")
            .stream_status(StreamStatus::Active)
            .retention_period_hours(24)
            .stream_creation_timestamp(DateTime::from_secs(0))
            .set_enhanced_monitoring(Some(Vec::new()))
            .open_shard_count(1);
        let Traits { max_record_bytes, routed_by_us, takes_aggregates } =
            Traits::read(&more(summary).build().expect("all that is required"));
        (max_record_bytes, routed_by_us, takes_aggregates)
    }

    #[test]
    fn a_stream_is_what_its_summary_says_and_else_what_all_were_before() {
        assert_eq!(read(|summary| summary), (1 << 20, true, true));
        assert_eq!(read(|summary| summary.max_record_size_in_kib(10_240)), (10 << 20, true, true));
        assert_eq!(read(|summary| summary.max_record_size_in_kib(0)), (1 << 20, true, true), "no limit one could keep");
        let strategy =
            |name| read(|summary| summary.record_distribution_strategy(RecordDistributionStrategy::from(name)));
        assert_eq!(strategy("USER_PARTITION_KEY"), (1 << 20, true, true));
        assert_eq!(strategy("AUTO"), (1 << 20, false, true));
        assert_eq!(strategy("SOMETHING_NEW"), (1 << 20, false, true), "then no aggregate can be misunderstood");
        assert_eq!(read(|summary| summary.channel_count(0)), (1 << 20, true, true));
        assert_eq!(read(|summary| summary.channel_count(1)), (1 << 20, true, false));
    }
}
