use super::delivery::DeliveryError;
use crate::outcome::Outcome;
use crate::record::{OwnedRecord, Record};

/// A record was not admitted: nothing of it was sent, and nothing will be. The record comes back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The record cannot be a Kinesis record of this stream.
    #[error("the record was refused: {refusal}")]
    Refused {
        /// Which limit, and the record's value.
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
    /// Always [`Outcome::NotWritten`].
    pub const fn outcome(&self) -> Outcome {
        Outcome::NotWritten
    }

    /// Whether the same record may succeed later, with another producer. A refused one never will.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// The record.
    pub fn into_record(self) -> OwnedRecord {
        match self {
            Self::Refused { record, .. } | Self::Closed { record } => *record,
        }
    }
}

/// [`Producer::try_put`](crate::Producer::try_put) did not take the record: nothing of it was sent, and nothing will be.
///
/// Exhaustive: there is no room now, or there is another reason, which is the same as for a put that waits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TryPutError<'a> {
    /// The buffers are full. The record comes back as it was given.
    #[error("no room: the producer's buffers are full")]
    Full(Record<'a>),
    /// Waiting would not help.
    #[error(transparent)]
    Put(#[from] PutError),
}

/// [`Producer::reserve`](crate::Producer::reserve) gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// No record may be that large.
    #[error("no record of {bytes} bytes can be put: {limit} is the most")]
    TooLarge {
        /// What was asked for.
        bytes: usize,
        /// The largest record.
        limit: usize,
    },
    /// The producer was closed before there was room.
    #[error("the producer is closed")]
    Closed,
}

/// Why a record cannot be put: the limit, and the record's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The service wants 1 to 256 characters.
    #[error("the partition key is empty, but must have 1 to 256 characters")]
    EmptyKey,
    /// The service wants 1 to 256 characters.
    #[error("the partition key has {characters} characters, but may have 256")]
    KeyTooLong {
        /// Unicode characters of the key.
        characters: usize,
    },
    /// The service takes explicit hash keys beside partition keys only.
    #[error("the record has an explicit hash key, but no partition key")]
    HashKeyWithoutKey,
    /// The stream's maximum record size counts data and partition key.
    #[error("data and partition key are {bytes} bytes, but the stream takes {limit}")]
    TooLarge {
        /// Bytes of data and partition key.
        bytes: usize,
        /// The stream's maximum record size in bytes.
        limit: usize,
    },
    /// [`Settings::max_buffered_bytes`](crate::Settings::max_buffered_bytes) is too small for the record even when all else is delivered.
    #[error("the record needs {bytes} bytes of buffer, but max_buffered_bytes leaves {limit}")]
    LargerThanBuffer {
        /// Bytes that the record would hold.
        bytes: usize,
        /// What the settings allow, less an eighth of slack for buffers that grow.
        limit: usize,
    },
    /// A permit was used for a larger record than it was reserved for.
    #[error("data and partition key are {bytes} bytes, but the permit was reserved for {limit}")]
    LargerThanPermit {
        /// Bytes of data and partition key.
        bytes: usize,
        /// What was reserved.
        limit: usize,
    },
}

/// A record of [`Producer::put_all`](crate::Producer::put_all) that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailedRecord {
    /// It was not admitted.
    #[error(transparent)]
    NotAdmitted(#[from] PutError),
    /// It was admitted, but not delivered.
    #[error(transparent)]
    NotDelivered(#[from] DeliveryError),
}

impl FailedRecord {
    /// Whether the record can be in the stream.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotAdmitted(error) => error.outcome(),
            Self::NotDelivered(error) => error.outcome(),
        }
    }

    /// Whether the same record may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotAdmitted(error) => error.is_retryable(),
            Self::NotDelivered(error) => error.is_retryable(),
        }
    }

    /// The record.
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
