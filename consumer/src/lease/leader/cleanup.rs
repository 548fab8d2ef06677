//! Which leases of finished shards are no longer needed.
//!
//! A finished lease must stay until its children have made progress: it says that they may start, and they are created from it
//! if their leases are lost. It is deleted after its parents' leases, so that the table always holds the lower end of a line.
//!
//! The leader deletes in its rounds: it has the table and the listing, and each finished lease costs a renewal every few
//! seconds. A Java leader leaves this to the owners; under one, a worker deletes its own leases by
//! [`delete_if_done`](crate::lease::holder::cleanup::delete_if_done).

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::table::lease::{Lease, LeaseKey};
use crate::lease::table::parents::missing_of;
use crate::lease::table::store::Rows;
use crate::shard::{ListedShard, ShardId};

/// Returns the leases that may be deleted, parents before their children: each only after those before it are deleted.
///
/// `listing` is complete, or `None` if the stream was not listed recently; then its content counts as unknown. `expired`: the
/// shards that have provably expired (rule `expiry`).
pub(crate) fn deletable(rows: &Rows, listing: Option<&[ListedShard]>, expired: &BTreeSet<ShardId>) -> Vec<LeaseKey> {
    let view = View::new(rows, listing, expired);
    let mut candidates: Vec<&Lease> = rows.leases.iter().filter(|lease| view.is_done_with(lease)).collect();
    let mut there: BTreeSet<ShardId> = view.leases.keys().cloned().chain(view.unreadable.iter().cloned()).collect();
    let mut order = Vec::new();
    loop {
        let (free, blocked): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|lease| {
            let id = lease.key.shard();
            lease.parents.iter().all(|parent| *parent == id || !there.contains(parent))
        });
        if free.is_empty() {
            return order;
        }
        for lease in free {
            there.remove(&lease.key.shard());
            order.push(lease.key.clone());
        }
        candidates = blocked;
    }
}

struct View<'a> {
    leases: BTreeMap<ShardId, &'a Lease>,
    unreadable: BTreeSet<ShardId>,
    /// The children of a shard that the listing, or a child's lease, names.
    children: BTreeMap<&'a ShardId, BTreeSet<ShardId>>,
    /// Shards whose leases an operator has deleted: they must be read.
    missing: BTreeSet<ShardId>,
    expired: &'a BTreeSet<ShardId>,
}

impl<'a> View<'a> {
    fn new(rows: &'a Rows, listing: Option<&'a [ListedShard]>, expired: &'a BTreeSet<ShardId>) -> Self {
        let mut children: BTreeMap<&ShardId, BTreeSet<ShardId>> = BTreeMap::new();
        let of_leases = rows.leases.iter().map(|lease| (lease.key.shard(), &lease.parents));
        let of_listing = listing.into_iter().flatten().map(|shard| (shard.id.clone(), &shard.parents));
        for (child, parents) in of_leases.chain(of_listing) {
            for parent in parents.iter().filter(|parent| **parent != child) {
                children.entry(parent).or_default().insert(child.clone());
            }
        }
        let leases: BTreeMap<ShardId, &Lease> = rows.leases.iter().map(|lease| (lease.key.shard(), lease)).collect();
        let unreadable: BTreeSet<ShardId> =
            rows.unreadable.iter().map(|(key, _)| ShardId::from(key.as_str())).collect();
        let has_row = |id: &ShardId| leases.contains_key(id) || unreadable.contains(id);
        let missing = rows.leases.iter().flat_map(|child| missing_of(child, has_row)).cloned().collect();
        Self { leases, unreadable, children, missing, expired }
    }

    /// Returns `true` if the lease is not needed any more, regardless of its parents' leases.
    fn is_done_with(&self, lease: &Lease) -> bool {
        let id = lease.key.shard();
        if !lease.checkpoint.is_shard_end() {
            return false;
        }
        let named: BTreeSet<&ShardId> = lease.children.iter().collect();
        let children: BTreeSet<&ShardId> =
            named.into_iter().chain(self.children.get(&id).into_iter().flatten()).collect();
        if self.expired.contains(&id) {
            // Expired: it can never be read again, and a child that has a lease starts without it.
            return children
                .iter()
                .all(|child| self.leases.contains_key(*child) || self.is_past(child) || self.expired.contains(*child));
        }
        !children.is_empty()
            && children
                .iter()
                .all(|child| self.leases.get(*child).map_or_else(|| self.is_past(child), |child| child.has_progress()))
    }

    /// Returns `true` if a shard without a lease has had one: one of its descendants has a lease.
    fn is_past(&self, id: &ShardId) -> bool {
        if self.unreadable.contains(id) || self.missing.contains(id) {
            return false;
        }
        let mut seen = BTreeSet::new();
        let mut from = vec![id];
        while let Some(id) = from.pop() {
            for child in self.children.get(id).into_iter().flatten() {
                if self.leases.contains_key(child) {
                    return true;
                }
                if seen.insert(child) {
                    from.push(child);
                }
            }
        }
        false
    }
}

/// Returns the shards that have expired if a second listing agrees.
#[cfg(test)]
pub(crate) fn lacked(rows: &Rows, listing: &[ListedShard]) -> BTreeSet<ShardId> {
    use crate::shard::absence::LookUp;
    let ids = rows.leases.iter().flat_map(|lease| lease.children.iter().cloned().chain([lease.key.shard()]));
    ids.filter(|id| LookUp::of(id, listing) == LookUp::Lacked).collect()
}

#[cfg(test)]
mod tests;
