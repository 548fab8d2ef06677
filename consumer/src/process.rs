//! Delivery to user code: a shard as a value, and the loop that feeds a closure from it.

pub(crate) mod attempt;
pub(crate) mod batches;
pub(crate) mod blocked;
pub(crate) mod deliver;
pub(crate) mod left;
pub(crate) mod on_error;
pub(crate) mod parallel;
pub(crate) mod shard_task;
pub(crate) mod state;

pub use self::left::{ShardReport, ShutdownReport, Unfinished};
pub use self::on_error::{DeadLetter, DeadLetterSink, OnError};
pub use self::parallel::Concurrency;
pub use self::shard_task::{End, Event, Shard};
