use std::{hash::BuildHasher, io::Write};

use hashbrown::{DefaultHashBuilder, HashTable};
use prost::encoding::{WireType, encoded_len_varint};

use crate::{
    HashKey,
    wire::{EXPLICIT_HASH_KEY_TABLE, Fields, Header, PARTITION_KEY_TABLE, key},
};

/// A string table of the format in wire form, with an index to find what is already in it.
///
/// The index holds no keys, only their places: an entry is compared with the bytes it was written as, so nothing is stored twice.
#[derive(Debug)]
pub(super) struct Table {
    /// The key byte of the table's entries.
    key: u8,
    wire: Vec<u8>,
    /// Where each entry begins in `wire`.
    starts: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Where a text is in a table, or would go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    At(u32),
    New { hash: u64 },
}

impl Table {
    fn new(field: u32) -> Self {
        Self {
            key: key(field, WireType::LengthDelimited),
            wire: Vec::new(),
            starts: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn partition_keys() -> Self {
        Self::new(PARTITION_KEY_TABLE)
    }

    pub(super) fn explicit_hash_keys() -> Self {
        Self::new(EXPLICIT_HASH_KEY_TABLE)
    }

    pub(super) fn find(&self, text: &[u8]) -> Place {
        let hash = self.hasher.hash_one(text);
        let header = self.header(text);
        let found = self.index.find(hash, |&index| {
            // The header holds the length, so equal bytes mean an equal entry and not one that only begins alike.
            let entry = &self.wire[self.starts[index as usize] as usize..];
            entry.strip_prefix(header.as_bytes()).is_some_and(|entry| entry.starts_with(text))
        });
        found.map_or(Place::New { hash }, |&index| Place::At(index))
    }

    /// The index the text has, or will have after [`insert`](Self::insert).
    pub(super) fn index_of(&self, place: Place) -> u32 {
        match place {
            Place::At(index) => index,
            Place::New { .. } => self.starts.len() as u32,
        }
    }

    /// The bytes the table grows by when the text goes into its place.
    pub(super) fn growth(place: Place, text_len: usize) -> usize {
        match place {
            Place::At(_) => 0,
            Place::New { .. } => 1 + encoded_len_varint(text_len as u64) + text_len,
        }
    }

    pub(super) fn insert(&mut self, place: Place, text: &[u8]) {
        let Place::New { hash } = place else { return };
        let index = self.starts.len() as u32;
        let header = self.header(text);
        self.starts.push(self.wire.len() as u32);
        self.wire.extend_from_slice(header.as_bytes());
        self.wire.extend_from_slice(text);
        let (wire, starts, hasher) = (&self.wire, &self.starts, &self.hasher);
        let text_at = |start: u32| Fields::new(&wire[start as usize..]).own_bytes();
        self.index.insert_unique(hash, index, |&index| hasher.hash_one(text_at(starts[index as usize])));
    }

    /// The text of the first entry.
    pub(super) fn first_text(&self) -> &[u8] {
        Fields::new(&self.wire).own_bytes()
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    pub(super) fn starts(&self) -> &[u32] {
        &self.starts
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.wire.capacity() + self.starts.capacity() * size_of::<u32>() + self.index.allocation_size()
    }

    pub(super) fn clear(&mut self) {
        self.wire.clear();
        self.starts.clear();
        self.index.clear();
    }

    fn header(&self, text: &[u8]) -> Header {
        let mut header = Header::new();
        header.put(self.key, text.len() as u64);
        header
    }
}

/// A hash key's decimal text on the stack.
pub(super) struct Decimal {
    digits: [u8; Self::MAX_DIGITS],
    len: usize,
}

impl Decimal {
    /// 2^128 − 1 has 39 digits.
    const MAX_DIGITS: usize = 39;

    pub(super) fn new(hash_key: HashKey) -> Self {
        let mut digits = [0; Self::MAX_DIGITS];
        let mut rest = &mut digits[..];
        write!(rest, "{hash_key}").expect("39 bytes hold every 128-bit number");
        let len = Self::MAX_DIGITS - rest.len();
        Self { digits, len }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}
