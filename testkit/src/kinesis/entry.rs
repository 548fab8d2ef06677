//! A record on its way in: the checks that need no stream.

use std::fmt;

use bytes::Bytes;

use super::hash_key;
use crate::refusal::Refusal;
use crate::wire::Blob;

/// A record that is to be written, checked as far as the API's model goes.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Empty when there is none, which the stream must allow.
    pub(crate) partition_key: String,
    pub(crate) explicit_hash_key: Option<String>,
    pub(crate) data: Bytes,
    pub(crate) hash: u128,
}

/// Where a record stands in its request, for messages: shown, it is what comes before the name of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Alone,
    /// From 0; the service counts from 1.
    InBatch(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => Ok(()),
            Self::InBatch(index) => write!(f, "records.{}.member.", index + 1),
        }
    }
}

impl Entry {
    pub(crate) fn new(
        at: Place,
        data: Option<Blob>,
        key: Option<String>,
        explicit: Option<String>,
    ) -> Result<Self, Refusal> {
        let data = data.ok_or_else(|| Refusal::missing(&format!("{at}data")))?.0;
        match key {
            Some(key) => Self::from_parts(at, data, key, explicit),
            None => Self::checked(at, data, String::new(), explicit),
        }
    }

    pub(crate) fn from_parts(at: Place, data: Bytes, key: String, explicit: Option<String>) -> Result<Self, Refusal> {
        let constraint =
            |value: &str, member: &str, what: &str| Refusal::constraint(value, &format!("{at}{member}"), what);
        match key.chars().count() {
            1..=MAX_KEY_CHARS => {}
            0 => return Err(constraint("", "partitionKey", "Member must have length greater than or equal to 1")),
            _ => return Err(constraint(&key, "partitionKey", "Member must have length less than or equal to 256")),
        }
        Self::checked(at, data, key, explicit)
    }

    fn checked(at: Place, data: Bytes, key: String, explicit: Option<String>) -> Result<Self, Refusal> {
        if data.len() > MAX_DATA {
            return Err(Refusal::too_long(&format!("{at}data"), MAX_DATA));
        }
        let hash = match &explicit {
            None => hash_key::of_partition_key(&key),
            Some(text) if !hash_key::is_decimal(text) => {
                let what = "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
                return Err(Refusal::constraint(text, &format!("{at}explicitHashKey"), what));
            }
            Some(text) => hash_key::parse(text).ok_or_else(|| {
                Refusal::invalid_argument(format!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was \
                     {text}"
                ))
            })?,
        };
        Ok(Self { partition_key: key, explicit_hash_key: explicit, data, hash })
    }

    /// What the limits count.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// In characters, as the API's model counts strings.
const MAX_KEY_CHARS: usize = 256;
/// The largest data of the API's model; the stream's own limit is checked as well.
const MAX_DATA: usize = 10_485_760;
