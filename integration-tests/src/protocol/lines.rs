//! Lines in columns: when, who, which shards, what. What goes on as before is told in one line.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::ranges::ranges;
use super::trace::number_of;

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Item {
    at: Duration,
    worker: String,
    shard: Option<usize>,
    kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text(String),
    /// A put, and what became of it.
    Put(String, u32),
    /// User code was given puts, some of which had been given before.
    Read {
        fresh: Vec<u32>,
        again: Vec<u32>,
    },
    Checkpoint(String),
}

impl Item {
    pub(super) fn text(at: Duration, worker: &str, shard: &str, text: String) -> Self {
        Self { at, worker: worker.to_owned(), shard: number_of(shard), kind: Kind::Text(text) }
    }

    pub(super) fn of_kind(at: Duration, worker: &str, shard: &str, kind: Kind) -> Self {
        Self { kind, ..Self::text(at, worker, shard, String::new()) }
    }

    pub(super) fn puts(at: Duration, worker: &str, shard: &str, outcome: String, put: u32) -> Self {
        Self::of_kind(at, worker, shard, Kind::Put(outcome, put))
    }

    /// What is told as one moment.
    fn tick(&self) -> u128 {
        self.at.as_millis() / 100
    }

    /// In one moment shards by number, and of one shard as it came: which of two shards was first is often chance.
    fn order(&self) -> (u128, bool, Option<usize>) {
        let leaves = matches!(&self.kind, Kind::Text(text) if text.starts_with("down"));
        (self.tick(), leaves, self.shard)
    }
}

#[derive(Debug)]
struct Line {
    tick: u128,
    until: u128,
    worker: String,
    shards: Vec<usize>,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Text(String),
    Puts(String, Vec<u32>),
    Flow(Flow),
}

/// What a reader does as long as nothing else happens.
#[derive(Debug, PartialEq, Eq, Default)]
struct Flow {
    fresh: Vec<u32>,
    again: Vec<u32>,
    checkpoint: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// The flow of each shard that can go on.
    flowing: BTreeMap<usize, usize>,
}

impl Lines {
    pub(super) fn of(mut items: Vec<Item>) -> Self {
        items.sort_by_key(Item::order);
        let mut lines = Self::default();
        for item in items {
            let tick = item.tick();
            let Item { worker, shard, kind, .. } = item;
            match kind {
                Kind::Text(text) => lines.text(tick, worker, shard, text),
                Kind::Put(outcome, put) => lines.put(tick, worker, shard, outcome, put),
                Kind::Read { fresh, again } => {
                    let flow = lines.flow(tick, worker, shard);
                    flow.fresh.extend(fresh);
                    flow.again.extend(again);
                }
                Kind::Checkpoint(mark) => lines.flow(tick, worker, shard).checkpoint = Some(mark),
            }
        }
        lines
    }

    fn text(&mut self, tick: u128, worker: String, shard: Option<usize>, text: String) {
        if let Some(shard) = shard {
            self.flowing.remove(&shard);
        }
        let is_same =
            |line: &&mut Line| line.worker == worker && matches!(&line.what, What::Text(told) if *told == text);
        let same = self.lines.iter_mut().rev().find(is_same);
        match (same, shard) {
            // The same of another shard at the same moment.
            (Some(line), Some(shard)) if line.tick == tick && !line.shards.contains(&shard) => line.shards.push(shard),
            // The same again, as calls do that go wrong.
            (Some(line), shard) if line.shards == Vec::from_iter(shard) => line.until = tick,
            _ => self.push(tick, worker, shard, What::Text(text)),
        }
    }

    fn put(&mut self, tick: u128, worker: String, shard: Option<usize>, outcome: String, put: u32) {
        let shards = Vec::from_iter(shard);
        let same = self.lines.iter_mut().rev().find_map(|line| match &mut line.what {
            What::Puts(told, puts) if line.tick == tick && line.shards == shards && *told == outcome => Some(puts),
            _ => None,
        });
        match same {
            Some(puts) => puts.push(put),
            None => self.push(tick, worker, shard, What::Puts(outcome, vec![put])),
        }
    }

    fn flow(&mut self, tick: u128, worker: String, shard: Option<usize>) -> &mut Flow {
        let at = shard.and_then(|shard| self.flowing.get(&shard)).copied();
        let at = at.filter(|at| self.lines[*at].worker == worker).unwrap_or_else(|| {
            self.push(tick, worker, shard, What::Flow(Flow::default()));
            self.lines.len() - 1
        });
        self.flowing.extend(shard.map(|shard| (shard, at)));
        let line = &mut self.lines[at];
        line.until = tick;
        match &mut line.what {
            What::Flow(flow) => flow,
            other => unreachable!("{other:?} is not flowing"),
        }
    }

    fn push(&mut self, tick: u128, worker: String, shard: Option<usize>, what: What) {
        self.lines.push(Line { tick, until: tick, worker, shards: Vec::from_iter(shard), what });
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tick, until, worker, shards, what } = self;
        let shards: Vec<u32> = shards.iter().map(|shard| *shard as u32).collect();
        let shards = ranges(&shards).replace('#', "").replace(", ", ",");
        write!(f, "    {:>5}.{}  {worker:<10}{shards:>7}  {what}", tick / 10, tick % 10)?;
        if until > tick { write!(f, ", until {}.{}", until / 10, until % 10) } else { Ok(()) }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Puts(outcome, puts) => {
                let mut puts = puts.clone();
                puts.sort_unstable();
                write!(f, "{outcome}{}", ranges(&puts))
            }
            Self::Flow(Flow { fresh, again, checkpoint }) => {
                let reads = (!fresh.is_empty()).then(|| format!("reads {}", ranges(fresh)));
                let again = (!again.is_empty()).then(|| format!("again {}", ranges(again)));
                let parts: Vec<_> = reads.into_iter().chain(again).chain(checkpoint.clone()).collect();
                f.write_str(&parts.join(", "))
            }
        }
    }
}
