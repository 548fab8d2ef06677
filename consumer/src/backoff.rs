//! How long to wait before a failed call is repeated.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses between attempts: each drawn evenly between nothing and a bound, which doubles from `first` up to `max`.
///
/// Drawing from the whole interval spreads callers that failed together better than adding a little to a fixed pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The longest that the first pause can be.
    pub first: Duration,
    /// The longest that any pause can be.
    pub max: Duration,
}

impl Backoff {
    /// Pauses of up to `first`, twice that, four times that, and so on up to `max`.
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
    /// How long to wait now.
    pub(crate) fn draw(&mut self) -> Duration {
        let bound = self.bounds.next().unwrap_or(self.backoff.max);
        bound.mul_f64(self.rng.f64())
    }

    /// Begins again with the shortest: a call succeeded.
    pub(crate) fn restart(&mut self) {
        self.bounds = self.backoff.bounds();
    }
}

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
