//! The report of a shutdown: how each shard was left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::Position;
use crate::shard::ShardId;

/// The result of a [shutdown](crate::ConsumerHandle::shutdown).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// The shards that the worker held when the shutdown began, in the order of their IDs. Shards that reached their end are
    /// not included.
    pub shards: Vec<ShardReport>,
}

/// How one shard was left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardReport {
    /// The shard.
    pub shard: ShardId,
    /// The records that [`run`](crate::Consumer::run) or [`run_records`](crate::Consumer::run_records) had accepted and not
    /// finished; the next owner receives them again. `None` for a program that reads the shard itself, which knows its own
    /// progress.
    pub unfinished: Option<Unfinished>,
    /// `true` if the lease was released, so that another worker takes the shard at once. Otherwise the lease was lost or
    /// expires, and records processed since the last checkpoint are delivered again too.
    pub released: bool,
}

/// Records that were not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The first unfinished record.
    pub first: Position,
    /// How many. Finished records behind the first one can be delivered again as well.
    pub records: u64,
}

impl ShutdownReport {
    /// Returns `true` if everything begun was finished and every lease was released.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.shards.iter().all(|shard| shard.unfinished.is_none() && shard.released)
    }
}

/// The shards of a worker, each with its unfinished records. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Left(Arc<Mutex<BTreeMap<ShardId, State>>>);

#[derive(Debug, Default)]
struct State {
    unfinished: Option<Unfinished>,
    /// `true` if its lease was released, `false` if not; `None` while it is held.
    released: Option<bool>,
}

impl Left {
    /// Records a shard's unfinished records. Called for each batch, and when delivery ends.
    pub(crate) fn set(&self, shard: &ShardId, unfinished: Option<Unfinished>) {
        self.lock().entry(shard.clone()).or_default().unfinished = unfinished;
    }

    /// Records that the lease of the shard has ended, in a worker that goes on or `leaves`. Logs the unfinished records if
    /// `worth_a_word`.
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

    /// Locks the map. A std mutex: held for an operation on the map, never across an await.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
