//! Puts records into an Amazon Kinesis data stream. This crate does what the Kinesis Producer
//! Library does, inside your process, without a JVM or a daemon.
//!
//! ```
//! use std::time::Duration;
//!
//! use kinesis_producer::{Producer, Record};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cloud = kinesis_testkit::Cloud::new();
//! # cloud.create_stream("clicks", 2).await;
//! # let client = cloud.connect("docs").await.kinesis;
//! # let payload = b"{}";
//! let producer = Producer::builder(client, "clicks").build().await?;
//! // A put waits for room in the buffers, not for the network.
//! let delivery = producer.put(Record::new("user-7", payload)).await?;
//! let receipt = delivery.await?;
//! println!("{} {} {}", receipt.shard, receipt.sequence_number, receipt.sub_sequence);
//! let report = producer.close(Duration::from_secs(10)).await;
//! assert_eq!((report.counts.written, report.undelivered.len()), (1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # The journey of a record
//!
//! ```text
//! put ─ check, wait for room ─ hash the key ─ look up the shard ─ append to its aggregate ─▶ Delivery
//!                                             │ full, or a linger after the last close
//!                                     the shard's rate
//!                                             │
//!                 PutRecords: up to 500 entries, 5 MiB, 24 requests in flight
//!                                             │
//!         ┌───────────────────────────┬───────┴──────────────────────┐
//! written where it belongs   throttled, lost, wrong shard   refused, or too old
//!         │                           │                              │
//!    Ok(Receipt)          again, whole, after a backoff     Err(DeliveryError)
//! ```
//!
//! Records of one shard share a Kinesis record in the KPL's aggregation format. The KCL, AWS's
//! deaggregation modules and [`kinesis_aggregation`] read that format. A record that is alone is
//! sent unchanged, unless its data is an aggregate itself: readers would deaggregate it.
//!
//! # Promises
//!
//! - **P1** Every put resolves exactly once, at the latest one time to live and one request timeout
//!   after its admission.
//! - **P2** `Ok(receipt)`: exactly these bytes are where the receipt says, and a KCL that filters
//!   by hash-key range delivers them.
//! - **P3** An error with [`Outcome::NotWritten`]: the record is not in the stream. An error with
//!   [`Outcome::Unknown`]: it may be. Both errors return the record.
//! - **P4** A record is in the stream at most once, plus once for each attempt that had no answer
//!   and each attempt that went to the wrong shard.
//! - **P6** Admitted records never hold more memory than [`Settings::max_buffered_bytes`], the
//!   capacity of their buffers included. No request exceeds a limit of the service.
//! - **P7** Per shard, no window of time gets more than [`Settings::rate_limit`] and a burst of one
//!   second.
//! - **P8** [`Producer::flush`] and [`Producer::close`] return, and every record that was admitted
//!   before is reported.
//!
//! Not promised:
//!
//! - The order of records, even of one key, once some of them are sent again.
//! - Exactly-once delivery.
//! - P2 after a stream was deleted and created again under its name with other shards, until the
//!   shards are listed. That takes seconds if a put was refused meanwhile, and otherwise some five
//!   minutes of use.
//!
//! # Tasks
//!
//! **Wait for everything you have put.** [`Producer::flush`] waits until every record that was
//! admitted before has resolved. [`Producer::put_all`] puts a batch and returns the records that
//! failed.
//!
//! **Never wait.** [`Producer::try_put`] returns the record when the buffers are full:
//!
//! ```
//! # use kinesis_producer::{Producer, PutError, Record, TryPutError};
//! # fn shed(_: Record<'_>) {}
//! fn emit(producer: &Producer, record: Record<'_>) -> Result<(), PutError> {
//!     match producer.try_put(record) {
//!         Ok(delivery) => drop(delivery), // delivered all the same
//!         Err(TryPutError::Full(record)) => shed(record),
//!         Err(TryPutError::Put(error)) => return Err(error),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! **Back-pressure in a `select!`.** [`Producer::reserve`] waits for room. Its [`Permit`] puts a
//! record without waiting.
//!
//! **Decide what to do about a failure.** [`DeliveryError::outcome`] says whether the record may be
//! in the stream, [`DeliveryError::is_retryable`] whether another attempt makes sense, and
//! [`DeliveryError::attempts`] what was tried. [`DeliveryError::into_record`] returns the record,
//! to be put again. A refusal that an operator can end (a missing permission, an unknown key, a
//! missing stream) is retried until the record's time to live is over. [`Settings::fail_fast`]
//! fails the record at once instead.
//!
//! **Fire and forget, with a count.** A record can be lost after its [`Delivery`] was dropped.
//! [`FlushReport`], [`CloseReport`] and [`Producer::counts`] count such records. A warning in the
//! log reports them at once, and then at most every minute. A `main` that returns without
//! [`close`](Producer::close) loses the records that are not yet sent.
//!
//! **Spread records that need no key.** [`Record::keyless`] lets the producer choose a shard with
//! room.
//!
//! **Be read by consumers that do not know the aggregation format.** [`Aggregation::Off`].
//!
//! **Pay less when records are sparse.** With [`Linger::FromFirstPut`] even the first record waits
//! for others, as in the KPL.
//!
//! # Features
//!
//! - `serde`: `Serialize` and `Deserialize` for [`Settings`] and its parts.

mod builder;
mod producer;
mod start;

mod pipeline;

mod accounts;
mod delivery;
mod error;
mod record;
mod settings;
mod stream;

mod backoff;
mod clock;
mod contents;
mod failed_call;
mod foreign;
mod outcome;
mod watch;

pub use kinesis_aggregation::{HashKey, ParseHashKeyError};

pub use self::builder::Builder;
pub use self::delivery::{Delivery, Receipt};
pub use self::error::{
    BuildError, CallError, DeliveryError, FailedRecord, PutError, Refusal, ReserveError, ShardMapError, Sought,
    TryPutError,
};
pub use self::outcome::{Attempt, DeliveryErrorKind, Outcome};
pub use self::producer::{CloseReport, Counts, FlushReport, Permit, Producer};
pub use self::record::{Data, OwnedRecord, Record};
pub use self::settings::{Aggregation, Linger, RateLimit, SettingError, Settings};
