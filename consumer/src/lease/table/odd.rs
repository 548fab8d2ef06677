//! Rows that cannot be used: the rules *one row* and *one lease that does not fit* of `docs/rules.md`. Such a row is left alone,
//! reported, and counted as a lease whose state is not known; all other rows are used.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::table::lease::{Lease, LeaseKey};
use crate::lease::table::mismatch::{Mismatch, mismatches};
use crate::lease::table::store::Rows;
use crate::shard::{ListedShard, ShardId};

/// Returns what makes a lease unusable, whatever the stream looks like.
pub(crate) fn oddity(lease: &Lease) -> Option<String> {
    let key = lease.key.as_str();
    if let Some(stream) = &lease.stream {
        return Some(format!("it belongs to stream {stream} of an application that reads several streams"));
    }
    if !is_shard_id(key) {
        return Some("its key is no shard ID".to_owned());
    }
    for (what, count) in [("counter", lease.counter), ("count of owner switches", lease.owner_switches)] {
        if count > LARGEST_COUNT {
            return Some(format!("its {what} {count} has no room to grow: the KCL reads up to {}", i64::MAX));
        }
    }
    if lease.parents.contains(&lease.key.shard()) {
        return Some("it names its own shard as a parent".to_owned());
    }
    let odd = lease.parents.iter().chain(&lease.children).find(|id| !is_shard_id(id.as_str()));
    odd.map(|id| format!("it names {id} as a parent or child, which is no shard ID"))
}

/// Whether this can be the ID of a shard: every ID of the service begins so, and has these signs (API reference).
pub(in crate::lease) fn is_shard_id(id: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    id.strip_prefix("shardId-").is_some_and(|rest| !rest.is_empty()) && id.len() <= 128 && id.bytes().all(is_sign)
}

/// What a leader makes of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    /// The table as far as it can be used. A row that cannot be is among the unreadable ones, so that no lease is made in its
    /// place and no family of its shard is cleaned up.
    pub(crate) usable: Rows,
    /// Rows that cannot be used, by their keys, with the reason.
    pub(crate) odd: Vec<(String, String)>,
    /// Leases that do not fit the stream.
    pub(crate) mismatches: Vec<Mismatch>,
    /// Nothing shows that the table belongs to this stream, and something in it shows that it does not: all of it is left alone.
    pub(crate) is_foreign: bool,
}

/// Sets rows apart that cannot be used. Without a listing, only those that are odd by themselves, or say that they are another
/// stream's (`is_anothers`). `is_bound`: the table is bound to this stream, so that no row makes it another's.
pub(crate) fn judge(
    mut rows: Rows,
    listing: Option<&[ListedShard]>,
    is_bound: bool,
    is_anothers: impl Fn(&Lease) -> bool,
) -> Judged {
    let mut odd = rows.unreadable.clone();
    let circles = circles(&rows);
    let mut mismatches = listing.map_or_else(Vec::new, |listing| mismatches(listing, &rows));
    let known: BTreeSet<LeaseKey> = mismatches.iter().map(|mismatch| mismatch.key().clone()).collect();
    let anothers = rows.leases.iter().filter(|lease| is_anothers(lease) && !known.contains(&lease.key));
    mismatches.extend(anothers.map(|lease| Mismatch::OfAnotherStream {
        key: lease.key.clone(),
        stream: lease.bound_to.as_deref().unwrap_or_default().to_owned(),
    }));
    let is_foreign = !is_bound && listing.is_some_and(|listing| is_foreign(listing, &rows, &mismatches));
    let unfit: BTreeSet<&str> = mismatches.iter().map(|mismatch| mismatch.key().as_str()).collect();
    let mut apart = Vec::new();
    rows.leases.retain(|lease| {
        let key = lease.key.as_str();
        if unfit.contains(key) {
            apart.push((key.to_owned(), "it does not fit the stream".to_owned()));
            return false;
        }
        let in_circle = || circles.contains(&lease.key.shard()).then(|| "its parents form a circle".to_owned());
        match oddity(lease).or_else(in_circle) {
            Some(problem) => {
                odd.push((key.to_owned(), problem));
                false
            }
            None => true,
        }
    });
    rows.unreadable.clone_from(&odd);
    rows.unreadable.extend(apart);
    rows.unreadable.sort();
    Judged { usable: rows, odd, mismatches, is_foreign }
}

/// Returns the shards that are their own ancestors by what the rows say: each would wait for itself.
fn circles(rows: &Rows) -> BTreeSet<ShardId> {
    // A shard is above all circles when its parents are: take such shards away until none is left.
    let mut parents: BTreeMap<ShardId, &[ShardId]> =
        rows.leases.iter().map(|lease| (lease.key.shard(), &lease.parents[..])).collect();
    loop {
        let free: Vec<ShardId> = parents
            .iter()
            .filter(|(_, above)| above.iter().all(|parent| !parents.contains_key(parent)))
            .map(|(id, _)| id.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for id in free {
            parents.remove(&id);
        }
    }
    // What is left is in a circle or below one. Take away from the other end what is only below.
    loop {
        let named: BTreeSet<&ShardId> = parents.values().flat_map(|above| above.iter()).collect();
        let below: Vec<ShardId> = parents.keys().filter(|id| !named.contains(id)).cloned().collect();
        if below.is_empty() {
            return parents.into_keys().collect();
        }
        for id in below {
            parents.remove(&id);
        }
    }
}

/// Whether the whole table is to be left alone: some leases contradict the listing, and none agrees with it in the same respect. One
/// edited row among others that fit is that row's trouble (C12).
fn is_foreign(listing: &[ListedShard], rows: &Rows, mismatches: &[Mismatch]) -> bool {
    let shards: BTreeMap<&ShardId, &ListedShard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
    let unfit: BTreeSet<&str> = mismatches.iter().map(|mismatch| mismatch.key().as_str()).collect();
    let (mut by_number, mut by_range) = (false, false);
    for lease in rows.leases.iter().filter(|lease| !unfit.contains(lease.key.as_str())) {
        let Some(shard) = shards.get(&lease.key.shard()) else { continue };
        by_number |= matches!(lease.checkpoint, crate::lease::Checkpoint::At(_));
        by_range |= lease.range == Some(shard.range);
    }
    mismatches.iter().any(|mismatch| match mismatch {
        // A range that agrees proves nothing of the stream: two streams of equal shape have equal ranges.
        Mismatch::CheckpointBeforeStart { .. } => !by_number,
        Mismatch::OtherHashKeys { .. } | Mismatch::OfSeveralStreams { .. } | Mismatch::OfAnotherStream { .. } => {
            !by_number && !by_range
        }
    })
}

/// The KCL reads counters as 64-bit signed numbers. Below this one, a lease that is renewed a hundred times a second has room for a
/// year.
const LARGEST_COUNT: u64 = i64::MAX as u64 - (1 << 32);

#[cfg(test)]
mod tests;
