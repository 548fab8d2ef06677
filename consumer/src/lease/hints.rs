//! What tasks of one worker tell each other about the lease table, to spare themselves a look at it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::lease::LeaseKey;

/// Leases that may have become ours, and the news that a shard ended. Hints only: the table decides.
#[derive(Debug)]
pub(crate) struct Hints {
    /// A std mutex: held for an insertion or a swap, never across an await.
    keys: Mutex<BTreeSet<LeaseKey>>,
    look: Notify,
    ended: watch::Sender<u64>,
    /// Asks the leader, if it is this worker, for a round now.
    kick: Arc<Notify>,
}

impl Default for Hints {
    fn default() -> Self {
        Self { keys: Mutex::default(), look: Notify::new(), ended: watch::channel(0).0, kick: Arc::default() }
    }
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
        self.ended.send_modify(|ends| *ends += 1);
        self.kick.notify_one();
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
    pub(crate) fn kick(&self) -> Arc<Notify> {
        Arc::clone(&self.kick)
    }

    /// Changes with every shard that ends in this worker.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}
