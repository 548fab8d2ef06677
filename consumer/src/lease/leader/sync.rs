//! Which leases a listing of shards requires.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey};
use crate::lease::table::parents::missing_of;
use crate::lease::table::store::Rows;
use crate::shard::{ListedShard, ShardId};

pub(crate) use self::create::create;

mod create;

/// The plan for a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Leases to create, the oldest shards first.
    pub(crate) create: Vec<Lease>,
    /// Open shards without a lease; they get one when their parents end.
    pub(crate) waiting: Vec<ShardId>,
}

/// Plans leases for the shards of `listing` that no lease covers: for each line of descent, its oldest unread shard, to start
/// at `start` (one of the three sentinels). The children follow when those shards end.
///
/// Each line is planned on its own. While the listing lags behind a split, a shard can look open and yet have children; it then
/// delays only its own line. Differs from the KCL where that gets stuck:
/// - The lease of a child of finished parents is created, at `TRIM_HORIZON`, when the parents' owner did not create it.
/// - A shard that has a descendant in the table, and no finished parent there, is past. It is not read again, unless its child
///   shows that its lease is missing (rule `parents`).
pub(crate) fn plan(listing: &[ListedShard], rows: &Rows, start: &Checkpoint) -> Plan {
    let shards: BTreeMap<&ShardId, &ListedShard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
    let leases = leases_by_shard(rows);
    let missing = rows.leases.iter().flat_map(|child| missing_of(child, |parent| leases.contains_key(parent)));
    let mut planner = Planner {
        missing: missing.cloned().collect(),
        leases,
        past: BTreeSet::new(),
        fates: BTreeMap::new(),
        create: BTreeMap::new(),
        start,
        shards,
    };
    planner.find_past();
    for shard in parents_first(&planner.shards) {
        let fate = planner.judge(shard);
        planner.fates.insert(&shard.id, fate);
    }
    let is_waiting = |shard: &&&ListedShard| {
        let id = &shard.id;
        !shard.is_closed() && !planner.leases.contains_key(id) && !planner.create.contains_key(id)
    };
    let waiting = planner.shards.values().filter(is_waiting).map(|shard| shard.id.clone()).collect();
    let mut create: Vec<_> = planner.create.into_values().collect();
    create.sort_by(|(a, _), (b, _)| (&a.starting, &a.id).cmp(&(&b.starting, &b.id)));
    Plan { create: create.into_iter().map(|(_, lease)| lease).collect(), waiting }
}

/// Returns the lease of an unread shard, to start at `checkpoint`.
pub(crate) fn new_lease(shard: &ListedShard, checkpoint: Checkpoint) -> Lease {
    let mut lease = Lease::new(LeaseKey::of(&shard.id), checkpoint);
    lease.parents.clone_from(&shard.parents);
    lease.range = Some(shard.range);
    lease
}

/// How a shard is covered by leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is being read, or will be: by its own lease, by a planned one, or after its parents' end.
    Covered,
    /// It has been read to its end, and its lease still exists.
    Finished,
    /// A descendant has a lease, so the shard was read, or skipped, long ago.
    Past,
    /// It is closed and precedes a start at `LATEST`.
    Before,
}

struct Planner<'a> {
    shards: BTreeMap<&'a ShardId, &'a ListedShard>,
    leases: BTreeMap<ShardId, Fate>,
    past: BTreeSet<ShardId>,
    /// Shards whose leases an operator has deleted, as their children show.
    missing: BTreeSet<ShardId>,
    fates: BTreeMap<&'a ShardId, Fate>,
    create: BTreeMap<&'a ShardId, (&'a ListedShard, Lease)>,
    start: &'a Checkpoint,
}

impl<'a> Planner<'a> {
    /// Marks every ancestor of a shard with a lease.
    fn find_past(&mut self) {
        let mut from: Vec<&ShardId> = self.leases.keys().collect();
        while let Some(id) = from.pop() {
            for parent in self.shards.get(id).into_iter().flat_map(|shard| &shard.parents) {
                if self.past.insert(parent.clone()) {
                    from.push(parent);
                }
            }
        }
    }

    /// Judges a shard whose parents have been judged, and plans what follows.
    fn judge(&mut self, shard: &'a ListedShard) -> Fate {
        if let Some(fate) = self.leases.get(&shard.id) {
            return *fate;
        }
        let parents: Vec<(&ShardId, Fate)> = shard
            .parents
            .iter()
            .filter(|parent| **parent != shard.id)
            .filter_map(|parent| Some((parent, self.fate(parent)?)))
            .collect();
        let any = |fate| parents.iter().any(|(_, of_parent)| *of_parent == fate);
        if self.missing.contains(&shard.id)
            && parents.iter().all(|(parent, fate)| *fate != Fate::Covered || self.leases.contains_key(*parent))
        {
            // It is the child of parents that are read or finished, and waits for them.
            let is_child = any(Fate::Covered) || any(Fate::Finished);
            self.plan(shard, if is_child { Checkpoint::TrimHorizon } else { self.start.clone() });
            return Fate::Covered;
        }
        let is_past = self.past.contains(&shard.id);
        if is_past && !any(Fate::Finished) {
            return if any(Fate::Covered) { Fate::Covered } else { Fate::Past };
        }
        if any(Fate::Covered) || (any(Fate::Finished) && any(Fate::Before)) {
            // A merge: one parent's line is read, the other's is not.
            for (parent, _) in parents.iter().filter(|(_, fate)| *fate == Fate::Before) {
                if let Some(parent) = self.shards.get(parent).copied() {
                    self.plan(parent, self.start.clone());
                }
            }
            return Fate::Covered;
        }
        if any(Fate::Finished) {
            // A finished lease stays until all children have leases, and those stay until it is deleted. So this shard never
            // had a lease, or an operator deleted it, or another parent's owner went on without waiting for it.
            self.plan(shard, Checkpoint::TrimHorizon);
        } else if shard.is_closed() && *self.start == Checkpoint::Latest {
            return Fate::Before;
        } else {
            self.plan(shard, self.start.clone());
        }
        Fate::Covered
    }

    /// Returns the fate of a shard that may have expired from the listing. A shard that is neither listed nor leased has none,
    /// and delays no other shard (rule `parents`).
    fn fate(&self, id: &ShardId) -> Option<Fate> {
        self.leases.get(id).or_else(|| self.fates.get(id)).copied()
    }

    fn plan(&mut self, shard: &'a ListedShard, checkpoint: Checkpoint) {
        self.create.insert(&shard.id, (shard, new_lease(shard, checkpoint)));
    }
}

/// Returns the fate of each shard with a row. An unreadable row may be of a shard that is being read, so it counts as covered.
fn leases_by_shard(rows: &Rows) -> BTreeMap<ShardId, Fate> {
    let fate = |lease: &Lease| if lease.checkpoint.is_shard_end() { Fate::Finished } else { Fate::Covered };
    let readable = rows.leases.iter().map(|lease| (lease.key.shard(), fate(lease)));
    let unreadable = rows.unreadable.iter().map(|(key, _)| (ShardId::from(key.as_str()), Fate::Covered));
    readable.chain(unreadable).collect()
}

/// Sorts the shards so that parents come before their children. Lineage decides, not the numbers: emulators give a merged shard
/// the start of its parent. Shards in a cycle come last, by ID.
fn parents_first<'a>(shards: &BTreeMap<&'a ShardId, &'a ListedShard>) -> Vec<&'a ListedShard> {
    let mut children: BTreeMap<&ShardId, Vec<&ListedShard>> = BTreeMap::new();
    let mut open_parents: BTreeMap<&ShardId, usize> = BTreeMap::new();
    for shard in shards.values() {
        let parents: BTreeSet<&ShardId> = shard.parents.iter().filter(|parent| shards.contains_key(parent)).collect();
        open_parents.insert(&shard.id, parents.len());
        for parent in parents {
            children.entry(parent).or_default().push(shard);
        }
    }
    let mut order: Vec<&ListedShard> = shards.values().filter(|shard| open_parents[&shard.id] == 0).copied().collect();
    let mut next = 0;
    while let Some(shard) = order.get(next).copied() {
        next += 1;
        for child in children.get(&shard.id).into_iter().flatten() {
            let open = open_parents.get_mut(&child.id).expect("every listed shard was counted");
            *open -= 1;
            if *open == 0 {
                order.push(child);
            }
        }
    }
    order.extend(shards.values().filter(|shard| open_parents[&shard.id] > 0));
    order
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
