//! From what happened to the lines that a reader wants to see.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinesis_consumer::Position;
use kinesis_testkit::{Call, Calls, Outcome};

use super::lines::{Item, Kind, Lines};
use crate::sim::history::{Event, Recorder, What, short};
use crate::sim::table::{Mark, Row};
use crate::sim::workload::PRODUCER;

/// What was told so far, so that the rest is told as news.
#[derive(Debug, Default)]
pub(super) struct Trace {
    events: usize,
    rows: BTreeMap<String, Row>,
    /// The last life under each id of the table.
    lives: BTreeMap<String, String>,
    puts: BTreeMap<Position, u32>,
    delivered: BTreeSet<u32>,
    calls: BTreeMap<u64, Vec<u32>>,
    /// What user code failed at, by life and shard: it comes again, which is no news.
    failed: BTreeMap<(String, String), Vec<u32>>,
    /// Calls to the cloud that were told, by whose they are and their number.
    told: BTreeSet<(String, usize)>,
    shown: String,
}

impl Trace {
    /// The lines of what has happened since the last time.
    pub(super) fn since(&mut self, recorder: &Recorder, calls: &Vec<(String, Calls)>) -> String {
        let mut items = Vec::new();
        for (name, calls) in calls {
            items.extend(self.calls_that_went_wrong(name, calls));
        }
        let events = recorder.since(self.events);
        self.events += events.len();
        events.into_iter().for_each(|event| self.items_of(event, &mut items));
        Lines::of(items).to_string() + &std::mem::take(&mut self.shown)
    }

    /// Whole rows, for the next lines.
    pub(super) fn show_leases(&mut self, rows: &BTreeMap<String, Row>) {
        for (shard, row) in rows {
            let Row { owner, checkpoint_owner, counter, checkpoint } = row;
            let holder = checkpoint_owner.as_ref().map_or_else(String::new, |holder| format!(", held by {holder}"));
            let owner = owner.as_deref().unwrap_or("-");
            let checkpoint = self.mark(checkpoint);
            let shard = number_of(shard).unwrap_or_default();
            self.shown += &format!("{:35}lease {shard}: owner {owner}{holder}, counter {counter}, {checkpoint}\n", "");
        }
    }

    fn calls_that_went_wrong(&mut self, name: &str, calls: &Calls) -> Vec<Item> {
        let mut items = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            if call.outcome == Outcome::Waiting || !self.told.insert((name.to_owned(), number)) {
                continue;
            }
            if let Some(what) = what_went_wrong(call) {
                items.push(Item::text(call.at, name, "", format!("{}: {what}", call.operation)));
            }
        }
        items
    }

    fn items_of(&mut self, event: Event, items: &mut Vec<Item>) {
        let Event { at, worker, shard, what } = event;
        let mut text = |text: String| items.push(Item::text(at, &worker, &shard, text));
        match what {
            What::Up(id) => {
                text(if id == worker { "up".to_owned() } else { format!("up as {id}") });
                self.lives.insert(id, worker);
            }
            What::Down(why) => text(format!("down: {why}")),
            What::Leads => text("leads".to_owned()),
            // Troubles are the script's own.
            What::Phase(_)
            | What::Converged
            | What::Put(_)
            | What::Trouble(_)
            | What::Frozen
            | What::Thawed
            | What::Holds { .. }
            | What::Flushed { .. }
            | What::Closing { .. }
            | What::Tasks { .. }
            | What::Damaged { .. }
            | What::Alarm(_) => {}
            What::Acked { put, position, attempts } => {
                self.puts.insert(position, put);
                if attempts > 1 {
                    items.push(Item::puts(at, PRODUCER, &shard, format!("written at attempt {attempts}: "), put));
                }
            }
            What::GivenUp { put, unknown, .. } => {
                let outcome = if unknown { "given up, may be written: " } else { "given up, not written: " };
                items.push(Item::puts(at, PRODUCER, &shard, outcome.to_owned(), put));
            }
            What::Begin { call, records, .. } => {
                let mut puts = Vec::new();
                for record in records {
                    let put = record.put.expect("scripts put through the writer only");
                    self.puts.insert(record.position, put);
                    puts.push(put);
                }
                self.calls.insert(call, puts.clone());
                if self.failed.get(&(worker.clone(), shard.clone())) == Some(&puts) {
                    return;
                }
                let (again, fresh) = puts.into_iter().partition(|put| !self.delivered.insert(*put));
                items.push(Item::of_kind(at, &worker, &shard, Kind::Read { fresh, again }));
            }
            What::Done(call) => {
                self.failed.remove(&(worker, shard));
                self.calls.remove(&call);
            }
            What::Failed(call) => {
                let puts = self.calls.remove(&call).unwrap_or_default();
                text(format!("user code fails at {}", super::ranges::ranges(&puts)));
                self.failed.insert((worker, shard), puts);
            }
            What::Dropped(call) => {
                let puts = self.calls.remove(&call).unwrap_or_default();
                text(format!("user code is stopped at {}", super::ranges::ranges(&puts)));
            }
            What::Lease(row) => self.lease(at, shard, row, items),
            What::LeaseGone => {
                self.rows.remove(&shard);
                items.push(Item::text(at, "-", &shard, "lease deleted".to_owned()));
            }
        }
    }

    fn lease(&mut self, at: Duration, shard: String, row: Row, items: &mut Vec<Item>) {
        let before = self.rows.insert(shard.clone(), row.clone());
        let life = |id: &Option<String>| {
            let id = id.as_deref().unwrap_or("-");
            self.lives.get(id).map_or(id, String::as_str).to_owned()
        };
        let owner = life(&row.owner);
        let mut text = |worker: &str, text: String| items.push(Item::text(at, worker, &shard, text));
        let Some(before) = before else {
            text(&owner, format!("lease made, {}", self.mark(&row.checkpoint)));
            return;
        };
        let former = life(&before.owner);
        if before.owner != row.owner {
            self.failed.retain(|(_, failed), _| *failed != shard);
        }
        match (&before.checkpoint_owner, &row.checkpoint_owner) {
            (None, Some(holder)) => text(&owner, format!("hand-off from {holder} asked for")),
            (Some(holder), None) if former == owner => text(&owner, format!("handed over by {holder}")),
            (Some(holder), None) => text(&owner, format!("hand-off from {holder} called off")),
            _ if before.owner != row.owner => match (&before.owner, &row.owner) {
                (_, None) => text(&former, "lets go".to_owned()),
                (None, _) => text(&owner, "owner".to_owned()),
                _ => text(&owner, format!("owner, after {former}")),
            },
            _ => {}
        }
        if before.checkpoint != row.checkpoint {
            let mark = self.mark(&row.checkpoint);
            match row.checkpoint {
                Mark::At(_) => items.push(Item::of_kind(at, &owner, &shard, Kind::Checkpoint(mark))),
                _ => items.push(Item::text(at, &owner, &shard, mark)),
            }
        }
    }

    fn mark(&self, mark: &Mark) -> String {
        match mark {
            Mark::Nothing => "no checkpoint".to_owned(),
            Mark::ShardEnd => "SHARD_END".to_owned(),
            Mark::At(position) => self
                .puts
                .get(position)
                .map_or_else(|| format!("checkpoint {}", short(position)), |put| format!("checkpoint #{put}")),
        }
    }
}

fn what_went_wrong(call: &Call) -> Option<String> {
    match &call.outcome {
        Outcome::TimedOut => Some("no answer".to_owned()),
        Outcome::RequestLost => Some("request lost".to_owned()),
        Outcome::ResponseLost => Some("answer lost".to_owned()),
        // What was asked for before it was made, or made by somebody else.
        Outcome::Refused(_) if ["DescribeTable", "CreateTable", "PutItem"].contains(&&*call.operation) => None,
        Outcome::Refused(code) => Some(format!("refused, {}", code.trim_end_matches("Exception"))),
        _ => None,
    }
}

/// Of `shardId-000000000012` it is 12.
pub(super) fn number_of(shard: &str) -> Option<usize> {
    shard.strip_prefix("shardId-")?.parse().ok()
}
