//! C4: no delivery of a child before the table had the end of all its parents.

use std::collections::BTreeSet;

use super::Violation;
use crate::sim::history::{History, What};
use crate::sim::table::Mark;

/// The table is looked at right before the first delivery of each epoch.
pub(crate) fn children(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let (mut ended, mut begun) = (BTreeSet::new(), BTreeSet::new());
    for event in &history.events {
        match &event.what {
            What::Lease(row) if row.checkpoint == Mark::ShardEnd => _ = ended.insert(event.shard.as_str()),
            What::Begin { .. } if begun.insert(event.shard.as_str()) => {
                let parents = history.shards.get(&event.shard).map_or(&[][..], |lineage| &lineage.parents);
                for parent in parents.iter().filter(|parent| !ended.contains(parent.as_str())) {
                    let what = format!("{} was given the first records before {parent} was at its end", event.worker);
                    violations.push(Violation::new("C4", event.at, &event.shard, what));
                }
            }
            _ => {}
        }
    }
    violations
}
