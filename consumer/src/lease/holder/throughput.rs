//! The rate at which a lease's records are delivered, as it is published with the lease.

use std::time::Duration;

use crate::clock::Tick;

/// An exponential moving average over sample intervals, as the KCL keeps it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throughput {
    kib_per_s: Option<f64>,
    sampled: Tick,
    bytes: u64,
}

impl Throughput {
    /// Starts from what the former owner published.
    pub(crate) const fn starting(published: Option<f64>, now: Tick) -> Self {
        Self { kib_per_s: published, sampled: now, bytes: 0 }
    }

    /// Records how many bytes have been delivered in all; too short an interval is left to the next call.
    pub(crate) fn sample(&mut self, now: Tick, bytes: u64) {
        let interval = now.since(self.sampled);
        if interval < INTERVAL {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate of 2^53 bytes in some seconds is out of reach")]
        let rate = (bytes - self.bytes) as f64 / 1024.0 / interval.as_secs_f64();
        // No value before the first data, so that an idle shard does not publish a zero it never measured.
        self.kib_per_s = match self.kib_per_s {
            Some(average) => Some(ALPHA * rate + (1.0 - ALPHA) * average),
            None if rate > 0.0 => Some(rate),
            None => None,
        };
        self.sampled = now;
        self.bytes = bytes;
    }

    /// The average, if there has been any data.
    pub(crate) const fn kib_per_s(&self) -> Option<f64> {
        self.kib_per_s
    }
}

/// The KCL's smoothing.
const ALPHA: f64 = 0.5;

/// The KCL samples with its renewals, every 3.3 s by default; checkpoints come more often.
const INTERVAL: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_whole_intervals_and_starts_with_the_first_data() {
        let at = |seconds| Tick::new(Duration::from_secs(seconds));
        let mut rate = Throughput::starting(None, at(0));
        rate.sample(at(4), 0);
        assert_eq!(rate, Throughput { kib_per_s: None, sampled: at(4), bytes: 0 });
        rate.sample(at(5), 4096);
        assert_eq!(rate, Throughput { kib_per_s: None, sampled: at(4), bytes: 0 });
        rate.sample(at(8), 4096);
        assert_eq!(rate, Throughput { kib_per_s: Some(1.0), sampled: at(8), bytes: 4096 });
        rate.sample(at(12), 4096);
        assert_eq!(rate, Throughput { kib_per_s: Some(0.5), sampled: at(12), bytes: 4096 });
    }
}
