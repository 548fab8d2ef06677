use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contents::Contents;
use crate::pipeline::report::Losses;
use crate::pipeline::send::with_code;
use crate::record::OwnedRecord;

/// Whether a record can be in the stream although its delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is not in the stream.
    NotWritten,
    /// It may be: an attempt ended without an answer, or put it where a consumer that filters by hash range drops it.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotWritten => "not written",
            Self::Unknown => "unknown",
        })
    }
}

/// An admitted record was not delivered. It comes back, with each attempt.
#[derive(Clone)]
pub struct DeliveryError {
    failure: Arc<Failure>,
    index: u32,
}

impl DeliveryError {
    pub(crate) const fn new(failure: Arc<Failure>, index: u32) -> Self {
        Self { failure, index }
    }

    /// Why it was given up.
    pub fn kind(&self) -> DeliveryErrorKind {
        self.failure.kind
    }

    /// Whether the record can be in the stream.
    pub fn outcome(&self) -> Outcome {
        self.failure.outcome
    }

    /// Whether the same record may succeed when it is put again: unless the service refuses the record itself, it may. It may then be in the
    /// stream twice if the [outcome](Self::outcome) is unknown.
    pub fn is_retryable(&self) -> bool {
        self.failure.kind != DeliveryErrorKind::Refused
    }

    /// What was tried, oldest first. Of more than 32 attempts the first and the latest are kept.
    pub fn attempts(&self) -> &[Attempt] {
        &self.failure.attempts
    }

    /// The record, rebuilt from its wire bytes; its data is not copied.
    pub fn into_record(self) -> OwnedRecord {
        self.failure.contents.owned_record(self.index as usize)
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, outcome, attempts, count, origin, .. } = &*self.failure;
        match kind {
            DeliveryErrorKind::Expired => write!(f, "{kind} ({:?}, stream {})", origin.record_ttl, origin.stream)?,
            _ => write!(f, "{kind} (stream {})", origin.stream)?,
        }
        write!(f, "; outcome {outcome}")?;
        let Some(last) = attempts.last() else { return f.write_str(", never sent") };
        match count {
            1 => f.write_str(", last attempt: ")?,
            _ => write!(f, ", last of {count} attempts: ")?,
        }
        f.write_str(&with_code(&last.code, &last.message))
    }
}

impl fmt::Debug for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryError")
            .field("kind", &self.failure.kind)
            .field("outcome", &self.failure.outcome)
            .field("attempts", &self.failure.attempts)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for DeliveryError {}

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// The service does not take it, and would not take it again: too large for the stream, an argument that it does not know.
    Refused,
    /// The service refuses what somebody can mend (no access, no such stream, keys that it does not know), and
    /// [`Settings::fail_fast`](crate::Settings::fail_fast) says not to wait for that.
    NeedsAction,
    /// Its time to live was over before an attempt succeeded.
    Expired,
    /// It was left over at the deadline given to [`Producer::close`](crate::Producer::close).
    Closed,
    /// The pipeline went away under it: the runtime was shut down, or a task panicked.
    Abandoned,
}

impl fmt::Display for DeliveryErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "the service refuses the record",
            Self::NeedsAction => "the service refuses records until somebody mends what is in the way",
            Self::Expired => "the record's time to live is over",
            Self::Closed => "the producer was closed before the record was delivered",
            Self::Abandoned => "the producer's runtime went away",
        })
    }
}

/// One try to write a record that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, counted from the admission of the first record of the aggregate.
    pub after: Duration,
    /// How long it took until it was known to have failed.
    pub took: Duration,
    /// The service's error code, the HTTP status of an answer without one, or `Timeout`, `ConnectionError`, `NoCredentials`, `NoAnswer`,
    /// `UnreadableAnswer`, `WrongShard`, `UnknownShard`, `Aborted`, or `Panicked`: the client did, in its credentials, say.
    pub code: Cow<'static, str>,
    /// What the service said, or what was in the way.
    pub message: Arc<str>,
    /// Whether this attempt can have written the record.
    pub outcome: Outcome,
}

/// What all deliveries of a failed batch share.
pub(crate) struct Failure {
    pub(crate) kind: DeliveryErrorKind,
    pub(crate) outcome: Outcome,
    pub(crate) attempts: Vec<Attempt>,
    /// Of all attempts, those that are not kept included.
    pub(crate) count: u32,
    pub(crate) contents: Contents,
    pub(crate) origin: Arc<Origin>,
    /// Where those are counted that nobody asks about.
    pub(crate) losses: Arc<Losses>,
}

/// What a message says of the producer that failed.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) stream: String,
    pub(crate) record_ttl: Duration,
}

impl Failure {
    /// Counts records of it whose deliveries were dropped without having told.
    pub(crate) fn unwatched(&self, records: u64) {
        let code = self.attempts.last().map(|attempt| &attempt.code);
        self.losses.add(records, self.kind, code);
    }

    pub(crate) fn errors(self: &Arc<Self>) -> impl Iterator<Item = DeliveryError> {
        (0..self.contents.len() as u32).map(|index| DeliveryError::new(Arc::clone(self), index))
    }
}

/// Codes of attempts that the service gave none for.
pub(crate) mod code {
    pub(crate) const TIMEOUT: &str = "Timeout";
    pub(crate) const CONNECTION: &str = "ConnectionError";
    pub(crate) const NO_CREDENTIALS: &str = "NoCredentials";
    pub(crate) const NO_ANSWER: &str = "NoAnswer";
    pub(crate) const UNREADABLE: &str = "UnreadableAnswer";
    pub(crate) const WRONG_SHARD: &str = "WrongShard";
    pub(crate) const UNKNOWN_SHARD: &str = "UnknownShard";
    pub(crate) const ABORTED: &str = "Aborted";
    pub(crate) const PANICKED: &str = "Panicked";
}
