//! The handle by which a worker is stopped.

use std::time::Duration;

use tokio::sync::watch;

use crate::lease::held::HoldContext;
use crate::lease::shutdown::Shutdown;

/// Stops a worker from anywhere.
#[derive(Clone, Debug)]
pub(crate) struct WorkerControl {
    pub(super) hold: HoldContext,
    pub(super) shutdown: Shutdown,
    pub(super) stopped: watch::Receiver<bool>,
}

impl WorkerControl {
    /// Asks all shards to finish by then, and the worker to leave the fleet. The first call's deadline counts.
    pub(crate) fn begin_shutdown(&self, within: Duration) {
        self.shutdown.begin(self.hold.clock.now() + within);
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutdown.deadline().is_some()
    }

    /// Resolves when the worker has left: its leases released, its row and its lock deleted. Cancel safe.
    pub(crate) async fn stopped(&self) {
        // An error means that the tasks are gone, which is stopped as well.
        let mut stopped = self.stopped.clone();
        let _closed = stopped.wait_for(|stopped| *stopped).await;
    }
}
