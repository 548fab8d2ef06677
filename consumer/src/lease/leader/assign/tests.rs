use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::lease::{Checkpoint, Lease, Seen, WorkerRow};

const D: Duration = Duration::from_secs(10);
/// The heartbeat interval of a `lively` worker.
const SIGN: Duration = Duration::from_secs(5);
/// Our wall clock at tick 0.
const EPOCH: u64 = 1_700_000_000;

fn at(seconds: u64) -> Tick {
    Tick::new(Duration::from_secs(seconds))
}

fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

fn key(number: usize) -> LeaseKey {
    LeaseKey::from(format!("shardId-{number:012}"))
}

/// A table, and time. Workers named `a`, `b`, … act only when a test says so.
#[derive(Clone)]
struct World {
    now: u64,
    rows: Rows,
    leader: Assignment,
    /// How many seconds the leader's writes take to arrive. Those under way are in `on_their_way`, each with its time.
    lag: u64,
    on_their_way: Vec<(u64, Move)>,
    /// When the holder of a lease last renewed it.
    renewed: BTreeMap<LeaseKey, u64>,
    /// Workers whose rows announce a heartbeat every five seconds. A worker without leases writes its row that often.
    lively: BTreeSet<WorkerId>,
    /// Workers that do not run. In `abandoned` are leases whose holder was stopped at some time since its last write to them.
    down: BTreeSet<WorkerId>,
    abandoned: BTreeSet<LeaseKey>,
    /// Leases taken from a holder that may not notice for a while.
    overtaken: Vec<(Move, Lease)>,
}

impl World {
    /// Creates a table of unowned leases, of which `a` is the leader.
    fn of(leases: usize) -> Self {
        let mut rows = Rows::default();
        rows.leases.extend((0..leases).map(|number| Lease::new(key(number), Checkpoint::TrimHorizon)));
        Self {
            now: 0,
            rows,
            leader: Assignment::new(worker("a"), D, usize::MAX),
            lag: 0,
            on_their_way: Vec::new(),
            renewed: BTreeMap::new(),
            lively: BTreeSet::new(),
            down: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            overtaken: Vec::new(),
        }
    }

    fn report(&mut self, names: &[&str]) {
        for name in names {
            let heartbeat_interval = self.lively.contains(&worker(name)).then_some(SIGN);
            let row = WorkerRow { heartbeat_interval, ..WorkerRow::new(worker(name), UnixSeconds(EPOCH + self.now)) };
            self.rows.workers.retain(|row| row.worker != worker(name));
            self.rows.workers.push(row);
        }
        self.rows.workers.sort_by(|a, b| a.worker.cmp(&b.worker));
    }

    fn withdraw(&mut self, name: &str) {
        self.rows.workers.retain(|row| row.worker != worker(name));
    }

    fn lease(&mut self, number: usize) -> &mut Lease {
        &mut self.rows.leases[number]
    }

    /// Renews all leases that these workers hold.
    fn renew(&mut self, names: &[&str]) {
        for lease in &mut self.rows.leases {
            if lease.actual_owner().is_some_and(|owner| names.contains(&owner.as_str())) {
                lease.counter += 1;
                self.renewed.insert(lease.key.clone(), self.now);
                self.abandoned.remove(&lease.key);
            }
        }
    }

    /// Stops a worker at once.
    fn crash(&mut self, name: &str) {
        let held = self.rows.leases.iter().filter(|lease| lease.actual_owner() == Some(&worker(name)));
        self.abandoned.extend(held.map(|lease| lease.key.clone()));
        self.down.insert(worker(name));
    }

    /// Releases the leases that these workers are to hand over.
    fn hand_over(&mut self, names: &[&str]) {
        for lease in &mut self.rows.leases {
            if lease.checkpoint_owner.as_ref().is_some_and(|owner| names.contains(&owner.as_str())) {
                lease.checkpoint_owner = None;
                lease.counter += 1;
                // The new holder has written nothing yet.
                self.renewed.remove(&lease.key);
                match lease.owner.as_ref().is_some_and(|owner| self.down.contains(owner)) {
                    true => self.abandoned.insert(lease.key.clone()),
                    false => self.abandoned.remove(&lease.key),
                };
            }
        }
    }

    /// Reads the table and runs a round, and writes its moves.
    fn round(&mut self) -> Round {
        self.look();
        let round = self.leader.round(at(self.now));
        for change in &round.moves {
            assert!(self.write(change), "{change:?} is refused, and nothing has happened since the look");
        }
        round
    }

    fn look(&mut self) {
        self.leader.observe(at(self.now), UnixSeconds(EPOCH + self.now), &self.rows);
    }

    /// Writes a move as the table would; returns `true` if it was accepted.
    fn write(&mut self, change: &Move) -> bool {
        let (key, owner, checkpoint_owner, moved, seen) = match change {
            Move::Assign { key, to, seen } => (key, to, None, 1, seen.clone()),
            Move::HandOff { key, from, to } => {
                let owners = Owners { owner: Some(from.clone()), checkpoint_owner: None };
                (key, to, Some(from.clone()), 0, owners.into())
            }
        };
        let lease = self.rows.leases.iter_mut().find(|lease| lease.key == *key).expect("moves are of leases");
        if lease.owners() != seen.owners || seen.counter.is_some_and(|counter| counter != lease.counter) {
            return false;
        }
        let before = lease.clone();
        lease.owner = Some(owner.clone());
        lease.checkpoint_owner = checkpoint_owner;
        lease.counter += moved;
        let counter = lease.counter;
        if lease.actual_owner() != before.actual_owner() {
            self.note_taken(change, before);
        }
        self.leader.moved(at(self.now), change, counter);
        true
    }

    fn note_taken(&mut self, change: &Move, before: Lease) {
        let Move::Assign { to, .. } = change else { panic!("{change:?} leaves the lease where it is") };
        let renewed = self.renewed.remove(&before.key);
        let is_valid = renewed.is_some_and(|renewed| self.now < renewed + D.as_secs());
        let abandoned = self.abandoned.remove(&before.key);
        if self.down.contains(to) {
            self.abandoned.insert(before.key.clone());
        }
        let Some(holder) = before.actual_owner() else { return };
        // A worker that was just assigned it, and has not written, may lose it again only by crashing.
        let counts_on_it = !abandoned && !self.down.contains(holder);
        if is_valid || counts_on_it {
            self.overtaken.push((change.clone(), before));
        }
    }

    /// Runs these workers for so many seconds, with a round every five. They renew every three seconds and report every thirty;
    /// lively ones without leases report every five. They hand over within two seconds. Returns the accepted moves.
    fn live(&mut self, names: &[&str], seconds: u64) -> Vec<Move> {
        let mut moves = Vec::new();
        for _ in 0..seconds {
            self.now += 1;
            if self.now.is_multiple_of(30) {
                self.report(names);
            }
            if self.now.is_multiple_of(3) {
                self.renew(names);
            }
            if self.now.is_multiple_of(SIGN.as_secs()) {
                let lively: Vec<&str> = names.iter().copied().filter(|name| self.must_show_life(name)).collect();
                self.report(&lively);
            }
            if self.now.is_multiple_of(2) {
                self.hand_over(names);
            }
            if self.now.is_multiple_of(5) {
                self.look();
                let due = self.now + self.lag;
                let round = self.leader.round(at(self.now));
                self.on_their_way.extend(round.moves.into_iter().map(|change| (due, change)));
            }
            let now = self.now;
            for (_, change) in self.on_their_way.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
                if self.write(&change) {
                    moves.push(change);
                }
            }
        }
        moves
    }

    fn must_show_life(&self, name: &str) -> bool {
        let name = worker(name);
        self.lively.contains(&name) && self.rows.leases.iter().all(|lease| lease.actual_owner() != Some(&name))
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for lease in &self.rows.leases {
            let owner = lease.owner.as_ref().map_or("nobody", WorkerId::as_str);
            *counts.entry(owner.to_owned()).or_default() += 1;
        }
        counts
    }
}

/// Returns a world with `leases` spread evenly over `workers`, and no moves pending.
fn settled(workers: &[&str], leases: usize) -> World {
    let mut world = World::of(leases);
    world.report(workers);
    world.round();
    world.live(workers, 30);
    assert_eq!(world.live(workers, 30), []);
    world
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn free_leases_are_spread_evenly_at_once() {
    let mut world = World::of(7);
    world.report(&["b", "c"]);
    let round = world.round();
    assert_eq!(round.spill, []);
    // The leader counts itself before its row exists.
    assert_eq!(world.counts(), counts([("a", 3), ("b", 2), ("c", 2)]));
    assert!(
        round.moves.iter().all(|change| matches!(change, Move::Assign { seen: Seen { counter: Some(0), .. }, .. }))
    );
    assert_eq!(world.round(), Round::default(), "a second round changes nothing");
}

#[test]
fn those_that_waited_longest_go_first() {
    let mut world = World::of(3);
    world.leader.max_leases = 1;
    world.round();
    world.now = 5;
    world.rows.leases.insert(0, Lease::new(LeaseKey::from("shard"), Checkpoint::TrimHorizon));
    world.report(&["b"]);
    let round = world.round();
    assert_eq!(round.moves.len(), 1);
    assert!(matches!(&round.moves[0], Move::Assign { key: given, .. } if *given == key(1)), "{round:?}");
    assert_eq!(round.spill, [key(2), LeaseKey::from("shard")]);
}

/// Releases a lease without progress, while its owner keeps running.
fn release(world: &mut World, number: usize) -> String {
    world.now += 1;
    let lease = world.lease(number);
    let owner = lease.owner.take().expect("it is owned");
    lease.counter += 1;
    owner.as_str().to_owned()
}

/// Q11 and the rule *one lease that nobody keeps*.
#[test]
fn a_released_lease_goes_to_who_has_not_released_it_and_then_waits_longer_and_longer() {
    let mut world = settled(&["a", "b", "c"], 6);
    let mut order = vec![release(&mut world, 0)];
    for _ in 0..3 {
        assert_eq!(world.round().moves.len(), 1);
        order.push(release(&mut world, 0));
    }
    let distinct: BTreeSet<&String> = order[..3].iter().collect();
    assert_eq!((distinct.len(), &order[0]), (3, &order[3]), "{order:?}");
    // One worker has released it twice: the pauses are 5 s, then 10, then 20, and the worker that released it longest ago comes
    // first.
    for pause in [5, 10, 20, 40] {
        let round = world.round();
        let refused = round.refused.iter().map(|refused| (&refused.key, refused.times)).collect::<Vec<_>>();
        assert_eq!((round.moves, refused), (Vec::new(), vec![(&key(0), u32::try_from(order.len()).expect("few"))]));
        world.report(&["a", "b", "c"]);
        assert_eq!(world.live(&["a", "b", "c"], pause - 1), []);
        let moves = world.live(&["a", "b", "c"], 6);
        let [Move::Assign { key: given, to, .. }] = &moves[..] else { panic!("after {pause} s: {moves:?}") };
        assert_eq!((given, to.as_str()), (&key(0), order[order.len() - 3].as_str()));
        order.push(release(&mut world, 0));
    }
    // Progress resets this.
    let sequence_number = "7".parse().expect("a number");
    let shard = key(0).shard();
    world.lease(0).checkpoint = Checkpoint::At(crate::record::Position { sequence_number, sub_sequence: 0, shard });
    world.live(&["a", "b", "c"], 5);
    assert!(world.lease(0).owner.is_some());
    assert_eq!(world.round().refused, []);
}

/// The rule *one lease that nobody keeps*: such leases cause no moves of others, but take room.
#[test]
fn leases_that_an_operator_frees_are_spread_evenly() {
    let mut world = World::of(30);
    world.report(&["a", "b", "c"]);
    world.round();
    world.live(&["a", "b", "c"], 20);
    // All in one second, before any of them has been kept for long.
    for number in 0..30 {
        release(&mut world, number);
        world.now -= 1;
    }
    world.now += 1;
    world.round();
    let mut counts = BTreeMap::new();
    for lease in &world.rows.leases {
        *counts.entry(lease.owner.as_ref().map_or("", WorkerId::as_str)).or_insert(0) += 1;
    }
    assert_eq!(counts, [("a", 10), ("b", 10), ("c", 10)].into());
}

#[test]
fn a_worker_that_leaves_has_refused_nothing() {
    let mut world = settled(&["a", "b"], 2);
    let of_b = (0..2).find(|n| world.rows.leases[*n].owner == Some(worker("b"))).expect("b has one");
    world.withdraw("b");
    world.live(&["a"], 2);
    release(&mut world, of_b);
    world.live(&["a"], 5);
    world.report(&["b"]);
    assert_eq!(world.live(&["a", "b"], 10).len(), 1, "it gets a lease back at once");
}

/// S131: as few moves as possible, each a hand-off.
#[test]
fn a_worker_that_joins_gets_its_share_by_hand_off() {
    let mut world = settled(&["a"], 20);
    world.report(&["a", "b"]);
    let moves = world.round().moves;
    assert_eq!(moves.len(), 10);
    assert!(
        moves.iter().all(
            |change| matches!(change, Move::HandOff { from, to, .. } if *from == worker("a") && *to == worker("b"))
        )
    );
    assert_eq!(world.live(&["a", "b"], 60), [], "nothing more is moved while they are under way, nor after");
    assert_eq!(world.counts(), counts([("a", 10), ("b", 10)]));
}

#[test]
fn a_lease_that_is_read_goes_to_who_has_just_been_seen() {
    let mut world = settled(&["a"], 4);
    world.lively.insert(worker("b"));
    world.report(&["b"]);
    world.look();
    world.now += 7;
    world.renew(&["a"]);
    assert_eq!(world.round().moves, [], "it may have died since");
    world.report(&["b"]);
    assert_eq!(world.round().moves.len(), 2);
}

#[test]
fn a_difference_of_one_is_left_alone() {
    let mut world = settled(&["a", "b"], 5);
    assert_eq!(world.live(&["a", "b"], 300), []);
    world.report(&["a", "b", "c"]);
    // 3 and 2 and 0: one from the first makes 2, 2, 1.
    assert_eq!(world.round().moves.len(), 1);
}

#[test]
fn a_lease_that_has_just_come_stays() {
    let mut world = World::of(4);
    world.round();
    world.now = 1;
    world.report(&["a", "b"]);
    assert_eq!(world.round().moves, [], "its owner has not even written yet");
    world.renew(&["a"]);
    assert_eq!(world.round().moves, [], "nor been there for the time of a renewal");
    world.now = 4;
    assert_eq!(world.round().moves.len(), 2);
}

/// C8: leases of a crashed worker expire a lease duration after their counters were last seen to move.
#[test]
fn a_dead_worker_s_leases_go_to_others_and_it_gets_none() {
    let mut world = settled(&["a", "b", "c"], 6);
    // b crashes right after a renewal that a round has seen; its row was just written and looks alive for a minute.
    world.report(&["b"]);
    world.renew(&["a", "b", "c"]);
    world.look();
    let died = world.now;
    while world.rows.leases.iter().any(|lease| lease.owner == Some(worker("b"))) {
        for change in world.live(&["a", "c"], 1) {
            let Move::Assign { to, seen: Seen { counter: Some(_), .. }, .. } = &change else { panic!("{change:?}") };
            assert_ne!(*to, worker("b"));
            assert!(world.now - died >= 10, "{} s after", world.now - died);
        }
        assert!(world.now - died <= 15, "a lease duration and a round are over");
    }
    let moves = world.live(&["a", "c"], 120);
    assert_eq!(moves, [], "b's row still looks alive for half of this time");
    assert_eq!(world.counts(), counts([("a", 3), ("c", 3)]));
}

#[test]
fn a_suspect_worker_is_back_when_its_row_moves() {
    let mut world = settled(&["a", "b"], 4);
    world.live(&["a"], 20);
    assert_eq!(world.counts(), counts([("a", 4)]));
    world.report(&["b"]);
    world.live(&["a", "b"], 20);
    assert_eq!(world.counts(), counts([("a", 2), ("b", 2)]));
}

#[test]
fn a_worker_that_drops_one_reader_keeps_the_rest() {
    let mut world = settled(&["a", "b"], 6);
    let dropped = world.rows.leases.iter().position(|lease| lease.owner == Some(worker("b"))).expect("b has three");
    for _ in 0..20 {
        let stuck = world.rows.leases[dropped].counter;
        world.live(&["a", "b"], 1);
        if world.rows.leases[dropped].owner == Some(worker("b")) {
            world.rows.leases[dropped].counter = stuck;
        }
    }
    assert_eq!(world.rows.leases[dropped].owner, Some(worker("a")), "S125: a lease without a reader comes free");
    let moves = world.live(&["a", "b"], 60);
    assert!(moves.len() <= 1 && world.counts()["b"] >= 2, "{moves:?}");
}

#[test]
fn the_only_worker_is_not_disturbed_when_its_leases_ran_out() {
    let mut world = settled(&["a"], 3);
    // Throttled for a minute, for example; it finds its leases again by itself.
    world.now += 60;
    assert_eq!(world.round(), Round::default());
}

#[test]
fn a_new_owner_is_waited_for() {
    let mut world = World::of(2);
    world.report(&["a", "java"]);
    world.round();
    world.live(&["a"], 23);
    assert_eq!(world.counts(), counts([("a", 1), ("java", 1)]), "silent for less than a lease duration and 14 s");
    assert_eq!(world.live(&["a"], 2).len(), 1);
    assert_eq!(world.counts(), counts([("a", 2)]));
}

/// C8: the worker crashes when it is assigned a lease. Its announced heartbeat interval tells it from a Java worker that is
/// only slow.
#[test]
fn a_new_owner_that_promised_signs_of_life_is_not_waited_for_in_silence() {
    let mut world = World::of(2);
    world.lively.insert(worker("b"));
    world.report(&["a", "b"]);
    world.round();
    assert_eq!(world.live(&["a"], 11), []);
    assert_eq!(world.counts(), counts([("a", 1), ("b", 1)]));
    assert_eq!(world.leader.next_expiry(at(10)), Some(at(12)), "the next look is in time");
    world.now = 12;
    assert_eq!(world.round().moves.len(), 1);
    assert_eq!(world.counts(), counts([("a", 2)]));
}

#[test]
fn a_new_owner_that_heartbeat_interval_is_waited_for() {
    let mut world = World::of(2);
    world.lively.insert(worker("b"));
    world.report(&["a", "b"]);
    world.round();
    for _ in 0..4 {
        // It cannot write to its lease, but its heartbeat goes on.
        assert_eq!(world.live(&["a"], 5), []);
        world.report(&["b"]);
    }
    assert_eq!(world.counts(), counts([("a", 1), ("b", 1)]));
    assert_eq!(world.live(&["a"], 5).len(), 1, "a lease duration and 14 s are over");
}

/// One of two workers may be dead: free leases go to the other one, though it has more.
#[test]
fn a_free_lease_goes_to_a_worker_that_surely_lives() {
    let mut world = settled(&["a", "b"], 2);
    world.report(&["java"]);
    assert_eq!(world.live(&["a", "b"], 19), []);
    world.rows.leases.push(Lease::new(key(9), Checkpoint::TrimHorizon));
    world.rows.leases.push(Lease::new(key(10), Checkpoint::TrimHorizon));
    let moves = world.round().moves;
    let to_java =
        |change: &Move| matches!(change, Move::Assign { to, .. } | Move::HandOff { to, .. } if *to == worker("java"));
    assert!(moves.len() == 2 && !moves.iter().any(to_java), "{moves:?}");
    // Its row moves: it was only silent, and gets its share.
    world.report(&["java"]);
    assert!(world.live(&["a", "b", "java"], 9).iter().any(to_java));
}

#[test]
fn where_nobody_surely_lives_one_that_may_is_given_the_lease() {
    let mut world = settled(&["a", "b"], 2);
    world.withdraw("a");
    world.rows.leases.retain(|lease| lease.owner == Some(worker("a")));
    world.live(&["a"], 15);
    world.leader.max_leases = 1;
    world.rows.leases.push(Lease::new(key(9), Checkpoint::TrimHorizon));
    world.round();
    assert_eq!(world.rows.leases[1].owner, Some(worker("b")));
}

#[test]
fn who_took_a_lease_while_nobody_looked_keeps_it() {
    let mut world = settled(&["a", "b"], 2);
    world.lively.insert(worker("c"));
    // Since the leader last read the table, c has joined, was assigned the lease of b, and has renewed it. While c has leases,
    // their renewals are its heartbeat, and its row is old.
    world.now += 100;
    world.report(&["c"]);
    let lease = world.rows.leases.iter_mut().find(|lease| lease.owner == Some(worker("b"))).expect("b has one");
    lease.owner = Some(worker("c"));
    lease.counter += 5;
    world.now += 20;
    world.report(&["a", "b"]);
    world.renew(&["a"]);
    assert_eq!(world.round().moves, []);
    // Nor is it taken because the row of c is deleted: c may have renewed just before the read.
    world.withdraw("c");
    world.now += 9;
    world.renew(&["a"]);
    assert_eq!(world.round().moves, []);
    world.now += 1;
    assert_eq!(world.round().moves.len(), 1);
}

#[test]
fn a_new_owner_that_leaves_before_it_wrote_is_not_waited_for() {
    let mut world = World::of(2);
    world.report(&["a", "b"]);
    world.round();
    world.withdraw("b");
    world.now = 5;
    assert_eq!(world.round().moves.len(), 1);
    assert_eq!(world.counts(), counts([("a", 2)]));
}

#[test]
fn a_new_owner_that_dies_after_its_first_write_runs_out_as_usual() {
    let mut world = World::of(2);
    world.report(&["a", "b"]);
    world.round();
    world.now = 3;
    world.renew(&["a", "b"]);
    world.look();
    assert_eq!(world.live(&["a"], 9), []);
    assert_eq!(world.live(&["a"], 3).len(), 1);
}

/// It was restarted under its old name, and renews while the leader's write is on its way.
#[test]
fn a_worker_that_is_back_and_renews_before_the_write_keeps_its_lease() {
    let mut world = settled(&["a", "b"], 2);
    let held = world.rows.clone();
    for _ in 0..10 {
        world.now += 1;
        world.renew(&["a"]);
        world.look();
    }
    let moves = world.leader.round(at(world.now)).moves;
    assert!(matches!(&moves[..], [Move::Assign { to, .. }] if *to == worker("a")), "{moves:?}");
    world.renew(&["b"]);
    assert!(!world.write(&moves[0]));
    assert_eq!(world.counts(), counts([("a", 1), ("b", 1)]));
    assert!(world.rows.leases.iter().zip(&held.leases).all(|(now, before)| now.owners() == before.owners()));
}

#[test]
fn a_hand_off_is_left_alone_until_it_is_overdue() {
    let mut world = settled(&["a", "b"], 3);
    let number = world.rows.leases.iter().position(|lease| lease.owner == Some(worker("a"))).expect("a has two");
    // a keeps it, and renews.
    world.lease(number).owner = Some(worker("b"));
    world.lease(number).checkpoint_owner = Some(worker("a"));
    let renew = |world: &mut World| {
        world.now += 5;
        world.renew(&["a", "b"]);
        world.report(&["a", "b"]);
    };
    world.look();
    for _ in 0..7 {
        renew(&mut world);
        assert_eq!(world.round(), Round::default());
    }
    renew(&mut world);
    let seen = world.rows.leases[number].owners();
    let overdue = Move::Assign { key: key(number), seen: seen.into(), to: worker("b") };
    assert_eq!(world.round().moves, [overdue], "40 s are over: it goes where it was to go");
}

/// A source that renews gets as long as it announced, up to the setting's limit. One that announces nothing gets as long as
/// Java workers are configured to take, or as long as we take if that is longer (Q22).
#[test]
fn a_live_source_is_waited_for_as_long_as_it_announced() {
    for (announced, own, waits) in [
        (Some(300), 30, 300),
        (Some(0), 30, 0),
        (Some(5), 900, 5),
        (Some(u64::MAX), 30, 900),
        (None, 30, 120),
        (None, 600, 600),
    ] {
        let mut world = settled(&["a", "b"], 4);
        world.leader = world.leader.clone().with_handoff_time(Duration::from_secs(own));
        let number = world.rows.leases.iter().position(|lease| lease.owner == Some(worker("b"))).expect("b has two");
        world.lease(number).owner = Some(worker("a"));
        world.lease(number).checkpoint_owner = Some(worker("b"));
        world.look();
        let began = world.now;
        let ends = |change: &Move| matches!(change, Move::Assign { key: ended, .. } if *ended == key(number));
        loop {
            world.now += 5;
            world.renew(&["a", "b"]);
            world.report(&["a", "b"]);
            let row = world.rows.workers.iter_mut().find(|row| row.worker == worker("b")).expect("it has reported");
            row.handoff_time = announced.map(Duration::from_secs);
            if world.round().moves.iter().any(ends) {
                break;
            }
            assert!(world.now < began + 1000, "{announced:?}, {own}: it is never ended");
        }
        assert_eq!(world.now - began, waits + D.as_secs(), "{announced:?}, {own}");
    }
}

#[test]
fn a_hand_off_whose_source_dies_ends_at_its_target() {
    let mut world = settled(&["a", "b", "c"], 5);
    let number = world.rows.leases.iter().position(|lease| lease.owner == Some(worker("b"))).expect("b has two");
    world.lease(number).owner = Some(worker("c"));
    world.lease(number).checkpoint_owner = Some(worker("b"));
    let moves = world.live(&["a", "c"], 20);
    let given = |change: &Move| matches!(change, Move::Assign { key: given, to, seen: Seen { counter: Some(_), .. } } if *given == key(number) && *to == worker("c"));
    assert!(moves.iter().any(given), "{moves:?}");
}

/// S129: a row such as no worker writes, and that no worker renews.
#[test]
fn a_contradictory_row_comes_free_after_a_lease_duration() {
    let mut world = settled(&["a"], 1);
    world.lease(0).checkpoint_owner = Some(worker("a"));
    world.look();
    world.now += 9;
    assert_eq!(world.round(), Round::default());
    world.now += 1;
    assert_eq!(world.round().moves.len(), 1, "also to the only worker there is");
    assert_eq!(world.rows.leases[0].owners(), Owners { owner: Some(worker("a")), checkpoint_owner: None });
}

/// S123: workers whose clocks are wrong, and a row that is an hour old.
#[test]
fn the_first_look_judges_rows_by_their_time_and_later_ones_by_their_movement() {
    let mut world = World::of(6);
    world.rows.workers.push(WorkerRow::new(worker("fast"), UnixSeconds(EPOCH + 3600)));
    world.rows.workers.push(WorkerRow::new(worker("fine"), UnixSeconds(EPOCH - 9)));
    world.rows.workers.push(WorkerRow::new(worker("gone"), UnixSeconds(EPOCH - 3600)));
    // Perhaps alive: it has missed no report, but nothing else of it is known.
    world.rows.workers.push(WorkerRow::new(worker("quiet"), UnixSeconds(EPOCH - 29)));
    world.round();
    assert_eq!(world.counts(), counts([("a", 3), ("fine", 3)]));
    // A row that appears while we watch is alive, whatever its clock says.
    world.now = 5;
    world.renew(&["a", "fine"]);
    world.rows.workers.push(WorkerRow::new(worker("slow"), UnixSeconds(EPOCH - 3600)));
    world.round();
    assert_eq!(world.counts(), counts([("a", 2), ("fine", 2), ("slow", 2)]));
    // And one that moves.
    world.now = 10;
    world.renew(&["a", "fine", "slow"]);
    world.hand_over(&["a", "fine"]);
    world.rows.workers[0].last_update = Some(UnixSeconds(EPOCH + 3610));
    world.round();
    assert!(world.live(&["a", "fine", "slow", "fast"], 30).len() <= 1);
    assert_eq!(world.counts().get("fast"), Some(&1));
    assert_eq!(world.counts().get("gone"), None);
}

#[test]
fn after_a_long_time_of_not_looking_a_changed_row_proves_nothing() {
    let mut world = settled(&["a", "b"], 2);
    // We did not lead for an hour, during which b reported once more and then crashed.
    world.now += 600;
    world.report(&["b"]);
    world.now += 3000;
    world.lease(0).owner = None;
    world.lease(1).owner = None;
    world.report(&["a"]);
    world.round();
    assert_eq!(world.counts(), counts([("a", 2)]));
}

/// A candidate that watches from the first missed heartbeat need not wait again when it leads.
#[test]
fn what_a_candidate_has_seen_counts_when_it_leads() {
    let mut world = settled(&["a", "b"], 2);
    let mut candidate = Assignment::new(worker("b"), D, usize::MAX);
    candidate.observe(at(world.now + 5), UnixSeconds(EPOCH + world.now + 5), &world.rows);
    world.renew(&["b"]);
    candidate.observe(at(world.now + 10), UnixSeconds(EPOCH + world.now + 10), &world.rows);
    assert_eq!(candidate.next_expiry(at(world.now + 10)), Some(at(world.now + 15)));
    candidate.observe(at(world.now + 15), UnixSeconds(EPOCH + world.now + 15), &world.rows);
    let moves = candidate.round(at(world.now + 15)).moves;
    assert!(matches!(&moves[..], [Move::Assign { to, .. }] if *to == worker("b")), "{moves:?}");
}

/// S167: 120 leases, at most 40 each, two workers.
#[test]
fn beyond_the_limits_leases_are_named_and_wait_for_the_next_worker() {
    let mut world = World::of(120);
    world.leader.max_leases = 40;
    world.report(&["a", "b"]);
    assert_eq!(world.round().spill.len(), 40);
    world.live(&["a", "b"], 9);
    world.report(&["c"]);
    let round = world.round();
    assert_eq!((round.moves.len(), round.spill.len()), (40, 0));
    assert_eq!(world.counts(), counts([("a", 40), ("b", 40), ("c", 40)]));
}

#[test]
fn finished_leases_and_those_without_a_start_are_nobodys_business() {
    let mut world = World::of(3);
    world.lease(0).checkpoint = Checkpoint::ShardEnd;
    world.lease(1).checkpoint = Checkpoint::Missing;
    world.round();
    assert_eq!(world.counts(), counts([("a", 1), ("nobody", 2)]));
    // Finished leases do not count as load: b holds many of them, and still gets its share.
    let mut world = World::of(10);
    for number in 0..8 {
        world.lease(number).checkpoint = Checkpoint::ShardEnd;
        world.lease(number).owner = Some(worker("b"));
    }
    world.report(&["a", "b"]);
    world.round();
    assert_eq!(world.counts(), counts([("a", 1), ("b", 9)]));
    assert_eq!(world.live(&["a"], 30).len(), 1, "only the unfinished one of a dead worker moves");
}

#[test]
fn an_unfit_worker_keeps_what_it_has_and_gets_nothing() {
    let mut world = settled(&["a", "b"], 4);
    let unfit = |world: &mut World| {
        world.rows.workers.iter_mut().filter(|row| row.worker == worker("b")).for_each(|row| row.fit = false)
    };
    unfit(&mut world);
    world.rows.leases.push(Lease::new(key(4), Checkpoint::TrimHorizon));
    world.rows.leases.push(Lease::new(key(5), Checkpoint::TrimHorizon));
    world.round();
    assert_eq!(world.counts(), counts([("a", 4), ("b", 2)]));
}

#[test]
fn a_leader_that_leaves_gives_itself_nothing() {
    let mut world = settled(&["a", "b"], 2);
    world.withdraw("a");
    world.rows.leases.iter_mut().for_each(|lease| lease.owner = None);
    world.round();
    assert_eq!(world.counts(), counts([("b", 2)]));
}

#[test]
fn a_read_that_lags_behind_takes_nothing_back() {
    let mut world = World::of(2);
    world.report(&["a", "b"]);
    let before = world.rows.clone();
    world.round();
    let after = std::mem::replace(&mut world.rows, before);
    world.now = 1;
    world.look();
    assert_eq!(world.leader.round(at(1)), Round::default(), "the read shows the leases unowned still");
    world.rows = after;
    world.look();
    assert_eq!(world.leader.round(at(1)), Round::default());
    // A counter that was set back by hand is accepted after a while.
    world.rows.leases.iter_mut().for_each(|lease| (lease.counter, lease.owner) = (0, None));
    world.now = 12;
    world.look();
    assert_eq!(world.leader.round(at(12)).moves.len(), 2);
}

#[derive(Clone, Debug)]
enum Event {
    Join(usize),
    Crash(usize),
    Leave(usize),
    Reshard,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..NAMES.len()).prop_map(Event::Join),
        2 => (1..NAMES.len()).prop_map(Event::Crash),
        1 => (1..NAMES.len()).prop_map(Event::Leave),
        1 => Just(Event::Reshard),
        4 => (1..40_u64).prop_map(Event::Wait),
    ]
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    /// Random events. However late the leader's writes are, a lease is never taken from a worker that has renewed it within a
    /// lease duration, nor from one that has not been away. A crashed worker is assigned nothing once it is detected. In quiet
    /// times all leases are evenly spread over the running workers, and stay there.
    #[test]
    fn converges_safely(
        leases in 1..24_usize,
        events in prop::collection::vec(event(), 0..24),
        lag in 0..5_u64,
        lively in prop::collection::btree_set(0..NAMES.len(), 0..NAMES.len()),
    ) {
        let lively = lively.into_iter().map(|who| worker(NAMES[who])).collect();
        let mut world = World { lag, lively, ..World::of(leases) };
        let mut alive = BTreeSet::from(["a"]);
        world.report(&["a"]);
        let live = |world: &mut World, alive: &BTreeSet<&str>, seconds: u64| {
            let names: Vec<&str> = alive.iter().copied().collect();
            let moves = world.live(&names, seconds);
            assert_eq!(world.overtaken, []);
            moves
        };
        for event in events {
            match event {
                Event::Join(who) => {
                    alive.insert(NAMES[who]);
                    world.down.remove(&worker(NAMES[who]));
                    world.report(&[NAMES[who]]);
                }
                Event::Crash(who) => {
                    if alive.remove(NAMES[who]) {
                        world.crash(NAMES[who]);
                    }
                }
                Event::Leave(who) => {
                    if alive.remove(NAMES[who]) {
                        world.crash(NAMES[who]);
                        world.withdraw(NAMES[who]);
                        let name = worker(NAMES[who]);
                        for lease in &mut world.rows.leases {
                            if lease.actual_owner() == Some(&name) {
                                if lease.checkpoint_owner.take().is_none() {
                                    lease.owner = None;
                                }
                                lease.counter += 1;
                                world.renewed.remove(&lease.key);
                                world.abandoned.remove(&lease.key);
                            }
                        }
                    }
                }
                Event::Reshard => {
                    let number = world.rows.leases.len();
                    world.rows.leases.push(Lease::new(key(number), Checkpoint::TrimHorizon));
                }
                Event::Wait(seconds) => {
                    live(&mut world, &alive, seconds);
                }
            }
        }
        // Quiet. A crash costs a lease duration, or two if the dead worker was assigned leases while its row looked alive. It
        // also costs the minute until the row counts as dead.
        live(&mut world, &alive, 130);
        let counts = world.counts();
        prop_assert!(counts.keys().all(|owner| alive.contains(owner.as_str())), "{counts:?} of {alive:?}");
        let loads: Vec<usize> = alive.iter().map(|name| counts.get(*name).copied().unwrap_or(0)).collect();
        let (most, fewest) = (loads.iter().max().expect("a lives"), loads.iter().min().expect("a lives"));
        prop_assert!(most - fewest <= 1, "{counts:?}");
        prop_assert_eq!(live(&mut world, &alive, 100), vec![]);
    }

    /// A worker that joins an evenly loaded fleet gets its share by as many moves as it then has leases.
    #[test]
    fn a_join_moves_the_minimum(leases in 1..60_usize, workers in 1..5_usize) {
        let mut world = settled(&NAMES[..workers], leases);
        let names = &NAMES[..=workers];
        if workers < NAMES.len() {
            world.report(names);
            let moves = world.live(names, 60);
            prop_assert_eq!(moves.len(), leases / names.len());
        }
    }

    /// A crash moves the leases of the crashed worker, and no others.
    #[test]
    fn a_crash_moves_what_was_held(leases in 1..60_usize, workers in 2..6_usize) {
        let names = &NAMES[..workers];
        let mut world = settled(names, leases);
        let (dead, rest) = names.split_last().expect("there are two");
        let held = world.counts().get(*dead).copied().unwrap_or(0);
        let moves = world.live(rest, 120);
        prop_assert_eq!(moves.len(), held);
    }
}
