//! Limits how often an event is logged.

use std::time::Duration;

use crate::clock::Tick;

/// Limits the log lines about a repeated event: the first is logged at once, and then at most one per [`PAUSE`], with a
/// count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LogLimiter {
    last: Option<Tick>,
    waiting: u64,
}

impl LogLimiter {
    /// Counts the event. Returns the count to log, if a line is due now.
    pub(crate) fn happened(&mut self, times: u64, now: Tick) -> Option<u64> {
        self.waiting += times;
        self.due(now)
    }

    /// Returns the count to log, if events wait and a line is due.
    pub(crate) fn due(&mut self, now: Tick) -> Option<u64> {
        if self.due_at()? > now {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.waiting))
    }

    /// Returns when to call [`due`](Self::due) next. `None` if no event waits.
    pub(crate) fn due_at(&self) -> Option<Tick> {
        (self.waiting > 0).then(|| self.last.map_or(Tick::ZERO, |last| last + PAUSE))
    }

    /// Returns the count of events that wait, at the end of the producer.
    pub(crate) fn rest(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.waiting)).filter(|times| *times > 0)
    }
}

/// Often enough to be noticed, and rare enough for a log.
const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at;

    #[test]
    fn the_first_time_at_once_and_then_once_a_minute_with_the_count() {
        let mut limiter = LogLimiter::default();
        assert_eq!(limiter.due(at(0)), None);
        assert_eq!(limiter.happened(3, at(1000)), Some(3));
        assert_eq!((limiter.happened(1, at(2000)), limiter.happened(4, at(60_999))), (None, None));
        assert_eq!(limiter.due_at(), Some(at(61_000)));
        assert_eq!(limiter.due(at(61_000)), Some(5));
        assert_eq!((limiter.due(at(200_000)), limiter.due_at()), (None, None), "nothing happened since");
        assert_eq!(limiter.happened(1, at(200_000)), Some(1));
        assert_eq!((limiter.happened(2, at(200_001)), limiter.rest(), limiter.rest()), (None, Some(2), None));
    }
}
