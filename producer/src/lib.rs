//! Puts records into an Amazon Kinesis data stream: what the Kinesis Producer Library does, inside your process, without a JVM or a daemon.
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
//! let delivery = producer.put(Record::new("user-7", payload)).await?; // waits for room, not for the network
//! let receipt = delivery.await?;
//! println!("{} {} {}", receipt.shard, receipt.sequence_number, receipt.sub_sequence);
//! let report = producer.close(Duration::from_secs(10)).await;
//! assert_eq!((report.counts.written, report.undelivered.len()), (1, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # The flow of a record
//!
//! ```text
//!   put ── checked, room waited for ── hashed ── shard looked up ── appended to the shard's open aggregate ──▶ Delivery
//!                                                                            │ full, or a linger after the last close
//!                                                        the shard's rate ◀──┘
//!                                                                │
//!                             PutRecords: up to 500 entries, 5 MiB, 24 requests in flight
//!                                                                │
//!              ┌─────────────────────────────────────────────────┼──────────────────────────────────────┐
//!        written where it belongs                  throttled, lost, on the wrong shard          refused, or too old
//!              │                                                 │                                      │
//!          Ok(Receipt)                             again, whole, after a back-off               Err(DeliveryError)
//! ```
//!
//! Records of one shard share a Kinesis record in the KPL's aggregation format, which the KCL, AWS's deaggregation modules and
//! [`kinesis_aggregation`] take apart. A record that is alone leaves as it is, unless it is an aggregate itself: readers would take that apart,
//! too.
//!
//! # Promises
//!
//! - **P1** Every put resolves exactly once, within the record's time to live and one request timeout of its admission.
//! - **P2** `Ok(receipt)`: exactly these bytes are where the receipt says, and a KCL that filters by hash range delivers them.
//! - **P3** An error whose outcome is [`Outcome::NotWritten`]: the record is not in the stream. [`Outcome::Unknown`]: it may be. Either way
//!   the error gives the record back.
//! - **P4** A record is in the stream at most once, and once more for each attempt without an answer and each that went to the wrong shard.
//! - **P6** Admitted records never hold more memory than [`Settings::max_buffered_bytes`], their buffers' capacity counted, and no
//!   request exceeds a limit of the service.
//! - **P7** Per shard, no window exceeds [`Settings::rate_limit`] and its burst of a second.
//! - **P8** [`Producer::flush`] and [`Producer::close`] return, and nothing admitted before is left behind unreported.
//!
//! Not promised: the order of records, not even of one key, once some of them are sent again; exactly-once delivery; and P2 after a stream
//! was deleted and made again under its name with other shards, until these are listed: for seconds where a put was refused meanwhile, for some
//! five minutes of use where none was.
//!
//! # Tasks
//!
//! **Wait for everything you have put.** [`Producer::flush`] resolves all that was admitted before it; [`Producer::put_all`] puts a batch and
//! tells which records failed.
//!
//! **Never wait.** [`Producer::try_put`] gives the record back when the buffers are full:
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
//! **Back-pressure in a `select!`.** [`Producer::reserve`] waits for room, and its [`Permit`] puts without waiting.
//!
//! **Decide what to do about a failure.** [`DeliveryError::outcome`] says whether the record may be in the stream,
//! [`DeliveryError::is_retryable`] whether trying again makes sense, [`DeliveryError::attempts`] what was tried, and
//! [`DeliveryError::into_record`] gives the record back, to be put again. What somebody can mend (a policy, keys, a stream that is not there) is
//! tried until the time to live is over; [`Settings::fail_fast`] makes it fail at once.
//!
//! **Fire and forget, and know.** A record whose [`Delivery`] was dropped can be lost. [`FlushReport`] and [`CloseReport`] count what was, so does
//! [`Producer::counts`] at any time, and a warning says it, once and then at most every minute. A `main` that returns without
//! [`close`](Producer::close) loses what it has put.
//!
//! **Spread records that need no key.** [`Record::keyless`] goes where there is room.
//!
//! **Be read by those who do not know the aggregation format.** [`Aggregation::Off`].
//!
//! **Pay less when records are sparse.** [`Linger::FromFirstPut`] waits for company before the first record leaves, as the KPL does.
//!
//! # Features
//!
//! - `serde`: `Serialize` and `Deserialize` for [`Settings`] and what it is made of.

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
