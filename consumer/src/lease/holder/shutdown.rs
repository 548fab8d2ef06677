//! The order to leave, heard by all tasks of a worker.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::clock::Tick;

/// Whether a worker is to leave, and by when: said once, to many. Clones share it.
///
/// Its tasks wake in the order in which they began to wait, so that the same seed gives the same run; tokio's `watch` wakes
/// its receivers in an order drawn at random.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown(Arc<Order>);

#[derive(Debug, Default)]
struct Order {
    deadline: OnceLock<Tick>,
    given: Notify,
}

impl Shutdown {
    /// Gives the order; the first one's deadline counts.
    pub(crate) fn begin(&self, deadline: Tick) {
        if self.0.deadline.set(deadline).is_ok() {
            self.0.given.notify_waiters();
        }
    }

    /// By when the worker is to have left; `None` while it is not to.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.0.deadline.get().copied()
    }

    /// Resolves when the order is given, at once if it has been. Cancel safe.
    pub(crate) async fn begun(&self) {
        let mut given = pin!(self.0.given.notified());
        // In line before the look: an order given in between is not missed.
        given.as_mut().enable();
        if self.deadline().is_none() {
            given.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_hear_of_it_in_the_order_in_which_they_wait_and_the_first_deadline_counts() {
        let shutdown = Shutdown::default();
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..40 {
            let (shutdown, woken) = (shutdown.clone(), Arc::clone(&woken));
            tasks.spawn(async move {
                shutdown.begun().await;
                woken.lock().expect("no task panics").push(number);
            });
        }
        tokio::task::yield_now().await;
        assert_eq!(shutdown.deadline(), None);
        for seconds in [5, 3] {
            shutdown.begin(Tick::new(Duration::from_secs(seconds)));
        }
        assert_eq!(shutdown.deadline(), Some(Tick::new(Duration::from_secs(5))));
        tasks.join_all().await;
        assert_eq!(*woken.lock().expect("no task panicked"), Vec::from_iter(0..40));
        shutdown.begun().await;
    }
}
