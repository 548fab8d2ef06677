//! The rate limiter of a shard.

use std::time::Duration;

use crate::clock::Tick;
use crate::settings::RateLimit;

/// The token buckets of one shard. Both must have enough for a Kinesis record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limiter {
    records: Bucket,
    bytes: Bucket,
}

impl Limiter {
    /// Makes full buckets.
    pub(crate) const fn new(limit: RateLimit) -> Self {
        Self { records: Bucket::new(limit.records_per_second), bytes: Bucket::new(limit.bytes_per_second) }
    }

    /// Returns when there are enough tokens for a Kinesis record of this many bytes.
    pub(crate) fn ready_at(&self, bytes: usize) -> Tick {
        self.records.ready_at(1).max(self.bytes.ready_at(bytes as u64))
    }

    /// Inherits what a parent shard was sent.
    ///
    /// A walk-through of the race:
    ///
    /// 1. A shard is split. The service writes records to the child, but the producer still has the old map.
    /// 2. The producer sends a burst by the parent's limiter. Part of it lands on the child.
    /// 3. The new map arrives. With full buckets the child would get a second burst within the same second (P7).
    pub(crate) fn inherit(&mut self, now: Tick, parent: &Self) {
        self.records.inherit(now, &parent.records);
        self.bytes.inherit(now, &parent.bytes);
    }

    /// Takes the tokens for a Kinesis record of this many bytes. The caller has waited for
    /// [`ready_at`](Self::ready_at).
    pub(crate) fn take(&mut self, now: Tick, bytes: usize) {
        debug_assert!(self.ready_at(bytes) <= now, "tokens taken that are not there");
        self.records.take(now, 1);
        self.bytes.take(now, bytes as u64);
    }
}

/// A bucket that holds the tokens of one second. It is stored as the time at which it will be full again, so there is
/// nothing to refill and no fraction of a token is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bucket {
    per_second: u64,
    full_at: Tick,
}

impl Bucket {
    const fn new(per_second: u64) -> Self {
        Self { per_second, full_at: Tick::ZERO }
    }

    /// Returns when there are enough tokens. A cost larger than the bucket waits for a full bucket and leaves a debt.
    /// Otherwise it would wait for ever.
    fn ready_at(&self, tokens: u64) -> Tick {
        self.full_at.before(BURST.saturating_sub(self.time_to_refill(tokens)))
    }

    fn take(&mut self, now: Tick, tokens: u64) {
        self.full_at = self.full_at.max(now) + self.time_to_refill(tokens);
    }

    fn inherit(&mut self, now: Tick, parent: &Self) {
        self.full_at = self.full_at.max(now) + parent.full_at.since(now);
    }

    fn time_to_refill(&self, tokens: u64) -> Duration {
        let nanos = (u128::from(tokens) * 1_000_000_000).div_ceil(u128::from(self.per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The service's buckets hold about a second. A larger burst would be throttled.
const BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::at;

    const SHARD: RateLimit = RateLimit { records_per_second: 1000, bytes_per_second: 1 << 20 };

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let mut limiter = Limiter::new(SHARD);
        for _ in 0..1000 {
            assert_eq!(limiter.ready_at(1), at(0));
            limiter.take(at(0), 1);
        }
        assert_eq!(limiter.ready_at(1), at(1));
        limiter.take(at(1), 1);
        assert_eq!(limiter.ready_at(1), at(2));
        // After a pause of any length there is one second's worth, not more.
        for _ in 0..1000 {
            assert!(limiter.ready_at(1) <= at(3_600_000));
            limiter.take(at(3_600_000), 1);
        }
        assert_eq!(limiter.ready_at(1), at(3_600_001));
    }

    #[test]
    fn a_record_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt() {
        let mut limiter = Limiter::new(SHARD);
        limiter.take(at(0), 512 << 10);
        assert_eq!(limiter.ready_at(10 << 20), at(500), "when the bucket is full again");
        limiter.take(at(500), 10 << 20);
        assert_eq!(limiter.ready_at(0), at(9_500), "ten seconds' worth, less the burst");
        assert_eq!(limiter.ready_at(1 << 20), at(10_500));
    }

    #[test]
    fn a_shard_begins_with_what_its_parents_were_sent() {
        let mut parents = [Limiter::new(SHARD), Limiter::new(SHARD)];
        let mut child = Limiter::new(SHARD);
        for (parent, records) in parents.iter_mut().zip([600, 300]) {
            (0..records).for_each(|_| parent.take(at(1000), 1));
        }
        child.inherit(at(1100), &parents[0]);
        child.inherit(at(1100), &parents[1]);
        // 500 and 200 of them still count.
        for _ in 0..300 {
            assert!(child.ready_at(1) <= at(1100));
            child.take(at(1100), 1);
        }
        assert_eq!(child.ready_at(1), at(1101));
        // Long afterwards there is nothing to inherit.
        let mut late = Limiter::new(SHARD);
        late.inherit(at(9000), &parents[0]);
        assert_eq!(late.ready_at(1 << 20), at(9000), "a full bucket");
    }

    #[test]
    fn unlimited_never_waits() {
        let mut limiter = Limiter::new(RateLimit::UNLIMITED);
        for _ in 0..100_000 {
            assert_eq!(limiter.ready_at(10 << 20), at(0));
            limiter.take(at(0), 10 << 20);
        }
    }

    proptest! {
        /// P7: no window exceeds rate and burst. A record larger than the burst counts instead of the burst.
        #[test]
        fn no_window_exceeds_rate_and_burst(
            steps in prop::collection::vec((0u64..3_000_000, 0usize..3 << 20), 1..200),
            records_per_second in 1u64..2000,
            bytes_per_second in 1u64..4 << 20,
        ) {
            let limit = RateLimit { records_per_second, bytes_per_second };
            let mut limiter = Limiter::new(limit);
            let mut now = Tick::ZERO;
            let mut sent = Vec::new();
            for (micros, bytes) in steps {
                now = (now + Duration::from_micros(micros)).max(limiter.ready_at(bytes));
                limiter.take(now, bytes);
                sent.push((now, bytes));
            }
            for (i, &(from, _)) in sent.iter().enumerate() {
                let (mut records, mut bytes, mut largest) = (0u128, 0u128, 0u128);
                for &(to, size) in &sent[i..] {
                    records += 1;
                    bytes += size as u128;
                    largest = largest.max(size as u128);
                    let window = to.since(from).as_nanos() + 1_000_000_000;
                    prop_assert!(records * 1_000_000_000 <= u128::from(records_per_second) * window);
                    let allowed = u128::from(bytes_per_second) * window;
                    let extra = largest.saturating_sub(u128::from(bytes_per_second)) * 1_000_000_000;
                    prop_assert!(bytes * 1_000_000_000 <= allowed + extra);
                }
            }
        }
    }
}
