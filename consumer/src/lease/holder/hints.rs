//! What tasks of one worker tell each other about the lease table, to spare themselves a look at it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::lease::table::lease::LeaseKey;

/// Leases that may have become ours, and the news that a shard ended. Hints only: the table decides.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// A std mutex: held for an insertion or a swap, never across an await.
    keys: Mutex<BTreeSet<LeaseKey>>,
    look: Notify,
    /// How many shards have ended, and who waits for the next. No `watch`: its receivers wake in an order drawn at random.
    ends: AtomicU64,
    ended: Notify,
    /// Asks the leader, if it is this worker, for a round now.
    wake: Arc<Notify>,
}

impl Hints {
    /// These leases may be ours now; the index may not show it yet.
    pub(crate) fn look_at(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(keys);
        self.look.notify_one();
    }

    /// A shard of this worker has ended, and these are its children.
    pub(crate) fn shard_ended(&self, children: impl IntoIterator<Item = LeaseKey>) {
        self.look_at(children);
        self.ends.fetch_add(1, Ordering::Relaxed);
        self.ended.notify_waiters();
        self.wake.notify_one();
    }

    /// Resolves when there is something to look at. Cancel safe.
    pub(crate) async fn hinted(&self) {
        self.look.notified().await;
    }

    /// The leases hinted at since the last call.
    pub(crate) fn take(&self) -> BTreeSet<LeaseKey> {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Notified when the leader's next round should not wait.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// How many shards of this worker have ended.
    pub(crate) fn ends(&self) -> u64 {
        self.ends.load(Ordering::Relaxed)
    }

    /// Resolves when more shards than that have ended. Cancel safe.
    pub(crate) async fn more_ends(&self, than: u64) {
        let mut ended = pin!(self.ended.notified());
        ended.as_mut().enable();
        if self.ends() == than {
            ended.await;
        }
    }
}
