//! The final form of a batch: what a request carries for it.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bytes::Bytes;
use bytestring::ByteString;
use kinesis_aggregation::{AggregatedRecord, HashKey, HashKeyRange};

use crate::record::OwnedRecord;

/// Where a record goes, and the keys that bring it there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    /// The hash key that decides the shard.
    pub(crate) hash_key: HashKey,
    pub(crate) partition_key: &'a str,
    pub(crate) explicit_hash_key: Option<HashKey>,
}

impl<'a> Route<'a> {
    /// The route of a record with a partition key.
    pub(crate) fn keyed(partition_key: &'a str, explicit_hash_key: Option<HashKey>) -> Self {
        let hash_key = explicit_hash_key.unwrap_or_else(|| HashKey::of(partition_key));
        Self { hash_key, partition_key, explicit_hash_key }
    }

    /// The route of a keyless record to the shard that holds this hash key.
    pub(crate) const fn keyless(hash_key: HashKey) -> Self {
        Self { hash_key, partition_key: KEYLESS, explicit_hash_key: Some(hash_key) }
    }
}

/// A batch in its final form.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// One record or many, in the aggregation format.
    Aggregate { record: AggregatedRecord, keyless: bool },
    /// One record, unchanged.
    Plain(Plain),
}

/// A record that is sent alone, because it is large, aggregation is off, or the service distributes the records.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    /// The user's partition key.
    pub(crate) partition_key: Option<ByteString>,
    /// The user's explicit hash key.
    pub(crate) explicit_hash_key: Option<HashKey>,
    /// The hash key that routes a keyless record. `None` if the service distributes the records.
    pub(crate) keyless_to: Option<HashKey>,
    pub(crate) data: Bytes,
}

impl Contents {
    /// Returns the number of user records.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Aggregate { record, .. } => record.len(),
            Self::Plain(_) => 1,
        }
    }

    /// Returns the range of the hash keys inside. `None` if the service distributes the records.
    pub(crate) fn range(&self) -> Option<HashKeyRange> {
        match self {
            Self::Aggregate { record, .. } => Some(record.hash_key_range()),
            Self::Plain(plain) => plain.hash_key().map(Into::into),
        }
    }

    /// Returns the entry of a PutRecords request. The data is shared, not copied.
    pub(crate) fn entry(&self) -> PutRecordsRequestEntry {
        let (data, partition_key, hash_key) = match self {
            Self::Aggregate { record, .. } => {
                (record.data(), Some(record.partition_key()), Some(record.explicit_hash_key()))
            }
            Self::Plain(plain) => (&plain.data, plain.sent_key(), plain.explicit_hash_key.or(plain.keyless_to)),
        };
        PutRecordsRequestEntry::builder()
            .data(Blob::from_maybe_shared(data.clone()))
            .set_partition_key(partition_key.map(str::to_owned))
            .set_explicit_hash_key(hash_key.map(|hash_key| hash_key.to_string()))
            .build()
            .expect("data is all an entry needs, and it is set")
    }

    /// Returns the record as it was put.
    pub(crate) fn owned_record(&self, index: usize) -> OwnedRecord {
        match self {
            Self::Plain(Plain { partition_key, explicit_hash_key, data, .. }) => OwnedRecord {
                partition_key: partition_key.clone(),
                explicit_hash_key: *explicit_hash_key,
                data: data.clone(),
            },
            Self::Aggregate { record, keyless } => {
                let user = record.user_record(index);
                if *keyless {
                    return OwnedRecord { partition_key: None, explicit_hash_key: None, data: user.data };
                }
                let explicit_hash_key = user.explicit_hash_key().and_then(|text| text.parse().ok());
                OwnedRecord { partition_key: user.partition_key, explicit_hash_key, data: user.data }
            }
        }
    }

    /// Returns the bytes of data and partition key in a request.
    pub(crate) fn wire_len(&self) -> usize {
        match self {
            Self::Aggregate { record, .. } => record.data().len() + record.partition_key().len(),
            Self::Plain(plain) => plain.data.len() + plain.sent_key().map_or(0, str::len),
        }
    }

    /// Returns the bytes of memory that the contents hold.
    pub(crate) fn capacity_bytes(&self) -> usize {
        match self {
            Self::Aggregate { record, .. } => record.capacity_bytes(),
            Self::Plain(plain) => plain.data.len() + plain.partition_key.as_ref().map_or(0, |key| key.len()),
        }
    }
}

impl Plain {
    fn sent_key(&self) -> Option<&str> {
        self.partition_key.as_deref().or_else(|| self.keyless_to.map(|_| KEYLESS))
    }

    fn hash_key(&self) -> Option<HashKey> {
        let by_key = || self.partition_key.as_deref().map(HashKey::of);
        self.explicit_hash_key.or(self.keyless_to).or_else(by_key)
    }
}

/// The partition key of a keyless record where the service requires one. It is short, because an explicit hash key
/// routes the record.
const KEYLESS: &str = "a";

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(partition_key: Option<&str>, explicit: Option<u128>, keyless_to: Option<u128>) -> Contents {
        Contents::Plain(Plain {
            partition_key: partition_key.map(ByteString::from),
            explicit_hash_key: explicit.map(HashKey::new),
            keyless_to: keyless_to.map(HashKey::new),
            data: Bytes::from_static(b"data"),
        })
    }

    #[test]
    fn an_entry_carries_what_routes_the_record_and_no_more() {
        let sent = |contents: &Contents| {
            let entry = contents.entry();
            let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
            (text(entry.partition_key()), text(entry.explicit_hash_key()), contents.wire_len())
        };
        let expected = |key: &str, hash_key: &str, len| (key.to_owned(), hash_key.to_owned(), len);
        assert_eq!(sent(&plain(Some("key"), None, None)), expected("key", "-", 7));
        assert_eq!(sent(&plain(Some("key"), Some(5), None)), expected("key", "5", 7));
        assert_eq!(sent(&plain(None, None, Some(9))), expected("a", "9", 5), "keyless, but routed by us");
        assert_eq!(sent(&plain(None, None, None)), expected("-", "-", 4), "keyless, and the service decides");
    }

    #[test]
    fn the_hash_keys_inside_are_known_if_we_route() {
        let range = |hash_key: HashKey| Some(HashKeyRange::from(hash_key));
        assert_eq!(plain(Some("key"), None, None).range(), range(HashKey::of("key")));
        assert_eq!(plain(Some("key"), Some(5), None).range(), range(HashKey::new(5)));
        assert_eq!(plain(None, None, Some(9)).range(), range(HashKey::new(9)));
        assert_eq!(plain(None, None, None).range(), None);
    }
}
