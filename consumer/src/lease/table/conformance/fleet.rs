//! What is required of the index, the scan, the workers' rows and the lock.

use std::sync::Arc;
use std::time::Duration;

use crate::lease::table::conformance::Outcome;
use crate::lease::table::conformance::expect::{accepted, found, lease, lock, same, with, worker};
use crate::lease::table::store::LeaseStore;
use crate::lease::{Binding, Claim, UnixSeconds, WorkerReport, WorkerRow};

pub(super) async fn bound_once(store: Arc<dyn LeaseStore>) -> Outcome {
    let claim = |stream, in_place_of| Claim { stream, in_place_of };
    if let Binding::To(stream) = found(store.binding().await)? {
        return Err(format!("a table that was prepared for no stream is bound to {stream}"));
    }
    same("in place of another", found(store.bind(claim("a", Some("b"))).await)?, false)?;
    same("the first", found(store.bind(claim("a", None)).await)?, true)?;
    same("the second", found(store.bind(claim("b", None)).await)?, false)?;
    same("bound to the first", found(store.binding().await)?, Binding::To("a".to_owned()))?;
    same("in place of a third", found(store.bind(claim("b", Some("c"))).await)?, false)?;
    same("in place of the first", found(store.bind(claim("b", Some("a"))).await)?, true)?;
    same("bound to the second", found(store.binding().await)?, Binding::To("b".to_owned()))?;
    same("no lease was made of it", found(store.scan().await)?.leases, Vec::new())
}

pub(super) async fn index_names_owned(store: Arc<dyn LeaseStore>) -> Outcome {
    for number in 0..5 {
        accepted(store.create(&with(lease(number), |lease| lease.owner = (number > 0).then(|| worker("a")))).await)?;
    }
    let row = lease(4);
    accepted(store.start_handoff(&row.key, &worker("a"), &worker("b")).await)?;
    let mut keys = found(store.owned_by(&worker("a")).await)?;
    keys.sort();
    same("the owner's", keys, [1, 2, 3].map(|number| lease(number).key).to_vec())?;
    same("the next owner's", found(store.owned_by(&worker("b")).await)?, vec![row.key])?;
    same("a stranger's", found(store.owned_by(&worker("c")).await)?, vec![])
}

pub(super) async fn scan_shows_everything(store: Arc<dyn LeaseStore>) -> Outcome {
    for number in [3, 1, 2] {
        accepted(store.create(&lease(number)).await)?;
    }
    for name in ["b", "a"] {
        found(store.report(&WorkerReport::new(worker(name), UnixSeconds(1_700_000_000), EVERY)).await)?;
    }
    found(store.take_leadership(&lock("a", "v1"), None).await)?;
    let rows = found(store.scan().await)?;
    same("leases", rows.leases, [1, 2, 3].map(lease).to_vec())?;
    let workers: Vec<_> =
        rows.workers.iter().map(|row| (row.worker.clone(), row.last_update, row.heartbeat_interval, row.fit)).collect();
    let row = |name| (worker(name), Some(UnixSeconds(1_700_000_000)), Some(EVERY), true);
    same("workers", workers, ["a", "b"].map(row).to_vec())?;
    same("unreadable rows", rows.unreadable, Vec::new())
}

pub(super) async fn workers_come_and_go(store: Arc<dyn LeaseStore>) -> Outcome {
    let times = |rows: Vec<WorkerRow>| rows.into_iter().map(|row| row.last_update).collect::<Vec<_>>();
    for time in [100, 130] {
        found(store.report(&WorkerReport::new(worker("a"), UnixSeconds(time), EVERY)).await)?;
    }
    same("one row", times(found(store.scan().await)?.workers), vec![Some(UnixSeconds(130))])?;
    found(store.withdraw(&worker("a"), Some(UnixSeconds(100))).await)?;
    same("not as it was seen", times(found(store.scan().await)?.workers), vec![Some(UnixSeconds(130))])?;
    found(store.withdraw(&worker("a"), Some(UnixSeconds(130))).await)?;
    same("as it was seen", times(found(store.scan().await)?.workers), vec![])?;
    found(store.report(&WorkerReport::new(worker("a"), UnixSeconds(160), EVERY)).await)?;
    found(store.withdraw(&worker("a"), None).await)?;
    found(store.withdraw(&worker("a"), None).await)?;
    same("deleted twice", times(found(store.scan().await)?.workers), vec![])
}

pub(super) async fn one_lock(store: Arc<dyn LeaseStore>) -> Outcome {
    same("no lock yet", found(store.leader().await)?, None)?;
    same("the first", found(store.take_leadership(&lock("a", "v1"), None).await)?, true)?;
    same("the second", found(store.take_leadership(&lock("b", "v2"), None).await)?, false)?;
    same("the lock", found(store.leader().await)?, Some(lock("a", "v1")))
}

pub(super) async fn lock_changes_version(store: Arc<dyn LeaseStore>) -> Outcome {
    let (v1, v2) = (lock("a", "v1"), lock("a", "v2"));
    found(store.take_leadership(&v1, None).await)?;
    same("another's", found(store.renew_leadership(&lock("b", "v1"), &v2).await)?, false)?;
    same("an old version", found(store.renew_leadership(&lock("a", "v0"), &v2).await)?, false)?;
    same("as held", found(store.renew_leadership(&v1, &v2).await)?, true)?;
    same("the lock", found(store.leader().await)?, Some(v2.clone()))?;
    same("taken as it was", found(store.take_leadership(&lock("b", "v3"), Some(&v1)).await)?, false)?;
    same("taken as it is", found(store.take_leadership(&lock("b", "v3"), Some(&v2)).await)?, true)?;
    same("the lock", found(store.leader().await)?, Some(lock("b", "v3")))
}

pub(super) async fn lock_is_released_by_its_owner(store: Arc<dyn LeaseStore>) -> Outcome {
    let held = lock("a", "v1");
    found(store.take_leadership(&held, None).await)?;
    same("another's", found(store.release_leadership(&lock("b", "v1")).await)?, false)?;
    same("an old version", found(store.release_leadership(&lock("a", "v0")).await)?, false)?;
    same("as held", found(store.release_leadership(&held).await)?, true)?;
    same("gone", found(store.leader().await)?, None)?;
    same("twice", found(store.release_leadership(&held).await)?, false)
}

/// How often the workers here show that they live.
const EVERY: Duration = Duration::from_millis(2500);
