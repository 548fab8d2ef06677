//! C7: never are two workers at one shard. The meter counts from the moment when user code is called on one worker while
//! a call on another has not ended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::sim::fleet::place_of_life;
use crate::sim::history::{History, What};

/// A time in which two lives processed one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Overlap {
    from: Duration,
    until: Duration,
    shard: String,
    workers: [String; 2],
    /// When the last call of each of them began.
    begun: [Duration; 2],
}

impl Overlap {
    /// How much of it lay outside of these times.
    fn without(&self, times: &[(Duration, Duration)]) -> Duration {
        let mut left = self.until - self.from;
        let mut counted = self.from;
        for (from, until) in times {
            let (from, until) = ((*from).max(counted), (*until).min(self.until));
            if from < until {
                left -= until - from;
                counted = until;
            }
        }
        left
    }
}

/// A holder gives up so early that its slow clock does not matter, and a call is dropped when its lease is lost: nothing
/// may overlap, but for the time in which one of the two stands still, and for the calls that it was in when it did. Of two
/// processes under one id the first learns of the second within a lease's life.
pub(crate) fn processors(history: &History) -> Vec<Violation> {
    let standing = standing_still(history);
    let (of_twins, others): (Vec<_>, Vec<_>) =
        overlaps(history).into_iter().partition(|overlap| are_twins(history, overlap));
    let life = history.shape.lease_duration;
    let of_twins = in_a_row(of_twins, life / 2).into_iter().map(|overlap| (overlap, life));
    let others = others.into_iter().map(|overlap| (overlap, PERMITTED));
    of_twins
        .chain(others)
        .filter_map(|(overlap, permitted)| {
            let together = lasted(&overlap, &standing, life);
            let Overlap { from, shard, workers: [one, other], .. } = overlap;
            let what = format!("{one} and {other} were at it together for {together:?}");
            (together > permitted).then(|| Violation::new("C7", from, &shard, what))
        })
        .collect()
}

/// The longest time in which a shard had two processors, neither of which stood still.
pub(crate) fn longest(history: &History) -> Duration {
    let (standing, life) = (standing_still(history), history.shape.lease_duration);
    overlaps(history).iter().map(|overlap| lasted(overlap, &standing, life)).max().unwrap_or_default()
}

fn are_twins(history: &History, overlap: &Overlap) -> bool {
    let [one, other] = overlap.workers.each_ref().map(|life| place_of_life(life));
    one == other && history.had_twins(one, overlap.from, overlap.until)
}

/// Overlaps of the same two at the same shard with less than this between them, as one.
fn in_a_row(mut overlaps: Vec<Overlap>, between: Duration) -> Vec<Overlap> {
    let mut rows: Vec<Overlap> = Vec::new();
    overlaps.iter_mut().for_each(|overlap| overlap.workers.sort_unstable());
    overlaps.sort_by(|a, b| (&a.shard, &a.workers, a.from).cmp(&(&b.shard, &b.workers, b.from)));
    for overlap in overlaps {
        match rows.last_mut() {
            Some(row)
                if (&row.shard, &row.workers) == (&overlap.shard, &overlap.workers)
                    && overlap.from < row.until + between =>
            {
                row.until = row.until.max(overlap.until);
            }
            _ => rows.push(overlap),
        }
    }
    rows
}

/// What a worker begins when it wakes counts. What it was in does not, for as long as it can be taken to have the lease.
fn lasted(overlap: &Overlap, standing: &BTreeMap<&str, Vec<(Duration, Duration)>>, life: Duration) -> Duration {
    let mut times = Vec::new();
    for (worker, begun) in overlap.workers.iter().zip(overlap.begun) {
        let standing = standing.get(place_of_life(worker)).into_iter().flatten();
        let left = |woken: Duration| if begun < woken { woken + life } else { woken };
        times.extend(standing.map(|(from, until)| (*from, left(*until))));
    }
    times.sort_unstable();
    overlap.without(&times)
}

/// When each place was frozen.
fn standing_still(history: &History) -> BTreeMap<&str, Vec<(Duration, Duration)>> {
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    let mut times: BTreeMap<&str, Vec<(Duration, Duration)>> = BTreeMap::new();
    for event in &history.events {
        let times = times.entry(place_of_life(&event.worker)).or_default();
        match event.what {
            What::Frozen => times.push((event.at, end)),
            What::Thawed => times.iter_mut().filter(|time| time.1 > event.at).for_each(|time| time.1 = event.at),
            _ => {}
        }
    }
    times
}

fn overlaps(history: &History) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    // By shard and life the calls that are under way, and when the last one began.
    let mut calls: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut begun: BTreeMap<(&str, &str), Duration> = BTreeMap::new();
    let mut together: BTreeMap<(&str, [&str; 2]), Duration> = BTreeMap::new();
    for event in &history.events {
        let key = (event.shard.as_str(), event.worker.as_str());
        match &event.what {
            What::Begin { .. } => {
                begun.insert(key, event.at);
                let at_it = calls.entry(key).or_default();
                *at_it += 1;
                if *at_it > 1 {
                    continue;
                }
                for (_, other) in calls.keys().filter(|(shard, worker)| *shard == key.0 && *worker != key.1) {
                    together.entry((key.0, [other, key.1])).or_insert(event.at);
                }
            }
            What::Done(_) | What::Failed(_) | What::Dropped(_) => {
                let Some(at_it) = calls.get_mut(&key) else { continue };
                *at_it -= 1;
                if *at_it > 0 {
                    continue;
                }
                calls.remove(&key);
                together.retain(|(shard, workers), from| {
                    let ends = *shard == key.0 && workers.contains(&key.1);
                    if ends {
                        overlaps.push(overlap(*from, event.at, shard, *workers, &begun));
                    }
                    !ends
                });
            }
            _ => {}
        }
    }
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    overlaps.extend(together.into_iter().map(|((shard, workers), from)| overlap(from, end, shard, workers, &begun)));
    overlaps
}

fn overlap(
    from: Duration,
    until: Duration,
    shard: &str,
    workers: [&str; 2],
    begun: &BTreeMap<(&str, &str), Duration>,
) -> Overlap {
    let begun = workers.map(|life| begun[&(shard, life)]);
    Overlap { from, until, shard: shard.to_owned(), workers: workers.map(str::to_owned), begun }
}

/// Tasks of one virtual instant run in some order: a call may be dropped after another has begun, without time between.
const PERMITTED: Duration = Duration::ZERO;
