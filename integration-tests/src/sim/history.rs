//! What happened in a run, as data: the oracles read nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_consumer::Position;
use kinesis_testkit::{Clock, Cloud};

use super::fleet::place_of_life;
use super::mistakes::Mistake;
use super::schedule::{Timed, Trouble};
use super::shape::Shape;
use super::table::{self, LeaseWrite, OtherWrite, Row};
use super::workload::Put;

/// A run from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) shape: Shape,
    /// What was to go wrong.
    pub(crate) schedule: Vec<Timed>,
    /// Until then nothing was wrong with the producer's network.
    pub(crate) producer_well_until: Duration,
    /// In the order in which they happened.
    pub(crate) events: Vec<Event>,
    /// What the table has accepted of leases, in its order.
    pub(crate) writes: Vec<LeaseWrite>,
    /// What it has accepted of rows that are none of ours, and from workers that are none.
    pub(crate) others: Vec<OtherWrite>,
    /// All puts, by their number.
    pub(crate) puts: Vec<Put>,
    /// When the producer made its PutRecords calls.
    pub(crate) sent: Vec<Duration>,
    /// What the stream held at the end.
    pub(crate) stored: Vec<Stored>,
    /// The shards at the end.
    pub(crate) shards: BTreeMap<String, Lineage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Since the making of the cloud.
    pub(crate) at: Duration,
    /// One life of a worker: a restarted one has another name here, whatever it calls itself in the table.
    pub(crate) worker: String,
    pub(crate) shard: String,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Phase(&'static str),
    Trouble(String),
    /// A worker is up, under this id in the table.
    Up(String),
    Down(String),
    /// From here on the worker at this place does nothing.
    Frozen,
    Thawed,
    /// The worker with this id holds the leader's lock.
    Leads,
    Put(u32),
    Acked {
        put: u32,
        position: Position,
        attempts: u32,
    },
    /// Given up by the producer. Whether it can be in the stream, and how many attempts may have put it there.
    GivenUp {
        put: u32,
        unknown: bool,
        ambiguous: u32,
    },
    /// What the buffers of the producer or of a worker hold, each second.
    Holds {
        bytes: u64,
    },
    /// The producer is closed, without a flush before, and has so long; by then it had sent so many requests.
    Closing {
        within: Duration,
        sent_before: usize,
    },
    /// A flush has returned. What the producer's buffers hold then, in bytes: everything was admitted before.
    Flushed {
        bytes: u64,
    },
    /// User code was called with these records. No epoch: the face does not tell.
    Begin {
        call: u64,
        epoch: Option<u64>,
        records: Vec<Delivered>,
    },
    Done(u64),
    Failed(u64),
    /// The call was dropped before it was done.
    Dropped(u64),
    /// A lease as it is from now on.
    Lease(Row),
    /// The lease's row is not there any more.
    LeaseGone,
    /// An operator has damaged the lease's row, which may never be mended.
    Damaged {
        for_good: bool,
    },
    /// Something was logged as an error.
    Alarm(String),
    /// How many workers live, and how many tasks they all have, the requests that are on their way aside.
    Tasks {
        workers: usize,
        tasks: usize,
    },
    /// Every open shard has one live owner, the load is even, and everything written is done.
    Converged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) position: Position,
    /// Which put it is; none when no put had these bytes.
    pub(crate) put: Option<u32>,
}

/// A user record in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) shard: String,
    pub(crate) position: Position,
    pub(crate) put: Option<u32>,
    /// In an aggregate that a consumer drops, because it lies on a shard that does not hold all its keys.
    pub(crate) misrouted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lineage {
    pub(crate) parents: Vec<String>,
    pub(crate) open: bool,
}

/// Writes down what happens. Clones write the same history.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    puts: Vec<Put>,
    rows: BTreeMap<String, Row>,
    leader: Option<String>,
    calls: u64,
    /// The records of the calls that are under way.
    under_way: BTreeMap<u64, Vec<Position>>,
    done: BTreeSet<Position>,
}

impl Recorder {
    pub(crate) fn new(cloud: &Cloud) -> Self {
        Self { clock: cloud.clock(), state: Arc::default() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub(crate) fn add(&self, worker: &str, shard: &str, what: What) {
        let event = Event { at: self.now(), worker: worker.to_owned(), shard: shard.to_owned(), what };
        let mut state = self.lock();
        match &event.what {
            What::Begin { call, records, .. } => {
                let positions = records.iter().map(|record| record.position.clone()).collect();
                state.under_way.insert(*call, positions);
            }
            What::Done(call) => {
                let positions = state.under_way.remove(call).unwrap_or_default();
                state.done.extend(positions);
            }
            What::Failed(call) | What::Dropped(call) => _ = state.under_way.remove(call),
            _ => {}
        }
        state.events.push(event);
    }

    /// A number for a call of user code.
    pub(crate) fn call(&self) -> u64 {
        let mut state = self.lock();
        state.calls += 1;
        state.calls
    }

    /// Writes a put down and returns its number.
    pub(crate) fn put(&self, put: impl FnOnce(u32) -> Put) -> Put {
        let mut state = self.lock();
        let number = u32::try_from(state.puts.len()).expect("a run has fewer records than that");
        let put = put(number);
        state.puts.push(put.clone());
        drop(state);
        self.add("producer", "", What::Put(number));
        put
    }

    /// All puts so far, by their number.
    pub(crate) fn puts(&self) -> Vec<Put> {
        self.lock().puts.clone()
    }

    /// Which put has these bytes.
    pub(crate) fn recognise(&self, key: &str, data: &[u8]) -> Option<u32> {
        let number = Put::number_in(data)?;
        let state = self.lock();
        state.puts.get(number as usize).filter(|put| put.is(key, data)).map(|put| put.number)
    }

    /// Looks at the lease table and writes down what has changed since the last look.
    pub(crate) fn look(&self, cloud: &Cloud) {
        let Some((rows, leader)) = table::look(cloud) else { return };
        if let Some(leader) = leader
            && self.lock().leader.replace(leader.clone()).as_ref() != Some(&leader)
        {
            self.add(&leader, "", What::Leads);
        }
        let before = std::mem::replace(&mut self.lock().rows, rows.clone());
        for (shard, row) in &rows {
            if before.get(shard) != Some(row) {
                self.add(row.owner.as_deref().unwrap_or("-"), shard, What::Lease(row.clone()));
            }
        }
        for shard in before.keys().filter(|shard| !rows.contains_key(*shard)) {
            self.add("", shard, What::LeaseGone);
        }
    }

    /// Whether all of these records are done.
    pub(crate) fn are_done<'a>(&self, mut records: impl Iterator<Item = &'a Position>) -> bool {
        let state = self.lock();
        records.all(|position| state.done.contains(position))
    }

    /// What has happened from the event of this number on.
    pub(crate) fn since(&self, number: usize) -> Vec<Event> {
        self.lock().events[number..].to_vec()
    }

    pub(crate) fn finish(&self) -> (Vec<Event>, Vec<Put>) {
        let mut state = self.lock();
        (std::mem::take(&mut state.events), std::mem::take(&mut state.puts))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// The mistakes that were made, with their times.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = (&Timed, Mistake)> {
        self.schedule.iter().filter_map(|timed| match timed.what {
            Trouble::Mistake(mistake) => Some((timed, mistake)),
            _ => None,
        })
    }

    /// The shards whose rows an operator has damaged.
    pub(crate) fn damaged(&self) -> BTreeSet<&str> {
        let is_damage = |event: &&Event| matches!(event.what, What::Damaged { .. });
        self.events.iter().filter(is_damage).map(|event| event.shard.as_str()).collect()
    }

    /// The shards that cannot be read to their ends: those whose rows are damaged for good, and all that come from them.
    pub(crate) fn out_of_use(&self) -> BTreeSet<String> {
        let is_damage = |event: &&Event| event.what == What::Damaged { for_good: true };
        let damaged = self.events.iter().filter(is_damage).map(|event| event.shard.clone());
        with_descendants(damaged.collect(), &self.shards)
    }

    /// Whether two processes ran at this place under one id, by mistake, some time between.
    pub(crate) fn had_twins(&self, place: &str, from: Duration, until: Duration) -> bool {
        let mut up: BTreeMap<&str, &str> = BTreeMap::new();
        let mut since = Duration::ZERO;
        let are_two = |up: &BTreeMap<&str, &str>| up.values().collect::<BTreeSet<_>>().len() < up.len();
        for event in self.events.iter().filter(|event| place_of_life(&event.worker) == place) {
            let were_two = are_two(&up);
            match &event.what {
                What::Up(id) => _ = up.insert(&event.worker, id),
                What::Down(_) => _ = up.remove(event.worker.as_str()),
                _ => continue,
            }
            if were_two && since <= until && event.at >= from {
                return true;
            }
            since = event.at;
        }
        are_two(&up) && since <= until
    }
}

/// These shards, and all that come from them.
pub(crate) fn with_descendants(mut shards: BTreeSet<String>, all: &BTreeMap<String, Lineage>) -> BTreeSet<String> {
    loop {
        let comes_from_them = |(id, lineage): &(&String, &Lineage)| {
            !shards.contains(*id) && lineage.parents.iter().any(|id| shards.contains(id))
        };
        let children: Vec<String> = all.iter().filter(comes_from_them).map(|(id, _)| id.clone()).collect();
        if children.is_empty() {
            return shards;
        }
        shards.extend(children);
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at.as_secs(), self.at.subsec_micros());
        let shard = self.shard.trim_start_matches("shardId-").trim_start_matches('0');
        let shard = if self.shard.is_empty() || !shard.is_empty() { shard } else { "0" };
        write!(f, "{seconds:>4}.{micros:06}  {:<12} {shard:>4}  {}", self.worker, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase(phase) => write!(f, "=== {phase}"),
            Self::Trouble(trouble) => write!(f, "!!! {trouble}"),
            Self::Up(id) => write!(f, "up as {id}"),
            Self::Down(why) => write!(f, "down: {why}"),
            Self::Frozen => f.write_str("frozen"),
            Self::Thawed => f.write_str("thawed"),
            Self::Leads => write!(f, "leads"),
            Self::Put(put) => write!(f, "put      #{put}"),
            Self::Acked { put, position, attempts } => {
                write!(f, "acked    #{put} {} tries {attempts}", short(position))
            }
            Self::GivenUp { put, unknown, ambiguous } => {
                write!(
                    f,
                    "given up #{put} {} ({ambiguous} ambiguous)",
                    if *unknown { "unknown" } else { "not written" }
                )
            }
            Self::Holds { bytes } => write!(f, "holds    {bytes} bytes"),
            Self::Closing { within, .. } => write!(f, "closing, within {within:?}"),
            Self::Flushed { bytes } => write!(f, "flushed, {bytes} bytes left"),
            Self::Begin { call, epoch, records } => {
                write!(f, "begin    call {call}")?;
                epoch.map_or(Ok(()), |epoch| write!(f, " epoch {epoch}"))?;
                write!(f, ", {} records", records.len())?;
                if let (Some(first), Some(last)) = (records.first(), records.last()) {
                    write!(f, " {}..{}", short(&first.position), short(&last.position))?;
                }
                Ok(())
            }
            Self::Done(call) => write!(f, "done     call {call}"),
            Self::Failed(call) => write!(f, "failed   call {call}"),
            Self::Dropped(call) => write!(f, "dropped  call {call}"),
            Self::Lease(row) => write!(f, "lease    {row}"),
            Self::LeaseGone => write!(f, "lease    gone"),
            Self::Damaged { for_good } => write!(f, "lease    damaged{}", if *for_good { " for good" } else { "" }),
            Self::Alarm(message) => write!(f, "alarm    {message}"),
            Self::Tasks { workers, tasks } => write!(f, "{workers} workers have {tasks} tasks"),
            Self::Converged => write!(f, "converged"),
        }
    }
}

/// Of a sequence number the digits that tell a run's records apart.
pub(crate) fn short(position: &Position) -> String {
    let number = position.sequence_number.as_str();
    format!("…{}/{}", &number[number.len().saturating_sub(20)..], position.sub_sequence)
}
