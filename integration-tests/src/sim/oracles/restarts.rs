//! C5: a new owner begins right after the checkpoint, so that nothing comes twice but what the former owner had not
//! checkpointed; and nothing at all where all hand-offs were completed.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::sim::fleet::{STRANGER, place_of_life};
use crate::sim::history::{History, What, short};
use crate::sim::table::{Mark, Row};

/// What came twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Duplicates {
    /// Records that were given to user code again in a later epoch.
    pub(crate) records: usize,
    /// Changes of owner.
    pub(crate) changes: usize,
}

pub(crate) fn starts(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut rows: BTreeMap<&str, &Row> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    let mut begun: BTreeSet<(&str, u64)> = BTreeSet::new();
    for event in &history.events {
        match &event.what {
            What::Lease(row) => _ = rows.insert(&event.shard, row),
            // A row that an operator deletes is made again, while its owner goes on in an epoch of the old one until it
            // notices: which checkpoint an epoch goes by is not known from then on.
            What::LeaseGone => _ = deleted.insert(event.shard.as_str()),
            What::Begin { .. } if deleted.contains(event.shard.as_str()) => {}
            What::Begin { epoch: Some(epoch), records, .. } if begun.insert((event.shard.as_str(), *epoch)) => {
                let (Some(first), Some(row)) = (records.first(), rows.get(event.shard.as_str())) else { continue };
                let mut there = history.stored.iter().filter(|stored| stored.shard == event.shard && !stored.misrouted);
                let right = match &row.checkpoint {
                    Mark::Nothing => there.next(),
                    Mark::At(position) => there.find(|stored| stored.position > *position),
                    Mark::ShardEnd => None,
                };
                // Of twins the first may begin what the second has adopted after it.
                let life = history.shape.lease_duration;
                let twins = history.had_twins(place_of_life(&event.worker), event.at.saturating_sub(life), event.at);
                if right.is_none_or(|right| right.position != first.position) && !twins {
                    let (first, checkpoint) = (short(&first.position), &row.checkpoint);
                    let what =
                        format!("{} begins epoch {epoch} at {first} with the checkpoint {checkpoint}", event.worker);
                    violations.push(Violation::new("C5", event.at, &event.shard, what));
                }
            }
            _ => {}
        }
    }
    let twice = duplicates(history);
    if twice.records > 0 && only_hand_offs(history) {
        let end = history.events.last().map_or_else(Default::default, |event| event.at);
        violations.push(Violation::new(
            "C5",
            end,
            "",
            format!("{} records came twice, and nobody died", twice.records),
        ));
    }
    violations
}

/// Who is told that another process renews its leases under its id is told the truth: there is one, or the last write of a
/// former life, or epoch, came late.
pub(crate) fn alarms(history: &History) -> Vec<Violation> {
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let damaged = history.damaged();
    let (mut late, mut violations) = (BTreeSet::new(), Vec::new());
    for event in &history.events {
        match &event.what {
            What::Trouble(trouble) if trouble.contains("Weather { worker: Some(") => {
                late.extend(trouble.split(['(', ')']).nth(1).map(|place| format!("w{place}")));
            }
            What::Up(id) => _ = ids.entry(id).or_default().insert(&event.worker),
            What::Alarm(what) if what.contains("under our worker ID") && !damaged.contains(event.shard.as_str()) => {
                let alone = ids.get(event.worker.as_str()).is_none_or(|lives| lives.len() < 2);
                if alone && !late.contains(place_of_life(&event.worker)) {
                    let what = format!("{} is told of another process under its id, and there was none", event.worker);
                    violations.push(Violation::new("C5", event.at, &event.shard, what));
                }
            }
            _ => {}
        }
    }
    violations
}

pub(crate) fn duplicates(history: &History) -> Duplicates {
    let mut duplicates = Duplicates::default();
    let mut seen = BTreeMap::new();
    let mut owners: BTreeMap<&str, (&str, Option<u64>)> = BTreeMap::new();
    for event in &history.events {
        let What::Begin { epoch, records, .. } = &event.what else { continue };
        let owner = (event.worker.as_str(), *epoch);
        let before = owners.insert(&event.shard, owner);
        duplicates.changes += usize::from(before.is_some_and(|before| before != owner));
        for record in records {
            let first = *seen.entry(&record.position).or_insert(owner);
            duplicates.records += usize::from(first != owner);
        }
    }
    duplicates
}

/// Nothing went wrong, nobody died, nobody was slower than a hand-off allows.
fn only_hand_offs(history: &History) -> bool {
    let calm = history.events.iter().all(|event| match &event.what {
        _ if event.worker.starts_with(STRANGER) => true,
        What::Trouble(trouble) => HARMLESS.iter().any(|harmless| trouble.contains(harmless)),
        What::Down(why) => event.worker == "producer" || why == "left",
        _ => true,
    });
    calm && history.shape.failing_calls == 0 && history.shape.slowest_call * 2 < history.shape.handoffs().0
}

/// Nobody dies of it, and no lease is lost.
const HARMLESS: [&str; 6] = ["Split", "Merge", "refused", "Stranger", "Neighbour", "OddRow"];
