//! What is done with records that user code cannot process.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backoff::Backoff;
use crate::record::Record;
use crate::settings::{SettingError, check};
use crate::shard::ShardId;

/// What to do when the closure returns an error, or panics. Never is a record passed over in silence (C10).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OnError {
    /// The same records again, after a pause, for as long as it takes. The shard waits; other shards go on. The default,
    /// with pauses of up to 100 ms that grow to 10 s. Pauses can have bounds from 1 ms on.
    Retry(Backoff),
    /// The worker checkpoints what is done before the failed records, and releases the shard. Its next owner begins with the
    /// failed records. This worker leaves the shard alone for 10 s, doubling to 5 min, and a leader gives it first to workers that
    /// have not failed at it.
    StopShard,
    /// The records go to this sink, and count as done once it has taken them. To try a few times first, do so in the
    /// closure.
    DeadLetter(Arc<dyn DeadLetterSink>),
}

impl OnError {
    /// Checks the pauses against their limits: without any, what fails at once would be tried without end in one go.
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

    /// [`OnError::DeadLetter`] with this sink.
    pub fn dead_letter(sink: impl DeadLetterSink) -> Self {
        Self::DeadLetter(Arc::new(sink))
    }
}

impl Default for OnError {
    fn default() -> Self {
        Self::Retry(RETRY)
    }
}

/// Takes records that could not be processed: a queue, a table, a file.
#[async_trait]
pub trait DeadLetterSink: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps the records. Called again with the same ones, after a pause, until it succeeds; so they can come twice.
    ///
    /// # Errors
    /// Any error means that they are not kept.
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
    /// What the closure returned.
    pub error: &'a (dyn Error + Send + Sync + 'static),
}

/// The least of both bounds of a pause.
const SHORTEST: Duration = Duration::from_millis(1);

/// Soon enough that a hiccup costs nothing, rare enough that an outage costs the other side nothing.
pub(crate) const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
