//! The checks that a [`LeaseStore`] must pass, for programs that bring their own.
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

use crate::lease::table::store::LeaseStore;

mod expect;
mod fleet;
mod leases;

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
    ($($function:path: $name:literal,)*) => {
        /// All checks.
        pub const CHECKS: &[Check] = &[
            $(Check { name: $name, run: |store| Box::pin($function(store)) },)*
        ];
    };
}

checks! {
    leases::created_as_given: "create writes every attribute, and read gives them back",
    leases::created_once: "create is refused where there is a row, and gives that row",
    leases::renewal_moves_the_counter: "renew moves the counter as told, stores the throughput, and leaves the rest",
    leases::renewal_is_fenced: "renew is refused for another counter, and for a lease that is not there",
    leases::only_the_holder_writes: "renew, checkpoint and set_children are refused for all but the actual owner",
    leases::renewal_notices_handoff: "renew is refused in a hand-off unless the writer knows of it",
    leases::checkpoint_stores_and_clears: "checkpoint stores position and counter, sets the switches to 0, clears what is pending",
    leases::checkpoint_is_fenced: "checkpoint is refused for another counter, also in the last of two equal writes",
    leases::checkpoint_allows_handoff: "checkpoint is accepted in a hand-off",
    leases::every_kind_of_checkpoint: "every checkpoint comes back as it was stored, with numbers of any length",
    leases::assign_counts_switches: "assign adds one to the counter, and to the switches if the owner changes",
    leases::assign_needs_owners_as_seen: "assign is refused if an owner has changed, or the lease is not there",
    leases::changes_need_the_counter_as_seen: "assign and evict are refused if the counter has moved, unless any will do",
    leases::handoff_leaves_the_counter: "start_handoff names both workers, leaves the counter, and starts only once",
    leases::assign_ends_handoff: "assign ends a hand-off; a change back counts as a switch",
    leases::evict_frees: "evict frees a lease, or ends a hand-off in favour of the new owner",
    leases::children_are_set: "set_children stores the children, leaves the counter, and needs the row",
    leases::only_finished_leases_are_deleted: "delete_finished deletes at SHARD_END only; deleted twice is deleted",
    leases::foreign_leases_are_deleted: "delete_foreign deletes leases that do not say they are of the stream, and no others",
    fleet::bound_once: "bind needs the binding to be as the claim says, and binding shows it",
    fleet::index_names_owned: "owned_by names the leases of an owner, and no others",
    fleet::scan_shows_everything: "scan gives leases and workers in order, and nothing else",
    fleet::workers_come_and_go: "report writes one row a worker; withdraw deletes it, if asked to only as it was seen",
    fleet::one_lock: "take_leadership gives the lock to one of two",
    fleet::lock_changes_version: "renew_leadership needs version and owner, and take_leadership the version seen",
    fleet::lock_is_released_by_its_owner: "release_leadership needs version and owner, and frees the lock",
    leases::racing_writes_have_one_winner: "of many writers that saw one counter, one is accepted",
}

#[cfg(test)]
mod tests;
