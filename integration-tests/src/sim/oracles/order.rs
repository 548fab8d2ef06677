//! C3: in an epoch the records of the stream come one after the other, none out of order, none left out. And of C6: an
//! epoch is one worker's, and epochs grow.

use std::collections::{BTreeMap, BTreeSet};

use kinesis_consumer::Position;

use super::Violation;
use crate::sim::fleet::place_of_life;
use crate::sim::history::{History, What, short};

#[derive(Debug)]
struct Epoch<'a> {
    worker: &'a str,
    /// What was delivered last.
    last: &'a Position,
    /// Where the call at hand began: after a failure it comes again.
    first: &'a Position,
    failed: bool,
    call: u64,
}

/// Faces that tell no epoch are not judged.
pub(crate) fn epochs(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut next: BTreeMap<&Position, &Position> = BTreeMap::new();
    let there: Vec<_> = history.stored.iter().filter(|stored| !stored.misrouted).collect();
    for pair in there.windows(2).filter(|pair| pair[0].shard == pair[1].shard) {
        next.insert(&pair[0].position, &pair[1].position);
    }
    let mut epochs: BTreeMap<(&str, u64), Epoch<'_>> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    let damaged = history.damaged();
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &history.events {
        match &event.what {
            // A row that an operator deletes is made again and counts from the start, while its owner goes on in an epoch
            // of the old one until it notices: from then on this shard's epochs have no order.
            What::LeaseGone => _ = deleted.insert(event.shard.as_str()),
            What::Failed(call) => {
                epochs.values_mut().filter(|epoch| epoch.call == *call).for_each(|epoch| epoch.failed = true);
            }
            What::Begin { .. } if deleted.contains(event.shard.as_str()) => {}
            What::Begin { call, epoch: Some(number), records } => {
                let (Some(first), Some(last)) = (records.first(), records.last()) else { continue };
                let mut broken = |promise, what| violations.push(Violation::new(promise, event.at, &event.shard, what));
                let positions = records.iter().map(|record| &record.position);
                for (one, two) in positions.clone().zip(positions.skip(1)) {
                    if next.get(one) != Some(&two) {
                        broken("C3", format!("{} was given {} and then {}", event.worker, short(one), short(two)));
                    }
                }
                let key = (event.shard.as_str(), *number);
                match epochs.get(&key) {
                    None => {
                        let newest = newest.entry(&event.shard).or_insert(*number);
                        // Of twins the first may begin late what the second has adopted after it.
                        let since = event.at.saturating_sub(history.shape.lease_duration);
                        let twins = history.had_twins(place_of_life(&event.worker), since, event.at);
                        // Nor is the counter of a damaged row what it was.
                        if *number < *newest && !twins && !damaged.contains(event.shard.as_str()) {
                            broken("C6", format!("epoch {number} of {} begins after {newest} had begun", event.worker));
                        }
                        *newest = (*newest).max(*number);
                    }
                    Some(epoch) if epoch.worker != event.worker => {
                        broken("C6", format!("epoch {number} is that of {} and of {}", epoch.worker, event.worker));
                    }
                    Some(epoch) if epoch.failed && *epoch.first == first.position => {}
                    Some(epoch) if next.get(epoch.last) != Some(&&first.position) => {
                        let (last, first) = (short(epoch.last), short(&first.position));
                        broken("C3", format!("{} was given {first} after {last} in epoch {number}", event.worker));
                    }
                    Some(_) => {}
                }
                let epoch = Epoch {
                    worker: &event.worker,
                    last: &last.position,
                    first: &first.position,
                    failed: false,
                    call: *call,
                };
                epochs.insert(key, epoch);
            }
            _ => {}
        }
    }
    violations
}
