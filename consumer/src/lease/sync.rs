//! Which leases a listing of shards calls for, and their creation.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kinesis_aggregation::HashKeyRange;

use super::lease::{Checkpoint, Lease, LeaseKey};
use super::store::{BoxError, LeaseStore, Rows, StoreError, Written};
use crate::backoff::Pauses;
use crate::shard::{ListedShard, ShardId};

/// What a listing calls for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Leases to create, the oldest shards first.
    pub(crate) create: Vec<Planned>,
    /// Open shards without a lease that get one when their parents end.
    pub(crate) waiting: Vec<ShardId>,
}

/// A lease to create.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) lease: Lease,
    /// Whether it follows from a finished parent. Otherwise it follows from the absence of leases, which a read that
    /// lags behind, or that went on while leases were deleted, can make up.
    pub(crate) follows: bool,
}

/// Plans the leases for the shards of `listing` that nobody reads or will read: the oldest unread shard of each line of
/// descent, to start at `start` (one of the three sentinels). Their children follow when they end.
///
/// Works line by line, so that a shard that looks odd (open, and yet with children, while the listing lags behind a
/// split) holds up its own line only. Differs from the KCL where that gets stuck:
/// - a child of finished parents is made, at `TRIM_HORIZON`, when its parents' owner did not come to it;
/// - a shard with a descendant in the table, and no finished parent there, is past, and not read again.
pub(crate) fn plan(listing: &[ListedShard], rows: &Rows, start: &Checkpoint) -> Plan {
    let shards: BTreeMap<&ShardId, &ListedShard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
    let mut planner = Planner {
        leases: leases_by_shard(rows),
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
    Plan { create: create.into_iter().map(|(_, planned)| planned).collect(), waiting }
}

/// The lease of a shard that has not been read, to start at `checkpoint`.
pub(crate) fn new_lease(shard: &ListedShard, checkpoint: Checkpoint) -> Lease {
    let mut lease = Lease::new(LeaseKey::of(&shard.id), checkpoint);
    lease.parents.clone_from(&shard.parents);
    lease.range = Some(shard.range);
    lease
}

/// How a shard is provided for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is being read, or will be: by its own lease, by one to be made, or after its parents' end.
    Covered,
    /// It has been read to its end, and its lease is there.
    Finished,
    /// A descendant has a lease, so it was read, or passed over, long ago.
    Past,
    /// It is closed and lies before a start at `LATEST`.
    Before,
}

struct Planner<'a> {
    shards: BTreeMap<&'a ShardId, &'a ListedShard>,
    leases: BTreeMap<ShardId, Fate>,
    past: BTreeSet<ShardId>,
    fates: BTreeMap<&'a ShardId, Fate>,
    create: BTreeMap<&'a ShardId, (&'a ListedShard, Planned)>,
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
        let is_past = self.past.contains(&shard.id);
        if is_past && !any(Fate::Finished) {
            return if any(Fate::Covered) { Fate::Covered } else { Fate::Past };
        }
        if any(Fate::Covered) || (any(Fate::Finished) && any(Fate::Before)) {
            // A merge: the line of one parent is read, that of the other is not.
            for (parent, _) in parents.iter().filter(|(_, fate)| *fate == Fate::Before) {
                if let Some(parent) = self.shards.get(parent).copied() {
                    self.plan(parent, self.start.clone(), false);
                }
            }
            return Fate::Covered;
        }
        if any(Fate::Finished) {
            // A finished lease stays until all children have leases, and theirs until it is gone. So this one never had
            // a lease, though there is one below it: another parent's owner went on without waiting for it.
            self.plan(shard, Checkpoint::TrimHorizon, !is_past);
        } else if shard.is_closed() && *self.start == Checkpoint::Latest {
            return Fate::Before;
        } else {
            self.plan(shard, self.start.clone(), false);
        }
        Fate::Covered
    }

    /// What is known of a shard that may have expired from the listing. Of one that is neither listed nor leased:
    /// nothing, and it holds up nobody.
    fn fate(&self, id: &ShardId) -> Option<Fate> {
        self.leases.get(id).or_else(|| self.fates.get(id)).copied()
    }

    fn plan(&mut self, shard: &'a ListedShard, checkpoint: Checkpoint, follows: bool) {
        let lease = new_lease(shard, checkpoint);
        self.create.insert(&shard.id, (shard, Planned { lease, follows }));
    }
}

/// A row that cannot be read may be of a shard that is being read, so it counts as such.
fn leases_by_shard(rows: &Rows) -> BTreeMap<ShardId, Fate> {
    let fate = |lease: &Lease| if lease.checkpoint.is_shard_end() { Fate::Finished } else { Fate::Covered };
    let readable = rows.leases.iter().map(|lease| (lease.key.shard(), fate(lease)));
    let unreadable = rows.unreadable.iter().map(|(key, _)| (ShardId::from(key.as_str()), Fate::Covered));
    readable.chain(unreadable).collect()
}

/// The shards in an order in which parents come before their children. Lineage decides, not the numbers: emulators give
/// a merged shard the start of its parent. What is left of a circle comes last, by id.
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

/// A lease that does not fit the stream: the stream was deleted and made again under its name, or the table is that of
/// another one. Reading on would skip everything up to the old number without a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The checkpoint lies before the shard's first possible record.
    #[error(
        "lease {key} is at {checkpoint}, before shard {shard} begins ({starting}): the stream was made anew, or is another one"
    )]
    CheckpointBeforeStart {
        /// The lease.
        key: LeaseKey,
        /// Where it stands.
        checkpoint: crate::record::Position,
        /// The shard of that id.
        shard: ShardId,
        /// Where the shard begins.
        starting: crate::record::SequenceNumber,
    },
    /// The lease is of a shard with other hash keys, which a shard never changes.
    #[error(
        "lease {key} has the hash keys {leased}, shard {shard} has {listed}: the stream was made anew, or is another one"
    )]
    OtherHashKeys {
        /// The lease.
        key: LeaseKey,
        /// The hash keys that it names.
        leased: HashKeyRange,
        /// The shard of that id.
        shard: ShardId,
        /// The hash keys of the shard.
        listed: HashKeyRange,
    },
    /// The lease is that of one stream among several, as the KCL's multi-stream mode writes it.
    #[error("lease {key} belongs to stream {stream} of an application that reads several streams")]
    OfSeveralStreams {
        /// The lease.
        key: LeaseKey,
        /// The stream that it names.
        stream: String,
    },
}

/// The leases that do not fit the listed stream. Leases of shards that are not listed are no error: shards expire.
pub(crate) fn mismatches(listing: &[ListedShard], rows: &Rows) -> Vec<Mismatch> {
    let shards: BTreeMap<&ShardId, &ListedShard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
    let judge = |lease: &Lease| {
        let key = lease.key.clone();
        if let Some(stream) = lease.stream.clone() {
            return Some(Mismatch::OfSeveralStreams { key, stream });
        }
        let shard = shards.get(&lease.key.shard())?;
        if let Some(leased) = lease.range.filter(|range| *range != shard.range) {
            return Some(Mismatch::OtherHashKeys { key, leased, shard: shard.id.clone(), listed: shard.range });
        }
        let Checkpoint::At(position) = &lease.checkpoint else { return None };
        (position.sequence_number < shard.starting).then(|| Mismatch::CheckpointBeforeStart {
            key,
            checkpoint: position.clone(),
            shard: shard.id.clone(),
            starting: shard.starting.clone(),
        })
    };
    rows.leases.iter().filter_map(judge).collect()
}

/// What became of leases to be created.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// In the table now, by us or by somebody faster.
    pub(crate) leases: Vec<Lease>,
    /// Not known to be in the table.
    pub(crate) failed: Vec<(LeaseKey, BoxError)>,
}

/// Creates leases, each for itself: one that fails holds up no other. `pauses` is asked for the pauses between tries.
pub(crate) async fn create(
    store: &dyn LeaseStore,
    leases: impl IntoIterator<Item = Lease> + Send,
    mut pauses: impl FnMut() -> Pauses + Send,
) -> Created {
    let leases: Vec<(Lease, Pauses)> = leases.into_iter().map(|lease| (lease, pauses())).collect();
    let mut attempts =
        futures::stream::iter(leases).map(|(lease, pauses)| create_one(store, lease, pauses)).buffered(CONCURRENCY);
    let mut created = Created::default();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(lease) => created.leases.push(lease),
            Err((key, error)) => created.failed.push((key, error.into())),
        }
    }
    created
}

async fn create_one(store: &dyn LeaseStore, lease: Lease, mut pauses: Pauses) -> Result<Lease, (LeaseKey, StoreError)> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match store.create(&lease).await {
            Ok(Written::Accepted(row) | Written::Refused(row)) => return Ok(row.map_or(lease, |row| *row)),
            // Again also without an answer: should it have been written, the next try is refused.
            Err(error) if error.is_retryable() && tries > 0 => tokio::time::sleep(pauses.draw()).await,
            Err(error) => return Err((lease.key, error)),
        }
    }
}

/// At 10 ms a write this makes a thousand leases in a second, which a new on-demand table (4000 writes a second) bears.
const CONCURRENCY: usize = 10;
/// With pauses that double from 50 ms, some three seconds; the next round tries again.
const TRIES: u32 = 6;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
