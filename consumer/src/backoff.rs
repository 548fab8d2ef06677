//! How long to wait before a failed call is repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// Pauses between attempts: each is drawn evenly between zero and a bound, which doubles from `first` up to `max`.
///
/// Drawing from the whole interval spreads callers that failed together better than a fixed pause with a small random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The bound of the first pause.
    pub first: Duration,
    /// The bound of any pause.
    pub max: Duration,
}

impl Backoff {
    /// Creates pauses of up to `first`, twice that, four times that, and so on up to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    pub(crate) fn pauses(self, rng: fastrand::Rng) -> Pauses {
        Pauses { backoff: self, bounds: self.bounds(), rng }
    }

    fn bounds(self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.first.min(self.max))
            .with_max_delay(self.max)
            .without_max_times()
            .build()
    }
}

/// The pauses of one caller.
#[derive(Debug)]
pub(crate) struct Pauses {
    backoff: Backoff,
    bounds: ExponentialBackoff,
    rng: fastrand::Rng,
}

impl Pauses {
    /// Returns how long to wait now.
    pub(crate) fn draw(&mut self) -> Duration {
        let bound = self.bounds.next().unwrap_or(self.backoff.max);
        bound.mul_f64(self.rng.f64())
    }

    /// Starts again with the shortest pause: a call succeeded.
    pub(crate) fn restart(&mut self) {
        self.bounds = self.backoff.bounds();
    }
}

/// How long a failing operation is retried. Counted from its first failure: time waited before that, for example for a table
/// that is being created, does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Patience {
    limit: Duration,
    /// When it failed first, on the same clock as the `now` of [`failed`](Self::failed).
    first_failure: Option<Duration>,
    failures: u32,
}

impl Patience {
    pub(crate) const fn of(limit: Duration) -> Self {
        Self { limit, first_failure: None, failures: 0 }
    }

    /// Records a failure at `now`, a time since any fixed moment. Returns `true` if it is worth another attempt after `pause`.
    pub(crate) fn failed(&mut self, now: Duration, pause: Duration) -> bool {
        let first = *self.first_failure.get_or_insert(now);
        self.failures += 1;
        now.saturating_sub(first).saturating_add(pause) < self.limit
    }

    /// Records a success: the next failure counts as the first one.
    pub(crate) const fn restart(&mut self) {
        *self = Self::of(self.limit);
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Excludes time spent waiting for something else.
    fn apart(&mut self, waited: Duration) {
        self.first_failure = self.first_failure.map(|first| first.saturating_add(waited));
    }

    /// Returns how much longer it is retried from `now` on.
    fn left(&self, now: Duration) -> Duration {
        self.limit.saturating_sub(now.saturating_sub(self.first_failure.unwrap_or(now)))
    }
}

/// The patience of one start: one limit for all its calls, counted from the first failure of any. Clones share it.
///
/// A success does not reset it: a start whose calls keep failing here and there ends too.
#[derive(Clone, Debug)]
pub(crate) struct StartPatience {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// A std mutex: held for a comparison, never across an await.
    patience: Mutex<Patience>,
    ended: AtomicBool,
}

impl StartPatience {
    pub(crate) fn new() -> Self {
        let patience = Mutex::new(Patience::of(START));
        Self { shared: Arc::new(Shared { begun: Instant::now(), patience, ended: AtomicBool::new(false) }) }
    }

    /// Records a failed call, which would be retried after `pause`. Returns how long failures are tolerated from now on, or
    /// `None` if this one is not worth another attempt.
    pub(crate) fn failed(&self, pause: Duration) -> Option<Duration> {
        let now = self.shared.begun.elapsed();
        let mut patience = self.patience();
        patience.failed(now, pause).then(|| patience.left(now))
    }

    /// Excludes time spent waiting for a stream or a table that is being created.
    pub(crate) fn apart(&self, waited: Duration) {
        self.patience().apart(waited);
    }

    /// Records that the start has ended: the worker runs.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed)
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.shared.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Long enough for a short outage, for new keys to be known everywhere, for a token to be renewed.
const START: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_its_limit_and_starts_again() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(700));
        // The largest of many draws comes close to the bound and never passes it.
        let mut largest = [Duration::ZERO; 6];
        for seed in 0..500 {
            let mut pauses = backoff.pauses(fastrand::Rng::with_seed(seed));
            for largest in &mut largest {
                *largest = (*largest).max(pauses.draw());
            }
            pauses.restart();
            assert!(pauses.draw() <= backoff.first);
        }
        for (largest, bound) in largest.into_iter().zip([100, 200, 400, 700, 700, 700].map(Duration::from_millis)) {
            assert!(largest <= bound && largest > bound.mul_f64(0.95), "{largest:?} of {bound:?}");
        }
    }

    #[test]
    fn patience_is_counted_from_the_first_failure_in_a_row() {
        let at = Duration::from_secs;
        let mut patience = Patience::of(at(30));
        assert!(patience.failed(at(300), at(5)) && patience.failed(at(324), at(5)));
        assert_eq!((patience.failed(at(325), at(5)), patience.failures()), (false, 3));
        patience.restart();
        assert_eq!(patience, Patience::of(at(30)));
        assert!(patience.failed(at(330), at(5)));
        assert!(!patience.failed(at(330), Duration::MAX));
    }

    #[test]
    fn time_that_is_waited_apart_does_not_count() {
        let at = Duration::from_secs;
        let mut patience = Patience::of(at(30));
        patience.apart(at(100));
        assert_eq!(patience.left(at(300)), at(30), "nothing has failed yet");
        assert!(patience.failed(at(300), at(5)));
        patience.apart(at(60));
        assert!(patience.failed(at(380), at(5)));
        assert_eq!(patience.left(at(380)), at(10));
        assert!(!patience.failed(at(385), at(5)));
        assert_eq!(patience.left(at(500)), Duration::ZERO);
    }

    #[test]
    fn the_same_seed_draws_the_same_pauses() {
        let draws = |seed| {
            let mut pauses =
                Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).pauses(fastrand::Rng::with_seed(seed));
            [(); 10].map(|()| pauses.draw())
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }
}
