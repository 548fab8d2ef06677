//! How an attempt and a record can end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether a record may be in the stream although its delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The record is not in the stream.
    NotWritten,
    /// The record may be in the stream: an attempt ended without an answer, or wrote it to a shard where a consumer
    /// that filters by hash-key range drops it.
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

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryErrorKind {
    /// The service rejects the record and would reject it again: too large for the stream, or an invalid argument.
    Refused,
    /// The service rejects records until an operator acts (no permission, no such stream, unknown keys), and
    /// [`Settings::fail_fast`](crate::Settings::fail_fast) says not to wait for that.
    NeedsAction,
    /// The record's time to live was over before an attempt succeeded.
    Expired,
    /// The record was left at the deadline of [`Producer::close`](crate::Producer::close).
    Closed,
    /// The pipeline ended before the record was delivered: the runtime was shut down, or a task panicked.
    Abandoned,
}

impl fmt::Display for DeliveryErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "the service refuses the record",
            Self::NeedsAction => "the service refuses records until an operator acts",
            Self::Expired => "the record's time to live is over",
            Self::Closed => "the producer was closed before the record was delivered",
            Self::Abandoned => "the producer ended before the record was delivered",
        })
    }
}

/// A failed attempt to write a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When the attempt began, counted from the admission of the first record of the aggregate.
    pub after: Duration,
    /// How long it took until the failure was known.
    pub took: Duration,
    /// The service's error code, or the HTTP status of an answer without a code. Failures without an answer have one of
    /// these: `Timeout`, `ConnectionError`, `NoCredentials`, `NoAnswer`, `UnreadableAnswer`, `WrongShard`,
    /// `UnknownShard`, `Aborted`, and `Panicked` (a part of the client panicked, for example its credentials).
    pub code: Cow<'static, str>,
    /// The service's message, or the cause of the failure.
    pub message: Arc<str>,
    /// Whether this attempt can have written the record.
    pub outcome: Outcome,
}

/// The failed attempts of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    attempts: Vec<Attempt>,
    count: u32,
    ambiguous: bool,
}

impl History {
    pub(crate) fn add(&mut self, attempt: Attempt) {
        self.count += 1;
        self.ambiguous |= attempt.outcome == Outcome::Unknown;
        if self.attempts.len() == MAX_ATTEMPTS_KEPT {
            // The first attempt shows how the trouble began and the latest how it is now. Those in between matter
            // least.
            self.attempts.remove(1);
        }
        self.attempts.push(attempt);
    }

    /// Returns the number of failed attempts.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Returns whether one of the attempts can have written the records.
    pub(crate) const fn outcome(&self) -> Outcome {
        if self.ambiguous { Outcome::Unknown } else { Outcome::NotWritten }
    }

    pub(crate) fn into_attempts(self) -> Vec<Attempt> {
        self.attempts
    }
}

/// Codes of attempts for which the service sent no code.
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

/// With the default time to live and backoff there are some twenty attempts. What matters is that there is a bound.
const MAX_ATTEMPTS_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(n: u32, outcome: Outcome) -> Attempt {
        let after = Duration::from_secs(u64::from(n));
        Attempt { after, took: Duration::ZERO, code: "X".into(), message: "".into(), outcome }
    }

    #[test]
    fn history_keeps_the_first_and_the_latest_attempts_and_counts_all() {
        let mut history = History::default();
        for n in 0..100 {
            history.add(attempt(n, Outcome::NotWritten));
        }
        assert_eq!((history.count(), history.outcome()), (100, Outcome::NotWritten));
        let after: Vec<u64> = history.into_attempts().iter().map(|attempt| attempt.after.as_secs()).collect();
        assert_eq!(after, [0].into_iter().chain(69..100).collect::<Vec<_>>());
    }

    #[test]
    fn one_ambiguous_attempt_makes_the_outcome_unknown_for_good() {
        let mut history = History::default();
        for n in 0..100 {
            history.add(attempt(n, if n == 1 { Outcome::Unknown } else { Outcome::NotWritten }));
        }
        assert_eq!(history.outcome(), Outcome::Unknown);
    }
}
