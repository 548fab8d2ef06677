//! C9: finished leases go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use super::liveness::after_a_death;
use crate::sim::history::{History, What};
use crate::sim::table::{Mark, Row};

/// When the world has been well for so long that somebody leads, the lease of a finished shard goes within two rounds of the first
/// records of its last child.
pub(crate) fn finished(history: &History) -> Vec<Violation> {
    let heal = history.events.iter().find(|event| event.what == What::Phase("liveness"));
    let (Some(heal), Some(end)) = (heal, history.events.last()) else { return Vec::new() };
    let led = heal.at + after_a_death(&history.shape);
    let mut rows: BTreeMap<&str, Option<&Row>> = BTreeMap::new();
    let mut begun: BTreeMap<&str, Duration> = BTreeMap::new();
    for write in &history.writes {
        rows.insert(&write.shard, write.row.as_ref());
        if write.row.as_ref().is_some_and(|row| row.checkpoint != Mark::Nothing) {
            begun.entry(&write.shard).or_insert(write.at);
        }
    }
    let stays = |(shard, row): (&str, Option<&Row>)| {
        row.filter(|row| row.checkpoint == Mark::ShardEnd)?;
        let children =
            history.shards.iter().filter(|(_, lineage)| lineage.parents.iter().any(|parent| parent == shard));
        let begun: Option<Vec<Duration>> = children.map(|(id, _)| begun.get(id.as_str()).copied()).collect();
        let since = begun?.into_iter().max()?.max(led);
        let what = format!("its lease is still there, {:?} after it could go", end.at.saturating_sub(since));
        (end.at > since + TWO_ROUNDS).then(|| Violation::new("C9", end.at, shard, what))
    };
    rows.into_iter().filter_map(stays).collect()
}

/// And what reading and writing takes.
const TWO_ROUNDS: Duration = Duration::from_secs(12);
