//! Records that are put, borrowed or shared, and records that errors return, owned.

use bytes::Bytes;
use bytestring::ByteString;
use kinesis_aggregation::HashKey;

/// A record to put: a partition key, an optional explicit hash key, and data.
///
/// A record borrows where it can, so that the caller allocates nothing. Data given as [`Bytes`] is not copied when the
/// record is sent as a Kinesis record of its own.
///
/// ```
/// use kinesis_producer::{HashKey, Record};
///
/// let borrowed = Record::new("user-7", b"hello");
/// let routed = Record::new("user-7", "hello").explicit_hash_key(HashKey::new(1 << 127));
/// let anywhere = Record::keyless(bytes::Bytes::from_static(b"hello"));
/// # let _ = (borrowed, routed, anywhere);
/// ```
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub(crate) partition_key: Option<&'a str>,
    pub(crate) explicit_hash_key: Option<HashKey>,
    pub(crate) data: Data<'a>,
}

impl<'a> Record<'a> {
    /// Makes a record whose partition key decides its shard: 1 to 256 characters.
    pub fn new(partition_key: &'a str, data: impl Into<Data<'a>>) -> Self {
        Self { partition_key: Some(partition_key), explicit_hash_key: None, data: data.into() }
    }

    /// Makes a record that may go to any shard. The producer chooses a shard with room, and another one after a
    /// throttle.
    ///
    /// If the service distributes the records of the stream itself, the record has no partition key at all. Otherwise
    /// consumers see the key `a`.
    pub fn keyless(data: impl Into<Data<'a>>) -> Self {
        Self { partition_key: None, explicit_hash_key: None, data: data.into() }
    }

    /// Sets a hash key that decides the shard instead of the partition key. A record without a partition key cannot
    /// have one.
    #[must_use]
    pub fn explicit_hash_key(mut self, hash_key: impl Into<HashKey>) -> Self {
        self.explicit_hash_key = Some(hash_key.into());
        self
    }

    /// Returns the partition key, `None` for a keyless record.
    pub const fn partition_key(&self) -> Option<&'a str> {
        self.partition_key
    }

    /// Returns the data.
    pub fn data(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// Copies the record, for keeping.
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            partition_key: self.partition_key.map(ByteString::from),
            explicit_hash_key: self.explicit_hash_key,
            data: self.data.to_bytes(),
        }
    }

    /// Returns the bytes of data and partition key, which the service counts.
    pub(crate) fn wire_len(&self) -> usize {
        self.data().len() + self.partition_key.map_or(0, str::len)
    }
}

/// The data of a [`Record`], made with `From` from slices, strings, vectors and [`Bytes`].
#[derive(Clone, Debug)]
pub struct Data<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    Slice(&'a [u8]),
    /// Shared only if the record is sent alone. An aggregate copies the bytes, so a reference count would cost time for
    /// nothing.
    Shareable(&'a Bytes),
    Shared(Bytes),
}

impl Data<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Kind::Slice(slice) => slice,
            Kind::Shareable(bytes) => bytes,
            Kind::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Kind::Slice(slice) => Bytes::copy_from_slice(slice),
            Kind::Shareable(bytes) => Bytes::clone(bytes),
            Kind::Shared(bytes) => bytes.clone(),
        }
    }
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Self(Kind::Slice(slice))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Data<'a> {
    fn from(array: &'a [u8; N]) -> Self {
        Self(Kind::Slice(array))
    }
}

impl<'a> From<&'a Vec<u8>> for Data<'a> {
    fn from(vec: &'a Vec<u8>) -> Self {
        Self(Kind::Slice(vec))
    }
}

impl<'a> From<&'a str> for Data<'a> {
    fn from(text: &'a str) -> Self {
        Self(Kind::Slice(text.as_bytes()))
    }
}

impl<'a> From<&'a String> for Data<'a> {
    fn from(text: &'a String) -> Self {
        Self(Kind::Slice(text.as_bytes()))
    }
}

impl<'a> From<&'a Bytes> for Data<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Self(Kind::Shareable(bytes))
    }
}

impl From<Bytes> for Data<'_> {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Shared(bytes))
    }
}

impl From<Vec<u8>> for Data<'_> {
    fn from(vec: Vec<u8>) -> Self {
        Self(Kind::Shared(vec.into()))
    }
}

/// A record that an error or [`Record::to_owned`] returned.
///
/// Cloning copies no bytes. A record from a delivery error shares the memory of the aggregate that it was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    pub(crate) partition_key: Option<ByteString>,
    pub(crate) explicit_hash_key: Option<HashKey>,
    pub(crate) data: Bytes,
}

impl OwnedRecord {
    /// Returns the partition key, `None` for a keyless record.
    pub fn partition_key(&self) -> Option<&str> {
        self.partition_key.as_deref()
    }

    /// Returns the explicit hash key, if the record was put with one.
    pub const fn explicit_hash_key(&self) -> Option<HashKey> {
        self.explicit_hash_key
    }

    /// Returns the data.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// Returns the data by value.
    pub fn into_data(self) -> Bytes {
        self.data
    }
}

/// For putting the record again.
impl<'a> From<&'a OwnedRecord> for Record<'a> {
    fn from(owned: &'a OwnedRecord) -> Self {
        Self {
            partition_key: owned.partition_key(),
            explicit_hash_key: owned.explicit_hash_key,
            data: (&owned.data).into(),
        }
    }
}
