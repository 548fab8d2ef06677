//! A Kinesis Client Library for Rust: a fleet of workers shares the shards of an Amazon Kinesis data stream, and every
//! record is processed at least once, through restarts, crashes and resharding. It runs in your process, without a JVM or a
//! daemon. It uses the lease table of the Java KCL 3.x: workers of both kinds can form one fleet.
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
//! Start the same program on more machines: they share the shards.
//!
//! # The path of a shard
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
//!   sink accepted it. (Copies of an aggregate that a producer put to the wrong shard are dropped and counted; the producer
//!   puts them again.)
//! - **C2** No checkpoint is ahead of a record that is not done.
//! - **C3** Within an epoch, records come in strictly increasing order of sequence and sub-sequence number.
//! - **C4** The first record of a child shard follows the end of all its parents.
//! - **C5** At a change of owner, at most the records that the former owner had not checkpointed are delivered again; after
//!   a completed hand-off, none.
//! - **C6** Checkpoints are accepted from the current epoch only, and never go back. The [epoch](Epoch) is a fencing token
//!   for your own systems.
//! - **C7** Two workers process one shard only while one of them is frozen or cut off, and then at most the current batch.
//! - **C8** Work moves soon: after a crash of any worker within 22 s, to children within 2 s of their last parent's end. A
//!   new application reads its first record within half a second after its table exists.
//! - **C9** Nothing leaks: leases of finished shards are deleted, and buffered records stay within one budget for all shards.
//! - **C10** A failing processor never moves the checkpoint, and no record is skipped silently.
//! - **C11** The lease table belongs to one stream (account, name, time of creation). A worker of another stream is refused
//!   and writes nothing. A shard is ended only when the service says so, or when it has provably expired.
//!
//! Not promised: effects that happen exactly once. Nor does a process stop at once in two cases:
//!
//! - The operating system had frozen it. Its checkpoints are refused.
//! - Another process uses its worker ID by mistake. The first of the two stops when its next renewal is refused.
//!
//! # Tasks
//!
//! ## Process the records of a shard in parallel
//!
//! [`Consumer::run_records`] calls a closure for each record, several at a time: in order per partition key, or in any order.
//! The checkpoint is the last record before the first unfinished one.
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
//! By default, failed records are retried without limit, while other shards go on. [`OnError`] has the other choices: release
//! the shard to another worker, or pass the records to a [`DeadLetterSink`].
//!
//! ## Own the shards
//!
//! [`Consumer::next_shard`] returns shards as values: read [events](Shard::next) at your own pace, decide what to checkpoint,
//! and write with the [epoch](Shard::epoch) as a fencing token.
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
//! Take a [handle](Consumer::handle) before the consumer is run. Its [`shutdown`](ConsumerHandle::shutdown) lets every shard
//! finish the records it has begun, checkpoints them, and releases the leases. Other workers go on at once, and nothing is
//! delivered twice.
//!
//! ## Join a fleet of Java workers, or leave it
//!
//! Use the KCL's `applicationName` as the application. Leases, checkpoints, assignment and hand-off follow the KCL 3.x
//! (3.5's layout of one table). A fleet that still runs 2.x, or runs in a mode that can go back to it, is refused before
//! anything is written.
//!
//! ## Start over on a stream that was created again
//!
//! A stream that was deleted and created again under its name is another stream, and its old lease table is refused.
//! [`start_over_from`](ConsumerBuilder::start_over_from), with the old stream as the error names it, empties the table for the
//! new one. A table that a Java KCL created is bound to the stream in one of three ways: a sequence number in it proves to be
//! of this stream, the first checkpoint is written, or [`adopt_table`](ConsumerBuilder::adopt_table) is called.
//!
//! ## Test a processor without AWS and without waiting
//!
//! The crate `kinesis-testkit` simulates Kinesis and DynamoDB inside the process, in virtual time, with faults: pass its
//! clients to the builder. The example at the top of this page runs on it.
//!
//! ## Keep the leases elsewhere
//!
//! [`LeaseStore`](lease::LeaseStore) is a trait of a few methods, each with its conditions in words. Pass an implementation to
//! [`ConsumerBuilder::lease_store`]. One [in memory](lease::MemoryLeaseStore) serves tests and single processes. The feature
//! `conformance` adds the test suite that a store must pass.

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
