//! A worker that stands still while the world goes on: stopped, collecting garbage, paused with its machine.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::worker::Worker;

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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clocks that a worker sees. While it is frozen they stand still, and when it thaws they jump. Its date may be wrong.
///
/// [`Connection::clock`](crate::Connection::clock) gives it to code that takes its time from somewhere; the connection's
/// own SDK clients go by it.
#[derive(Debug, Clone)]
pub struct WorkerClock {
    pub(crate) cloud: Clock,
    pub(crate) worker: Arc<Worker>,
}

impl WorkerClock {
    /// Date and time, CLOCK_REALTIME: as wrong as the test has [set](crate::Cloud::clock_ahead) it.
    pub fn now(&self) -> SystemTime {
        self.worker.clock_is_off().apply(self.cloud.at(self.boottime()))
    }

    /// Time since the making of the cloud, all of it: CLOCK_BOOTTIME.
    pub fn boottime(&self) -> Duration {
        let state = *self.worker.freezing.lock();
        state.frozen.map_or_else(|| self.cloud.elapsed(), |frozen| frozen.since)
    }

    /// Time since the making of the cloud without that in which the machine slept ([`Cloud::suspend`]): CLOCK_MONOTONIC.
    ///
    /// [`Cloud::suspend`]: crate::Cloud::suspend
    pub fn monotonic(&self) -> Duration {
        let asleep = self.worker.freezing.lock().asleep;
        self.boottime().saturating_sub(asleep)
    }

    /// A timer of the worker: resolves when its [monotonic](Self::monotonic) clock has gone on by `duration`, and never
    /// while it stands still.
    ///
    /// Cancel safe.
    pub async fn sleep(&self, duration: Duration) {
        let due = self.monotonic().saturating_add(duration);
        loop {
            self.worker.freezing.thawed().await;
            let left = due.saturating_sub(self.monotonic());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Runs `future` as a part of the worker: while the worker is frozen the future is not polled.
    pub(crate) async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            self.worker.freezing.thawed().await;
            // Without an output when it was woken while the worker stood still: it is polled at the thaw instead.
            let output = poll_fn(|context| match self.worker.freezing.is_frozen() {
                true => Poll::Ready(None),
                false => future.as_mut().poll(context).map(Some),
            });
            if let Some(output) = output.await {
                return output;
            }
        }
    }
}

impl TimeSource for WorkerClock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

impl AsyncSleep for WorkerClock {
    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.clone();
        Sleep::new(async move { clock.sleep(duration).await })
    }
}
