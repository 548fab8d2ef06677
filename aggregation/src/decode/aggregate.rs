use bytes::Bytes;

use super::{Damage, UserRecords, tables::Tables};
use crate::{
    HashKey, HashKeyRange,
    text::lossy,
    wire::{EXPLICIT_HASH_KEY_TABLE, Field, Fields, PARTITION_KEY_TABLE, RECORDS, Record},
};

/// An aggregate that has been checked whole, not yet taken apart.
///
/// Iterating gives its user records. One of no records exists (an encoder that writes its tables and nothing else) and gives none.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The protobuf message, without magic bytes and digest.
    body: Bytes,
    tables: Tables,
    records: u32,
}

/// What a walk over a body counts.
#[derive(Default)]
struct Counts {
    partition_keys: u32,
    explicit_hash_keys: u32,
    records: u32,
    /// How long the tables must be for the records to point into them.
    partition_keys_used: u64,
    explicit_hash_keys_used: u64,
}

impl Aggregate {
    /// Checks the body. The memory it takes is that of the entries which are there, whatever lengths the body claims.
    pub(super) fn parse(body: Bytes) -> Result<Self, Damage> {
        let counts = Counts::of(&body)?;
        if counts.partition_keys_used > u64::from(counts.partition_keys)
            || counts.explicit_hash_keys_used > u64::from(counts.explicit_hash_keys)
        {
            return Err(Damage::Index);
        }
        let tables = Tables::find(&body, counts.partition_keys, counts.explicit_hash_keys)?;
        Ok(Self { body, tables, records: counts.records })
    }

    /// How many user records are inside.
    pub fn len(&self) -> usize {
        self.records as usize
    }

    /// Whether there is no user record inside.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether the shard with this range holds all the records: the question by which the KCL keeps an aggregate or drops it whole.
    ///
    /// A record whose explicit hash key is no hash key counts as inside, because nobody can say where it belongs
    /// ([`unknown_hash_keys`](Self::unknown_hash_keys) counts these). No key is hashed twice.
    pub fn is_within(&self, range: &HashKeyRange) -> bool {
        if *range == HashKeyRange::FULL {
            return true;
        }
        let (mut keys_seen, mut hash_keys_seen) = (Seen::default(), Seen::default());
        self.records().all(|record| {
            let hash_key = match record.explicit_hash_key_index {
                Some(index) if hash_keys_seen.first_time(index) => self.explicit_hash_key(index),
                None if keys_seen.first_time(record.partition_key_index) => {
                    let entry = Tables::partition_key(record.partition_key_index);
                    Some(hash_of(self.tables.entry(&self.body, entry)))
                }
                _ => None,
            };
            hash_key.is_none_or(|hash_key| range.contains(hash_key))
        })
    }

    /// How many records have an explicit hash key that is no decimal in 0..=2^128−1 (an old encoder wrote the word `undefined`). The KCL
    /// drops an aggregate with such a record in silence; better to deliver and to count it.
    pub fn unknown_hash_keys(&self) -> usize {
        let is_unknown = |text: &[u8]| parse_hash_key(text).is_none();
        if !self.tables.explicit_hash_keys(&self.body).any(is_unknown) {
            return 0;
        }
        let unknown: Vec<bool> = self.tables.explicit_hash_keys(&self.body).map(is_unknown).collect();
        let points_to_unknown =
            |record: &Record<'_>| record.explicit_hash_key_index.is_some_and(|index| unknown[index as usize]);
        self.records().filter(points_to_unknown).count()
    }

    fn explicit_hash_key(&self, index: u64) -> Option<HashKey> {
        parse_hash_key(self.tables.entry(&self.body, self.tables.explicit_hash_key(index)))
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut position = 0;
        std::iter::from_fn(move || self.record_from(&mut position))
    }

    /// The next record from a position in the body, which moves behind it.
    pub(super) fn record_from(&self, position: &mut usize) -> Option<Record<'_>> {
        let mut fields = Fields::new(&self.body[*position..]);
        let record = loop {
            match fields.read().expect("`parse` has read this body to its end") {
                Some(Field::Bytes(RECORDS, message)) => {
                    break Some(Record::read(message).expect("`parse` has read this record"));
                }
                Some(_) => {}
                None => break None,
            }
        };
        *position = self.body.len() - fields.rest().len();
        record
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }
}

impl IntoIterator for Aggregate {
    type Item = crate::UserRecord;
    type IntoIter = UserRecords;

    fn into_iter(self) -> UserRecords {
        UserRecords::of(self)
    }
}

impl Counts {
    fn of(body: &[u8]) -> Result<Self, Damage> {
        let mut counts = Self::default();
        let mut fields = Fields::new(body);
        while let Some(field) = fields.read()? {
            match field {
                Field::Bytes(PARTITION_KEY_TABLE, _) => counts.partition_keys += 1,
                Field::Bytes(EXPLICIT_HASH_KEY_TABLE, _) => counts.explicit_hash_keys += 1,
                Field::Bytes(RECORDS, message) => counts.add_record(&Record::read(message)?)?,
                _ => {}
            }
        }
        Ok(counts)
    }

    fn add_record(&mut self, record: &Record<'_>) -> Result<(), Damage> {
        let used = |index: u64| index.checked_add(1).ok_or(Damage::Index);
        self.records += 1;
        self.partition_keys_used = self.partition_keys_used.max(used(record.partition_key_index)?);
        if let Some(index) = record.explicit_hash_key_index {
            self.explicit_hash_keys_used = self.explicit_hash_keys_used.max(used(index)?);
        }
        Ok(())
    }
}

/// Which entries of a table were met before. Encoders number keys as they come, so most tables never need the vector.
#[derive(Default)]
struct Seen {
    low: u64,
    high: Vec<u64>,
}

impl Seen {
    fn first_time(&mut self, index: u64) -> bool {
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        let word = match word.checked_sub(1) {
            None => &mut self.low,
            Some(word) => {
                if self.high.len() <= word {
                    // Indexes were checked, so this is at most one bit per entry of the table; doubling keeps the allocations few.
                    self.high.resize((word + 1).next_power_of_two(), 0);
                }
                &mut self.high[word]
            }
        };
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}

/// The hash key of a partition key as the KCL computes it: that of the text it shows.
fn hash_of(partition_key: &[u8]) -> HashKey {
    match str::from_utf8(partition_key) {
        Ok(text) => HashKey::of(text),
        Err(_) => HashKey::of(&lossy(partition_key)),
    }
}

fn parse_hash_key(text: &[u8]) -> Option<HashKey> {
    HashKey::from_wire(str::from_utf8(text).ok()?)
}
