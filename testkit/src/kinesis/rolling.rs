//! How often something was done in the last 24 hours.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Tick;

/// The points in time at which something was done, oldest first. What a limit refuses is not in it, so it holds no more
/// than the limit allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct RollingDay {
    times: VecDeque<Tick>,
}

impl RollingDay {
    /// Whether it may be done once more, when `most` times in 24 hours are allowed.
    pub(crate) fn allows(&mut self, most: usize, now: Tick) -> bool {
        while self.times.front().is_some_and(|oldest| *oldest + DAY <= now) {
            self.times.pop_front();
        }
        self.times.len() < most
    }

    /// Counts one. Without a limit nothing is kept: nobody will ask.
    pub(crate) fn count(&mut self, most: usize, now: Tick) {
        if most != usize::MAX {
            self.times.push_back(now);
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_again_when_the_oldest_is_a_day_old() {
        let hour = |n: u64| Duration::from_secs(n * 3600);
        let mut day = RollingDay::default();
        for n in [0, 1] {
            assert!(day.allows(2, hour(n)));
            day.count(2, hour(n));
        }
        assert!(!day.allows(2, hour(24) - Duration::from_millis(1)));
        assert!(day.allows(2, hour(24)));
        day.count(2, hour(24));
        assert!(!day.allows(2, hour(24)));
        assert!(day.allows(2, hour(25)));
    }
}
