//! A Kinesis Client Library for Rust: a fleet of workers shares the shards of an Amazon Kinesis data stream, and every
//! record is processed at least once, through restarts, crashes and resharding. In process, without a JVM or a daemon,
//! and on the lease table of the Java KCL 3.x: workers of both kinds can make up one fleet.
//!
//! ```
//! use kinesis_consumer::{Batch, Consumer, StartAt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let cloud = kinesis_testkit::Cloud::new();
//! # let stream = cloud.create_stream("clicks", 2).await;
//! # stream.put("user-7", "hello").await;
//! # let kinesis_testkit::Connection { kinesis, dynamodb, .. } = cloud.connect("docs").await;
//! let consumer = Consumer::builder("my-app", "clicks") // the lease table, and the stream
//!     .kinesis(kinesis)
//!     .dynamodb(dynamodb)
//!     .start_at(StartAt::TrimHorizon)
//!     .build()
//!     .await?;
//! # let handle = consumer.handle();
//! # tokio::spawn(async move {
//! #     while handle.counts().records == 0 { tokio::time::sleep(std::time::Duration::from_millis(10)).await }
//! #     handle.shutdown(std::time::Duration::from_secs(5)).await;
//! # });
//! consumer
//!     .run(|batch: Batch| async move {
//!         for record in batch.records() {
//!             println!("{}: {:?}", record.partition_key(), record.data());
//!         }
//!         Ok::<(), std::io::Error>(())
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Start the same program on more machines, and they share the work.
//!
//! # How a shard flows
//!
//! ```text
//!  the stream's shards        the lease table                      one worker
//!  ───────────────────        ───────────────         ─────────────────────────────────────
//!  discover ── lineage ──▶ sync ─▶ assign ─▶ find ─▶ hold ─────────────────────────┐
//!      ▲                     ▲    (leader)           (an epoch: renewed until lost)│
//!      │                     │                                                     ▼
//!      │                     │       budget ─▶ polling ─▶ deaggregate ─▶ batches ─▶ your code
//!      │                     │                                                     │ done
//!      │                     │    ┌─ commit ◀─ tracker (contiguous prefix) ◀───────┘
//!      │                     ▼    ▼
//!      └── shard end ──▶ children's leases, then SHARD_END, then the children start
//! ```
//!
//! # What is promised
//!
//! An *epoch* is one ownership of a shard's lease, from take to loss.
//!
//! - **C1** Every record in the stream is *done* by some worker at least once: your code returned `Ok`, or the dead-letter
//!   sink has it. (Copies of an aggregate that a producer put to the wrong shard are dropped and counted; the producer
//!   puts them again.)
//! - **C2** No checkpoint is ahead of a record that is not done.
//! - **C3** Within an epoch, records come in strictly increasing order of sequence and sub-sequence number.
//! - **C4** The first record of a child shard follows the end of all its parents.
//! - **C5** What is delivered again at a change of owner is at most what the former owner had not checkpointed; nothing,
//!   after a hand-off that was completed.
//! - **C6** Checkpoints are accepted from the current epoch only, and never go back. The [epoch](Epoch) is a fencing token
//!   for your own systems.
//! - **C7** Two workers process one shard only while one of them is frozen or cut off, and then at most the batch at hand.
//! - **C8** Work moves soon: after a crash of any worker within 22 s, to children within 2 s of their last parent's end; a
//!   fresh application reads its first record within half a second of its table being there.
//! - **C9** Nothing leaks: leases of finished shards go, and what is buffered stays within one budget for all shards.
//! - **C10** A processor that fails never moves the checkpoint, and nothing is skipped in silence.
//! - **C11** The lease table belongs to one stream (account, name, time of creation). A worker of another one is refused and
//!   writes nothing, and a shard is ended by the service's word or when it has provably expired.
//!
//! Not promised: effects that happen exactly once; that a process which the operating system had frozen does nothing
//! more (its checkpoints are refused), nor the first of two that run under one worker ID by mistake, until its next
//! renewal is refused.
//!
//! # Tasks
//!
//! ## Process the records of a shard in parallel
//!
//! [`Consumer::run_records`] takes a closure for one record and runs several at a time, in the order of each partition
//! key or in any. The checkpoint follows the last record before the first one that is not done.
//!
//! ```
//! # use kinesis_consumer::{Concurrency, Consumer, Record, RunError};
//! # async fn index(record: Record) -> std::io::Result<()> { Ok(()) }
//! # async fn example(consumer: Consumer) -> Result<(), RunError> {
//! consumer.run_records(Concurrency::per_key(64), |record: Record| async move { index(record).await }).await
//! # }
//! ```
//!
//! ## Decide what failure means
//!
//! By default what failed is tried again for as long as it takes, while other shards go on. [`OnError`] has the other
//! choices: leave the shard to another worker, or hand the records to a [`DeadLetterSink`].
//!
//! ## Own the shards
//!
//! [`Consumer::next_shard`] gives shards as values: read [events](Shard::next) at your own pace, checkpoint what you
//! like, write with the [epoch](Shard::epoch) as a fence.
//!
//! ```
//! # use kinesis_consumer::{Batch, Consumer, Epoch, Event};
//! # async fn write_with_fence(epoch: Epoch, batch: &Batch) -> std::io::Result<()> { Ok(()) }
//! # async fn example(mut consumer: Consumer) {
//! while let Some(mut shard) = consumer.next_shard().await {
//!     tokio::spawn(async move {
//!         while let Some(event) = shard.next().await {
//!             match event {
//!                 Event::Batch(batch) => {
//!                     tokio::select! { biased;
//!                         () = shard.revoked() => continue, // `Revoking` comes next, unless the shard is lost
//!                         written = write_with_fence(shard.epoch(), &batch) => written?,
//!                     }
//!                     shard.checkpoint(batch.last()).await?; // a lost lease is an ordinary error
//!                 }
//!                 Event::Revoking { .. } => shard.release().await?, // nothing is begun here, so nothing to finish
//!                 Event::Ended(end) => end.complete().await?,       // without it the children would never start
//!                 Event::Failed(error) => return Err(error.into()),
//!                 _ => {}
//!             }
//!         }
//!         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//!     });
//! }
//! # }
//! ```
//!
//! ## Shut down
//!
//! Take a [handle](Consumer::handle) before the consumer is run; its [`shutdown`](ConsumerHandle::shutdown) lets every
//! shard finish what is begun, checkpoints it, and frees the leases, so that other workers go on at once and nothing is
//! delivered twice.
//!
//! ## Join a fleet of Java workers, or leave it
//!
//! Give the KCL's `applicationName` as the application. Leases, checkpoints, assignment and hand-off follow the KCL 3.x
//! (3.5's layout of one table); a fleet that still runs 2.x, or in a mode that can go back to it, is refused before
//! anything is written.
//!
//! ## Start over on a stream that was made anew
//!
//! A stream that was deleted and made again under its name is another stream, and its old lease table is refused.
//! [`start_over_from`](ConsumerBuilder::start_over_from), with the old stream as the error names it, empties the table for the new
//! one. A table that a Java KCL made is bound to the stream when a number that it holds proves to be of this stream, or at the first
//! checkpoint, or by [`adopt_table`](ConsumerBuilder::adopt_table).
//!
//! ## Test a processor without AWS and without waiting
//!
//! The crate `kinesis-testkit` is a Kinesis and a DynamoDB inside the process, in virtual time, with faults: give its
//! clients to the builder. The example at the top of this page runs on it.
//!
//! ## Keep the leases elsewhere
//!
//! [`LeaseStore`](lease::LeaseStore) is a trait of a handful of verbs with their conditions in words; give yours to
//! [`ConsumerBuilder::lease_store`]. There is one [in memory](lease::MemoryLeaseStore) for tests and single processes.
//! With the feature `conformance` comes the suite that a store has to pass.

pub mod clock;

mod apart;
mod backoff;
mod failed_call;
mod settings;
mod text;
mod thread;

mod watch;

mod record;
mod shard;

pub mod lease;

mod fetch;

mod checkpoint;
mod process;

mod worker;

mod error;

mod builder;
mod consumer;

pub use self::backoff::Backoff;
pub use self::builder::ConsumerBuilder;
pub use self::consumer::{Consumer, ConsumerHandle};
pub use self::error::{BuildError, RunError};
pub use self::failed_call::FailedCall;
pub use self::fetch::{Batch, ForeignCheckpoint, ReadCounts, ReadError};
pub use self::lease::{CheckpointError, Epoch};
pub use self::process::{
    Concurrency, DeadLetter, DeadLetterSink, End, Event, OnError, Shard, ShardReport, ShutdownReport, Unfinished,
};
pub use self::record::{ParseSequenceNumberError, Position, Record, SequenceNumber};
pub use self::settings::{SettingError, Settings, StartAt};
pub use self::shard::{DiscoverError, ListedShard, ShardId};
pub use self::watch::{Finding, FindingKind, Severity};
