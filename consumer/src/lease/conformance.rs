//! The checks that a [`LeaseStore`] must pass, for whoever brings their own.
//!
//! ```no_run
//! # async fn run() {
//! use std::sync::Arc;
//! use kinesis_consumer::lease::{MemoryLeaseStore, conformance};
//!
//! // Give each check a store of its own: empty and prepared.
//! let failures = conformance::run(|| async { Arc::new(MemoryLeaseStore::new()) as _ }).await;
//! assert!(failures.is_empty(), "{failures:#?}");
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinesis_aggregation::HashKeyRange;

use super::lease::{Checkpoint, Lease, LeaseKey, Owners, PendingCheckpoint, WorkerId};
use super::store::{EpochTime, LeaderLock, LeaseStore, Renewal, StoreError, Written};
use crate::record::Position;
use crate::shard::ShardId;

/// One requirement, by name.
#[derive(Clone, Copy)]
pub struct Check {
    /// What is required, in words.
    pub name: &'static str,
    run: fn(Arc<dyn LeaseStore>) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Outcome = Result<(), String>;

/// A check that a store did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check.
    pub check: &'static str,
    /// What was expected and what was found.
    pub reason: String,
}

impl Check {
    /// Runs the check on an empty, prepared store.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub async fn run(&self, store: Arc<dyn LeaseStore>) -> Result<(), Failure> {
        (self.run)(store).await.map_err(|reason| Failure { check: self.name, reason })
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({:?})", self.name)
    }
}

/// Runs all checks, each on a store of its own that `fresh` gives: empty and prepared. Returns those that failed.
///
/// Cancel safe; a store made for a check that is cut short is dropped.
pub async fn run<F, Fut>(mut fresh: F) -> Vec<Failure>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = Arc<dyn LeaseStore>> + Send,
{
    let mut failures = Vec::new();
    for check in CHECKS {
        failures.extend(check.run(fresh().await).await.err());
    }
    failures
}

macro_rules! checks {
    ($($function:ident: $name:literal,)*) => {
        /// All checks.
        pub const CHECKS: &[Check] = &[
            $(Check { name: $name, run: |store| Box::pin($function(store)) },)*
        ];
    };
}

checks! {
    created_as_given: "create writes every attribute, and read gives them back",
    created_once: "create is refused where there is a row, and gives that row",
    renewal_moves_the_counter: "renew adds one to the counter, stores the throughput, and leaves the rest",
    renewal_is_fenced: "renew is refused for another counter, and for a lease that is not there",
    renewal_notices_handoff: "renew is refused in a hand-off unless the writer knows of it",
    checkpoint_stores_and_clears: "checkpoint stores position and counter, sets the switches to 0, clears what is pending",
    checkpoint_is_fenced: "checkpoint is refused for another counter, also in the last of two equal writes",
    checkpoint_allows_handoff: "checkpoint is accepted in a hand-off",
    every_kind_of_checkpoint: "every checkpoint comes back as it was stored, with numbers of any length",
    assign_counts_switches: "assign adds one to the counter, and to the switches if the owner changes",
    assign_needs_owners_as_seen: "assign is refused if an owner has changed, or the lease is not there",
    handoff_leaves_the_counter: "start_handoff names both workers, leaves the counter, and starts only once",
    assign_ends_handoff: "assign ends a hand-off; a change back counts as a switch",
    evict_frees: "evict frees a lease, or ends a hand-off in favour of the new owner",
    children_are_set: "set_children stores the children, leaves the counter, and needs the row",
    only_finished_leases_are_deleted: "delete_finished deletes at SHARD_END only; deleted twice is deleted",
    index_names_owned: "owned_by names the leases of an owner, and no others",
    scan_shows_everything: "scan gives leases and workers in order, and nothing else",
    workers_come_and_go: "report writes one row a worker; withdraw deletes it, if asked to only as it was seen",
    one_lock: "take_leadership gives the lock to one of two",
    lock_changes_version: "renew_leadership needs version and owner, and take_leadership the version seen",
    lock_is_released_by_its_owner: "release_leadership needs version and owner, and frees the lock",
    racing_writes_have_one_winner: "of many writers that saw one counter, one is accepted",
}

async fn created_as_given(store: Arc<dyn LeaseStore>) -> Outcome {
    let mut lease = lease(1);
    lease.owner = Some(worker("a"));
    lease.checkpoint_owner = Some(worker("b"));
    lease.counter = 7;
    lease.owner_switches = 2;
    lease.checkpoint = at("49680535143221397331707497921426878846729339711503990802", 4);
    lease.pending = Some(PendingCheckpoint {
        checkpoint: at("49680535143221397331707497921426878846729339711503990803", 1),
        state: Some(Bytes::from_static(b"\x00\xffstate")),
    });
    lease.parents = vec![ShardId::from("p1"), ShardId::from("p2")];
    lease.children = vec![ShardId::from("c1"), ShardId::from("c2")];
    lease.range = Some(HashKeyRange::FULL);
    lease.throughput_kib_per_s = Some(5.449_945);
    same("the answer", accepted(store.create(&lease).await)?, lease.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(lease))?;
    let bare = self::lease(2);
    accepted(store.create(&bare).await)?;
    same("a row with nothing but a checkpoint", found(store.read(&bare.key).await)?, Some(bare))
}

async fn created_once(store: Arc<dyn LeaseStore>) -> Outcome {
    let first = with(lease(1), |lease| lease.counter = 3);
    accepted(store.create(&first).await)?;
    refused("the second", store.create(&lease(1)).await, Some(&first))?;
    same("the row", found(store.read(&first.key).await)?, Some(first))
}

async fn renewal_moves_the_counter(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| lease.owner_switches = 4).await?;
    let renewed = accepted(store.renew(Renewal { throughput_kib_per_s: Some(1.5), ..renewal(&lease, 0) }).await)?;
    let expected = with(lease.clone(), |lease| {
        lease.counter = 1;
        lease.throughput_kib_per_s = Some(1.5);
    });
    same("the answer", renewed, expected.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(expected.clone()))?;
    let again = accepted(store.renew(renewal(&lease, 1)).await)?;
    same("without a throughput", again, with(expected, |lease| lease.counter = 2))
}

async fn renewal_is_fenced(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| lease.counter = 5).await?;
    refused("an old counter", store.renew(renewal(&lease, 4)).await, Some(&lease))?;
    refused("a counter to come", store.renew(renewal(&lease, 6)).await, Some(&lease))?;
    let absent = self::lease(2);
    refused("no row", store.renew(renewal(&absent, 0)).await, None)?;
    same("no row is made", found(store.read(&absent.key).await)?, None)
}

async fn renewal_notices_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    })
    .await?;
    refused("unaware", store.renew(renewal(&lease, 0)).await, Some(&lease))?;
    let aware = accepted(store.renew(Renewal { in_handoff: true, ..renewal(&lease, 0) }).await)?;
    same("aware", aware, with(lease, |lease| lease.counter = 1))
}

async fn checkpoint_stores_and_clears(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| {
        lease.owner_switches = 3;
        lease.children = vec![ShardId::from("c")];
        lease.pending = Some(PendingCheckpoint { checkpoint: at("9", 0), state: Some(Bytes::from_static(b"s")) });
    })
    .await?;
    let renewal = Renewal { throughput_kib_per_s: Some(0.25), ..renewal(&lease, 0) };
    let stored = accepted(store.checkpoint(renewal, &at("12", 3)).await)?;
    let expected = with(lease.clone(), |lease| {
        lease.counter = 1;
        lease.owner_switches = 0;
        lease.pending = None;
        lease.checkpoint = at("12", 3);
        lease.throughput_kib_per_s = Some(0.25);
    });
    same("the answer", stored, expected.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(expected))
}

async fn checkpoint_is_fenced(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |_| {}).await?;
    let first = accepted(store.checkpoint(renewal(&lease, 0), &at("1", 0)).await)?;
    refused("the same again", store.checkpoint(renewal(&lease, 0), &at("1", 0)).await, Some(&first))?;
    let absent = self::lease(2);
    refused("no row", store.checkpoint(renewal(&absent, 0), &at("1", 0)).await, None)
}

async fn checkpoint_allows_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    })
    .await?;
    let stored = accepted(store.checkpoint(renewal(&lease, 0), &at("1", 0)).await)?;
    same("the hand-off goes on", stored.owners(), lease.owners())
}

async fn every_kind_of_checkpoint(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |_| {}).await?;
    let long = "9".repeat(120);
    let kinds = [
        Checkpoint::AtTimestamp,
        Checkpoint::TrimHorizon,
        Checkpoint::Latest,
        at("0", 0),
        at(&long, 1 << 40),
        Checkpoint::ShardEnd,
    ];
    for (counter, kind) in (0..).zip(kinds) {
        accepted(store.checkpoint(renewal(&lease, counter), &kind).await)?;
        let row = found(store.read(&lease.key).await)?;
        same("the row", row.map(|row| row.checkpoint), Some(kind))?;
    }
    match store.checkpoint(renewal(&lease, 6), &Checkpoint::Missing).await {
        Err(StoreError::Refused { .. }) => Ok(()),
        other => Err(format!("a missing checkpoint was not refused: {other:?}")),
    }
}

async fn assign_counts_switches(store: Arc<dyn LeaseStore>) -> Outcome {
    let free = made(&store, |_| {}).await?;
    let a = accepted(store.assign(&free.key, &free.owners(), &worker("a")).await)?;
    same("from nobody", (a.owner.clone(), a.counter, a.owner_switches), (Some(worker("a")), 1, 0))?;
    let again = accepted(store.assign(&free.key, &a.owners(), &worker("a")).await)?;
    same("to the same", (again.counter, again.owner_switches), (2, 0))?;
    let b = accepted(store.assign(&free.key, &a.owners(), &worker("b")).await)?;
    same("to another", (b.owner.clone(), b.counter, b.owner_switches), (Some(worker("b")), 3, 1))?;
    same("the row", found(store.read(&free.key).await)?, Some(b))
}

async fn assign_needs_owners_as_seen(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| lease.owner = Some(worker("a"))).await?;
    let other = Owners { owner: Some(worker("b")), checkpoint_owner: None };
    let handoff = Owners { owner: Some(worker("a")), checkpoint_owner: Some(worker("b")) };
    for (what, seen) in [("nobody seen", Owners::default()), ("another", other), ("a hand-off", handoff)] {
        refused(what, store.assign(&owned.key, &seen, &worker("c")).await, Some(&owned))?;
    }
    let absent = lease(2);
    refused("no row", store.assign(&absent.key, &Owners::default(), &worker("c")).await, None)?;
    same("no row is made", found(store.read(&absent.key).await)?, None)
}

async fn handoff_leaves_the_counter(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| {
        lease.owner = Some(worker("a"));
        lease.counter = 6;
    })
    .await?;
    let (a, b, c) = (worker("a"), worker("b"), worker("c"));
    refused("from a worker that is not the owner", store.start_handoff(&owned.key, &b, &c).await, Some(&owned))?;
    let started = accepted(store.start_handoff(&owned.key, &a, &b).await)?;
    let expected = with(owned.clone(), |lease| {
        lease.owner = Some(b.clone());
        lease.checkpoint_owner = Some(a.clone());
    });
    same("the answer", started.clone(), expected)?;
    refused("a second time", store.start_handoff(&owned.key, &a, &c).await, Some(&started))?;
    refused("by the target", store.start_handoff(&owned.key, &b, &c).await, Some(&started))?;
    refused("no row", store.start_handoff(&lease(2).key, &a, &b).await, None)
}

async fn assign_ends_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let handing_over = |lease: &mut Lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    };
    let first = made(&store, handing_over).await?;
    let done = accepted(store.assign(&first.key, &first.owners(), &worker("b")).await)?;
    same(
        "completed",
        (done.owner.clone(), done.checkpoint_owner, done.counter, done.owner_switches),
        (Some(worker("b")), None, 1, 0),
    )?;
    let second = with(lease(2), handing_over);
    accepted(store.create(&second).await)?;
    let back = accepted(store.assign(&second.key, &second.owners(), &worker("a")).await)?;
    same(
        "called off",
        (back.owner, back.checkpoint_owner, back.counter, back.owner_switches),
        (Some(worker("a")), None, 1, 1),
    )
}

async fn evict_frees(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| lease.owner = Some(worker("a"))).await?;
    refused("by another", store.evict(&owned.key, &Owners::default()).await, Some(&owned))?;
    let free = accepted(store.evict(&owned.key, &owned.owners()).await)?;
    same("freed", (free.owner, free.counter, free.owner_switches), (None, 1, 0))?;
    let handed = with(lease(2), |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    });
    accepted(store.create(&handed).await)?;
    let ended = accepted(store.evict(&handed.key, &handed.owners()).await)?;
    same("in a hand-off", (ended.owner, ended.checkpoint_owner, ended.counter), (Some(worker("b")), None, 1))?;
    refused("no row", store.evict(&lease(3).key, &Owners::default()).await, None)
}

async fn children_are_set(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| lease.counter = 4).await?;
    let children = [ShardId::from("c1"), ShardId::from("c2")];
    let set = accepted(store.set_children(&lease.key, &children).await)?;
    let expected = with(lease.clone(), |lease| lease.children = children.to_vec());
    same("the answer", set, expected.clone())?;
    accepted(store.set_children(&lease.key, &[]).await)?;
    same("none changes nothing", found(store.read(&lease.key).await)?, Some(expected))?;
    let absent = self::lease(2).key;
    refused("no row", store.set_children(&absent, &children).await, None)?;
    same("no row is made", found(store.read(&absent).await)?, None)
}

async fn only_finished_leases_are_deleted(store: Arc<dyn LeaseStore>) -> Outcome {
    let live = made(&store, |lease| lease.checkpoint = at("1", 0)).await?;
    refused("unfinished", store.delete_finished(&live.key).await, Some(&live))?;
    accepted(store.checkpoint(renewal(&live, 0), &Checkpoint::ShardEnd).await)?;
    for what in ["finished", "not there"] {
        match store.delete_finished(&live.key).await {
            Ok(Written::Accepted(None)) => {}
            other => return Err(format!("{what}: {other:?}")),
        }
    }
    same("gone", found(store.read(&live.key).await)?, None)
}

async fn index_names_owned(store: Arc<dyn LeaseStore>) -> Outcome {
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

async fn scan_shows_everything(store: Arc<dyn LeaseStore>) -> Outcome {
    for number in [3, 1, 2] {
        accepted(store.create(&lease(number)).await)?;
    }
    for name in ["b", "a"] {
        found(store.report(&worker(name), EpochTime(1_700_000_000)).await)?;
    }
    found(store.take_leadership(&lock("a", "v1"), None).await)?;
    let rows = found(store.scan().await)?;
    same("leases", rows.leases, [1, 2, 3].map(lease).to_vec())?;
    let workers: Vec<_> = rows.workers.iter().map(|row| (row.worker.clone(), row.last_update, row.fit)).collect();
    same("workers", workers, ["a", "b"].map(|name| (worker(name), Some(EpochTime(1_700_000_000)), true)).to_vec())?;
    same("unreadable rows", rows.unreadable, Vec::new())
}

async fn workers_come_and_go(store: Arc<dyn LeaseStore>) -> Outcome {
    let times = |rows: Vec<super::store::WorkerRow>| rows.into_iter().map(|row| row.last_update).collect::<Vec<_>>();
    for time in [100, 130] {
        found(store.report(&worker("a"), EpochTime(time)).await)?;
    }
    same("one row", times(found(store.scan().await)?.workers), vec![Some(EpochTime(130))])?;
    found(store.withdraw(&worker("a"), Some(EpochTime(100))).await)?;
    same("not as it was seen", times(found(store.scan().await)?.workers), vec![Some(EpochTime(130))])?;
    found(store.withdraw(&worker("a"), Some(EpochTime(130))).await)?;
    same("as it was seen", times(found(store.scan().await)?.workers), vec![])?;
    found(store.report(&worker("a"), EpochTime(160)).await)?;
    found(store.withdraw(&worker("a"), None).await)?;
    found(store.withdraw(&worker("a"), None).await)?;
    same("deleted twice", times(found(store.scan().await)?.workers), vec![])
}

async fn one_lock(store: Arc<dyn LeaseStore>) -> Outcome {
    same("no lock yet", found(store.leader().await)?, None)?;
    same("the first", found(store.take_leadership(&lock("a", "v1"), None).await)?, true)?;
    same("the second", found(store.take_leadership(&lock("b", "v2"), None).await)?, false)?;
    same("the lock", found(store.leader().await)?, Some(lock("a", "v1")))
}

async fn lock_changes_version(store: Arc<dyn LeaseStore>) -> Outcome {
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

async fn lock_is_released_by_its_owner(store: Arc<dyn LeaseStore>) -> Outcome {
    let held = lock("a", "v1");
    found(store.take_leadership(&held, None).await)?;
    same("another's", found(store.release_leadership(&lock("b", "v1")).await)?, false)?;
    same("an old version", found(store.release_leadership(&lock("a", "v0")).await)?, false)?;
    same("as held", found(store.release_leadership(&held).await)?, true)?;
    same("gone", found(store.leader().await)?, None)?;
    same("twice", found(store.release_leadership(&held).await)?, false)
}

async fn racing_writes_have_one_winner(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |_| {}).await?;
    let writers = (0..8).map(|_| store.renew(renewal(&lease, 0)));
    let answers = futures::future::join_all(writers).await;
    let accepted = answers.iter().filter(|answer| matches!(answer, Ok(Written::Accepted(_)))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(Written::Refused(_)))).count();
    same("accepted and refused", (accepted, refused), (1, 7))?;
    same("the counter", found(store.read(&lease.key).await)?.map(|row| row.counter), Some(1))
}

fn lease(number: u32) -> Lease {
    Lease::new(LeaseKey::from(format!("shardId-{number:012}")), Checkpoint::TrimHorizon)
}

fn with(mut lease: Lease, change: impl FnOnce(&mut Lease)) -> Lease {
    change(&mut lease);
    lease
}

/// Creates lease 1 with a change.
async fn made(store: &Arc<dyn LeaseStore>, change: impl FnOnce(&mut Lease) + Send) -> Result<Lease, String> {
    let lease = with(lease(1), change);
    accepted(store.create(&lease).await)
}

fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

fn lock(owner: &str, version: &str) -> LeaderLock {
    LeaderLock { owner: worker(owner), duration: Duration::from_secs(10), version: version.to_owned(), released: false }
}

fn at(number: &str, sub_sequence: u64) -> Checkpoint {
    let sequence_number = number.parse().expect("the checks use decimal numbers");
    Checkpoint::At(Position { sequence_number, sub_sequence })
}

const fn renewal(lease: &Lease, counter: u64) -> Renewal<'_> {
    Renewal { key: &lease.key, counter, in_handoff: false, throughput_kib_per_s: None }
}

/// The row of an accepted write, which every store must give.
fn accepted(answer: Result<Written, StoreError>) -> Result<Lease, String> {
    match answer {
        Ok(Written::Accepted(Some(row))) => Ok(*row),
        other => Err(format!("expected an accepted write with its row, found {other:?}")),
    }
}

/// A refusal. The row may come with it, and must then be the one that is there.
fn refused(what: &str, answer: Result<Written, StoreError>, row: Option<&Lease>) -> Outcome {
    match answer {
        Ok(Written::Refused(None)) => Ok(()),
        Ok(Written::Refused(Some(found))) if Some(&*found) == row => Ok(()),
        other => Err(format!("{what}: expected a refusal with {row:?} or without a row, found {other:?}")),
    }
}

fn found<T>(answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| format!("{error:?}"))
}

fn same<T: fmt::Debug + PartialEq>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

#[cfg(test)]
mod tests;
