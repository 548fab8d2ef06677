//! Rows for the checks, and what is expected of answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::lease::table::conformance::Outcome;
use crate::lease::table::store::LeaseStore;
use crate::lease::{Checkpoint, LeaderLock, Lease, LeaseKey, Renewal, StoreError, WorkerId, Written};
use crate::record::Position;

pub(super) fn lease(number: u32) -> Lease {
    Lease::new(LeaseKey::from(format!("shardId-{number:012}")), Checkpoint::TrimHorizon)
}

pub(super) fn with(mut lease: Lease, change: impl FnOnce(&mut Lease)) -> Lease {
    change(&mut lease);
    lease
}

/// Creates lease 1, owned by `a`, with a change.
pub(super) async fn owned(
    store: &Arc<dyn LeaseStore>,
    change: impl FnOnce(&mut Lease) + Send,
) -> Result<Lease, String> {
    let with_owner = |lease: &mut Lease| {
        lease.owner = Some(worker("a"));
        change(lease);
    };
    made(store, with_owner).await
}

/// Creates lease 1 with a change.
pub(super) async fn made(store: &Arc<dyn LeaseStore>, change: impl FnOnce(&mut Lease) + Send) -> Result<Lease, String> {
    let lease = with(lease(1), change);
    accepted(store.create(&lease).await)
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

pub(super) fn lock(owner: &str, version: &str) -> LeaderLock {
    LeaderLock { owner: worker(owner), duration: Duration::from_secs(10), version: version.to_owned(), released: false }
}

pub(super) fn at(number: &str, sub_sequence: u64) -> Checkpoint {
    let sequence_number = number.parse().expect("the checks use decimal numbers");
    Checkpoint::At(Position { sequence_number, sub_sequence, shard: "shardId-000000000001".into() })
}

/// A renewal by the one who holds the lease.
pub(super) fn renewal(lease: &Lease, counter: u64) -> Renewal<'_> {
    Renewal::by(lease.actual_owner().expect("the lease has a holder"), &lease.key, counter)
}

/// The row of an accepted write, which every store must give.
pub(super) fn accepted(answer: Result<Written, StoreError>) -> Result<Lease, String> {
    match answer {
        Ok(Written::Accepted(Some(row))) => Ok(*row),
        other => Err(format!("expected an accepted write with its row, found {other:?}")),
    }
}

/// A refusal. The row may come with it, and must then be the one that is there.
pub(super) fn refused(what: &str, answer: Result<Written, StoreError>, row: Option<&Lease>) -> Outcome {
    match answer {
        Ok(Written::Refused(None)) => Ok(()),
        Ok(Written::Refused(Some(found))) if Some(&*found) == row => Ok(()),
        other => Err(format!("{what}: expected a refusal with {row:?} or without a row, found {other:?}")),
    }
}

pub(super) fn found<T>(answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| format!("{error:?}"))
}

pub(super) fn same<T: fmt::Debug + PartialEq>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}
