use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contents::Contents;
use crate::failed_call::with_code;
use crate::outcome::{Attempt, DeliveryErrorKind, Outcome};
use crate::record::OwnedRecord;
use crate::watch::losses::Losses;

/// An admitted record was not delivered. The error contains the record and its attempts.
#[derive(Clone)]
pub struct DeliveryError {
    failure: Arc<Failure>,
    index: u32,
}

impl DeliveryError {
    pub(crate) const fn new(failure: Arc<Failure>, index: u32) -> Self {
        Self { failure, index }
    }

    /// Returns why the record was given up.
    pub fn kind(&self) -> DeliveryErrorKind {
        self.failure.kind
    }

    /// Returns whether the record may be in the stream.
    pub fn outcome(&self) -> Outcome {
        self.failure.outcome
    }

    /// Returns `true` if the same record may succeed when it is put again: always, unless the service rejects the
    /// record itself. The record may then be in the stream twice if the [outcome](Self::outcome) is unknown.
    pub fn is_retryable(&self) -> bool {
        self.failure.kind != DeliveryErrorKind::Refused
    }

    /// Returns the failed attempts, oldest first. Of more than 32 attempts, the first and the latest 31 are kept.
    pub fn attempts(&self) -> &[Attempt] {
        &self.failure.attempts
    }

    /// Returns the record, rebuilt from its wire bytes. Its data is not copied.
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

/// The failure of a batch, shared by its deliveries.
pub(crate) struct Failure {
    pub(crate) kind: DeliveryErrorKind,
    pub(crate) outcome: Outcome,
    pub(crate) attempts: Vec<Attempt>,
    /// The number of all attempts, also of those that are not kept.
    pub(crate) count: u32,
    pub(crate) contents: Contents,
    pub(crate) origin: Arc<Origin>,
    /// Counts the records whose deliveries were dropped.
    pub(crate) losses: Arc<Losses>,
}

/// What an error message says about the producer.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) stream: String,
    pub(crate) record_ttl: Duration,
}

impl Failure {
    /// Counts records whose deliveries were dropped before they resolved.
    pub(crate) fn unwatched(&self, records: u64) {
        let code = self.attempts.last().map(|attempt| &attempt.code);
        self.losses.add(records, self.kind, code);
    }

    pub(crate) fn errors(self: &Arc<Self>) -> impl Iterator<Item = DeliveryError> {
        (0..self.contents.len() as u32).map(|index| DeliveryError::new(Arc::clone(self), index))
    }
}
