mod aggregate;
mod damage;
mod tables;
mod texts;
mod user_records;

use bytes::Bytes;
use md5::{Digest, Md5};

pub use aggregate::Aggregate;
pub use damage::Damage;
pub use user_records::UserRecords;

use crate::wire::{DIGEST_LEN, ENVELOPE_LEN, MAGIC};

/// The user records inside the data of a Kinesis record.
///
/// Data that is no aggregate, or a damaged one, is one user record: itself, without a partition key (that one is beside the data, in the
/// Kinesis record). Nothing is copied: what comes out are slices of what went in. To tell damaged data from plain data, or to filter by
/// hash range, use [`Payload`].
///
/// ```
/// use bytes::Bytes;
///
/// let data = Bytes::from_static(b"not an aggregate");
/// let user_records: Vec<_> = kinesis_aggregation::deaggregate(data.clone()).collect();
/// assert_eq!(user_records.len(), 1);
/// assert_eq!(user_records[0].data, data);
/// assert_eq!(user_records[0].partition_key(), None);
/// ```
pub fn deaggregate(data: impl Into<Bytes>) -> UserRecords {
    let data = data.into();
    match Payload::parse(&data) {
        Payload::Aggregate(aggregate) => aggregate.into_iter(),
        Payload::Plain | Payload::Damaged(_) => UserRecords::plain(data),
    }
}

/// What the data of a Kinesis record is.
#[derive(Clone, Debug)]
pub enum Payload {
    /// One user record as it is: the magic bytes are not there.
    Plain,
    /// An aggregate, checked to the last byte: its records can be read without another error.
    Aggregate(Aggregate),
    /// It begins as an aggregate and is none. To be delivered as one user record, as it is.
    Damaged(Damage),
}

impl Payload {
    /// Looks at the data and, where it is an aggregate, checks all of it: digest, wire format, required fields, indexes.
    pub fn parse(data: &Bytes) -> Self {
        // Offsets are 32 bits wide. No Kinesis record is longer than 10 MiB.
        if !data.starts_with(&MAGIC) || u32::try_from(data.len()).is_err() {
            return Self::Plain;
        }
        match Self::parse_marked(data) {
            Ok(aggregate) => Self::Aggregate(aggregate),
            Err(damage) => Self::Damaged(damage),
        }
    }

    fn parse_marked(data: &Bytes) -> Result<Aggregate, Damage> {
        // The KCL, too, wants at least one byte of body.
        if data.len() <= ENVELOPE_LEN {
            return Err(Damage::Truncated);
        }
        let (body, digest) = data[MAGIC.len()..].split_at(data.len() - ENVELOPE_LEN);
        if Md5::digest(body)[..] != *digest {
            return Err(Damage::Digest);
        }
        Aggregate::parse(data.slice(MAGIC.len()..data.len() - DIGEST_LEN))
    }
}

#[cfg(test)]
mod tests;
