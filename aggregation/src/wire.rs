//! The bytes both ends agree on. Field numbers and layout are those of the KPL's aggregation format.

use prost::encoding::{DecodeContext, WireType, decode_varint, encode_varint, skip_field};

use crate::Damage;

/// What every aggregate starts with.
pub(crate) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// MD5 of the body, after it.
pub(crate) const DIGEST_LEN: usize = 16;
/// What an aggregate costs before its first key.
pub(crate) const ENVELOPE_LEN: usize = MAGIC.len() + DIGEST_LEN;

/// `AggregatedRecord.partition_key_table`: repeated string.
pub(crate) const PARTITION_KEY_TABLE: u32 = 1;
/// `AggregatedRecord.explicit_hash_key_table`: repeated string.
pub(crate) const EXPLICIT_HASH_KEY_TABLE: u32 = 2;
/// `AggregatedRecord.records`: repeated message.
pub(crate) const RECORDS: u32 = 3;
/// `Record.partition_key_index`: required uint64. Zero is written, too: proto2 has no implicit zero.
pub(crate) const PARTITION_KEY_INDEX: u32 = 1;
/// `Record.explicit_hash_key_index`: optional uint64.
pub(crate) const EXPLICIT_HASH_KEY_INDEX: u32 = 2;
/// `Record.data`: required bytes.
pub(crate) const DATA: u32 = 3;
/// `Record.tags`: repeated message.
pub(crate) const TAGS: u32 = 4;
/// `Tag.key`: required string.
pub(crate) const TAG_KEY: u32 = 1;

/// The first byte of a field. All our field numbers are below 16, so it is the only one.
pub(crate) const fn key(field: u32, wire_type: WireType) -> u8 {
    (field << 3) as u8 | wire_type as u8
}

/// A few bytes of headers put together on the stack and appended at once: one capacity check instead of one a byte.
pub(crate) struct Header {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Header {
    /// A record's header is the longest: four keys of one byte, four varints of at most ten.
    const CAPACITY: usize = 4 + 4 * 10;

    pub(crate) const fn new() -> Self {
        Self { bytes: [0; Self::CAPACITY], len: 0 }
    }

    /// Appends a field key and a number: a whole varint field, or the start of a length-delimited one.
    pub(crate) fn put(&mut self, key: u8, number: u64) {
        self.bytes[self.len] = key;
        self.len += 1;
        if number < 0x80 {
            self.bytes[self.len] = number as u8;
            self.len += 1;
        } else {
            let mut rest = &mut self.bytes[self.len..];
            let room = rest.len();
            encode_varint(number, &mut rest);
            self.len += room - rest.len();
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The fields of a message, one after the other, with the checks protobuf makes.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// A field as far as the format knows such fields. One with a known number and another type counts as unknown, as in protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Number(u32, u64),
    Bytes(u32, &'a [u8]),
    /// A type the format does not use: fixed width or a group.
    Other,
}

/// The bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The bytes not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn read(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // Longer keys are refused by protobuf's C++ and Python readers; its Java reader cuts them off. No encoder writes them.
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (number, wire_type) = (key >> 3, WireType::try_from(u64::from(key & 7))?);
        if number == 0 {
            return Err(Malformed);
        }
        Ok(Some(match wire_type {
            WireType::Varint => Field::Number(number, self.varint()?),
            WireType::LengthDelimited => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
                self.rest = rest;
                Field::Bytes(number, bytes)
            }
            _ => {
                skip_field(wire_type, number, &mut self.rest, DecodeContext::default())?;
                Field::Other
            }
        }))
    }

    /// A number; nearly all of ours take one byte or two.
    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(low & 0x7F) | u64::from(*high) << 7)
            }
            _ => Ok(decode_varint(&mut self.rest)?),
        }
    }

    /// The content of a length-delimited field that this crate has written.
    pub(crate) fn own_bytes(&mut self) -> &'a [u8] {
        match self.read() {
            Ok(Some(Field::Bytes(_, bytes))) => bytes,
            other => unreachable!("a field written by the encoder reads as {other:?}"),
        }
    }
}

impl From<prost::DecodeError> for Malformed {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// A message `Record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) partition_key_index: u64,
    pub(crate) explicit_hash_key_index: Option<u64>,
    pub(crate) data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the message. Of a field that occurs twice the last one counts.
    #[inline]
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, Damage> {
        Self::read_usual(message).map_or_else(|| Self::read_any(message), Ok)
    }

    /// The form nearly all records have, read without asking what comes next: a key index, then data to the end.
    #[inline]
    fn read_usual(message: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(message.strip_prefix(&[key(PARTITION_KEY_INDEX, WireType::Varint)])?);
        let partition_key_index = fields.varint().ok()?;
        let mut fields = Fields::new(fields.rest.strip_prefix(&[key(DATA, WireType::LengthDelimited)])?);
        let len = fields.varint().ok()?;
        let data = fields.rest;
        (len == data.len() as u64).then_some(Self { partition_key_index, explicit_hash_key_index: None, data })
    }

    fn read_any(message: &'a [u8]) -> Result<Self, Damage> {
        let (mut partition_key_index, mut explicit_hash_key_index, mut data) = (None, None, None);
        let mut fields = Fields::new(message);
        while let Some(field) = fields.read()? {
            match field {
                Field::Number(PARTITION_KEY_INDEX, index) => partition_key_index = Some(index),
                Field::Number(EXPLICIT_HASH_KEY_INDEX, index) => explicit_hash_key_index = Some(index),
                Field::Bytes(DATA, bytes) => data = Some(bytes),
                Field::Bytes(TAGS, tag) => check_tag(tag)?,
                _ => {}
            }
        }
        Ok(Self {
            partition_key_index: partition_key_index.ok_or(Damage::MissingField)?,
            explicit_hash_key_index,
            data: data.ok_or(Damage::MissingField)?,
        })
    }
}

/// Nobody uses tags, but a tag without its required key makes the KCL refuse the whole aggregate.
fn check_tag(message: &[u8]) -> Result<(), Damage> {
    let mut has_key = false;
    let mut fields = Fields::new(message);
    while let Some(field) = fields.read()? {
        has_key |= matches!(field, Field::Bytes(TAG_KEY, _));
    }
    if has_key { Ok(()) } else { Err(Damage::MissingField) }
}
