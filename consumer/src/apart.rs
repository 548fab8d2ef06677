//! Clients that share no connection, timer or cached credentials with the program's clients, for the thread of the leases.
//!
//! A connection is a task on the runtime that opened it, and stops when that runtime does. The SDK's HTTP client keeps one pool
//! of connections for each pair of connect and read timeouts. So a unique read timeout makes a pool of its own.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_types::timeout::TimeoutConfig;

/// A number that no other client of this process has while this value exists.
#[derive(Debug)]
pub(crate) struct Apart(u32);

/// The numbers in use. Numbers are reused, since each leaves a pool, empty by then, in the program's HTTP client.
static TAKEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

impl Apart {
    /// Takes the lowest free number.
    pub(crate) fn new() -> Self {
        let mut taken = taken();
        let number = (1..=u32::MAX).find(|number| !taken.contains(number)).expect("fewer clients than numbers");
        taken.insert(number);
        Self(number)
    }

    /// Returns the timeouts of a client with a read timeout that is longer by some nanoseconds. The read timeout is `read` if
    /// the client has none.
    pub(crate) fn timeouts(&self, own: Option<&TimeoutConfig>, read: Duration) -> TimeoutConfig {
        let read = own.and_then(TimeoutConfig::read_timeout).unwrap_or(read);
        let more = Duration::from_nanos(self.0.into());
        let timeouts = own.map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        timeouts.read_timeout(read.checked_add(more).unwrap_or(Duration::MAX - more)).build()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        taken().remove(&self.0);
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<u32>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps on the timers of the runtime that waits.
#[derive(Debug)]
pub(crate) struct OwnTimers;

impl AsyncSleep for OwnTimers {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Duration = Duration::from_secs(6);

    fn read_timeout(apart: &Apart, own: Option<&TimeoutConfig>) -> Duration {
        apart.timeouts(own, READ).read_timeout().expect("it is set")
    }

    #[test]
    fn no_two_that_exist_have_one_read_timeout_and_numbers_are_used_again() {
        let many: Vec<Apart> = (0..50).map(|_| Apart::new()).collect();
        let timeouts: BTreeSet<Duration> = many.iter().map(|apart| read_timeout(apart, None)).collect();
        assert_eq!(timeouts.len(), 50);
        assert!(timeouts.iter().all(|timeout| *timeout > READ && *timeout < READ + Duration::from_millis(1)));
        let highest = many.iter().map(|apart| apart.0).max().expect("there are fifty");
        drop(many);
        // Other tests of this process use numbers too.
        assert!(Apart::new().0 <= highest);
    }

    #[test]
    fn a_client_s_own_timeouts_stay() {
        let own = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).read_timeout(Duration::MAX).build();
        let apart = Apart::new();
        let timeouts = apart.timeouts(Some(&own), READ);
        assert_eq!(timeouts.connect_timeout(), Some(Duration::from_secs(1)));
        assert!(read_timeout(&apart, Some(&own)) < Duration::MAX);
        assert!(read_timeout(&apart, Some(&own)) > Duration::MAX - Duration::from_millis(1));
    }
}
