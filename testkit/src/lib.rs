//! Amazon Kinesis Data Streams and DynamoDB inside a test.

mod cloud;
mod connection;
mod stream;

mod connector;
mod faults;
mod worker;

mod calls;
mod clock;
mod limits;

mod dynamodb;
mod kinesis;
mod service;

pub use self::calls::{Call, Calls, Outcome};
pub use self::clock::Clock;
pub use self::cloud::{Cloud, CloudBuilder};
pub use self::connection::Connection;
pub use self::faults::{Entries, EntryError, Fault, Faults};
pub use self::limits::Limits;
pub use self::service::Service;
pub use self::stream::{Record, Shard, ShardRef, Stream};
