//! Time as the decisions use it: a duration since the worker started, so that states can be compared, hashed and shifted.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A point in time: a duration since the start of its [`Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(Duration);

impl Tick {
    /// Creates the tick that is `since_start` after the start of the clock.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Returns how long after the start of the clock this is.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Returns how much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, later_by: Duration) -> Self {
        Self(self.0.saturating_add(later_by))
    }
}

impl Sub<Duration> for Tick {
    type Output = Self;

    fn sub(self, earlier_by: Duration) -> Self {
        Self(self.0.saturating_sub(earlier_by))
    }
}

/// The clock by which a holder judges that its lease has expired.
///
/// It is tokio's clock, which stops in a paused test, plus the time for which the machine was suspended. Tokio reads
/// CLOCK_MONOTONIC, which stops while a laptop or a virtual machine sleeps: a worker that woke up after an hour would take its
/// leases for fresh. CLOCK_BOOTTIME goes on; the difference of the two is the time asleep.
///
/// A test can set another [`Reading`], which stands still while a worker is frozen and jumps when it resumes.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    suspended_at_start: Duration,
    /// The longest suspension seen, in nanoseconds. It never shrinks, so the clock never goes back.
    suspended: AtomicU64,
    /// A reading that replaces tokio's clock and the suspension, and its value at the start.
    given: Option<(Reading, Duration)>,
}

/// A clock from outside: the time since any fixed moment. It never goes back.
#[derive(Clone)]
pub struct Reading(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Reading {
    /// Creates a clock that reads `now`.
    #[must_use]
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&(self.0)()).finish()
    }
}

impl Clock {
    /// Creates a clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        // The upper bound here and the lower bound later: a thread that is descheduled between two readings never looks like a
        // suspension.
        Self { start: Instant::now(), suspended_at_start: suspension().1, suspended: AtomicU64::new(0), given: None }
    }

    /// Creates a clock that starts now and continues with `reading`, or with the machine's clocks if it is `None`.
    #[must_use]
    pub fn start_with(reading: Option<Reading>) -> Self {
        let given = reading.map(|reading| {
            let start = (reading.0)();
            (reading, start)
        });
        Self { given, ..Self::start() }
    }

    /// Returns the time now.
    #[must_use]
    pub fn now(&self) -> Tick {
        if let Some((reading, start)) = &self.given {
            return Tick((reading.0)().saturating_sub(*start));
        }
        let slept = suspension().0.saturating_sub(self.suspended_at_start);
        let slept = u64::try_from(slept.as_nanos()).unwrap_or(u64::MAX);
        let slept = self.suspended.fetch_max(slept, Ordering::Relaxed).max(slept);
        Tick(self.start.elapsed() + Duration::from_nanos(slept))
    }

    /// Returns the tokio instant at which this clock shows `tick`, as long as the machine is not suspended until then.
    #[must_use]
    pub fn instant(&self, tick: Tick) -> Instant {
        let ahead = tick.since(self.now());
        let now = Instant::now();
        // A time beyond the range of an instant is as good as never.
        now.checked_add(ahead).unwrap_or_else(|| now + NEVER)
    }
}

/// Thirty years: longer than any process runs, and within the range of an instant.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Returns a lower and an upper bound of how long the machine has been suspended since it booted.
#[cfg(target_os = "linux")]
fn suspension() -> (Duration, Duration) {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |t: Timespec| Duration::try_from(t).unwrap_or_default();
    let before = duration(clock_gettime(ClockId::Monotonic));
    let boot = duration(clock_gettime(ClockId::Boottime));
    let after = duration(clock_gettime(ClockId::Monotonic));
    (boot.saturating_sub(after), boot.saturating_sub(before))
}

/// Returns zero: without CLOCK_BOOTTIME a suspension is not seen.
#[cfg(not(target_os = "linux"))]
fn suspension() -> (Duration, Duration) {
    (Duration::ZERO, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_the_paused_clock_to_the_nanosecond() {
        let clock = Clock::start();
        assert_eq!(clock.now(), Tick::default());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Tick::new(Duration::from_secs(3600)));
    }

    #[tokio::test(start_paused = true)]
    async fn goes_on_with_a_reading_that_is_given_and_not_by_itself() {
        let shown = Arc::new(AtomicU64::new(40));
        let reading = Arc::clone(&shown);
        let reading = Reading::new(move || Duration::from_secs(reading.load(Ordering::Relaxed)));
        let clock = Clock::start_with(Some(reading));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Tick::default());
        shown.store(45, Ordering::Relaxed);
        assert_eq!(clock.now(), Tick::new(Duration::from_secs(5)));
        assert_eq!(clock.instant(Tick::new(Duration::from_secs(7))), Instant::now() + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_beyond_all_instants_is_far_away() {
        let clock = Clock::start();
        let far = clock.instant(clock.now() + Duration::MAX);
        assert!(far > Instant::now() + Duration::from_secs(365 * 24 * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_the_time_asleep_and_never_goes_back() {
        let clock = Clock::start();
        // As if the machine had slept for an hour since the start.
        clock.suspended.store(3_600_000_000_000, Ordering::Relaxed);
        assert_eq!(clock.now(), Tick::new(Duration::from_secs(3600)));
        assert_eq!(clock.now(), Tick::new(Duration::from_secs(3600)));
    }
}
