//! The time of a cloud: tokio's clock, counted from a fixed date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::time::Instant;

/// A point in time as the services see it: time since the Unix epoch.
///
/// A `Duration` and not an `Instant`, so that states that hold one can be compared and hashed.
pub(crate) type Tick = Duration;

/// The clock of one cloud. It stands still and jumps with tokio's clock, in paused and in real time alike.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Tick,
    start: Instant,
}

impl Clock {
    pub(crate) fn starting_at(epoch: SystemTime) -> Self {
        // A date before 1970 means 1970: the services cannot express an earlier one.
        Self { epoch: epoch.duration_since(UNIX_EPOCH).unwrap_or_default(), start: Instant::now() }
    }

    /// The date and time in the cloud.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.tick()
    }

    /// Time since the cloud was made.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The date and time `elapsed` after the making of the cloud.
    pub(crate) fn at(&self, elapsed: Duration) -> SystemTime {
        UNIX_EPOCH + self.epoch + elapsed
    }

    /// How long after the making of the cloud this is.
    pub(crate) fn elapsed_at(&self, tick: Tick) -> Duration {
        tick.saturating_sub(self.epoch)
    }

    pub(crate) fn tick(&self) -> Tick {
        self.epoch + self.elapsed()
    }
}

/// How far a worker's date is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Off {
    #[default]
    Not,
    Ahead(Duration),
    Behind(Duration),
}

impl Off {
    /// What the worker takes for the date. A date before 1970 means 1970.
    pub(crate) fn apply(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Not => now,
            Self::Ahead(by) => now.checked_add(by).unwrap_or(now),
            Self::Behind(by) => now.checked_sub(by).map_or(UNIX_EPOCH, |at| at.max(UNIX_EPOCH)),
        }
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

impl dynoxide::storage_backend::Clock for Clock {
    fn now_unix_secs(&self) -> u64 {
        self.tick().as_secs()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.tick().as_secs_f64()
    }
}

/// 2026-01-01T00:00:00Z: a date that real programs accept, the same in every run.
pub(crate) fn default_epoch() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}
