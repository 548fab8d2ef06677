//! The handle through which a program requests leases from a running worker.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::control::WorkerControl;
use super::offers::Taker;
use crate::lease::holder::held::HeldLease;
use crate::thread::AbortOnDrop;

/// A running worker. Dropping it without a shutdown stops the worker at once, and its leases expire.
pub(crate) struct WorkerHandle {
    leases: Taker,
    /// A permit for each lease that the program has requested and not received.
    wanted: Arc<Semaphore>,
    asked: Asked,
    control: WorkerControl,
    /// The task that finds leases and owns the worker's other tasks.
    _keeping: AbortOnDrop,
}

/// Which leases the program has requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    One,
    All,
}

impl WorkerHandle {
    pub(super) const fn new(
        leases: Taker,
        wanted: Arc<Semaphore>,
        control: WorkerControl,
        keeping: AbortOnDrop,
    ) -> Self {
        Self { leases, wanted, asked: Asked::Nothing, control, _keeping: keeping }
    }

    /// Requests one lease and waits for it; returns `None` after a shutdown. Cancel safe: the next call returns the lease
    /// requested here.
    pub(crate) async fn next_lease(&mut self) -> Option<HeldLease> {
        if self.leases.has_lapsed() && self.asked == Asked::One {
            self.asked = Asked::Nothing;
        }
        if self.asked == Asked::Nothing {
            self.asked = Asked::One;
            self.wanted.add_permits(1);
        }
        let lease = self.leases.take().await;
        if self.asked == Asked::One {
            self.asked = Asked::Nothing;
        }
        lease
    }

    /// Requests all leases that become this worker's from now on, many at a time.
    pub(crate) fn want_all(&mut self) {
        self.asked = Asked::All;
        self.wanted.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn control(&self) -> WorkerControl {
        self.control.clone()
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").field("control", &self.control).finish_non_exhaustive()
    }
}
