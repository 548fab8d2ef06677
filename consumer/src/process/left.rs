//! What a shutdown leaves to other workers, shard by shard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::Position;
use crate::shard::ShardId;

/// What a [shutdown](crate::ConsumerHandle::shutdown) came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The shards that the worker held when it was told to leave, in the order of their IDs. Those at their end are not among them.
    pub shards: Vec<ShardReport>,
}

/// How one shard was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardReport {
    /// The shard.
    pub shard: ShardId,
    /// What [`run`](crate::Consumer::run) or [`run_records`](crate::Consumer::run_records) had taken in and not finished; the next owner gets it
    /// again. A program that reads the shard itself knows better: then it is `None`.
    pub unfinished: Option<Unfinished>,
    /// Whether the lease was released, so that another worker takes the shard at once. If not it was lost, or runs out, and what was
    /// processed since the last checkpoint comes again too.
    pub released: bool,
}

/// Records that were not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The first of them.
    pub first: Position,
    /// How many. Records behind them that are done can come again as well.
    pub records: u64,
}

impl ShutdownReport {
    /// Whether all that was begun is done and every lease was released.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.shards.iter().all(|shard| shard.unfinished.is_none() && shard.released)
    }
}

/// The shards of a worker, with what is not finished of each. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<Mutex<BTreeMap<ShardId, State>>>);

#[derive(Debug, Default)]
struct State {
    unfinished: Option<Unfinished>,
    /// Whether its lease was released; `None` while it is held.
    released: Option<bool>,
}

impl Left {
    /// What is not finished of a shard now. Told for each batch, and when the shard is let go.
    pub(crate) fn set(&self, shard: &ShardId, unfinished: Option<Unfinished>) {
        self.lock().entry(shard.clone()).or_default().unfinished = unfinished;
    }

    /// The lease of the shard has been given up, by a worker that goes on or `leaves`. What was not finished is said, if it is `worth_a_word`.
    pub(crate) fn note(&self, shard: &ShardId, leaves: bool, released: bool, worth_a_word: bool) {
        let unfinished = {
            let mut shards = self.lock();
            if leaves {
                let state = shards.entry(shard.clone()).or_default();
                state.released = Some(released);
                state.unfinished.clone()
            } else {
                shards.remove(shard).and_then(|state| state.unfinished)
            }
        };
        if let Some(Unfinished { first, records }) = unfinished.filter(|_| worth_a_word) {
            tracing::warn!(
                %shard, position = %first, records,
                "given up before its records were done; the next owner gets those that are not checkpointed again"
            );
        }
    }

    pub(crate) fn report(&self) -> ShutdownReport {
        let shards = self.lock();
        let left = shards.iter().filter_map(|(shard, state)| {
            let (unfinished, released) = (state.unfinished.clone(), state.released?);
            Some(ShardReport { shard: shard.clone(), unfinished, released })
        });
        ShutdownReport { shards: left.collect() }
    }

    /// A std mutex: held for an operation on a map, never across an await.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
