//! What a script expects of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinesis_consumer::Position;
use kinesis_testkit::{Cloud, Shard};

use super::command::{number, shard_id, shards};
use super::operator::{Left, row_key};
use super::workers::{REFUSED, Workers};
use crate::sim::Shape;
use crate::sim::history::{Event, History, Recorder, Stored, What};
use crate::sim::oracles::longest_overlap;
use crate::sim::table::{APPLICATION, Mark, Row, writes};

/// A condition, and how soon it has to be met.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) condition: Condition,
    pub(super) within: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// `all written`: the producer was told so of each put.
    AllWritten,
    /// `all done`: everything in the stream is.
    AllDone,
    /// `all done once`: and each put was given to user code in one epoch only.
    AllDoneOnce,
    /// `at most 5 records twice`
    Twice(usize),
    /// `no shard read by two`: at no time were two workers at one.
    NoShardReadByTwo,
    /// `every shard owned`: by a living worker, and no hand-off under way.
    EveryShardOwned,
    /// `even load`: and to one lease the same number each.
    EvenLoad,
    /// `no change of owner`: since something was last done to the world.
    NoChangeOfOwner,
    /// `b holds 0-3`: just these open shards.
    Holds(String, BTreeSet<String>),
    /// `leases 0 1`: just these are in the table.
    Leases(BTreeSet<String>),
    /// `end of 0`: the table says so.
    EndOf(String),
    /// `0 read by b`: since something was last done to the world.
    ReadBy(String, String),
    /// `1 not read`: so far.
    NotRead(String),
    /// `nothing read`: since something was last done to the world.
    NothingRead,
    /// `puts 0-4 unread`: by whoever begins after them, from now to the end.
    Unread(BTreeSet<u32>),
    /// `a is up`
    Up(String),
    /// `a is down: why`
    Down(String, String),
    /// `x refused: clicks orders`: the table is another stream's, and the error has these words.
    Refused(String, Vec<String>),
    /// `x wrote nothing`: it has not even tried to write to a lease table.
    WroteNothing(String),
    /// `rows 0 orders-0 left alone`: they are as an operator left them.
    LeftAlone(Vec<String>),
    /// `findings RowUnusable of 0 orders-0`: of this kind the living workers have just these on their lists.
    Findings(String, BTreeSet<String>),
    /// `no findings`: of any kind.
    NoFindings,
    /// `at most 30 writes to 0`: to its lease, since something was last done to the world.
    Writes(usize, String),
    /// `no end of 0-3`: the table does not say that one is finished.
    NoEndOf(BTreeSet<String>),
    /// `only puts 4-6 twice`: just these were given to user code in two epochs.
    OnlyTwice(BTreeSet<u32>),
}

/// What is known at one moment.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) touched: Duration,
    pub(super) events: Vec<Event>,
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) shards: Vec<Shard>,
    pub(super) stored: Vec<Stored>,
    /// Not to be read.
    pub(super) unread: &'a BTreeSet<u32>,
    pub(super) recorder: &'a Recorder,
    pub(super) workers: &'a Workers,
    pub(super) cloud: &'a Cloud,
    /// The rows that an operator has written.
    pub(super) left: &'a Left,
}

impl Condition {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let ids = |words: &[&str]| Ok::<_, String>(shards(words)?.into_iter().map(shard_id).collect());
        Ok(match words {
            ["all", "written"] => Self::AllWritten,
            ["all", "done"] => Self::AllDone,
            ["all", "done", "once"] => Self::AllDoneOnce,
            ["at", "most", records, "records", "twice"] => Self::Twice(number(records)?),
            ["no", "shard", "read", "by", "two"] => Self::NoShardReadByTwo,
            ["every", "shard", "owned"] => Self::EveryShardOwned,
            ["even", "load"] => Self::EvenLoad,
            ["no", "change", "of", "owner"] => Self::NoChangeOfOwner,
            [name, "holds", "nothing"] => Self::Holds((*name).to_owned(), BTreeSet::new()),
            [name, "holds", words @ ..] => Self::Holds((*name).to_owned(), ids(words)?),
            ["leases", words @ ..] => Self::Leases(ids(words)?),
            ["end", "of", shard] => Self::EndOf(shard_id(number(shard)?)),
            [shard, "read", "by", name] => Self::ReadBy(shard_id(number(shard)?), (*name).to_owned()),
            [shard, "not", "read"] => Self::NotRead(shard_id(number(shard)?)),
            ["nothing", "read"] => Self::NothingRead,
            ["puts", puts @ .., "unread"] => Self::Unread(shards(puts)?.into_iter().map(|put| put as u32).collect()),
            ["only", "puts", puts @ .., "twice"] => {
                Self::OnlyTwice(shards(puts)?.into_iter().map(|put| put as u32).collect())
            }
            [name, "refused:", words @ ..] => {
                Self::Refused((*name).to_owned(), words.iter().map(|word| (*word).to_owned()).collect())
            }
            [name, "wrote", "nothing"] => Self::WroteNothing((*name).to_owned()),
            ["rows", keys @ .., "left", "alone"] => Self::LeftAlone(keys.iter().map(|key| row_key(key)).collect()),
            ["findings", kind, "of", subjects @ ..] if FINDINGS.contains(kind) => {
                Self::Findings((*kind).to_owned(), subjects.iter().map(|subject| row_key(subject)).collect())
            }
            ["findings", kind, "of", ..] => return Err(format!("findings are of {}, not {kind}", FINDINGS.join(" "))),
            ["no", "findings"] => Self::NoFindings,
            ["at", "most", writes, "writes", "to", shard] => Self::Writes(number(writes)?, shard_id(number(shard)?)),
            ["no", "end", "of", words @ ..] => Self::NoEndOf(ids(words)?),
            [name, "is", "up"] => Self::Up((*name).to_owned()),
            [name, "is", "down:", why @ ..] => Self::Down((*name).to_owned(), why.join(" ")),
            _ => return Err("no such condition".to_owned()),
        })
    }

    pub(super) fn check(&self, facts: &Facts<'_>) -> Result<(), String> {
        match self {
            Self::AllWritten => none(facts.unwritten(), "not written"),
            Self::AllDone => facts.all_done(),
            Self::AllDoneOnce => {
                facts.all_done()?;
                none(facts.unwritten(), "not written")?;
                none(facts.twice(), "given to user code in two epochs")
            }
            Self::Twice(most) => {
                let twice = facts.twice();
                if twice.len() <= *most { Ok(()) } else { Err(format!("{} records twice: {twice:?}", twice.len())) }
            }
            Self::NoShardReadByTwo => {
                let longest = facts.longest_overlap();
                if longest.is_zero() { Ok(()) } else { Err(format!("two at one shard for {longest:?}")) }
            }
            Self::EveryShardOwned => none(facts.unowned(), "without a living owner"),
            Self::EvenLoad => facts.even_load(),
            Self::NoChangeOfOwner => none(facts.changes_of_owner(), "changed its owner"),
            Self::Holds(id, wanted) => same(&facts.held_by(id), wanted),
            Self::Leases(wanted) => same(&facts.rows.keys().cloned().collect(), wanted),
            Self::EndOf(shard) => {
                let row = facts.rows.get(shard);
                let ended = row.is_some_and(|row| row.checkpoint == Mark::ShardEnd);
                if ended { Ok(()) } else { Err(format!("{shard} is at {row:?}")) }
            }
            Self::ReadBy(shard, name) => {
                let read = facts.reads().any(|event| event.shard == *shard && name_of(&event.worker) == name);
                if read { Ok(()) } else { Err(format!("{shard} was not read by {name}")) }
            }
            Self::NotRead(shard) => {
                let of_shard = |event: &&Event| event.shard == *shard && matches!(event.what, What::Begin { .. });
                none(facts.events.iter().filter(of_shard), "read")
            }
            Self::NothingRead => none(facts.reads(), "read"),
            Self::Unread(puts) => {
                let records = facts.events.iter().flat_map(|event| match &event.what {
                    What::Begin { records, .. } => &records[..],
                    _ => &[],
                });
                none(records.filter(|record| record.put.is_some_and(|put| puts.contains(&put))), "read")
            }
            Self::Up(name) => {
                let up = facts.workers.lives(name) && facts.events.iter().any(|event| is_up(event, name));
                if up { Ok(()) } else { Err(format!("{name} is down")) }
            }
            Self::Down(name, why) => {
                let is_it = |event: &Event| {
                    name_of(&event.worker) == name && matches!(&event.what, What::Down(text) if text.contains(why))
                };
                let down = !facts.workers.lives(name) && facts.events.iter().any(is_it);
                if down { Ok(()) } else { Err(format!("{name} is not down for that reason")) }
            }
            Self::Refused(name, words) => facts.refused(name, words),
            Self::WroteNothing(name) => none(facts.tried_to_write(name)?, "asked for"),
            Self::LeftAlone(keys) => keys.iter().try_for_each(|key| facts.left_alone(key)),
            Self::Findings(kind, wanted) => {
                let found = facts.workers.findings().into_iter();
                same(&found.filter(|(found, _)| found == kind).map(|(_, subject)| subject).collect(), wanted)
            }
            Self::NoFindings => none(facts.workers.findings(), "found"),
            Self::Writes(most, shard) => {
                let writes = writes(facts.cloud).into_iter();
                let writes = writes.filter(|write| write.shard == *shard && write.at >= facts.touched).count();
                if writes <= *most { Ok(()) } else { Err(format!("{writes} writes to {shard}")) }
            }
            Self::NoEndOf(shards) => {
                let ended =
                    |(shard, row): &(&String, &Row)| shards.contains(*shard) && row.checkpoint == Mark::ShardEnd;
                none(facts.rows.iter().filter(ended).map(|(shard, _)| shard), "finished")
            }
            Self::OnlyTwice(puts) => same(&facts.twice(), puts),
        }
    }
}

impl Facts<'_> {
    fn all_done(&self) -> Result<(), String> {
        let unread = self.positions_of(self.unread);
        let there = self.stored.iter().filter(|stored| !stored.misrouted && !unread.contains(&stored.position));
        let there: Vec<_> = there.collect();
        if self.unresolved().is_empty() && self.recorder.are_done(there.iter().map(|stored| &stored.position)) {
            return Ok(());
        }
        let undone = there.iter().filter(|stored| !self.recorder.are_done([&stored.position].into_iter())).count();
        Err(format!("{undone} records of the stream are not done, puts {:?} are not resolved", self.unresolved()))
    }

    fn positions_of(&self, puts: &BTreeSet<u32>) -> BTreeSet<&Position> {
        let acked = self.events.iter().filter_map(|event| match &event.what {
            What::Acked { put, position, .. } if puts.contains(put) => Some(position),
            _ => None,
        });
        acked.collect()
    }

    fn unresolved(&self) -> BTreeSet<u32> {
        let mut open = BTreeSet::new();
        for event in &self.events {
            match event.what {
                What::Put(put) => _ = open.insert(put),
                What::Acked { put, .. } | What::GivenUp { put, .. } => _ = open.remove(&put),
                _ => {}
            }
        }
        open
    }

    fn unwritten(&self) -> BTreeSet<u32> {
        let given_up = self.events.iter().filter_map(|event| match event.what {
            What::GivenUp { put, .. } => Some(put),
            _ => None,
        });
        self.unresolved().into_iter().chain(given_up).collect()
    }

    /// Puts that were given to user code in more than one epoch, or from more than one place.
    fn twice(&self) -> BTreeSet<u32> {
        let mut first = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for event in &self.events {
            let What::Begin { epoch, records, .. } = &event.what else { continue };
            for record in records {
                let Some(put) = record.put else { continue };
                let here = (&event.worker, &event.shard, epoch, &record.position);
                if *first.entry(put).or_insert(here) != here {
                    twice.insert(put);
                }
            }
        }
        twice
    }

    fn longest_overlap(&self) -> Duration {
        longest_overlap(&History {
            shape: Shape::of(0),
            schedule: Vec::new(),
            producer_well_until: Duration::ZERO,
            writes: Vec::new(),
            others: Vec::new(),
            events: self.events.clone(),
            puts: Vec::new(),
            sent: Vec::new(),
            stored: Vec::new(),
            shards: BTreeMap::new(),
        })
    }

    fn unowned(&self) -> Vec<&str> {
        let living = self.workers.ids();
        let owned =
            |row: &Row| row.checkpoint_owner.is_none() && row.owner.as_ref().is_some_and(|id| living.contains(id));
        let finished = |row: &Row| row.checkpoint == Mark::ShardEnd;
        let is_well = |shard: &&Shard| match self.rows.get(&shard.id) {
            Some(row) => finished(row) || owned(row),
            None => !shard.open,
        };
        self.shards.iter().filter(|shard| !is_well(shard)).map(|shard| shard.id.as_str()).collect()
    }

    fn held_by(&self, id: &str) -> BTreeSet<String> {
        let reads = |row: &Row| row.owner.as_deref() == Some(id) && row.checkpoint != Mark::ShardEnd;
        self.rows.iter().filter(|(_, row)| reads(row)).map(|(shard, _)| shard.clone()).collect()
    }

    fn even_load(&self) -> Result<(), String> {
        none(self.unowned(), "without a living owner")?;
        let load: BTreeMap<_, _> = self.workers.ids().into_iter().map(|id| (self.held_by(&id).len(), id)).collect();
        let (least, most) = (load.keys().next(), load.keys().last());
        let even = least.zip(most).is_none_or(|(least, most)| most - least <= 1);
        if even { Ok(()) } else { Err(format!("the load is {load:?}")) }
    }

    fn changes_of_owner(&self) -> Vec<String> {
        let mut owners: BTreeMap<&str, &Option<String>> = BTreeMap::new();
        let mut changes = Vec::new();
        for event in &self.events {
            let What::Lease(row) = &event.what else { continue };
            let before = owners.insert(&event.shard, &row.owner);
            if event.at >= self.touched && before.is_some_and(|before| before.is_some() && *before != row.owner) {
                changes.push(format!("{} to {:?}", event.shard, row.owner));
            }
        }
        changes
    }

    fn refused(&self, name: &str, words: &[String]) -> Result<(), String> {
        let mut reasons = self.events.iter().rev().filter_map(|event| match &event.what {
            What::Down(why) if name_of(&event.worker) == name => why.strip_prefix(REFUSED),
            _ => None,
        });
        let why = reasons.next().ok_or_else(|| format!("{name} was not refused"))?;
        none(words.iter().filter(|word| !why.contains(word.as_str())), &format!("the refusal{why} lacks"))
    }

    fn tried_to_write(&self, name: &str) -> Result<Vec<&'static str>, String> {
        let calls = self.cloud.try_calls(name).map_err(|refused| refused.to_string())?;
        Ok(WRITES.iter().copied().filter(|operation| calls.count(operation) > 0).collect())
    }

    fn left_alone(&self, key: &str) -> Result<(), String> {
        let left = self.left.get(key).ok_or_else(|| format!("nobody has written the row {key}"))?;
        let now = self.cloud.table(APPLICATION).try_item(key).ok().flatten();
        if now.as_ref() == Some(left) { Ok(()) } else { Err(format!("the row {key} is {now:?}")) }
    }

    /// Calls of user code since something was last done to the world.
    fn reads(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.at >= self.touched && matches!(event.what, What::Begin { .. }))
    }
}

/// Of the life `b/2` the name is `b`.
fn name_of(life: &str) -> &str {
    life.split('/').next().unwrap_or_default()
}

fn is_up(event: &Event, name: &str) -> bool {
    name_of(&event.worker) == name && matches!(event.what, What::Up(_))
}

fn none<T: std::fmt::Debug>(found: impl IntoIterator<Item = T>, what: &str) -> Result<(), String> {
    let found: Vec<_> = found.into_iter().collect();
    if found.is_empty() { Ok(()) } else { Err(format!("{what}: {found:?}")) }
}

fn same<T: Ord + std::fmt::Debug>(found: &BTreeSet<T>, wanted: &BTreeSet<T>) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("it is {found:?}")) }
}

/// What changes a lease table.
const WRITES: [&str; 6] = ["CreateTable", "UpdateTable", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];

/// The kinds of findings, as the consumer and `docs/rules.md` name them.
const FINDINGS: [&str; 14] = [
    "TableGone",
    "OtherStream",
    "LeasesGone",
    "IndexGone",
    "ActionDenied",
    "RowUnusable",
    "EndedOpen",
    "LeaseMismatch",
    "ShardParked",
    "ShardKept",
    "ShardRefused",
    "ShardFailing",
    "LeaseRefused",
    "NoRoom",
];
