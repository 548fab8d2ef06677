mod aggregated_record;
mod tables;

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::encoding::{WireType, encoded_len_varint};

pub use aggregated_record::AggregatedRecord;
use aggregated_record::{Contents, Offsets};
use tables::{Decimal, Place, Table};

use crate::{
    HashKey, HashKeyRange,
    text::text,
    wire::{DATA, ENVELOPE_LEN, EXPLICIT_HASH_KEY_INDEX, Header, MAGIC, PARTITION_KEY_INDEX, RECORDS, key},
};

/// Puts user records into Kinesis records: as many as fit below a limit of bytes.
///
/// ```
/// use kinesis_aggregation::Aggregator;
///
/// let mut aggregator = Aggregator::new(50_000);
/// assert!(aggregator.try_add("pk1", None, b"hello"));
/// assert!(aggregator.try_add("pk2", None, b"world"));
/// let record = aggregator.take().expect("two records were added");
/// assert_eq!(record.data().len(), 52);
/// assert_eq!(record.partition_key(), "a");
/// ```
///
/// Wire bytes are appended as records come and joined once, by [`take`](Self::take). The buffers stay for the next aggregate, so that a
/// busy aggregator allocates per aggregate, not per record. All records of one aggregate must belong to one shard: a consumer that filters
/// by hash range drops an aggregate with a single record of another shard whole.
#[derive(Debug)]
pub struct Aggregator {
    max_bytes: usize,
    partition_keys: Table,
    explicit_hash_keys: Table,
    /// The records in wire form.
    records: Vec<u8>,
    /// Where each record begins in `records`.
    starts: Vec<u32>,
    first: Option<First>,
}

/// What is kept of the first record, and of all of them in passing.
#[derive(Debug)]
struct First {
    hash_key: HashKey,
    explicit_hash_key: Option<HashKey>,
    /// The data is the end of the record's wire bytes; alone, it is the Kinesis record.
    data_len: usize,
    is_marked: bool,
    /// The smallest and the largest hash key so far.
    range: HashKeyRange,
}

/// How a record would go in.
struct Fit {
    partition_key: Place,
    explicit_hash_key: Option<(Place, Decimal)>,
    /// Length of the record's fields without the key and length in front of them.
    fields_len: usize,
    /// What the aggregate would be long with this record in it.
    encoded_len: usize,
}

impl Aggregator {
    /// An empty aggregator whose aggregates are at most `max_bytes` long. It holds no memory until the first record.
    ///
    /// The limit is on [`AggregatedRecord::data`]; the service counts the partition key beside it as well. Offsets are 32 bits wide, so a
    /// limit of more than 4 GiB means 4 GiB (the service's own is 10 MiB).
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: max_bytes.min(u32::MAX as usize),
            partition_keys: Table::partition_keys(),
            explicit_hash_keys: Table::explicit_hash_keys(),
            records: Vec::new(),
            starts: Vec::new(),
            first: None,
        }
    }

    /// Adds a record, or returns `false` and changes nothing when the aggregate would become longer than the limit.
    ///
    /// An empty aggregator takes every record: alone it leaves as it is, whatever its length, unless it [is marked](is_marked).
    #[must_use = "`false` means the record was not added"]
    pub fn try_add(&mut self, partition_key: &str, explicit_hash_key: Option<HashKey>, data: &[u8]) -> bool {
        // Hashing comes last: a record that does not fit is hashed where it goes next.
        let hash_key = || explicit_hash_key.unwrap_or_else(|| HashKey::of(partition_key));
        self.try_add_with(hash_key, partition_key, explicit_hash_key, data)
    }

    /// [`try_add`](Self::try_add) for a caller who knows the effective hash key already: `explicit_hash_key`, or the hash of the
    /// partition key where there is none.
    #[must_use = "`false` means the record was not added"]
    pub fn try_add_hashed(
        &mut self,
        hash_key: HashKey,
        partition_key: &str,
        explicit_hash_key: Option<HashKey>,
        data: &[u8],
    ) -> bool {
        self.try_add_with(|| hash_key, partition_key, explicit_hash_key, data)
    }

    /// Hands over what was added and leaves the aggregator empty, its buffers ready for the next aggregate. `None` when it is empty.
    #[must_use = "the records are in what this returns"]
    pub fn take(&mut self) -> Option<AggregatedRecord> {
        let first = self.first.take()?;
        let record = if self.stays_as_it_is(&first) { self.single(&first) } else { self.join(&first) };
        self.partition_keys.clear();
        self.explicit_hash_keys.clear();
        self.records.clear();
        self.starts.clear();
        Some(record)
    }

    /// How many records are in.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether no record is in.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The length in bytes of the data that [`take`](Self::take) would give now.
    pub fn encoded_len(&self) -> usize {
        match &self.first {
            None => 0,
            Some(first) if self.stays_as_it_is(first) => first.data_len,
            Some(_) => self.joined_len(),
        }
    }

    /// What [`encoded_len`](Self::encoded_len) would be after adding such a record, limit aside. (Of a first record that [is
    /// marked](is_marked) it is the length without the envelope.)
    pub fn encoded_len_with(&self, partition_key: &str, explicit_hash_key: Option<HashKey>, data_len: usize) -> usize {
        self.fit(partition_key, explicit_hash_key, data_len).encoded_len
    }

    /// The memory that the buffers hold, in bytes. It does not shrink when records leave; a new aggregator holds none.
    pub fn capacity_bytes(&self) -> usize {
        self.partition_keys.capacity_bytes()
            + self.explicit_hash_keys.capacity_bytes()
            + self.records.capacity()
            + self.starts.capacity() * size_of::<u32>()
    }

    /// The limit in bytes.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Moves the limit for the records to come. Those already in stay, also when they exceed it.
    pub fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes.min(u32::MAX as usize);
    }

    fn try_add_with(
        &mut self,
        hash_key: impl FnOnce() -> HashKey,
        partition_key: &str,
        explicit_hash_key: Option<HashKey>,
        data: &[u8],
    ) -> bool {
        let fit = self.fit(partition_key, explicit_hash_key, data.len());
        let fits = self.is_empty() || fit.encoded_len <= self.max_bytes;
        if fits {
            self.append(partition_key, data, &fit);
            self.note(hash_key(), explicit_hash_key, data);
        }
        fits
    }

    fn fit(&self, partition_key: &str, explicit_hash_key: Option<HashKey>, data_len: usize) -> Fit {
        let place = self.partition_keys.find(partition_key.as_bytes());
        let mut growth = Table::growth(place, partition_key.len());
        let mut fields_len = 1 + encoded_len_varint(u64::from(self.partition_keys.index_of(place)));
        let explicit = explicit_hash_key.map(|hash_key| {
            let text = Decimal::new(hash_key);
            let place = self.explicit_hash_keys.find(text.as_bytes());
            growth += Table::growth(place, text.as_bytes().len());
            fields_len += 1 + encoded_len_varint(u64::from(self.explicit_hash_keys.index_of(place)));
            (place, text)
        });
        fields_len += 1 + encoded_len_varint(data_len as u64) + data_len;
        growth += 1 + encoded_len_varint(fields_len as u64) + fields_len;
        let encoded_len = if self.is_empty() { data_len } else { self.joined_len() + growth };
        Fit { partition_key: place, explicit_hash_key: explicit, fields_len, encoded_len }
    }

    fn append(&mut self, partition_key: &str, data: &[u8], fit: &Fit) {
        let mut header = Header::new();
        header.put(key(RECORDS, WireType::LengthDelimited), fit.fields_len as u64);
        let index = self.partition_keys.index_of(fit.partition_key);
        header.put(key(PARTITION_KEY_INDEX, WireType::Varint), u64::from(index));
        self.partition_keys.insert(fit.partition_key, partition_key.as_bytes());
        if let Some((place, text)) = &fit.explicit_hash_key {
            let index = self.explicit_hash_keys.index_of(*place);
            header.put(key(EXPLICIT_HASH_KEY_INDEX, WireType::Varint), u64::from(index));
            self.explicit_hash_keys.insert(*place, text.as_bytes());
        }
        header.put(key(DATA, WireType::LengthDelimited), data.len() as u64);

        self.starts.push(self.records.len() as u32);
        self.records.extend_from_slice(header.as_bytes());
        self.records.extend_from_slice(data);
    }

    fn note(&mut self, hash_key: HashKey, explicit_hash_key: Option<HashKey>, data: &[u8]) {
        match &mut self.first {
            Some(first) => first.range = first.range.extended_to(hash_key),
            None => {
                let (data_len, is_marked, range) = (data.len(), is_marked(data), hash_key.into());
                self.first = Some(First { hash_key, explicit_hash_key, data_len, is_marked, range });
            }
        }
    }

    /// Alone, and nobody will take its data for an aggregate.
    fn stays_as_it_is(&self, first: &First) -> bool {
        self.starts.len() == 1 && !first.is_marked
    }

    /// The length of the envelope form, also for a single record, which would not use it.
    fn joined_len(&self) -> usize {
        ENVELOPE_LEN + self.partition_keys.wire().len() + self.explicit_hash_keys.wire().len() + self.records.len()
    }

    fn single(&self, first: &First) -> AggregatedRecord {
        let data = Bytes::copy_from_slice(&self.records[self.records.len() - first.data_len..]);
        let key = Bytes::copy_from_slice(self.partition_keys.first_text());
        let partition_key = text(&key, &key);
        let contents = Contents::Single { partition_key, explicit_hash_key: first.explicit_hash_key };
        AggregatedRecord::new(data, first.hash_key, first.range, contents)
    }

    fn join(&self, first: &First) -> AggregatedRecord {
        let mut data = Vec::with_capacity(self.joined_len());
        data.extend_from_slice(&MAGIC);
        data.extend_from_slice(self.partition_keys.wire());
        data.extend_from_slice(self.explicit_hash_keys.wire());
        data.extend_from_slice(&self.records);
        let digest = Md5::digest(&data[MAGIC.len()..]);
        data.extend_from_slice(&digest);

        let partition_keys_base = MAGIC.len();
        let explicit_hash_keys_base = partition_keys_base + self.partition_keys.wire().len();
        let records_base = explicit_hash_keys_base + self.explicit_hash_keys.wire().len();
        let offsets = Offsets {
            partition_keys: self.partition_keys.starts().into(),
            explicit_hash_keys: self.explicit_hash_keys.starts().into(),
            records: self.starts.as_slice().into(),
            partition_keys_base,
            explicit_hash_keys_base,
            records_base,
        };
        AggregatedRecord::new(data.into(), first.hash_key, first.range, Contents::Joined(offsets))
    }
}

/// Whether the data begins with the magic bytes. As a Kinesis record readers would look for an aggregate in it, so an [`Aggregator`] puts it in an
/// envelope even when it is alone.
pub fn is_marked(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

#[cfg(test)]
mod tests;
