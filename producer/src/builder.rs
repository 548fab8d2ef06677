//! Makes a running producer from a client and the name of a stream.

use std::time::Duration;

use aws_sdk_kinesis::Client;

use crate::error::BuildError;
use crate::pipeline::{Pipeline, PipelineConfig};
use crate::producer::Producer;
use crate::settings::{Aggregation, Linger, RateLimit, Settings, check_stream};
use crate::start::Start;
use crate::stream::{self, Stream};

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

    /// Replaces all settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets [`Settings::linger`], how long a record may wait for others. Default: 120 ms since the shard's last close.
    pub fn linger(mut self, linger: impl Into<Linger>) -> Self {
        self.settings.linger = linger.into();
        self
    }

    /// Sets [`Settings::aggregation`], whether records share a Kinesis record. Default: on.
    pub fn aggregation(mut self, aggregation: Aggregation) -> Self {
        self.settings.aggregation = aggregation;
        self
    }

    /// Sets [`Settings::max_aggregate_bytes`], the largest aggregate. Default: 50 000 bytes.
    pub fn max_aggregate_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_aggregate_bytes = bytes;
        self
    }

    /// Sets [`Settings::record_ttl`], the age at which an undelivered record is given up. Default: 30 s.
    pub fn record_ttl(mut self, ttl: Duration) -> Self {
        self.settings.record_ttl = ttl;
        self
    }

    /// Sets [`Settings::max_buffered_bytes`], the most memory that admitted records may hold. Default: 64 MiB.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_buffered_bytes = bytes;
        self
    }

    /// Sets [`Settings::rate_limit`], the rate per shard. Default: 1000 Kinesis records and 1 MiB a second.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.settings.rate_limit = limit;
        self
    }

    /// Sets [`Settings::max_requests_in_flight`]. Default: 24.
    pub fn max_requests_in_flight(mut self, requests: usize) -> Self {
        self.settings.max_requests_in_flight = requests;
        self
    }

    /// Sets [`Settings::connect_timeout`]. Default: 3 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets [`Settings::request_timeout`]. Default: 6 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// Sets the seed of the backoff's jitter: the same seed draws the same waits. Default: drawn from `fastrand`'s
    /// generator of this thread.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets [`Settings::fail_fast`], whether a refusal that an operator can end fails a record at once. Default: no,
    /// the record is retried until its time to live is over.
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.settings.fail_fast = fail_fast;
        self
    }

    /// Asks the service about the stream and starts the producer on the current tokio runtime.
    ///
    /// ListShards must be allowed. DescribeStreamSummary should be allowed: without its answer the producer assumes
    /// records of at most 1 MiB, distributed by partition key.
    ///
    /// Errors that can pass are retried for 30 seconds in all: no connection, throttling, credentials or a policy that
    /// are not known everywhere yet, a clock that the SDK corrects. A stream in CREATING is waited for, at most five
    /// minutes. A missing stream ends the build at once.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: a setting is out of range, the stream is neither a name nor an ARN, there is no such stream, or
    /// its shards cannot be listed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future has started nothing.
    pub async fn build(self) -> Result<Producer, BuildError> {
        let Self { client, stream, settings, seed } = self;
        settings.check()?;
        check_stream(&stream)?;
        // All calls use one client, because the client keeps what it learns of the difference between the clocks.
        let client = stream::client(&client, &settings);
        let target = Stream::new(stream);
        let seed = seed.unwrap_or_else(|| fastrand::Rng::new().u64(..));
        let (info, listing) = Start::new(client.clone(), target.clone(), seed).ask().await?;
        let pipeline = Pipeline::new(PipelineConfig { settings, info, listing, client, stream: target, seed });
        Ok(Producer::start(pipeline))
    }
}
