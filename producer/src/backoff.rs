//! How long to wait before a retry.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Draws the wait before the `retry`-th retry, counted from 1, by *full jitter*: between zero and a bound that grows
/// exponentially.
///
/// Half of the retries come sooner than with a fixed backoff, and half later. So requests that failed together do not
/// return together. backon's own jitter only adds to the bound, so the wait is drawn here.
pub(crate) fn full_jitter(bounds: ExponentialBuilder, retry: u32, rng: &mut fastrand::Rng) -> Duration {
    let bound = bounds.build().nth(retry.clamp(1, MAX_STEPS) as usize - 1).unwrap_or_default();
    bound.mul_f64(rng.f64())
}

/// For entries of a request. A throttled shard has tokens again within a second, and a record has a TTL of 30 s by
/// default.
pub(crate) const ENTRIES: ExponentialBuilder = bounds(Duration::from_millis(100), Duration::from_secs(3));

/// For listings of shards, also for the first attempt of a running producer: all producers of a fleet notice a reshard
/// at the same moment, and the service allows 1000 calls a second per stream.
pub(crate) const LISTINGS: ExponentialBuilder = bounds(Duration::from_millis(500), Duration::from_secs(5));

/// For the question about the stream at the start, when other producers of the account may start, too.
pub(crate) const SUMMARIES: ExponentialBuilder = bounds(Duration::from_millis(500), Duration::from_secs(4));

/// Between two listings of shards of a running producer.
pub(crate) const LISTING_GAP: Duration = Duration::from_secs(1);

const fn bounds(first: Duration, most: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(most).without_max_times()
}

/// The bound has stopped growing long before.
const MAX_STEPS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_from_the_first_to_the_most() {
        let mut rng = fastrand::Rng::with_seed(7);
        for (retry, bound) in [(0, 100), (1, 100), (2, 200), (3, 400), (5, 1600), (6, 3000), (1000, 3000)] {
            let waits: Vec<_> = (0..1000).map(|_| full_jitter(ENTRIES, retry, &mut rng)).collect();
            let bound = Duration::from_millis(bound);
            assert!(waits.iter().all(|wait| *wait <= bound), "retry {retry}");
            let mean = waits.iter().sum::<Duration>() / 1000;
            assert!(mean > bound.mul_f64(0.45) && mean < bound.mul_f64(0.55), "retry {retry}: mean {mean:?}");
        }
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let draw = |seed| full_jitter(LISTINGS, 3, &mut fastrand::Rng::with_seed(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
