//! The worker's row in the lease table: its heartbeat.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};

use crate::clock::Tick;
use crate::lease::holder::held::HoldContext;
use crate::lease::holder::renewer::pause;
use crate::lease::holder::shutdown::Shutdown;
use crate::lease::{UnixSeconds, WorkerReport};

/// Writes the worker's row at once and every 30 s, and more often while none of its leases is renewed. Deletes the row when the
/// worker leaves, so that no leader assigns it more leases.
pub(super) async fn report(
    hold: HoldContext,
    wall_clock: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
    shutdown: Shutdown,
) {
    let mut rng = fastrand::Rng::with_seed(hold.seed.wrapping_add(1));
    let every = heartbeat_interval(hold.duration);
    let mut failures = 0;
    let mut reported: Option<Tick> = None;
    loop {
        let due = reported.map(|reported| due(reported, hold.moved.last(), every));
        let wait = async {
            match due {
                Some(due) => sleep_until(hold.clock.instant(due)).await,
                None if failures > 0 => sleep(pause(&mut rng, hold.duration, failures)).await,
                None => {}
            }
        };
        tokio::select! { biased;
            () = shutdown.begun() => break,
            () = wait => {}
        }
        let now = hold.clock.now();
        if reported.is_some_and(|reported| self::due(reported, hold.moved.last(), every) > now) {
            continue;
        }
        let report = WorkerReport::new(hold.me.clone(), wall_clock(), every);
        let report = WorkerReport { handoff_time: Some(hold.handoff_time), ..report };
        match hold.store.report(&report).await {
            Ok(()) => (failures, reported) = (0, Some(now)),
            Err(error) => {
                error.log("writing the worker's row");
                (failures, reported) = (failures + 1, None);
            }
        }
    }
    for attempt in 0..WITHDRAW_ATTEMPTS {
        match hold.store.withdraw(&hold.me, None).await {
            Ok(()) => return,
            Err(error) => error.log("deleting the worker's row"),
        }
        sleep(pause(&mut rng, hold.duration, attempt)).await;
    }
}

/// Returns when to write the row again; `moved` is when a lease of the worker was last renewed.
fn due(reported: Tick, moved: Tick, every: Duration) -> Tick {
    (reported.max(moved) + every).min(reported + REPORT_EVERY)
}

/// Returns how often the worker writes to the table at least. Leases are renewed more often still. A worker without any lease
/// costs as much as one with one lease.
fn heartbeat_interval(lease_duration: Duration) -> Duration {
    (lease_duration / 2).min(SLOWEST_SIGN)
}

/// As in the KCL: a worker counts as dead after two missed reports.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// An upper limit even for long leases: which workers can be assigned leases is known within seconds.
const SLOWEST_SIGN: Duration = Duration::from_secs(10);

/// The row expires by itself after a minute: worth a few attempts, but not a hanging shutdown.
const WITHDRAW_ATTEMPTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    #[test]
    fn the_row_moves_when_nothing_else_does() {
        let every = Duration::from_secs(5);
        assert_eq!(due(at(10), at(0), every), at(15));
        // The leases are renewed: every half minute is enough.
        assert_eq!(due(at(10), at(12), every), at(17));
        assert_eq!(due(at(10), at(39), every), at(40));
    }

    #[test]
    fn a_long_lease_makes_no_silent_worker() {
        let sign = |seconds| heartbeat_interval(Duration::from_secs(seconds));
        assert_eq!([3, 10, 300].map(sign), [1500, 5000, 10_000].map(Duration::from_millis));
    }
}
