//! How an attempt and a record can end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// What was tried with a batch and did not succeed.
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
            // The first says how it began and the latest how it is now; those in between are the least missed.
            self.attempts.remove(1);
        }
        self.attempts.push(attempt);
    }

    /// How many attempts failed.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Whether one of them can have written the records.
    pub(crate) const fn outcome(&self) -> Outcome {
        if self.ambiguous { Outcome::Unknown } else { Outcome::NotWritten }
    }

    pub(crate) fn into_attempts(self) -> Vec<Attempt> {
        self.attempts
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

/// With the default time to live and back-off there are some twenty attempts; what matters is that there is a bound.
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
