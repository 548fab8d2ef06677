//! C9: finished leases go.

use std::collections::BTreeMap;
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
    let stays = |(shard, row): (&&str, &Option<&Row>)| {
        row.filter(|row| row.checkpoint == Mark::ShardEnd)?;
        let children =
            history.shards.iter().filter(|(_, lineage)| lineage.parents.iter().any(|parent| parent == *shard));
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

/// And what reading and writing takes.
const TWO_ROUNDS: Duration = Duration::from_secs(12);
