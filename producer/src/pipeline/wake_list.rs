//! How a put wakes the dispatcher.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::shard_queue::ShardQueue;

/// The queues that the dispatcher must refresh. Each queue is in it at most once.
#[derive(Default)]
pub(crate) struct WakeList {
    queues: Mutex<Vec<Arc<ShardQueue>>>,
    wake: Notify,
}

impl WakeList {
    /// Adds a queue and wakes the dispatcher.
    pub(crate) fn add(&self, queue: &Arc<ShardQueue>) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(queue));
        self.wake();
    }

    /// Wakes the dispatcher.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns the queues added since the last call.
    pub(crate) fn take(&self) -> Vec<Arc<ShardQueue>> {
        std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the dispatcher is woken.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
