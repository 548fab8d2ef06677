use super::delivery::DeliveryError;
use crate::outcome::Outcome;
use crate::record::{OwnedRecord, Record};

/// A record was not admitted. Nothing of it was sent or will be. The error contains the record.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The record is invalid for this stream.
    #[error("the record was refused: {refusal}")]
    Refused {
        /// The limit, and the record's value.
        refusal: Refusal,
        /// The record.
        record: Box<OwnedRecord>,
    },
    /// The producer was closed before there was room.
    #[error("the producer is closed")]
    Closed {
        /// The record.
        record: Box<OwnedRecord>,
    },
}

impl PutError {
    /// Returns [`Outcome::NotWritten`], always.
    pub const fn outcome(&self) -> Outcome {
        Outcome::NotWritten
    }

    /// Returns `true` if the same record may succeed later, with another producer. A refused record never succeeds.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Returns the record.
    pub fn into_record(self) -> OwnedRecord {
        match self {
            Self::Refused { record, .. } | Self::Closed { record } => *record,
        }
    }
}

/// [`Producer::try_put`](crate::Producer::try_put) did not admit the record. Nothing of it was sent or will be.
///
/// Exhaustive: the buffers are full, or the error is one of a put that waits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TryPutError<'a> {
    /// The buffers are full. Returns the record unchanged.
    #[error("no room: the producer's buffers are full")]
    Full(Record<'a>),
    /// The record would not be admitted after a wait either.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// [`Producer::reserve`](crate::Producer::reserve) returned no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// No record may be that large.
    #[error("no record of {bytes} bytes can be put: {limit} is the most")]
    TooLarge {
        /// The requested bytes.
        bytes: usize,
        /// The bytes of the largest record.
        limit: usize,
    },
    /// The producer was closed before there was room.
    #[error("the producer is closed")]
    Closed,
}

/// Why a record is invalid: the limit, and the record's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The service requires 1 to 256 characters.
    #[error("the partition key is empty, but must have 1 to 256 characters")]
    EmptyKey,
    /// The service requires 1 to 256 characters.
    #[error("the partition key has {characters} characters, but may have 256")]
    KeyTooLong {
        /// Unicode characters of the key.
        characters: usize,
    },
    /// The service accepts an explicit hash key only together with a partition key.
    #[error("the record has an explicit hash key, but no partition key")]
    HashKeyWithoutKey,
    /// The record is larger than the stream's maximum record size, which counts data and partition key.
    #[error("data and partition key are {bytes} bytes, but the stream takes {limit}")]
    TooLarge {
        /// Bytes of data and partition key.
        bytes: usize,
        /// The stream's maximum record size in bytes.
        limit: usize,
    },
    /// [`Settings::max_buffered_bytes`](crate::Settings::max_buffered_bytes) is too small for the record, even with
    /// empty buffers.
    #[error("the record needs {bytes} bytes of buffer, but max_buffered_bytes leaves {limit}")]
    LargerThanBuffer {
        /// The bytes that the record would hold.
        bytes: usize,
        /// The bytes that the settings allow, less an eighth for buffers that grow.
        limit: usize,
    },
    /// The record is larger than the size that its permit was reserved for.
    #[error("data and partition key are {bytes} bytes, but the permit was reserved for {limit}")]
    LargerThanPermit {
        /// Bytes of data and partition key.
        bytes: usize,
        /// The reserved bytes.
        limit: usize,
    },
}

/// A failed record of [`Producer::put_all`](crate::Producer::put_all).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailedRecord {
    /// The record was not admitted.
    #[error(transparent)]
    NotAdmitted(#[from] PutError),
    /// The record was admitted, but not delivered.
    #[error(transparent)]
    NotDelivered(#[from] DeliveryError),
}

impl FailedRecord {
    /// Returns whether the record may be in the stream.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotAdmitted(error) => error.outcome(),
            Self::NotDelivered(error) => error.outcome(),
        }
    }

    /// Returns `true` if the same record may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotAdmitted(error) => error.is_retryable(),
            Self::NotDelivered(error) => error.is_retryable(),
        }
    }

    /// Returns the record.
    pub fn into_record(self) -> OwnedRecord {
        match self {
            Self::NotAdmitted(error) => error.into_record(),
            Self::NotDelivered(error) => error.into_record(),
        }
    }
}

/// The pipeline takes no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;
