//! Amazon Kinesis Data Streams and DynamoDB inside a test: no AWS, no containers, no sockets, no waiting.
//!
//! ```toml
//! [dev-dependencies]
//! kinesis-testkit = "0.1"
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//!
//! ```
//! use kinesis_testkit::Cloud;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)] // in a test: #[tokio::test(start_paused = true)]
//! async fn main() {
//!     let cloud = Cloud::new();
//!     let stream = cloud.create_stream("clicks", 2).await;
//!     let a = cloud.connect("a").await; // real SDK clients, a.kinesis and a.dynamodb, for the code under test
//!
//!     let put = a.kinesis.put_record().stream_name("clicks").partition_key("user-7").data(b"hello".as_slice().into());
//!     let put = put.send().await.expect("nothing is wrong yet");
//!     stream.split(put.shard_id.as_str()).await;
//!
//!     assert_eq!(stream.records()[0].data, "hello");
//!     assert_eq!(stream.open_shards().len(), 3);
//!     assert_eq!(cloud.calls("a").count("PutRecord"), 1);
//! }
//! ```
//!
//! Whole tests of a service, a question a file, are in the repository's `examples/tests/processor`: resharding, a crash,
//! a throttled stream, a poison record, a slow lease table. What the API references say and how the model, and other
//! implementations, hold to it is a table in `docs/conformance.md`.
//!
//! What such a test costs: two workers that live through a split and a crash took 0.09 to 0.10 s of wall time in a debug build (six
//! runs of `cargo test -p examples --test processor nothing_is_lost` in the repository, on a machine with other work);
//! `cargo test -p integration-tests --test fleet a_test_of -- --nocapture` prints 0.11 s of CPU for another one.
//!
//! ```text
//!  code under test       connector of worker "a"               one cloud
//!  ┌─────────────┐    ┌──────────────────────────┐    ┌───────────────────────────────┐
//!  │ SDK clients ├───►│ faults, latency,         ├───►│ Kinesis: a model of ours      │
//!  └─────────────┘    │ timeouts, call log       │    │ DynamoDB: dynoxide, in memory │
//!                     └──────────────────────────┘    │ time: tokio's clock           │
//!  the test itself: Stream, Cloud::outside ──────────►│ chance: one seed              │
//!                                                     └───────────────────────────────┘
//! ```
//!
//! # What it promises
//!
//! - **The SDK's own clients.** Requests are serialised, signed, retried and parsed as against AWS; only the HTTP
//!   connector is ours. So the tests cover error mapping, timeouts and retries too.
//! - **The wire formats of all SDKs**: JSON, and for Kinesis also CBOR, which the Java SDK speaks unless told otherwise.
//! - **Virtual time.** Under `#[tokio::test(start_paused = true)]` an hour passes at once, and iterators expire, rates
//!   refill and timeouts fire when they should. With a running clock the same code works in real time.
//! - **The service's limits are on**: 1 MiB and 1000 records a second into a shard, 2 MiB and 5 calls a second out of
//!   it, rates of the control plane, sizes, iterator lifetimes, states that take time ([`Limits`]). Refusals have the
//!   service's codes and, where known, its words.
//! - **The same seed gives the same run**: the same answers, sequence numbers and table ids included, and in paused time on
//!   one thread the same calls at the same times. [`Cloud::trace`] writes them down.
//!
//! # Tasks
//!
//! *Reshard*: [`Stream::split`], [`Stream::merge`], [`Stream::update_shard_count`], or
//! [`Cloud::create_on_demand_stream`] and enough traffic. *Look inside*: [`Stream::records`], [`Stream::shards`],
//! [`Table::items`], [`Cloud::calls`].
//!
//! *Break the network of one worker*: each has faults of its own, for all calls, for one service or for the next call
//! of one operation.
//!
//! ```
//! # use kinesis_testkit::{Cloud, Entries, EntryError, Fault};
//! # let cloud = Cloud::new();
//! let faults = cloud.faults("a");
//! let lost = faults.next("PutRecords", Fault::LoseResponse); // written, but the caller sees a broken connection
//! faults.next_n("PutRecords", 2, Fault::FailEntries(Entries::At(vec![0]), EntryError::Throttled));
//! faults.clone().dynamodb().always(Fault::Throttle);
//! faults.next("SubscribeToShard", Fault::CutSubscription { after_events: 3 }); // or Tear…, Silence…
//! faults.black_hole(); // or one direction alone: cut_requests, cut_answers
//! faults.heal();
//! assert_eq!(lost.struck(), 0); // no call of PutRecords has come to lose its answer
//! ```
//!
//! Did it happen? Each fault counts the calls that it has struck ([`Injection::struck`]), and [`Cloud::unused_faults`] names
//! those that have struck none, with a worker whose name was misspelt: `assert_eq!(cloud.unused_faults(), [""; 0])` at the end of a
//! test is enough.
//!
//! An operation that the cloud does not have is refused, and so is a fault that does not fit it: it would never strike. Methods
//! that ask for what is not possible panic; those that may have a `try_` twin return a [`Refused`] there.
//!
//! [`Faults::during`] gives a fault its time, [`Faults::during_for`] for one operation, [`Faults::random`] draws faults from a seed
//! ([`Weather`]).
//!
//! *Refuse*: [`Fault::refuse`] answers with any error code. *Take the connection away*: [`Fault::HostNotFound`],
//! [`Fault::RefuseConnection`], [`Fault::HangConnection`], with the errors of the SDK's own HTTP client. *Take the credentials
//! away*: [`Fault::FailCredentials`], [`Fault::HangCredentials`], [`Cloud::credentials_last`]. *Set a worker's clock wrong*:
//! [`Cloud::clock_ahead`], [`Cloud::clock_behind`].
//!
//! *Let the service not know yet what it has done*: [`Stream::listing_lag`], [`Stream::birth_lag`] for all, [`Fault::StaleListing`],
//! [`Fault::HideShard`], [`Fault::ThrottlePage`] for one worker.
//!
//! ```
//! # use std::time::Duration;
//! # use kinesis_testkit::{Cloud, Fault, Lag};
//! # let cloud = Cloud::new();
//! cloud.stream("clicks").listing_lag(Lag::UpTo(Duration::from_secs(2))); // each page as old as it likes
//! cloud.faults("a").next("ListShards", Fault::ThrottlePage(2));
//! cloud.faults("a").always_for("UpdateItem", Fault::refuse("AccessDeniedException"));
//! cloud.clock_ahead("a", Duration::from_secs(600));
//! ```
//!
//! *Freeze a worker*: [`Cloud::freeze`] as a stopped process, [`Cloud::suspend`] with its machine, [`Cloud::thaw`].
//! [`Connection::run`] runs a future that stands still with it, [`Connection::clock`] has the time as the worker sees it.
//!
//! *Crash a worker*: abort its tasks. What it had sent still arrives.
//!
//! *Make a table slow*: throttle it, let its indexes and its eventually consistent reads lag, give it time in CREATING.
//! [`Cloud::table`] is one table, [`Cloud::dynamodb`] all of them.
//!
//! ```
//! # use std::time::Duration;
//! # use kinesis_testkit::{Cloud, Lag, Throughput};
//! # let cloud = Cloud::new();
//! cloud.dynamodb().creating(Duration::from_secs(10));
//! cloud.table("leases").throughput(Throughput::new(50, 10)); // capacity units a second
//! cloud.table("leases").index_lag(Lag::UpTo(Duration::from_secs(2)));
//! ```
//!
//! *Set timeouts*: [`Connection::kinesis_config`] and [`Connection::dynamodb_config`] give the clients' configuration
//! to be changed. The SDK's default has no read timeout: without one, a call into a black hole waits for ever, as it
//! would on a real connection.
//!
//! *Serve other programs*, in other languages too: `Cloud::serve` puts both services on one port, with HTTP/1.1, HTTP/2
//! and TLS (features `serve` and `tls`). The repository's example program `cloud` does only that:
//! `cargo run -p examples --bin cloud -- --stream clicks:4`.
//!
//! # What the model does not do
//!
//! - Kinesis: no channels (CreateChannel and its like). On-demand streams split by themselves and never merge. Encryption,
//!   monitoring and policies are switched and described; nothing is encrypted, measured or forbidden. An operation it does not
//!   know is refused with `UnknownOperationException`.
//! - A request with several mistakes is refused for the first; the service lists them all. Shard ids have to be spelled
//!   in full.
//! - DynamoDB: unless told otherwise tables and indexes are ACTIVE at once, all reads are consistent, and a table on
//!   demand has no limit. A throughput counts for a table or an index as a whole, not for its partitions. A transaction is
//!   let in when its tables hold two units for each of its items. Continuous backups can be switched and read, nothing is
//!   backed up. An item's time to live can be switched on and deletes nothing. PartiQL, streams, backups and exports are refused
//!   as unknown operations.
//! - No permissions, no signatures: any credentials will do. Only the time of a signature counts, and only for clients in the
//!   process ([`Cloud::clock_ahead`]).

mod cloud;
mod connection;
mod stream;
mod table;

mod connector;
mod credentials;
mod faults;
mod freeze;
mod inject;
mod network;
#[cfg(feature = "serve")]
mod serve;
mod unreachable;
mod worker;
mod worker_clock;

mod calls;
mod clock;
mod limits;

mod dynamodb;
mod exchange;
mod kinesis;
mod refusal;
mod service;
mod service_error;
mod services;
mod signature;
mod wire;

pub use self::calls::{Call, Calls, Outcome};
pub use self::clock::Clock;
pub use self::cloud::{Cloud, CloudBuilder};
pub use self::connection::Connection;
pub use self::dynamodb::settings::{Lag, Throughput};
pub use self::faults::{Entries, EntryError, Fault, Injection, Weather};
pub use self::inject::Faults;
pub use self::limits::Limits;
pub use self::refusal::Refused;
#[cfg(feature = "tls")]
pub use self::serve::Tls;
#[cfg(feature = "serve")]
pub use self::serve::{ServeError, Server, ServerBuilder};
pub use self::service::Service;
pub use self::stream::{Record, Shard, ShardRef, Stream};
pub use self::table::writes::TableWrite;
pub use self::table::{DynamoDb, Item, Key, Table};
pub use self::worker_clock::WorkerClock;
