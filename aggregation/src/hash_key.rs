use std::{cmp::Ordering, fmt, str::FromStr};

use md5::{Digest, Md5};

/// A place in the hash-key space of a stream: an unsigned 128-bit number.
///
/// Every shard holds one inclusive [`HashKeyRange`] of this space. A record goes to the shard that holds its *effective* hash key: the
/// explicit one if the record has one, else [`HashKey::of`] its partition key.
///
/// ```
/// use kinesis_aggregation::HashKey;
///
/// assert_eq!(HashKey::of("pk1").to_string(), "329398341438914906102347661116985167824");
/// assert_eq!("7".parse::<HashKey>()?, HashKey::new(7));
/// # Ok::<(), kinesis_aggregation::ParseHashKeyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(u128);

impl HashKey {
    /// The lowest hash key, 0.
    pub const MIN: Self = Self(0);
    /// The highest hash key, 2^128 − 1.
    pub const MAX: Self = Self(u128::MAX);

    /// The hash key with this number.
    pub const fn new(value: u128) -> Self {
        Self(value)
    }

    /// The hash key the service derives from a partition key: MD5 of its UTF-8 bytes, most significant byte first.
    pub fn of(partition_key: &str) -> Self {
        Self(u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into()))
    }

    /// The number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Reads an explicit hash key found inside an aggregate as the KCL does: leading zeros and a plus sign do no harm there, so a
    /// reader that refused them would filter differently.
    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// Decimal, the form in which the service and the format carry hash keys.
impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u128> for HashKey {
    fn from(value: u128) -> Self {
        Self(value)
    }
}

/// Accepts what the service accepts: a decimal number in 0..=2^128−1, digits only, without leading zeros.
impl FromStr for HashKey {
    type Err = ParseHashKeyError;

    fn from_str(text: &str) -> Result<Self, ParseHashKeyError> {
        let canonical = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
        match text.parse() {
            Ok(value) if canonical => Ok(Self(value)),
            _ => Err(ParseHashKeyError { value: text.into() }),
        }
    }
}

/// The text is no hash key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hash key {value:?} is not a decimal number in 0..={} (digits only, no leading zeros)", HashKey::MAX)]
pub struct ParseHashKeyError {
    value: String,
}

impl ParseHashKeyError {
    /// The refused text.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// The part of the hash-key space that a shard holds. Both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashKeyRange {
    /// The lowest hash key of the range.
    pub start: HashKey,
    /// The highest hash key of the range.
    pub end: HashKey,
}

impl HashKeyRange {
    /// The whole space: the range of a stream's only shard.
    pub const FULL: Self = Self { start: HashKey::MIN, end: HashKey::MAX };

    /// The range from `start` to `end`, both included.
    pub const fn new(start: HashKey, end: HashKey) -> Self {
        Self { start, end }
    }

    /// The range as the service writes it: two decimal numbers.
    pub fn parse(start: &str, end: &str) -> Result<Self, ParseHashKeyError> {
        Ok(Self { start: start.parse()?, end: end.parse()? })
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// Whether all of `other` lies in the range.
    pub fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two ranges share a hash key.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// Whether `next` begins right after this range ends, so that the two can be merged and leave no hole.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        self.end.0.checked_add(1) == Some(next.start.0)
    }

    /// Where the range lies as seen from `key`: below it (`Less`), around it (`Equal`) or above it. Finds a shard among ranges that are
    /// sorted and do not overlap:
    ///
    /// ```
    /// use kinesis_aggregation::{HashKey, HashKeyRange};
    ///
    /// let shards = [HashKeyRange::parse("0", "99")?, HashKeyRange::parse("100", "199")?];
    /// assert_eq!(shards.binary_search_by(|range| range.compare(HashKey::new(100))), Ok(1));
    /// # Ok::<(), kinesis_aggregation::ParseHashKeyError>(())
    /// ```
    pub fn compare(&self, key: HashKey) -> Ordering {
        if self.end < key {
            Ordering::Less
        } else if self.start > key {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }

    /// The smallest range that holds this one and `key`.
    #[must_use]
    pub fn extended_to(self, key: HashKey) -> Self {
        Self { start: self.start.min(key), end: self.end.max(key) }
    }
}

/// A range of one hash key.
impl From<HashKey> for HashKeyRange {
    fn from(key: HashKey) -> Self {
        Self { start: key, end: key }
    }
}

impl fmt::Display for HashKeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests;
