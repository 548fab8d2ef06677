//! C11: the table belongs to one stream. Who reads another writes nothing to it, and no shard ends that the stream says is open.

use super::Violation;
use crate::sim::fleet::STRANGER;
use crate::sim::history::{History, What};
use crate::sim::table::Mark;

/// A worker of another stream neither starts nor writes.
pub(crate) fn strangers(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for write in history.others.iter().filter(|write| write.network.starts_with(STRANGER)) {
        let what = format!("{} reads another stream, and writes the row {}", write.network, write.key);
        violations.push(Violation::new("C11", write.at, "", what));
    }
    for event in history.events.iter().filter(|event| event.worker.starts_with(STRANGER)) {
        if let What::Up(id) = &event.what {
            violations.push(Violation::new("C11", event.at, "", format!("{id} reads another stream, and starts")));
        }
    }
    violations
}

/// A shard that is open at the end was never closed.
pub(crate) fn ends(history: &History) -> Vec<Violation> {
    let ended = |write: &&crate::sim::table::LeaseWrite| {
        let is_open = history.shards.get(&write.shard).is_some_and(|lineage| lineage.open);
        is_open && write.row.as_ref().is_some_and(|row| row.checkpoint == Mark::ShardEnd)
    };
    let first = history.writes.iter().find(ended);
    let violation = first.map(|write| {
        let by = write.network.as_deref().unwrap_or("somebody");
        Violation::new("C11", write.at, &write.shard, format!("{by} ends it, and the stream says that it is open"))
    });
    violation.into_iter().collect()
}
