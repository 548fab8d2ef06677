//! Random histories of a stream and its table, through sync, shard end, crashes and clean-up.

use std::collections::BTreeSet;

use kinesis_aggregation::HashKeyRange;
use proptest::prelude::*;

use super::*;
use crate::lease::leader::cleanup::{deletable, lacked};
use crate::lease::table::parents::parents_of;
use crate::record::Position;

#[derive(Clone, Debug)]
enum Event {
    Split(usize),
    Merge(usize, usize),
    /// A leader plans, and creates all but every nth lease.
    Sync {
        all_but: usize,
    },
    /// The owner of a readable lease reads on. At shard end it creates the leases of the children that the bits name, and
    /// crashes before the others.
    Read {
        lease: usize,
        children: u8,
    },
    Clean,
    /// An operator deletes the lease of a shard that is being read, and whose merged child waits for it. Not another lease
    /// before this shard is read: without the leases of a whole family nothing shows what is missing.
    Delete(usize),
    /// The oldest shard that is not needed any more leaves the listing.
    Expire,
}

fn event() -> impl Strategy<Value = Event> {
    let number = any::<usize>;
    prop_oneof![
        2 => number().prop_map(Event::Split),
        2 => (number(), number()).prop_map(|(a, b)| Event::Merge(a, b)),
        3 => (1..6_usize).prop_map(|all_but| Event::Sync { all_but }),
        8 => (number(), any::<u8>()).prop_map(|(lease, children)| Event::Read { lease, children }),
        3 => Just(Event::Clean),
        2 => number().prop_map(Event::Delete),
        1 => Just(Event::Expire),
    ]
}

#[derive(Debug)]
struct World {
    listing: Vec<ListedShard>,
    rows: Rows,
    shards: u32,
    start: Checkpoint,
    finished: BTreeSet<ShardId>,
    /// Shards that were at least partly read.
    read: BTreeSet<ShardId>,
    /// Shards whose leases an operator deleted: they are to be read again, and before their children.
    deleted: BTreeSet<ShardId>,
}

impl World {
    fn new(shards: u32, start: Checkpoint) -> Self {
        let mut world = Self {
            listing: Vec::new(),
            rows: Rows::default(),
            shards: 0,
            start,
            finished: BTreeSet::new(),
            read: BTreeSet::new(),
            deleted: BTreeSet::new(),
        };
        for _ in 0..shards {
            world.open(&[]);
        }
        world
    }

    fn open(&mut self, parents: &[ShardId]) {
        self.listing.push(ListedShard {
            id: ShardId::from(format!("shardId-{:012}", self.shards)),
            parents: parents.to_vec(),
            range: HashKeyRange::FULL,
            starting: (1000 + self.shards).to_string().parse().expect("a number"),
            ending: None,
        });
        self.shards += 1;
    }

    fn close(&mut self, which: usize) -> ShardId {
        let mut open: Vec<_> = self.listing.iter_mut().filter(|shard| !shard.is_closed()).collect();
        let index = which % open.len();
        open[index].ending = Some("9999".parse().expect("a number"));
        open[index].id.clone()
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Split(which) => {
                let parent = [self.close(which)];
                self.open(&parent);
                self.open(&parent);
            }
            Event::Merge(a, b) if self.listing.iter().filter(|shard| !shard.is_closed()).count() > 1 => {
                let parents = [self.close(a), self.close(b)];
                self.open(&parents);
            }
            Event::Merge(..) => {}
            Event::Sync { all_but } => self.sync(all_but),
            Event::Read { lease, children } => self.read(lease, children),
            Event::Clean => self.clean(),
            Event::Delete(which) => self.delete(which),
            Event::Expire => self.expire(),
        }
    }

    fn sync(&mut self, all_but: usize) {
        let plan = plan(&self.listing, &self.rows, &self.start);
        for (number, lease) in plan.create.into_iter().enumerate() {
            let id = lease.key.shard();
            assert!(!self.finished.contains(&id), "{id} was finished and would be read again");
            assert!(!self.read.contains(&id), "{id} is being read and would start over");
            if lease.checkpoint != self.start && !self.deleted.contains(&id) {
                assert_eq!(lease.checkpoint, Checkpoint::TrimHorizon);
                let is_unfinished = |lease: &Lease| !lease.checkpoint.is_shard_end();
                let unfinished = lease.parents.iter().find(|parent| self.lease(parent).is_some_and(is_unfinished));
                assert_eq!(unfinished, None, "{id} begins after parents that are not finished");
            }
            if (number + 1) % (all_but + 1) != 0 {
                self.rows.leases.push(lease);
            }
        }
        self.rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn lease(&self, id: &ShardId) -> Option<&Lease> {
        self.rows.leases.iter().find(|lease| lease.key.shard() == *id)
    }

    /// Returns leases with unread records whose parents are done (C4).
    fn readable(&self) -> Vec<usize> {
        let all: BTreeMap<ShardId, Lease> =
            self.rows.leases.iter().map(|lease| (lease.key.shard(), lease.clone())).collect();
        let is_listed = |id: &ShardId| self.listing.iter().any(|shard| shard.id == *id);
        let done =
            |lease: &Lease| parents_of(lease, &all, is_listed).iter().all(|(_, parent)| parent.lets_child_start());
        let leases = self.rows.leases.iter().enumerate();
        leases.filter(|(_, lease)| !lease.checkpoint.is_shard_end() && done(lease)).map(|(n, _)| n).collect()
    }

    fn read(&mut self, which: usize, children: u8) {
        let readable = self.readable();
        let Some(number) = readable.get(which % readable.len().max(1)).copied() else { return };
        let id = self.rows.leases[number].key.shard();
        // A child is read after its parents, even when their leases are deleted.
        for parent in self.listing.iter().filter(|shard| shard.id == id).flat_map(|shard| &shard.parents) {
            let was_begun = self.read.contains(parent) || self.deleted.contains(parent);
            assert!(!was_begun || self.finished.contains(parent), "{id} is read before its parent {parent}");
        }
        self.read.insert(id.clone());
        let is_open = self.listing.iter().any(|shard| shard.id == id && !shard.is_closed());
        if is_open || !matches!(self.rows.leases[number].checkpoint, Checkpoint::At(_)) {
            let sequence_number = "2000".parse().expect("a number");
            self.rows.leases[number].checkpoint =
                Checkpoint::At(Position { sequence_number, sub_sequence: 0, shard: id });
            return;
        }
        let born: Vec<ListedShard> = self.listing.iter().filter(|shard| shard.parents.contains(&id)).cloned().collect();
        // The child of a merge waits until the other parent's lease is created: without that, it would start too early.
        let is_listed = |id: &ShardId| self.listing.iter().any(|shard| shard.id == *id);
        if born.iter().flat_map(|child| &child.parents).any(|parent| self.lease(parent).is_none() && is_listed(parent))
        {
            return;
        }
        self.rows.leases[number].children = born.iter().map(|child| child.id.clone()).collect();
        self.rows.leases[number].checkpoint = Checkpoint::ShardEnd;
        self.finished.insert(id);
        for (bit, child) in born.iter().enumerate() {
            if children & (1 << bit) != 0 && self.lease(&child.id).is_none() {
                self.rows.leases.push(new_lease(child, Checkpoint::TrimHorizon));
            }
        }
        self.rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn clean(&mut self) {
        let expired = lacked(&self.rows, &self.listing);
        for key in deletable(&self.rows, Some(&self.listing), &expired) {
            let lease = self.rows.leases.iter().find(|lease| lease.key == key).expect("it is of this table");
            assert!(lease.checkpoint.is_shard_end());
            self.rows.leases.retain(|lease| lease.key != key);
        }
    }

    fn delete(&mut self, which: usize) {
        if !self.deleted.is_subset(&self.finished) {
            return;
        }
        let waits = |child: &Lease, parent: &ShardId| {
            let others = child.parents.iter().filter(|other| *other != parent);
            child.checkpoint == Checkpoint::TrimHorizon
                && child.parents.contains(parent)
                && others.map(|other| self.lease(other)).any(|other| other.is_some())
        };
        let keys: Vec<LeaseKey> = self
            .rows
            .leases
            .iter()
            .filter(|lease| !lease.checkpoint.is_shard_end())
            .filter(|lease| self.rows.leases.iter().any(|child| waits(child, &lease.key.shard())))
            .map(|lease| lease.key.clone())
            .collect();
        let Some(key) = keys.get(which % keys.len().max(1)) else { return };
        self.rows.leases.retain(|lease| lease.key != *key);
        self.read.remove(&key.shard());
        self.deleted.insert(key.shard());
    }

    /// Returns `true` if another parent of the same child is not finished: they were closed together, and expire together.
    fn is_to_stay(&self, shard: &ShardId) -> bool {
        let mut families = self.listing.iter().filter(|child| child.parents.contains(shard));
        families.any(|child| child.parents.iter().any(|parent| !self.finished.contains(parent)))
    }

    fn expire(&mut self) {
        let needed = |shard: &ListedShard| self.lease(&shard.id).is_some_and(|lease| !lease.checkpoint.is_shard_end());
        let listed: BTreeSet<&ShardId> = self.listing.iter().map(|shard| &shard.id).collect();
        let oldest = self.listing.iter().position(|shard| {
            shard.is_closed()
                && self.finished.contains(&shard.id)
                && !needed(shard)
                && !self.is_to_stay(&shard.id)
                && shard.parents.iter().all(|p| !listed.contains(p))
        });
        if let Some(oldest) = oldest {
            self.listing.remove(oldest);
        }
    }

    /// Runs without faults until nothing changes any more.
    fn heal(&mut self) {
        loop {
            let before = self.rows.clone();
            self.sync(usize::MAX - 1);
            for number in 0..self.rows.leases.len() {
                self.read(number, u8::MAX);
            }
            self.clean();
            if self.rows == before {
                return;
            }
        }
    }
}

proptest! {
    /// No shard is read twice, and children come after their parents. In the end each open shard has its lease, and no finished
    /// lease is left (C1, C4, C9).
    #[test]
    fn every_line_is_read_once_and_to_its_end(
        shards in 1..5_u32,
        start in prop_oneof![Just(Checkpoint::TrimHorizon), Just(Checkpoint::Latest), Just(Checkpoint::AtTimestamp)],
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut world = World::new(shards, start);
        for event in &events {
            world.apply(event);
        }
        world.heal();
        let open: Vec<_> = world.listing.iter().filter(|shard| !shard.is_closed()).map(|shard| shard.id.clone()).collect();
        let leased: Vec<_> = world.rows.leases.iter().map(|lease| lease.key.shard()).collect();
        prop_assert_eq!(&leased, &open);
        if world.start != Checkpoint::Latest {
            let unread: Vec<_> = world.listing.iter().filter(|shard| !world.read.contains(&shard.id)).collect();
            prop_assert_eq!(unread, Vec::<&ListedShard>::new());
        }
    }
}
