//! A token bucket in whole numbers: the same answers on every machine.

use std::collections::BTreeMap;

use crate::clock::Tick;

/// One bucket for each operation that was called.
pub(crate) type Buckets = BTreeMap<String, Bucket>;

/// Refills at `rate` a second and holds one second's worth.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    rate: u64,
    /// In billionths of a token: a nanosecond adds exactly `rate` of them. Negative after a record larger than the
    /// bucket.
    level: i128,
    at: Tick,
}

impl Bucket {
    pub(crate) fn full(rate: u64, now: Tick) -> Self {
        Self { rate, level: i128::from(rate) * NANOS, at: now }
    }

    /// Whether `n` tokens are there. What is larger than the whole bucket goes through when the bucket is full; a bucket
    /// without a rate lets nothing through.
    pub(crate) fn holds(&mut self, n: u64, now: Tick) -> bool {
        self.refill(now);
        (self.rate > 0 || n == 0) && self.level >= i128::from(n.min(self.rate)) * NANOS
    }

    pub(crate) fn take(&mut self, n: u64, now: Tick) {
        self.refill(now);
        self.level -= i128::from(n) * NANOS;
    }

    /// From when on [`holds`](Self::holds) is true if nothing more is taken.
    pub(crate) fn ready_at(&mut self, n: u64, now: Tick) -> Tick {
        self.refill(now);
        if self.rate == 0 && n > 0 {
            return Tick::MAX;
        }
        let missing = i128::from(n.min(self.rate)) * NANOS - self.level;
        if missing <= 0 {
            return now;
        }
        let nanos = missing.checked_div(i128::from(self.rate)).map_or(i128::MAX, |whole| whole + 1);
        now.saturating_add(u64::try_from(nanos).map_or(Tick::MAX, Tick::from_nanos))
    }

    fn refill(&mut self, now: Tick) {
        let elapsed = now.saturating_sub(self.at).as_nanos() as i128;
        let full = i128::from(self.rate) * NANOS;
        self.level = elapsed.saturating_mul(i128::from(self.rate)).saturating_add(self.level).min(full);
        self.at = self.at.max(now);
    }
}

const NANOS: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn ms(n: u64) -> Tick {
        Duration::from_millis(n)
    }

    #[test]
    fn refills_at_its_rate_and_never_over_one_second() {
        let mut bucket = Bucket::full(1000, ms(0));
        bucket.take(1000, ms(0));
        assert!(!bucket.holds(1, ms(0)));
        assert!(bucket.holds(1, ms(1)));
        assert!(bucket.holds(500, ms(500)) && !bucket.holds(501, ms(500)));
        assert!(bucket.holds(1000, ms(60_000)));
        bucket.take(1000, ms(60_000));
        assert!(!bucket.holds(1, ms(60_000)));
    }

    #[test]
    fn what_is_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt() {
        let mut bucket = Bucket::full(100, ms(0));
        assert!(bucket.holds(250, ms(0)));
        bucket.take(250, ms(0));
        assert!(!bucket.holds(1, ms(1500)));
        assert!(bucket.holds(1, ms(1510)));
    }

    #[test]
    fn says_when_it_will_hold_enough() {
        let mut bucket = Bucket::full(1000, ms(0));
        assert_eq!(bucket.ready_at(1000, ms(0)), ms(0));
        bucket.take(1500, ms(0));
        let ready = bucket.ready_at(1, ms(0));
        assert!(!bucket.clone().holds(1, ms(500)) && bucket.holds(1, ready) && ready <= ms(502), "{ready:?}");
    }

    #[test]
    fn without_a_rate_lets_nothing_through() {
        let mut bucket = Bucket::full(0, ms(0));
        assert!(!bucket.holds(1, ms(0)) && !bucket.holds(1, ms(60_000)) && bucket.holds(0, ms(0)));
        assert_eq!((bucket.ready_at(1, ms(7)), bucket.ready_at(0, ms(7))), (Tick::MAX, ms(7)));
    }

    #[test]
    fn without_limit_never_runs_dry() {
        let mut bucket = Bucket::full(u64::MAX, ms(0));
        for _ in 0..1000 {
            assert!(bucket.holds(u64::MAX, ms(1)) || bucket.holds(1 << 40, ms(1)));
            bucket.take(1 << 40, ms(1));
        }
        assert!(bucket.holds(1 << 40, Duration::MAX));
    }
}
