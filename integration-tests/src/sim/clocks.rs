//! Workers' clocks that run too fast or too slow, and wall clocks that are set while a worker runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use kinesis_testkit::WorkerClock;

/// How the clocks of one place are wrong. All its lives have them, as processes on one machine do. Clones share the wall
/// clock.
#[derive(Debug, Clone)]
pub(crate) struct Clocks {
    /// How long a second lasts on it.
    rate: f64,
    /// Seconds that its wall clock is ahead.
    ahead: Arc<AtomicI64>,
}

impl Clocks {
    pub(crate) fn new(per_mille_fast: i32, ahead: i64) -> Self {
        Self { rate: 1.0 + f64::from(per_mille_fast) / 1000.0, ahead: Arc::new(AtomicI64::new(ahead)) }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The clock by which the worker judges its leases.
    pub(crate) fn monotonic(&self, real: WorkerClock) -> impl Fn() -> Duration + Send + Sync + use<> {
        let rate = self.rate;
        move || real.boottime().mul_f64(rate)
    }

    pub(crate) fn wall_clock(&self, real: WorkerClock) -> SharedTimeSource {
        SharedTimeSource::new(WallClock { real, ahead: Arc::clone(&self.ahead) })
    }
}

#[derive(Debug)]
struct WallClock {
    real: WorkerClock,
    ahead: Arc<AtomicI64>,
}

impl TimeSource for WallClock {
    fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { self.real.now() - by } else { self.real.now() + by }
    }
}
