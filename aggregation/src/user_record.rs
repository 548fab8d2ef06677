use bytes::Bytes;
use bytestring::ByteString;

use crate::HashKey;

/// One record as a user put it: alone in a Kinesis record or one of many in an aggregate.
///
/// Key, hash key and data are slices of the Kinesis record they came in: cloning copies no bytes, and holding one keeps the whole Kinesis
/// record in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserRecord {
    /// The partition key. `None` for a plain record taken apart by [`deaggregate`](crate::deaggregate): there the key is beside the
    /// data, in the Kinesis record itself, not inside.
    pub partition_key: Option<ByteString>,
    /// The explicit hash key as it was written: usually a decimal number, but some encoders write other things (the word `undefined`).
    pub explicit_hash_key: Option<ByteString>,
    /// The user's bytes.
    pub data: Bytes,
    /// The place among the user records of one Kinesis record, counted from 0. Together with the sequence number it orders the user
    /// records of a shard.
    pub sub_sequence_number: u64,
}

impl UserRecord {
    /// The partition key; see [the field](Self::partition_key) for when there is none.
    pub fn partition_key(&self) -> Option<&str> {
        self.partition_key.as_deref()
    }

    /// The explicit hash key as it was written.
    pub fn explicit_hash_key(&self) -> Option<&str> {
        self.explicit_hash_key.as_deref()
    }

    /// The hash key that decides the shard: the explicit one, else the hash of the partition key. `None` when it is unknown, because
    /// the explicit hash key is no decimal in 0..=2^128−1 or because there is no key inside. Hashed anew at each call.
    pub fn hash_key(&self) -> Option<HashKey> {
        match (&self.explicit_hash_key, &self.partition_key) {
            (Some(text), _) => HashKey::from_wire(text),
            (None, Some(key)) => Some(HashKey::of(key)),
            (None, None) => None,
        }
    }
}
