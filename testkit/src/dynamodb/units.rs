//! Capacity units: what a table gives in a second, and what it saved up.

use crate::clock::Tick;
use crate::dynamodb::settings::Throughput;

/// Refills at a rate and holds what a burst may take. Counts in thousandths, so that half a unit is a whole number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Units {
    /// Thousandths a second.
    rate: u128,
    most: i128,
    /// In billionths of a thousandth. Negative after a call that took more than there was.
    level: i128,
    at: Tick,
}

impl Units {
    pub(crate) fn full(per_second: u64, throughput: Throughput, now: Tick) -> Self {
        let rate = u128::from(per_second) * 1000;
        // At least one second's worth: less could never be taken in one piece.
        let burst = throughput.burst.as_nanos().max(NANOS as u128);
        let most = i128::try_from(rate.saturating_mul(burst)).unwrap_or(i128::MAX);
        Self { rate, most, level: most, at: now }
    }

    /// Whether `units` are there. What is more than a full burst goes through when all of it is there.
    pub(crate) fn holds(&mut self, units: f64, now: Tick) -> bool {
        self.refill(now);
        self.most > 0 && self.level >= fine(units).min(self.most)
    }

    /// Whether `units` are there, however many that is.
    pub(crate) fn has(&mut self, units: f64, now: Tick) -> bool {
        self.refill(now);
        self.level >= fine(units)
    }

    pub(crate) fn take(&mut self, units: f64, now: Tick) {
        self.refill(now);
        self.level = self.level.saturating_sub(fine(units));
    }

    fn refill(&mut self, now: Tick) {
        let gained = now.saturating_sub(self.at).as_nanos().saturating_mul(self.rate);
        self.level = self.level.saturating_add(i128::try_from(gained).unwrap_or(i128::MAX)).min(self.most);
        self.at = self.at.max(now);
    }
}

fn fine(units: f64) -> i128 {
    // Units come in halves: the product is whole.
    (units * 1000.0) as i128 * NANOS
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
    fn half_units_count_and_the_rate_holds() {
        let mut units = Units::full(2, Throughput::new(2, 2), ms(0));
        for _ in 0..4 {
            assert!(units.holds(0.5, ms(0)));
            units.take(0.5, ms(0));
        }
        assert!(!units.holds(0.5, ms(249)) && units.holds(0.5, ms(250)));
        assert!(!units.holds(1.0, ms(499)) && units.holds(1.0, ms(500)));
    }

    #[test]
    fn a_burst_saves_up_what_was_not_used() {
        let throughput = Throughput::new(10, 10).burst(Duration::from_secs(300));
        let mut units = Units::full(10, throughput, ms(0));
        assert!(units.holds(3000.0, ms(0)));
        units.take(3000.0, ms(0));
        assert!(!units.holds(1.0, ms(99)) && units.holds(1.0, ms(100)));
        assert!(!units.holds(3000.0, ms(299_999)) && units.holds(3000.0, ms(300_000)));
    }

    #[test]
    fn what_is_larger_than_a_burst_goes_through_when_it_is_full_and_leaves_a_debt() {
        let mut units = Units::full(5, Throughput::new(5, 5), ms(0));
        assert!(units.holds(20.0, ms(0)));
        units.take(20.0, ms(0));
        assert!(!units.holds(1.0, ms(3100)) && units.holds(1.0, ms(3200)));
    }

    #[test]
    fn without_any_nothing_is_held() {
        let mut units = Units::full(0, Throughput::new(0, 0), ms(0));
        assert!(!units.holds(0.5, ms(60_000)), "no capacity, no call");
    }
}
