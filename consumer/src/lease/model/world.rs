//! The state of the world: table, workers, network, and the record of an observer that sees all of it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use futures::FutureExt;

use crate::clock::Tick;
use crate::lease::MemoryLeaseStore;
use crate::lease::holder::discover::LeaseDiscoverer;
use crate::lease::holder::renew::{Ownership, Write};
use crate::lease::holder::shard_end;
use crate::lease::leader::assign::Move;
use crate::lease::model::leader::Leader;
use crate::lease::model::{About, Leases};
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Owners, WorkerId};
use crate::lease::table::store::{LeaseStore, Rows, UnixSeconds, WorkerRow};
use crate::record::Position;

/// The lease duration.
pub(super) const D: Duration = Duration::from_secs(10);
/// The hand-off time.
pub(super) const HANDOFF: Duration = Duration::from_secs(30);
/// The step of the clock in seconds: half a lease duration, so that a lease has expired after two.
pub(super) const BEAT: u64 = 5;
/// The end of a history: before the first hand-off that began in it is overdue. Then the leader takes a lease from a running
/// holder, as the KCL does, and C7 does not hold.
pub(super) const LAST_BEAT: u8 = 7;
/// How many records a shard has.
pub(super) const RECORDS: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) beat: u8,
    pub(super) table: BTreeMap<LeaseKey, Row>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) leader: Option<Leader>,
    /// Messages on their way to the table, in no order.
    pub(super) network: Vec<Message>,
    pub(super) crashes: u8,
    pub(super) mishaps: u8,
    /// The processed records of each lease: the length of the prefix without a gap.
    pub(super) done: BTreeMap<LeaseKey, u8>,
    /// The process of each lease whose adoption was accepted last, while no write has ended it.
    pub(super) epochs: BTreeMap<LeaseKey, Life>,
    pub(super) seen: Happened,
}

/// One run of a worker's process, by the name of its place.
pub(super) type Life = (WorkerId, u8);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    /// The worker ID in the leases. Two processes have the same one if they share it by mistake.
    pub(super) id: WorkerId,
    pub(super) life: u8,
    pub(super) alive: bool,
    /// When it last wrote its row.
    pub(super) reported: u8,
    /// `true` if its row announces a heartbeat interval, as ours do and a Java worker's does not.
    pub(super) promises: bool,
    pub(super) discoverer: LeaseDiscoverer,
    pub(super) held: BTreeMap<LeaseKey, Held>,
}

/// A lease that a worker holds or is adopting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) state: Ownership,
    /// The write that is repeated until it is decided.
    pub(super) writing: Option<Write>,
    /// When the current attempt was sent.
    pub(super) sent: Option<Tick>,
    /// `true` if the write is in the table: the observer knows this when the holder does not.
    pub(super) landed: bool,
    /// `true` if the first renewal was accepted.
    pub(super) adopted: bool,
    pub(super) leaving: bool,
    pub(super) done: u8,
}

/// A call to the table, once sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Message {
    pub(super) from: Life,
    pub(super) key: LeaseKey,
    pub(super) call: Call,
    /// `true` if its sender has stopped waiting.
    pub(super) late: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Write {
        counter: u64,
        next: u64,
        in_handoff: bool,
        adopting: bool,
        write: Write,
    },
    /// The end of an ownership, in favour of another worker.
    Leave {
        seen: Owners,
        to: WorkerId,
    },
    Lead(Move),
}

/// A row of the table. The throughput is ignored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row(pub(super) Lease);

impl Eq for Row {}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Lease { owner, checkpoint_owner, counter, owner_switches, checkpoint, .. } = &self.0;
        (owner, checkpoint_owner, counter, owner_switches, checkpoint).hash(state);
    }
}

/// The events of a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "a list of things to have seen")]
pub(super) struct Happened {
    pub(super) write_of_a_former_epoch: bool,
    pub(super) checkpoint_went_back: bool,
    pub(super) accepted_and_not_written: bool,
    pub(super) taken_from_the_dead: bool,
    pub(super) found_again: bool,
    pub(super) handed_over: bool,
    pub(super) doubt_resolved: bool,
    pub(super) refused: bool,
    pub(super) leader_refused: bool,
    pub(super) ran_out: bool,
    pub(super) late_write_refused: bool,
    pub(super) late_write_accepted: bool,
    pub(super) child_read: bool,
    pub(super) silent_preferred: bool,
    pub(super) silent_waited_for: bool,
    pub(super) silent_passed_over: bool,
    pub(super) java_waited_for: bool,
}

pub(super) fn parent() -> LeaseKey {
    LeaseKey::from("shardId-000000000000")
}

pub(super) fn child() -> LeaseKey {
    LeaseKey::from("shardId-000000000001")
}

/// Returns the checkpoint after so many records.
pub(super) fn after(records: u8) -> Checkpoint {
    match records {
        0 => Checkpoint::TrimHorizon,
        n => Checkpoint::At(Position {
            sequence_number: n.to_string().parse().expect("a number"),
            sub_sequence: 0,
            shard: parent().shard(),
        }),
    }
}

/// Returns how many records are done at a checkpoint.
pub(super) fn before(checkpoint: &Checkpoint) -> u8 {
    if checkpoint.is_shard_end() {
        RECORDS
    } else {
        (0..=RECORDS).find(|n| after(*n) == *checkpoint).expect("one of ours")
    }
}

impl World {
    /// Returns the start states: free leases; a shard in the middle; a hand-off under way; a crashed worker. In the search
    /// about silence, the first two also with a Java worker. For a shared worker ID: one process holds the shard, and the other
    /// finds it.
    pub(super) fn starts(model: &Leases) -> Vec<Self> {
        let Leases { about, workers, crashes, mishaps } = *model;
        let names: Vec<WorkerId> = ["a", "b", "c"].into_iter().take(workers).map(WorkerId::from).collect();
        let worker = |name: &WorkerId| {
            let discoverer = LeaseDiscoverer::new(name.clone(), D);
            let (id, held) = (name.clone(), BTreeMap::new());
            (name.clone(), Worker { id, life: 0, alive: true, reported: 0, promises: true, discoverer, held })
        };
        let free = Self {
            beat: 0,
            table: BTreeMap::from([(parent(), Row(Lease::new(parent(), Checkpoint::TrimHorizon)))]),
            workers: names.iter().map(worker).collect(),
            leader: None,
            network: Vec::new(),
            crashes,
            mishaps,
            done: BTreeMap::from([(parent(), 0), (child(), 0)]),
            epochs: BTreeMap::new(),
            seen: Happened::default(),
        };
        let mut held = free.clone();
        held.give(&names[0]);
        let mut handing_over = held.clone();
        let row = &mut handing_over.table.get_mut(&parent()).expect("it is there").0;
        row.checkpoint_owner = row.owner.replace(names[1].clone());
        let mut orphaned = held.clone();
        let dead = orphaned.workers.get_mut(&names[0]).expect("it is there");
        (dead.alive, dead.held) = (false, BTreeMap::new());
        match about {
            About::Leases => return vec![free, held, handing_over, orphaned],
            About::Twins => {
                let mut twins = held;
                let second = twins.workers.get_mut(&names[1]).expect("it is there");
                (second.id, second.discoverer) = (names[0].clone(), LeaseDiscoverer::new(names[0].clone(), D));
                return vec![twins];
            }
            About::Silence => {}
        }
        let mut java_idle = free.clone();
        java_idle.workers.get_mut(&names[0]).expect("it is there").promises = false;
        let mut java_holds = held.clone();
        java_holds.workers.get_mut(&names[0]).expect("it is there").promises = false;
        vec![free, held, handing_over, orphaned, java_idle, java_holds]
    }

    /// Makes a worker the holder of the parent's lease, just renewed.
    fn give(&mut self, name: &WorkerId) {
        let now = self.now();
        let row = &mut self.table.get_mut(&parent()).expect("it is there").0;
        row.owner = Some(name.clone());
        let state = Ownership::adopting(row, name.clone(), D, 2, now);
        let held = Held { state, writing: None, sent: None, landed: false, adopted: true, leaving: false, done: 0 };
        self.epochs.insert(parent(), (name.clone(), 0));
        self.workers.get_mut(name).expect("it is there").held.insert(parent(), held);
    }

    pub(super) fn now(&self) -> Tick {
        Tick::new(Duration::from_secs(u64::from(self.beat) * BEAT))
    }

    /// Returns the table as a leader reads it.
    pub(super) fn rows(&self) -> Rows {
        let row = |(name, worker): (&WorkerId, &Worker)| WorkerRow {
            heartbeat_interval: worker.promises.then_some(D / 2),
            handoff_time: worker.promises.then_some(HANDOFF),
            ..WorkerRow::new(name.clone(), UnixSeconds(1_000 + u64::from(worker.reported) * BEAT))
        };
        Rows {
            leases: self.table.values().map(|row| row.0.clone()).collect(),
            workers: self.workers.iter().map(row).collect(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn wall_clock(&self) -> UnixSeconds {
        UnixSeconds(1_000 + u64::from(self.beat) * BEAT)
    }

    /// Returns by how much an adoption of this process moves the counter. Each process draws its own.
    pub(super) fn stride(&self, name: &WorkerId) -> u64 {
        let place = self.workers.keys().take_while(|other| *other != name).count() as u64;
        2 + 2 * place + u64::from(self.workers[name].life)
    }

    pub(super) fn parents_done(&self, key: &LeaseKey) -> bool {
        let store = MemoryLeaseStore::new();
        let ready = async {
            for row in self.table.values() {
                store.create(&row.0).await.expect("memory does not fail");
            }
            shard_end::are_done(&store, &self.table[key].0, None, |_| true).await.expect("memory does not fail")
        };
        ready.now_or_never().expect("memory does not wait")
    }

    /// Runs a call on the product's table.
    pub(super) fn with_table<T>(&mut self, key: &LeaseKey, call: impl AsyncFnOnce(&MemoryLeaseStore) -> T) -> T {
        let (store, former) = (MemoryLeaseStore::new(), self.table.get(key));
        let ready = async {
            if let Some(row) = former {
                store.create(&row.0).await.expect("memory does not fail");
            }
            let answer = call(&store).await;
            (answer, store.read(key).await.expect("memory does not fail"))
        };
        let (answer, row) = ready.now_or_never().expect("memory does not wait");
        match row {
            Some(row) => self.table.insert(key.clone(), Row(row)),
            None => self.table.remove(key),
        };
        answer
    }

    pub(super) fn checkpoints_are_done(&self) -> bool {
        self.table.values().all(|row| before(&row.0.checkpoint) <= self.done[&row.0.key])
    }

    pub(super) fn children_wait(&self) -> bool {
        self.done[&child()] == 0 || self.done[&parent()] == RECORDS
    }

    pub(super) fn holders_are_alone(&self) -> bool {
        let now = self.now();
        self.table.keys().all(|key| {
            let holders = self.workers.values().filter(|worker| worker.alive).filter_map(|worker| worker.held.get(key));
            holders.filter(|held| held.adopted && !held.leaving && !held.state.has_expired(now)).count() <= 1
        })
    }
}
