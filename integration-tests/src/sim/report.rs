//! What is told of a run.

use std::fmt::Write as _;
use std::time::Duration;

use super::history::{Event, History};
use super::oracles::{Duplicates, Violation, duplicates, judge, longest_overlap, took};
use super::run::Ran;
use super::schedule::Timed;
use super::shrink::shrink;

/// A run, judged.
#[derive(Debug)]
pub struct Report {
    history: History,
    calls: String,
    schedule: Vec<Timed>,
    violations: Vec<Violation>,
}

impl Report {
    pub(crate) fn of(ran: Ran, schedule: Vec<Timed>) -> Self {
        let violations = judge(&ran.history);
        Self { history: ran.history, calls: ran.calls, schedule, violations }
    }

    /// Whether all promises were kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Every event in columns: when, which life of a worker, which shard, what.
    pub fn events(&self) -> String {
        format!("{:?}\n{}", self.history.shape, columns(self.history.events.iter()))
    }

    /// Every event and every call to the cloud, a line each: the same in all runs of one seed.
    pub fn trace(&self) -> String {
        format!("{}\n{}", self.events(), self.calls)
    }

    /// One line of figures.
    pub fn summary(&self) -> String {
        let Self { history, violations, .. } = self;
        let Duplicates { records, changes } = duplicates(history);
        let verdict = if violations.is_empty() { "clean " } else { "BROKEN" };
        let overlap = longest_overlap(history);
        let converged = took(history).map_or_else(|| "never".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        format!(
            "seed {:<8} {verdict} {} workers {:>2} shards {:>5} puts {:>2} troubles; {changes} changes of owner, {records} records \
             twice, overlap {overlap:?}, converged {converged}",
            history.shape.seed,
            history.shape.workers,
            history.shards.len(),
            history.puts.len(),
            self.schedule.len(),
        )
    }

    /// From the heal until all was well.
    pub fn converged_after(&self) -> Option<Duration> {
        took(&self.history)
    }

    /// Promises that were broken, each named once.
    pub fn broken(&self) -> Vec<&'static str> {
        let mut promises: Vec<_> = self.violations.iter().map(|violation| violation.promise).collect();
        promises.sort_unstable();
        promises.dedup();
        promises
    }

    /// The shape, the schedule as drawn and as shrunk, the broken promises, and the last events of the shard concerned.
    /// Shrinking runs the world many times.
    pub fn failure(&self) -> String {
        let Some(first) = self.violations.first() else { return String::new() };
        let mut text = format!("{}\n{:#?}\n", self.summary(), self.history.shape);
        for violation in self.violations.iter().take(MOST_VIOLATIONS) {
            let _infallible = writeln!(text, "  {violation}");
        }
        if let Some(more) = self.violations.len().checked_sub(MOST_VIOLATIONS).filter(|more| *more > 0) {
            let _infallible = writeln!(text, "  and {more} more");
        }
        let _infallible = writeln!(text, "the schedule:");
        self.schedule.iter().for_each(|timed| _ = writeln!(text, "  {timed}"));
        let shrunk = shrink(&self.history.shape, &self.schedule, first.promise);
        let _infallible = writeln!(text, "what it takes of it to break {}:", first.promise);
        shrunk.iter().for_each(|timed| _ = writeln!(text, "  {timed}"));
        let _infallible = writeln!(text, "the last events before:");
        text + &columns(self.events_of(first).into_iter())
    }

    fn events_of(&self, violation: &Violation) -> Vec<&Event> {
        let of_shard =
            |event: &Event| violation.shard.is_empty() || event.shard.is_empty() || event.shard == violation.shard;
        let of_side = |event: &Event| violation.promise.starts_with('P') || event.worker != "producer";
        let concerned = |event: &&Event| event.at <= violation.at && of_shard(event) && of_side(event);
        let events: Vec<_> = self.history.events.iter().filter(concerned).collect();
        events[events.len().saturating_sub(LAST_EVENTS)..].to_vec()
    }
}

fn columns<'a>(events: impl Iterator<Item = &'a Event>) -> String {
    let mut text = String::from("       time  worker       shard  what\n");
    events.for_each(|event| _ = writeln!(text, "{event}"));
    text
}

/// More say nothing new.
const MOST_VIOLATIONS: usize = 12;

/// What a reader can follow.
const LAST_EVENTS: usize = 200;
