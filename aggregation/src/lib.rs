//! The aggregated-record format of Amazon Kinesis: many user records in one Kinesis record, as the KPL writes and the KCL reads them.
//!
//! ```
//! use kinesis_aggregation::{Aggregator, deaggregate};
//!
//! let mut aggregator = Aggregator::new(50_000);
//! let mut to_send = Vec::new();
//! for (key, payload) in [("user-7", "hello"), ("user-8", "world"), ("user-7", "again")] {
//!     if !aggregator.try_add(key, None, payload.as_bytes()) {
//!         to_send.extend(aggregator.take());
//!         assert!(aggregator.try_add(key, None, payload.as_bytes()), "an empty aggregator takes every record");
//!     }
//! }
//! to_send.extend(aggregator.take());
//! let received = to_send.iter().flat_map(|record| deaggregate(record.data().clone()));
//! assert!(received.map(|record| record.data).eq(["hello", "world", "again"]));
//! ```
//!
//! # The format
//!
//! ```text
//!  F3 89 9A C2   body: a protobuf message                                  MD5 of the body
//! ┌────────────┬──────────────────────────────────────────────────────────┬────────────────┐
//! │ magic, 4 B │ partition keys │ explicit hash keys │ records            │ digest, 16 B   │
//! └────────────┴──────────────────────────────────────────────────────────┴────────────────┘
//!                "user-7"         "17014…"             key 0, hash key 0, "hello"
//!                "user-8"                              key 1,             "world"
//!                                                      key 0,             "again"
//! ```
//!
//! [`messages`] has the protobuf schema.
//!
//! # Writing
//!
//! - A single record is sent as it is: no magic bytes, no envelope, under its own key. From two on they become an aggregate under the key
//!   `a`. So does a single one whose data begins with the magic bytes, for readers would take it apart. Either way the explicit
//!   hash key of the Kinesis record, which decides its shard, is the effective hash key of the first user record
//!   ([`AggregatedRecord::explicit_hash_key`]).
//! - Both tables hold a text once, in the order of first use. Index 0 is written: a reader that follows proto2 refuses a record without it.
//! - Sizes are exact: [`Aggregator::encoded_len`] is the length of what [`Aggregator::take`] gives, before and after every record.
//! - **All records of an aggregate must belong to one shard.** The KCL drops an aggregate whole, and in silence, when a single record of it
//!   lies outside the shard's [`HashKeyRange`]. Use an [`Aggregator`] per shard, and [`AggregatedRecord::hash_key_range`] to check where
//!   an aggregate has landed.
//!
//! # Reading
//!
//! - [`deaggregate`] gives user records for whatever it gets; [`Payload::parse`] also says what it got. Both copy nothing: keys and data
//!   are slices of the input.
//! - An aggregate is what begins with the magic bytes, ends with the right digest and has a whole body. Fields may come in any order, unknown
//!   ones are skipped, and of a value given twice the last one counts, as always in protobuf.
//! - Everything else is one user record as it is. That includes an aggregate with a wrong digest, a broken body, a record without a required
//!   field or one that points outside its table: [`Damage`] says which, so that it can be counted. Nothing is delivered in part.
//! - The explicit hash key of a user record is text, because encoders have written other things than numbers. Where it is no number in
//!   0..=2^128−1, the record belongs to no shard in particular: [`Aggregate::is_within`] never drops it, and
//!   [`Aggregate::unknown_hash_keys`] counts it.
//! - A key that is not UTF-8 is shown, and hashed, as Java shows it: with U+FFFD.
//! - No input makes it panic. What it costs is linear in the input's own length, whatever lengths are written inside and however many
//!   records share a key: at most 15 bytes held for each byte of input (most aggregates: none), beside the [`UserRecord`]s that the caller
//!   keeps, and well under a microsecond of CPU. `tests/hostile.rs` has the worst inputs.
//!
//! # Features
//!
//! None: the crate is small, synchronous and without unsafe code of its own.

mod decode;
mod encode;
mod hash_key;
pub mod messages;
mod text;
mod user_record;
mod wire;

pub use decode::{Aggregate, Damage, Payload, UserRecords, deaggregate};
pub use encode::{AggregatedRecord, Aggregator, is_marked};
pub use hash_key::{HashKey, HashKeyRange, ParseHashKeyError};
pub use user_record::UserRecord;
