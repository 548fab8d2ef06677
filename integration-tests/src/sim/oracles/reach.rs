//! C12: what is wrong with one shard, one row or one worker stays there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinesis_consumer::Position;

use super::Violation;
use super::liveness::{ROUND, bound};
use crate::sim::fleet::{STRANGER, network, place_of_life};
use crate::sim::history::{History, What, with_descendants};
use crate::sim::mistakes::{Mistake, ODD_KEY};
use crate::sim::run::done;
use crate::sim::table::Mark;

/// A row that is none of the stream's is left alone.
pub(crate) fn odd_rows(history: &History) -> Vec<Violation> {
    let touched = history.others.iter().filter(|write| write.key == ODD_KEY && !write.network.starts_with(STRANGER));
    let violation = touched.map(|write| {
        Violation::new("C12", write.at, "", format!("{} writes the row {ODD_KEY}, which is none of ours", write.network))
    });
    violation.take(1).collect()
}

/// Where nothing is wrong but what was got wrong, a shard that it does not concern is read: while records wait, user code is
/// called again within the time that a death would take.
pub(crate) fn silences(history: &History) -> Vec<Violation> {
    if history.mistakes().count() < history.schedule.len() || history.mistakes().next().is_none() {
        return Vec::new();
    }
    let bound = patience(history);
    let damaged = history.damaged().into_iter().map(str::to_owned).collect();
    let concerned = with_descendants(damaged, &history.shards);
    let holders = Holders::of(history);
    let (acked, done, begun, ended) = (acked(history), done(&history.events), begun(history), ended(history));
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    let mut said = BTreeSet::new();
    let mut violations = Vec::new();
    for stored in history.stored.iter().filter(|stored| !stored.misrouted && !concerned.contains(&stored.shard)) {
        let shard = stored.shard.as_str();
        let parents = history.shards.get(shard).map_or(&[][..], |lineage| &lineage.parents);
        let parents: Option<Vec<_>> = parents.iter().map(|parent| ended.get(parent.as_str()).copied()).collect();
        let (Some(acked), Some(parents)) = (acked.get(&stored.position), parents) else { continue };
        let from = parents.into_iter().max().map_or(*acked, |ended| ended.max(*acked));
        if done.get(&stored.position).is_some_and(|at| *at <= from) {
            continue;
        }
        let begun = begun.get(shard).map_or(&[][..], Vec::as_slice);
        let until = begun.get(begun.partition_point(|at| *at <= from)).copied().unwrap_or(end);
        if until > from + bound && !holders.had_trouble(history, shard, from, until) && said.insert(shard) {
            let what = format!("records wait since {from:?}, and nobody was given any until {until:?}");
            violations.push(Violation::new("C12", until, shard, what));
        }
    }
    violations
}

/// As long as a death takes, and what user code and lagging listings add to it.
fn patience(history: &History) -> Duration {
    let lags = history.mistakes().map(|(_, mistake)| match mistake {
        Mistake::Listing { lag, birth } => lag + birth,
        _ => Duration::ZERO,
    });
    bound(&history.shape) + 2 * history.shape.slowest_call + ROUND + lags.max().unwrap_or_default()
}

/// Who held each shard, from when on.
struct Holders<'a>(BTreeMap<&'a str, Vec<(Duration, &'a str)>>);

impl<'a> Holders<'a> {
    fn of(history: &'a History) -> Self {
        let mut holders: BTreeMap<&str, Vec<(Duration, &str)>> = BTreeMap::new();
        for write in &history.writes {
            let holder = write.row.as_ref().and_then(|row| row.holder()).map_or("", place_of_life);
            holders.entry(&write.shard).or_default().push((write.at, holder));
        }
        Self(holders)
    }

    /// Whether the shard was some time between held by a worker whose calls were refused.
    fn had_trouble(&self, history: &History, shard: &str, from: Duration, until: Duration) -> bool {
        let denied: BTreeSet<String> = history
            .mistakes()
            .filter(|(timed, _)| timed.at < until && timed.at + timed.lasts > from)
            .filter_map(|(_, mistake)| match mistake {
                Mistake::Denied { worker, .. } => worker.map(network),
                _ => None,
            })
            .collect();
        let holders = self.0.get(shard).map_or(&[][..], Vec::as_slice);
        let first = holders.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        holders[first..].iter().take_while(|(at, _)| *at <= until).any(|(_, holder)| denied.contains(*holder))
    }
}

fn acked(history: &History) -> BTreeMap<&Position, Duration> {
    let acked = history.events.iter().filter_map(|event| match &event.what {
        What::Acked { position, .. } => Some((position, event.at)),
        _ => None,
    });
    acked.collect()
}

/// When user code was called, of each shard.
fn begun(history: &History) -> BTreeMap<&str, Vec<Duration>> {
    let mut begun: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for event in history.events.iter().filter(|event| matches!(event.what, What::Begin { .. })) {
        begun.entry(&event.shard).or_default().push(event.at);
    }
    begun
}

/// When the table had the end of each shard.
fn ended(history: &History) -> BTreeMap<&str, Duration> {
    let mut ended = BTreeMap::new();
    for write in &history.writes {
        if write.row.as_ref().is_some_and(|row| row.checkpoint == Mark::ShardEnd) {
            ended.entry(write.shard.as_str()).or_insert(write.at);
        }
    }
    ended
}
