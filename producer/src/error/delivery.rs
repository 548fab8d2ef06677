use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::contents::Contents;
use crate::failed_call::with_code;
use crate::outcome::{Attempt, DeliveryErrorKind, Outcome};
use crate::record::OwnedRecord;
use crate::watch::losses::Losses;

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
