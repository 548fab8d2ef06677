//! The questions that a build asks before the first record can be put, and their timeouts.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use kinesis_service_errors::{Address, Causes, Kind, Recovery};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::{SUMMARIES, full_jitter};
use crate::error::{BuildError, CallError, ShardMapError, Sought};
use crate::failed_call::{code_of, message_of};
use crate::stream::Stream;
use crate::stream::info::{StreamInfo, Summary, SummaryError};
use crate::stream::listing::{Listing, Pages};

/// The start of a producer. Retries errors that can pass for [`RETRY_TIME`] in all, and fails at once if the stream is
/// missing.
pub(crate) struct Start {
    client: Client,
    target: Stream,
    address: Address,
    rng: fastrand::Rng,
    begun: Instant,
    /// The end of the retries. It moves while the stream is in CREATING.
    until: Instant,
    warned: bool,
}

impl Start {
    pub(crate) fn new(client: Client, target: Stream, seed: u64) -> Self {
        let begun = Instant::now();
        let rng = fastrand::Rng::with_seed(seed);
        Self { client, target, address: Address::new(), rng, begun, until: begun + RETRY_TIME, warned: false }
    }

    /// Returns what kind of stream it is, and its shards if the producer routes the records.
    pub(crate) async fn ask(mut self) -> Result<(StreamInfo, Option<Listing>), BuildError> {
        let info = self.info().await?;
        if let Some(remark) = info.remark() {
            tracing::info!(stream = %self.target, "{remark}");
        }
        let listing = if info.routed_by_us { Some(self.listing().await?) } else { None };
        Ok((info, listing))
    }

    async fn info(&mut self) -> Result<StreamInfo, BuildError> {
        let mut retry = 0;
        loop {
            let asked = Box::pin(Summary::ask(&self.client, &self.target, &self.address));
            let error = match within(self.last_call(), asked).await {
                Ok(summary) if summary.is_creating => {
                    self.wait_until_made().await?;
                    continue;
                }
                Ok(summary) => return Ok(summary.info),
                Err(error) => error,
            };
            retry += 1;
            match Next::after(&error) {
                Next::NoStream => return Err(self.not_found(error)),
                Next::Again if Instant::now() < self.until && !self.has_no_region() => {
                    self.warn("DescribeStreamSummary", message_of(&error), code_of(&error));
                    self.pause(retry).await;
                }
                // The service answers, but not this question. ListShards may be allowed, and shows whether the stream
                // exists.
                Next::Without | Next::Again
                    if matches!(error, SdkError::ServiceError(_)) && is_about_the_call(&error) =>
                {
                    tracing::warn!(
                        stream = %self.target,
                        code = %code_of(&error),
                        error = message_of(&error),
                        "DescribeStreamSummary failed: assuming records of up to 1 MiB, distributed by partition key",
                    );
                    return Ok(StreamInfo::default());
                }
                _ => return Err(self.unreachable(error)),
            }
        }
    }

    async fn listing(&mut self) -> Result<Listing, BuildError> {
        let mut pages = Pages::open();
        let mut retry = 0;
        loop {
            let fetched = Box::pin(pages.fetch(&self.client, &self.target, &self.address));
            let last_call = self.last_call();
            let source = match timeout_at(last_call, fetched).await {
                Ok(Ok(listing)) => return Ok(listing),
                Ok(Err(error)) => error,
                Err(elapsed) => ShardMapError::ListShards(CallError::new(SdkError::timeout_error(elapsed))),
            };
            retry += 1;
            let (passes, code) = match &source {
                ShardMapError::ListShards(error) => {
                    let error = error.as_sdk();
                    (Next::after(error) == Next::Again || is_mendable(error), code_of(error))
                }
                // The stream is being resharded. The listing will be complete in a moment.
                ShardMapError::Torn { .. } => (true, "TornListing".into()),
                _ => (false, "UnreadableListing".into()),
            };
            if !passes || Instant::now() >= self.until {
                let (stream, sought) = (self.target.to_string(), self.sought(code));
                return Err(BuildError::Shards { stream, sought, source });
            }
            self.warn("ListShards", Causes(&source).to_string(), code);
            self.pause(retry).await;
        }
    }

    /// Waits for a stream in CREATING. The wait does not count against the retry time.
    async fn wait_until_made(&mut self) -> Result<(), BuildError> {
        if self.begun.elapsed() >= CREATION {
            let (stream, sought) = (self.target.to_string(), self.sought("CREATING".into()));
            return Err(BuildError::StillCreating { stream, sought });
        }
        tracing::info!(stream = %self.target, "the stream is being created: waiting for it");
        sleep(BETWEEN_LOOKS).await;
        self.until += BETWEEN_LOOKS;
        Ok(())
    }

    /// Returns `true` if the client has no region. Without one it can never send a request.
    fn has_no_region(&self) -> bool {
        self.client.config().region().is_none() && self.address.seen().is_none()
    }

    async fn pause(&mut self, retry: u32) {
        sleep(full_jitter(SUMMARIES, retry, &mut self.rng)).await;
    }

    /// Returns the deadline of the next call: even a late call gets a moment.
    fn last_call(&self) -> Instant {
        self.until.max(Instant::now() + LAST_CALL)
    }

    /// Warns at the first failure, so that a slow start has an explanation.
    fn warn(&mut self, call: &'static str, error: String, code: Cow<'static, str>) {
        if std::mem::replace(&mut self.warned, true) {
            return;
        }
        let Sought { region, endpoint, .. } = *self.sought(code.clone());
        tracing::warn!(
            stream = %self.target,
            region = region.as_deref().unwrap_or("none"),
            endpoint = endpoint.as_deref().unwrap_or("none"),
            %code,
            error,
            "{call} failed; it is tried again for up to {} s",
            RETRY_TIME.as_secs(),
        );
    }

    fn sought(&self, code: Cow<'static, str>) -> Box<Sought> {
        let region = self.client.config().region().map(ToString::to_string);
        Box::new(Sought { region, endpoint: self.address.seen(), spent: self.begun.elapsed(), code })
    }

    fn not_found(&self, error: SummaryError) -> BuildError {
        let (stream, sought) = (self.target.to_string(), self.sought(code_of(&error)));
        BuildError::StreamNotFound { stream, sought, source: CallError::new(error) }
    }

    fn unreachable(&self, error: SummaryError) -> BuildError {
        let code = if self.has_no_region() { "NoRegion".into() } else { code_of(&error) };
        let (stream, sought) = (self.target.to_string(), self.sought(code));
        BuildError::Unreachable { stream, sought, source: CallError::new(error) }
    }
}

/// What to do after a failed question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It can succeed soon, or after an operator has acted.
    Again,
    /// The service does not answer this question, but may answer others.
    Without,
    NoStream,
}

impl Next {
    fn after<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match Kind::of_error(error) {
            Some(Kind::NotFound) => Self::NoStream,
            Some(Kind::Access | Kind::Unknown) => Self::Without,
            Some(kind) if kind.recovery() == Recovery::Never => Self::Without,
            // No answer, or an error that passes.
            None | Some(_) => Self::Again,
        }
    }
}

/// Returns `true` if an operator can end the error. There is no producer without the listing, so it is worth the wait.
fn is_mendable<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    Kind::of_error(error).is_some_and(|kind| kind != Kind::NotFound && kind.recovery() == Recovery::NeedsAction)
}

/// Returns `true` if the service refused this question, and not the caller.
fn is_about_the_call<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    !matches!(Kind::of_error(error), None | Some(Kind::Token | Kind::Credentials | Kind::Clock))
}

/// Returns the call's result, or a timeout error of the same kind as the SDK's.
async fn within<T, E: fmt::Debug>(
    at: Instant,
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, SdkError<E, HttpResponse>> {
    match timeout_at(at, call).await {
        Ok(answered) => answered,
        Err(elapsed) => Err(SdkError::timeout_error(elapsed)),
    }
}

/// How long both questions are retried, in all. A fleet that starts at one moment is throttled for seconds, and new
/// keys and policies are known everywhere within ten seconds.
const RETRY_TIME: Duration = Duration::from_secs(30);
/// The last call has this long, even if the retry time ends sooner.
const LAST_CALL: Duration = Duration::from_secs(2);
/// Usually a stream is created within a minute.
const CREATION: Duration = Duration::from_secs(300);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
