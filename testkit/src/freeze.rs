//! A worker that stands still while the world goes on: stopped, collecting garbage, paused with its machine.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Whether a worker stands still, and how much of its life its machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    frozen: Option<Frozen>,
    asleep: Duration,
    /// It stands still, or has done so.
    ever: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frozen {
    /// Since the making of the cloud.
    since: Duration,
    how: Freeze,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freeze {
    /// The process stands still, its machine does not.
    Process,
    /// The machine sleeps, and CLOCK_MONOTONIC with it.
    Machine,
}

/// Those that wait for the thaw are woken in the order in which they came; a `watch` would draw it at random.
#[derive(Debug, Default)]
pub(crate) struct Freezing {
    state: Mutex<State>,
    thaw: Notify,
}

impl Freezing {
    /// A worker that stands still already goes on standing as it does.
    pub(crate) fn freeze(&self, how: Freeze, now: Duration) {
        let mut state = self.lock();
        state.ever = true;
        state.frozen.get_or_insert(Frozen { since: now, how });
    }

    pub(crate) fn thaw(&self, now: Duration) {
        {
            let mut state = self.lock();
            let Some(Frozen { since, how }) = state.frozen.take() else { return };
            if how == Freeze::Machine {
                state.asleep += now.saturating_sub(since);
            }
        }
        self.thaw.notify_waiters();
    }

    pub(crate) fn ever(&self) -> bool {
        self.lock().ever
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.lock().frozen.is_some()
    }

    /// Waits until the worker does not stand still; not at all when it does not.
    pub(crate) async fn thawed(&self) {
        while self.is_frozen() {
            let mut thaw = pin!(self.thaw.notified());
            // In line before looking once more: a thaw in between is not missed.
            thaw.as_mut().enable();
            if self.is_frozen() {
                thaw.await;
            }
        }
    }

    /// Since when, counted from the making of the cloud, the worker stands still.
    pub(crate) fn frozen_since(&self) -> Option<Duration> {
        self.lock().frozen.map(|frozen| frozen.since)
    }

    /// How long the worker's machine slept, over all suspensions that are past.
    pub(crate) fn asleep(&self) -> Duration {
        self.lock().asleep
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
