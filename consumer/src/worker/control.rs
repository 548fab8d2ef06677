//! The handle that stops a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::lease::holder::held::HoldContext;
use crate::lease::holder::shutdown::Shutdown;
use crate::process::blocked::Watched;
use crate::process::left::Left;
use crate::thread::{AbortOnDrop, Ended};

/// Stops a worker from anywhere.
#[derive(Clone, Debug)]
pub(crate) struct WorkerControl {
    pub(super) hold: HoldContext,
    pub(super) shutdown: Shutdown,
    pub(super) lost_table: Arc<AtomicBool>,
    pub(super) stopped: watch::Receiver<bool>,
    /// The thread of the leases, if there is one.
    pub(super) thread: Option<Ended>,
    pub(crate) left: Left,
}

impl WorkerControl {
    /// Asks all shards to finish by a deadline, and the worker to leave the fleet. The first call sets the deadline.
    pub(crate) fn begin_shutdown(&self, within: Duration) {
        self.shutdown.begin(self.hold.clock.now() + within);
    }

    /// Watches for user code that blocks its thread, from the thread of the leases if there is one, until the returned value is
    /// dropped.
    pub(crate) fn watch_blocked(&self, watched: &Watched) -> Option<AbortOnDrop> {
        self.thread.as_ref()?;
        let limit = self.hold.duration.min(LONG);
        let watch = watched.clone().watch(Handle::current(), Arc::clone(&self.hold.clock), limit);
        Some(AbortOnDrop(self.hold.home.spawn(watch)))
    }

    /// Returns `true` if the worker ends, or has ended, because the lease table does not exist any more.
    pub(crate) fn has_lost_table(&self) -> bool {
        self.lost_table.load(Ordering::Relaxed)
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutdown.deadline().is_some()
    }

    /// Resolves when the worker has left: its leases are released, its row and its lock deleted. Cancel safe.
    pub(crate) async fn stopped(&self) {
        // An error means that the tasks have ended, so the worker has stopped too.
        let mut stopped = self.stopped.clone();
        drop(stopped.wait_for(|stopped| *stopped).await);
        if let Some(thread) = &self.thread {
            thread.wait().await;
        }
    }
}

/// Code that blocks for this long is logged, even if leases last longer.
const LONG: Duration = Duration::from_secs(10);
