//! The format as protobuf messages: its executable reference, against which encoder and decoder are tested.
//!
//! For those who need an aggregate of an unusual kind, or want to look into one. It takes the place of this schema:
//!
//! ```proto
//! syntax = "proto2";
//!
//! message AggregatedRecord {
//!   repeated string partition_key_table     = 1;
//!   repeated string explicit_hash_key_table = 2;
//!   repeated Record records                 = 3;
//! }
//! message Record {
//!   required uint64 partition_key_index     = 1;
//!   optional uint64 explicit_hash_key_index = 2;
//!   required bytes  data                    = 3;
//!   repeated Tag    tags                    = 4;
//! }
//! message Tag {
//!   required string key   = 1;
//!   optional string value = 2;
//! }
//! ```
//!
//! Two things differ on purpose. Strings are bytes, because a key that is not UTF-8 is no reason to refuse an aggregate. Required fields
//! are optional, because prost does not say whether one was there: [`AggregatedRecord::is_initialized`] does.

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

use crate::wire::{ENVELOPE_LEN, MAGIC};

/// The body of an aggregate.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AggregatedRecord {
    /// Partition keys; records point into it.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub partition_key_table: Vec<Bytes>,
    /// Explicit hash keys, decimal; records may point into it.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub explicit_hash_key_table: Vec<Bytes>,
    /// The user records.
    #[prost(message, repeated, tag = "3")]
    pub records: Vec<Record>,
}

/// A user record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Record {
    /// Required: the place of its partition key in the table, from 0.
    #[prost(uint64, optional, tag = "1")]
    pub partition_key_index: Option<u64>,
    /// The place of its explicit hash key, where it has one.
    #[prost(uint64, optional, tag = "2")]
    pub explicit_hash_key_index: Option<u64>,
    /// Required: the user's bytes.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub data: Option<Bytes>,
    /// Neither the KPL nor the KCL uses tags.
    #[prost(message, repeated, tag = "4")]
    pub tags: Vec<Tag>,
}

/// A tag of a user record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Tag {
    /// Required: its name.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub key: Option<Bytes>,
    /// Its value.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

impl AggregatedRecord {
    /// Whether all required fields are there.
    pub fn is_initialized(&self) -> bool {
        self.records.iter().all(|record| {
            record.partition_key_index.is_some()
                && record.data.is_some()
                && record.tags.iter().all(|tag| tag.key.is_some())
        })
    }

    /// The data of a Kinesis record with this body: magic bytes, body, digest.
    pub fn to_data(&self) -> Bytes {
        seal(&self.encode_to_vec())
    }
}

/// The data of a Kinesis record with these bytes as the body, whatever they are: magic bytes, body, digest.
pub fn seal(body: &[u8]) -> Bytes {
    let mut data = Vec::with_capacity(body.len() + ENVELOPE_LEN);
    data.extend_from_slice(&MAGIC);
    data.extend_from_slice(body);
    data.extend_from_slice(&Md5::digest(body));
    data.into()
}
