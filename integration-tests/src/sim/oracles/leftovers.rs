//! C9: finished leases go, and tasks with their leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Violation;
use super::liveness::after_a_death;
use crate::sim::history::{History, What};
use crate::sim::table::{Mark, Row};

/// When the world has been well for so long that somebody leads, the lease of a finished shard goes within two rounds of the first
/// records of its last child, once those of its own parents are gone.
pub(crate) fn finished(history: &History) -> Vec<Violation> {
    let heal = history.events.iter().find(|event| event.what == What::Phase("liveness"));
    let (Some(heal), Some(end)) = (heal, history.events.last()) else { return Vec::new() };
    let led = heal.at + after_a_death(&history.shape);
    let mut rows: BTreeMap<&str, Option<&Row>> = BTreeMap::new();
    let (mut begun, mut gone): (BTreeMap<&str, Duration>, BTreeMap<&str, Duration>) = Default::default();
    for write in &history.writes {
        rows.insert(&write.shard, write.row.as_ref());
        if write.row.is_none() {
            gone.insert(&write.shard, write.at);
        }
        if write.row.as_ref().is_some_and(|row| row.checkpoint != Mark::Nothing) {
            begun.entry(&write.shard).or_insert(write.at);
        }
    }
    let out_of_use = history.out_of_use();
    let stays = |(shard, row): (&&str, &Option<&Row>)| {
        row.filter(|row| row.checkpoint == Mark::ShardEnd)?;
        let children =
            history.shards.iter().filter(|(_, lineage)| lineage.parents.iter().any(|parent| parent == *shard));
        // Nobody can tell what a row says that cannot be used.
        if out_of_use.contains(*shard) || children.clone().any(|(id, _)| out_of_use.contains(id)) {
            return None;
        }
        let begun: Option<Vec<Duration>> = children.map(|(id, _)| begun.get(id.as_str()).copied()).collect();
        let parents = history.shards.get(*shard).into_iter().flat_map(|lineage| &lineage.parents);
        let parents: Vec<&str> = parents.map(String::as_str).collect();
        if parents.iter().any(|parent| rows.get(parent).is_some_and(Option::is_some)) {
            return None;
        }
        let since =
            begun?.into_iter().chain(parents.iter().filter_map(|parent| gone.get(parent).copied())).max()?.max(led);
        let what = format!("its lease is still there, {:?} after it could go", end.at.saturating_sub(since));
        (end.at > since + TWO_ROUNDS).then(|| Violation::new("C9", end.at, shard, what))
    };
    rows.iter().filter_map(stays).collect()
}

/// Where all is well and nothing goes on, each worker has its few tasks, and each lease. Whoever holds a finished lease learns only
/// from its next renewal that the leader has deleted it.
pub(crate) fn tasks(history: &History) -> Vec<Violation> {
    let (mut open, mut finished): (BTreeSet<&str>, BTreeMap<&str, Duration>) = Default::default();
    let (mut converged, mut violations) = (false, Vec::new());
    for event in &history.events {
        match &event.what {
            What::Lease(row) if row.checkpoint == Mark::ShardEnd => {
                open.remove(event.shard.as_str());
                finished.insert(&event.shard, Duration::MAX);
            }
            What::Lease(_) => _ = open.insert(&event.shard),
            What::LeaseGone => {
                open.remove(event.shard.as_str());
                finished.entry(&event.shard).and_modify(|gone| *gone = event.at);
            }
            What::Converged => converged = true,
            What::Tasks { workers, tasks } if converged => {
                finished.retain(|_, gone| gone.saturating_add(history.shape.lease_duration) > event.at);
                let most = OF_A_WORKER * workers + OF_A_LEASE * open.len() + finished.len();
                if *tasks > most {
                    let leases = open.len() + finished.len();
                    let what = format!("{workers} workers with {leases} leases have {tasks} tasks, and not {most}");
                    violations.push(Violation::new("C9", event.at, "", what));
                }
            }
            _ => {}
        }
    }
    violations
}

/// Its program, and what leads, finds leases, and shows that it lives.
const OF_A_WORKER: usize = 4;
/// What renews it, what reads, and what hands on; of a finished one only the first.
const OF_A_LEASE: usize = 3;

/// And what reading and writing takes.
const TWO_ROUNDS: Duration = Duration::from_secs(12);
