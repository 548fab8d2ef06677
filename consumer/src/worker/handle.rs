//! The way by which a program asks a running worker for leases.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::control::WorkerControl;
use super::offers::Taker;
use crate::lease::holder::held::HeldLease;
use crate::thread::AbortOnDrop;

/// A running worker. Dropped without a shutdown it stops at once, and its leases run out.
pub(crate) struct WorkerHandle {
    leases: Taker,
    /// A permit for each lease that the program has asked for and not been given.
    wanted: Arc<Semaphore>,
    asked: Asked,
    control: WorkerControl,
    /// The task that finds leases, and the others with it.
    _keeping: AbortOnDrop,
}

/// What the program has asked for.
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

    /// Asks for one lease and waits for it; `None` after a shutdown. Cancel safe: what was asked for comes with the next
    /// call.
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

    /// Asks for all leases that become this worker's from now on, many at a time.
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
