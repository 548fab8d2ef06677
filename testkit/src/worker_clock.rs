//! The clocks of one worker: they stand still while it is frozen, and its date may be wrong.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;

use crate::clock::Clock;
use crate::worker::Worker;

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
        self.worker.freezing.frozen_since().unwrap_or_else(|| self.cloud.elapsed())
    }

    /// Time since the making of the cloud without that in which the machine slept ([`Cloud::suspend`]): CLOCK_MONOTONIC.
    ///
    /// [`Cloud::suspend`]: crate::Cloud::suspend
    pub fn monotonic(&self) -> Duration {
        self.boottime().saturating_sub(self.worker.freezing.asleep())
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
