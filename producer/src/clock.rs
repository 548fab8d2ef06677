//! Time as decisions see it: a duration since the producer started, so that states can be compared and shifted.

use std::ops::Add;
use std::time::Duration;

use tokio::time::Instant;

/// A point in time, as the duration since the start of its [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tick(Duration);

impl Tick {
    /// The start.
    pub(crate) const ZERO: Self = Self(Duration::ZERO);

    /// Returns how much later this tick is than `earlier`, or zero.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the tick that lies `by` before this one, but not before the start.
    pub(crate) const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, later_by: Duration) -> Self {
        Self(self.0.saturating_add(later_by))
    }
}

/// Tokio's clock. It never jumps, and stands still in a paused test.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Tick {
        Tick(self.start.elapsed())
    }

    /// Returns the instant at which this clock shows `tick`.
    pub(crate) fn instant(&self, tick: Tick) -> Instant {
        self.start.checked_add(tick.0).unwrap_or_else(|| self.start + FAR)
    }
}

/// Ten years: practically never, and no overflow of the platform's instants.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Returns the tick this many milliseconds after the start.
#[cfg(test)]
pub(crate) const fn at(millis: u64) -> Tick {
    Tick(Duration::from_millis(millis))
}
