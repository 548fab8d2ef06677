//! The policy for records that user code cannot process.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backoff::Backoff;
use crate::record::Record;
use crate::settings::{SettingError, check};
use crate::shard::ShardId;

/// What to do when the closure returns an error or panics. No record is skipped silently (C10).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OnError {
    /// Retries the same records after a pause, without limit. The shard waits; other shards go on. This is the default, with
    /// pauses of up to 100 ms that grow to 10 s. The bounds of a pause must be 1 ms at least.
    Retry(Backoff),
    /// Checkpoints what is done before the failed records, and releases the shard. Its next owner begins with the failed
    /// records. This worker does not take the shard for 10 s, doubling to 5 min, and a leader prefers workers that have not
    /// failed at it.
    StopShard,
    /// Passes the records to this sink; they count as done once the sink has accepted them. To try a few times first, do so in
    /// the closure.
    DeadLetter(Arc<dyn DeadLetterSink>),
}

impl OnError {
    /// Checks that the pauses are long enough: without any, records that fail at once would be retried in a busy loop.
    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        let Self::Retry(Backoff { first, max }) = self else { return Ok(()) };
        let shortest = *first.min(max);
        check(
            "on_error",
            shortest >= SHORTEST,
            format_args!("Retry with pauses of {shortest:?}"),
            "must pause for 1 ms at least",
        )
    }

    /// Returns [`OnError::DeadLetter`] with this sink.
    pub fn dead_letter(sink: impl DeadLetterSink) -> Self {
        Self::DeadLetter(Arc::new(sink))
    }
}

impl Default for OnError {
    fn default() -> Self {
        Self::Retry(RETRY)
    }
}

/// Accepts records that could not be processed: a queue, a table, a file.
#[async_trait]
pub trait DeadLetterSink: std::fmt::Debug + Send + Sync + 'static {
    /// Stores the records. If it fails, it is called again with the same records after a pause, until it succeeds; so the sink
    /// can receive them twice.
    ///
    /// # Errors
    /// Any error means that the records are not stored.
    async fn accept(&self, letter: DeadLetter<'_>) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Records that could not be processed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeadLetter<'a> {
    /// The shard that they came from.
    pub shard: &'a ShardId,
    /// The records that were handed to the closure together: a whole batch, or one record.
    pub records: &'a [Record],
    /// The error that the closure returned.
    pub error: &'a (dyn Error + Send + Sync + 'static),
}

/// The lowest allowed bound of a pause.
const SHORTEST: Duration = Duration::from_millis(1);

/// Short enough that a brief failure costs little time, long enough that an outage does not load the other side.
pub(crate) const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
