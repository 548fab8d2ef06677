//! C2: no accepted checkpoint is ahead of a record that is not done. Of C6: neither checkpoints nor counters go back, only the
//! holder of a lease renews it, and of two processes under its id the one that begins an epoch.

use std::collections::BTreeMap;

use super::Violation;
use crate::sim::fleet::place_of_life;
use crate::sim::history::{History, short};
use crate::sim::run::done;
use crate::sim::table::{LeaseWrite, Mark, Row};

/// Every write that the table accepted is judged, at the moment when it took effect.
pub(crate) fn writes(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let done = done(&history.events);
    let mut rows: BTreeMap<&str, &Row> = BTreeMap::new();
    let damaged = history.damaged();
    let mut renewed: BTreeMap<&str, &str> = BTreeMap::new();
    for write in &history.writes {
        let mut broken = |promise, what| violations.push(Violation::new(promise, write.at, &write.shard, what));
        // A lease that was deleted begins anew.
        let Some(row) = &write.row else {
            rows.remove(write.shard.as_str());
            continue;
        };
        let before = rows.insert(&write.shard, row);
        // An operator damages a row, or mends it.
        if write.place.is_none() && damaged.contains(write.shard.as_str()) {
            renewed.remove(write.shard.as_str());
            continue;
        }
        if let Some(before) = before {
            if row.checkpoint < before.checkpoint {
                broken("C6", format!("the checkpoint goes back from {} to {}", before.checkpoint, row.checkpoint));
            }
            if row.counter < before.counter {
                broken("C6", format!("the counter goes back from {} to {}", before.counter, row.counter));
            }
            if let Some(network) = write.network.as_deref().filter(|_| is_renewal(before, row)) {
                let former = renewed.insert(&write.shard, network).filter(|former| *former != network);
                if let Some(former) = former.filter(|_| row.counter == before.counter + 1) {
                    broken("C6", format!("{network} goes on in the epoch of {former}"));
                }
            } else {
                renewed.remove(write.shard.as_str());
            }
            if let Some(holder) = before.holder().filter(|_| is_renewal(before, row))
                && write.place.as_deref() != Some(place_of_life(holder))
            {
                broken("C6", format!("{} renews the lease that {holder} holds", by(write)));
            }
        }
        if before.is_some_and(|before| before.checkpoint == row.checkpoint) || row.checkpoint == Mark::Nothing {
            continue;
        }
        let covered = history.stored.iter().filter(|stored| stored.shard == write.shard && !stored.misrouted);
        let covered = covered.filter(|stored| match &row.checkpoint {
            Mark::At(position) => stored.position <= *position,
            _ => true,
        });
        let mut open = covered.filter(|stored| done.get(&stored.position).is_none_or(|at| *at > write.at));
        if let Some(stored) = open.next() {
            let what =
                format!("the checkpoint {} is ahead of {}, which is not done", row.checkpoint, short(&stored.position));
            broken("C2", what);
        }
    }
    violations
}

/// Whether the counter moves and nothing of the owners does.
pub(super) fn is_renewal(before: &Row, row: &Row) -> bool {
    row.counter != before.counter && row.owner == before.owner && row.checkpoint_owner == before.checkpoint_owner
}

fn by(write: &LeaseWrite) -> String {
    write.place.clone().unwrap_or_else(|| "somebody from outside".to_owned())
}
