use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    HashKey, HashKeyRange, UserRecord,
    text::text,
    wire::{Fields, Record},
};

/// What goes into one Kinesis record: an aggregate of two user records or more, or a single one as it is.
#[derive(Clone, Debug)]
pub struct AggregatedRecord {
    data: Bytes,
    first_hash_key: HashKey,
    hash_key_range: HashKeyRange,
    contents: Contents,
}

#[derive(Clone, Debug)]
pub(super) enum Contents {
    Single { partition_key: ByteString, explicit_hash_key: Option<HashKey> },
    Joined(Offsets),
}

/// Where things begin in an aggregate's data: the way to one record that does not lead through all the others.
#[derive(Clone, Debug)]
pub(super) struct Offsets {
    /// Relative to `partition_keys_base`.
    pub(super) partition_keys: Box<[u32]>,
    /// Relative to `explicit_hash_keys_base`.
    pub(super) explicit_hash_keys: Box<[u32]>,
    /// Relative to `records_base`.
    pub(super) records: Box<[u32]>,
    pub(super) partition_keys_base: usize,
    pub(super) explicit_hash_keys_base: usize,
    pub(super) records_base: usize,
}

impl AggregatedRecord {
    pub(super) fn new(data: Bytes, first_hash_key: HashKey, hash_key_range: HashKeyRange, contents: Contents) -> Self {
        Self { data, first_hash_key, hash_key_range, contents }
    }

    /// The data of the Kinesis record.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The partition key of the Kinesis record: the user's key beside a single record, the letter `a` beside an aggregate, as the KPL
    /// does. The explicit hash key routes the record, so the shortest key will do.
    pub fn partition_key(&self) -> &str {
        match &self.contents {
            Contents::Single { partition_key, .. } => partition_key,
            Contents::Joined(_) => AGGREGATE_PARTITION_KEY,
        }
    }

    /// The explicit hash key of the Kinesis record, to be sent always: the effective hash key of the first user record.
    pub fn explicit_hash_key(&self) -> HashKey {
        self.first_hash_key
    }

    /// The smallest and the largest effective hash key inside. The record is safe with a consumer that filters by hash range only on a
    /// shard whose range covers this one.
    pub fn hash_key_range(&self) -> HashKeyRange {
        self.hash_key_range
    }

    /// How many user records are inside.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty one")]
    pub fn len(&self) -> usize {
        match &self.contents {
            Contents::Single { .. } => 1,
            Contents::Joined(offsets) => offsets.records.len(),
        }
    }

    /// Whether the data is an aggregate, and not one user record as it is.
    pub fn is_aggregated(&self) -> bool {
        matches!(self.contents, Contents::Joined(_))
    }

    /// The memory it holds besides its own few fields, in bytes.
    pub fn capacity_bytes(&self) -> usize {
        let more = match &self.contents {
            Contents::Single { partition_key, .. } => partition_key.len(),
            Contents::Joined(offsets) => {
                let count = offsets.partition_keys.len() + offsets.explicit_hash_keys.len() + offsets.records.len();
                count * size_of::<u32>()
            }
        };
        self.data.len() + more
    }

    /// The `index`-th user record as it was added, in constant time.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](Self::len).
    pub fn user_record(&self, index: usize) -> UserRecord {
        match &self.contents {
            Contents::Single { partition_key, explicit_hash_key } => {
                assert_eq!(index, 0, "index {index} of a single record");
                UserRecord {
                    partition_key: Some(partition_key.clone()),
                    explicit_hash_key: explicit_hash_key.map(|hash_key| hash_key.to_string().into()),
                    data: self.data.clone(),
                    sub_sequence_number: 0,
                }
            }
            Contents::Joined(offsets) => {
                let message = self.bytes_at(offsets.records_base, offsets.records[index]);
                let record = Record::read(message).expect("the aggregator wrote a whole record here");
                let key = offsets.partition_keys[record.partition_key_index as usize];
                let hash_key = record.explicit_hash_key_index.map(|index| offsets.explicit_hash_keys[index as usize]);
                let text_at = |base, offset| text(&self.data, self.bytes_at(base, offset));
                UserRecord {
                    partition_key: Some(text_at(offsets.partition_keys_base, key)),
                    explicit_hash_key: hash_key.map(|at| text_at(offsets.explicit_hash_keys_base, at)),
                    data: self.data.slice_ref(record.data),
                    sub_sequence_number: index as u64,
                }
            }
        }
    }

    /// All user records, in the order they were added.
    pub fn user_records(&self) -> impl ExactSizeIterator<Item = UserRecord> {
        (0..self.len()).map(|index| self.user_record(index))
    }

    fn bytes_at(&self, base: usize, offset: u32) -> &[u8] {
        Fields::new(&self.data[base + offset as usize..]).own_bytes()
    }
}

/// The KPL's choice.
const AGGREGATE_PARTITION_KEY: &str = "a";
