//! What a consumer hands to user code, record by record, and where in the shard it stands.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;

pub use self::sequence_number::{ParseSequenceNumberError, SequenceNumber};
pub use self::shard_id::ShardId;

mod sequence_number;
mod shard_id;

/// One user record, as its producer put it.
///
/// Owned and cheap: key and data are slices of the service's answer, so a clone copies no payload. Keeping one keeps
/// the whole Kinesis record alive (up to 1 MiB, or more where the stream allows it): copy out what is to stay for long.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    partition_key: ByteString,
    explicit_hash_key: Option<ByteString>,
    data: Bytes,
    position: Position,
    arrival: Option<SystemTime>,
    aggregated: bool,
}

impl Record {
    /// A Kinesis record that is one user record.
    pub(crate) fn plain(partition_key: ByteString, data: Bytes, origin: &Origin) -> Self {
        let position = origin.position(0);
        Self { partition_key, explicit_hash_key: None, data, position, arrival: origin.arrival, aggregated: false }
    }

    /// A user record out of an aggregate.
    pub(crate) fn of_aggregate(record: kinesis_aggregation::UserRecord, origin: &Origin) -> Self {
        Self {
            partition_key: record.partition_key.unwrap_or_default(),
            explicit_hash_key: record.explicit_hash_key,
            data: record.data,
            position: origin.position(record.sub_sequence_number),
            arrival: origin.arrival,
            aggregated: true,
        }
    }

    /// The partition key; empty for a record that was put without one.
    #[must_use]
    pub fn partition_key(&self) -> &str {
        &self.partition_key
    }

    /// The explicit hash key, where the record was aggregated and its producer gave one, as it was written. The service
    /// does not say with which hash key a record was put that was not aggregated.
    #[must_use]
    pub fn explicit_hash_key(&self) -> Option<&str> {
        self.explicit_hash_key.as_deref()
    }

    /// The bytes.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The bytes, without the rest.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        self.data
    }

    /// The number of the Kinesis record; shared by the user records of one aggregate.
    #[must_use]
    pub const fn sequence_number(&self) -> &SequenceNumber {
        &self.position.sequence_number
    }

    /// The place among the user records of the aggregate, counted from 0; 0 for a record that came alone.
    #[must_use]
    pub const fn sub_sequence(&self) -> u64 {
        self.position.sub_sequence
    }

    /// Where the record stands in its shard: what to checkpoint when everything up to it is done.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    pub(crate) const fn at(&self) -> &Position {
        &self.position
    }

    /// When the service received the record, to the millisecond, by the service's clock and without warranty: it does
    /// not grow strictly within a shard.
    #[must_use]
    pub const fn arrival(&self) -> Option<SystemTime> {
        self.arrival
    }

    /// Whether the record came in an aggregate.
    #[must_use]
    pub const fn is_aggregated(&self) -> bool {
        self.aggregated
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &self.position)
            .field("partition_key", &self.partition_key())
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// What the user records of one Kinesis record have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) shard: ShardId,
    pub(crate) sequence_number: SequenceNumber,
    pub(crate) arrival: Option<SystemTime>,
}

impl Origin {
    pub(crate) fn position(&self, sub_sequence: u64) -> Position {
        Position { sequence_number: self.sequence_number.clone(), sub_sequence, shard: self.shard.clone() }
    }
}

/// Where a user record stands in its shard: the number of the Kinesis record that holds it, then its index in there.
///
/// It knows its shard, so that the position of one shard cannot be checkpointed at another. Ordered by number and index, which
/// says something within one shard only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the Kinesis record.
    pub sequence_number: SequenceNumber,
    /// The index of the user record in its aggregate; 0 for a record that came alone.
    pub sub_sequence: u64,
    /// The shard.
    pub shard: ShardId,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sequence_number, self.sub_sequence)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
