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
        Violation::new(
            "C12",
            write.at,
            "",
            format!("{} writes the row {ODD_KEY}, which is none of ours", write.network),
        )
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
    let (holders, begun) = (Holders::of(history), begun(history));
    let mut violations = Vec::new();
    for (shard, waits) in waits(history).into_iter().filter(|(shard, _)| !concerned.contains(*shard)) {
        let begun = begun.get(shard).map_or(&[][..], Vec::as_slice);
        let mut pauses = waits.into_iter().flat_map(|(from, until)| {
            let within = begun.iter().copied().filter(move |at| (from..until).contains(at));
            let ends: Vec<_> = within.clone().chain([until]).collect();
            [from].into_iter().chain(within).zip(ends)
        });
        let silence = |(from, until): &(Duration, Duration)| {
            *until > *from + bound && !holders.had_trouble(history, shard, *from, *until)
        };
        if let Some((from, until)) = pauses.find(silence) {
            let what = format!("records wait, and user code is not called from {from:?} to {until:?}");
            violations.push(Violation::new("C12", until, shard, what));
        }
    }
    violations
}

/// By shard the times in which acknowledged records were there and not done, while all of its parents were at their ends.
fn waits(history: &History) -> BTreeMap<&str, Vec<(Duration, Duration)>> {
    let (acked, done, ended) = (acked(history), done(&history.events), ended(history));
    let end = history.events.last().map_or(Duration::ZERO, |event| event.at);
    let mut waits: BTreeMap<&str, Vec<(Duration, Duration)>> = BTreeMap::new();
    for stored in history.stored.iter().filter(|stored| !stored.misrouted) {
        let parents = history.shards.get(&stored.shard).map_or(&[][..], |lineage| &lineage.parents);
        let parents: Option<Vec<_>> = parents.iter().map(|parent| ended.get(parent.as_str()).copied()).collect();
        let (Some(acked), Some(parents)) = (acked.get(&stored.position), parents) else { continue };
        let from = parents.into_iter().max().map_or(*acked, |ended| ended.max(*acked));
        let until = done.get(&stored.position).copied().unwrap_or(end);
        if from < until {
            waits.entry(&stored.shard).or_default().push((from, until));
        }
    }
    waits.values_mut().for_each(|waits| *waits = joined(std::mem::take(waits)));
    waits
}

/// Times that touch as one.
fn joined(mut times: Vec<(Duration, Duration)>) -> Vec<(Duration, Duration)> {
    times.sort_unstable();
    let mut joined: Vec<(Duration, Duration)> = Vec::new();
    for (from, until) in times {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => joined.push((from, until)),
        }
    }
    joined
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
