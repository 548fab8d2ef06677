//! C2: no checkpoint is ahead of a record that is not done. Of C6: neither checkpoints nor counters go back.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::sim::history::{History, What, short};
use crate::sim::run::done;
use crate::sim::table::{Mark, Row};

pub(crate) fn leases(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let done = done(&history.events);
    let mut before: BTreeMap<&str, &Row> = BTreeMap::new();
    for event in &history.events {
        let row = match &event.what {
            // What an operator deletes may begin anew.
            What::LeaseGone => {
                before.remove(event.shard.as_str());
                continue;
            }
            What::Lease(row) => row,
            _ => continue,
        };
        let mut broken = |promise, what| violations.push(Violation::new(promise, event.at, &event.shard, what));
        let earlier = before.insert(&event.shard, row);
        if let Some(earlier) = earlier {
            if row.checkpoint < earlier.checkpoint {
                broken("C6", format!("the checkpoint goes back from {} to {}", earlier.checkpoint, row.checkpoint));
            }
            if row.counter < earlier.counter {
                broken("C6", format!("the counter goes back from {} to {}", earlier.counter, row.counter));
            }
        }
        if earlier.is_some_and(|earlier| earlier.checkpoint == row.checkpoint) || row.checkpoint == Mark::Nothing {
            continue;
        }
        let covered = history.stored.iter().filter(|stored| stored.shard == event.shard && !stored.misrouted);
        let covered = covered.filter(|stored| match &row.checkpoint {
            Mark::At(position) => stored.position <= *position,
            _ => true,
        });
        let is_done = |at: Option<&Duration>| at.is_some_and(|at| *at <= event.at);
        let mut open = covered.filter(|stored| !is_done(done.get(&stored.position)));
        if let Some(stored) = open.next() {
            let what =
                format!("the checkpoint {} is ahead of {}, which is not done", row.checkpoint, short(&stored.position));
            broken("C2", what);
        }
    }
    violations
}
