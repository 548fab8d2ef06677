use std::time::Duration;

use kinesis_testkit::{Cloud, Connection, Fault, Stream as CloudStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::clock::Clock;
use crate::lease::holder::hints::Hints;
use crate::lease::leader::assign::Move;
use crate::lease::table::belonging::Belonging;
use crate::lease::table::store::{Entry, LeaseStore, Renewal, Written};
use crate::lease::{DynamoDbLeaseStore, Lease, LeaseKey, MemoryLeaseStore, Rows, WorkerId, WorkerReport};
use crate::shard::ShardId;
use crate::shard::stream::Stream;
use crate::thread::Home;
use crate::watch::{Finding, FindingKind, Findings};

const D: Duration = Duration::from_secs(10);
const EPOCH: u64 = 1_700_000_000;

/// A stream, its lease table, and a fleet of workers that lead in turn.
struct World {
    cloud: Cloud,
    stream: CloudStream,
    /// The table as an operator sees it.
    table: Arc<dyn LeaseStore>,
    /// `true` if the table is in memory, without a network that could fail.
    in_memory: bool,
    /// `true` if the workers know that the table is their stream's.
    is_bound: bool,
}

/// A worker: a candidate for the leader's lock, and an owner that finds its leases, renews them and hands them over. It reads
/// no records.
struct Worker {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    wake: Arc<Notify>,
    findings: Findings,
}

impl Worker {
    /// Waits until there are so many findings.
    async fn found(&self, count: usize, within: Duration) -> Vec<Finding> {
        let wait = async {
            while self.findings.list().len() != count {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(within, wait).await.is_err() {
            panic!("after {within:?} it is {:#?}", self.findings.list());
        }
        self.findings.list()
    }
}

impl World {
    async fn of(shards: i32) -> Self {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", shards).await;
        Self { cloud, stream, table: Arc::new(MemoryLeaseStore::new()), in_memory: true, is_bound: true }
    }

    async fn with_dynamodb(shards: i32) -> Self {
        let world = Self::of(shards).await;
        let table = DynamoDbLeaseStore::new(world.cloud.outside().dynamodb, "app");
        table
            .prepare(Entry::of(&WorkerId::from("operator"), UnixSeconds(EPOCH)))
            .await
            .expect("a new table can be made");
        Self { table: Arc::new(table), in_memory: false, ..world }
    }

    /// Returns a worker's connection to the table.
    fn table_for(&self, connection: &Connection) -> Arc<dyn LeaseStore> {
        match self.in_memory {
            true => Arc::clone(&self.table),
            false => Arc::new(DynamoDbLeaseStore::new(connection.dynamodb.clone(), "app")),
        }
    }

    async fn start(&self, name: &str) -> Worker {
        self.start_at(name, Checkpoint::TrimHorizon, usize::MAX).await
    }

    async fn start_at(&self, name: &str, start: Checkpoint, max_leases: usize) -> Worker {
        let connection = self.cloud.connect(name).await;
        let me = WorkerId::from(name);
        let seed = name.bytes().map(u64::from).sum();
        let clock = Arc::new(Clock::start());
        let store = self.table_for(&connection);
        let belonging = if self.is_bound { Belonging::settled } else { Belonging::unsettled };
        let hold = HoldContext {
            belonging: Arc::new(belonging(Arc::clone(&store), Arc::clone(&clock))),
            store,
            clock: Arc::clone(&clock),
            me,
            duration: D,
            handoff_time: Duration::from_secs(30),
            hints: Arc::new(Hints::default()),
            moved: Arc::default(),
            findings: Findings::new(Arc::clone(&clock), name),
            home: Home::default(),
            seed,
        };
        let findings = hold.findings.clone();
        let (stop, stopped) = watch::channel(false);
        let wake = Arc::new(Notify::new());
        let since_epoch = self.cloud.clock().elapsed();
        let context = LeaderContext {
            hold: hold.clone(),
            max_leases,
            start,
            first_listing: ListFilter::AtTrimHorizon,
            discover: Arc::new(Discover::new(
                Stream::new(&connection.kinesis, "clicks"),
                fastrand::Rng::with_seed(seed),
            )),
            wall_clock: Arc::new(move || UnixSeconds(EPOCH + (since_epoch + clock.now().since_start()).as_secs())),
            wake: Arc::clone(&wake),
        };
        let mut tasks = JoinSet::new();
        let wall_clock = Arc::clone(&context.wall_clock);
        tasks.spawn(run(context, stopped));
        tasks.spawn(own(hold, wall_clock, stop.subscribe()));
        Worker { tasks, stop, wake, findings }
    }

    async fn rows(&self) -> Rows {
        self.table.scan().await.expect("the operator can look")
    }

    /// Returns how many unfinished leases each worker holds, or will hold; `-` counts the leases without an owner.
    async fn owners(&self) -> String {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for lease in self.rows().await.leases.iter().filter(|lease| !lease.checkpoint.is_shard_end()) {
            let owner = lease.actual_owner().map_or("-", WorkerId::as_str).to_owned();
            *counts.entry(owner).or_default() += 1;
        }
        counts.iter().map(|(owner, count)| format!("{owner}{count}")).collect::<Vec<_>>().join(" ")
    }

    /// Waits until the leases are owned like this, and returns how long that took.
    async fn until(&self, owners: &str, within: Duration) -> Duration {
        let start = Instant::now();
        let wait = async {
            while self.owners().await != owners {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(within, wait).await.is_err() {
            panic!("after {within:?} it is {:?}, not {owners:?}: {:#?}", self.owners().await, self.rows().await);
        }
        start.elapsed()
    }

    async fn leader(&self) -> Option<String> {
        let lock = self.table.leader().await.expect("the operator can look");
        lock.map(|lock| lock.owner.as_str().to_owned())
    }

    async fn lease(&self, shard: &str) -> Option<Lease> {
        self.table.read(&LeaseKey::from(shard)).await.expect("the operator can look")
    }

    /// Writes a checkpoint as the owner would.
    async fn checkpoint(&self, shard: &str, checkpoint: &Checkpoint) {
        loop {
            let lease = self.lease(shard).await.expect("the lease is there");
            let holder = lease.actual_owner().expect("somebody owns it");
            let renewal = Renewal::by(holder, &lease.key, lease.counter);
            match self.table.checkpoint(renewal, checkpoint).await {
                Ok(Written::Accepted(_)) => return,
                // Its owner has renewed meanwhile.
                Ok(Written::Refused(Some(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Worker {
    /// Stops at once: nothing is released.
    async fn crash(mut self) {
        self.tasks.shutdown().await;
    }

    async fn leave(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The simplest owner: renews the leases that the index names, every third of a lease duration, and hands over on request.
async fn own(
    hold: HoldContext,
    wall_clock: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
    mut stop: watch::Receiver<bool>,
) {
    let mut round = 0_u32;
    loop {
        if round.is_multiple_of(30) {
            let _throttled = hold.store.report(&WorkerReport::new(hold.me.clone(), wall_clock(), D / 2)).await;
        }
        let hinted = hold.hints.take();
        let named =
            if round.is_multiple_of(2) { hold.store.owned_by(&hold.me).await.unwrap_or_default() } else { vec![] };
        for key in named.into_iter().chain(hinted) {
            let Ok(Some(lease)) = hold.store.read(&key).await else { continue };
            if lease.owner.as_ref() != Some(&hold.me) || lease.in_handoff() {
                continue;
            }
            let _refused = hold.store.renew(Renewal::by(&hold.me, &key, lease.counter)).await;
        }
        // The old owner of a hand-off learns of it by a refused renewal; here it reads the table.
        for lease in hold.store.scan().await.map(|rows| rows.leases).unwrap_or_default() {
            if lease.checkpoint_owner.as_ref() == Some(&hold.me)
                && let Some(to) = &lease.owner
            {
                let _refused = hold.store.assign(&lease.key, &lease.owners().into(), to).await;
            }
        }
        round += 1;
        tokio::select! { biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = hold.hints.hinted() => {}
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    let _gone = hold.store.withdraw(&hold.me, None).await;
    for key in hold.store.owned_by(&hold.me).await.unwrap_or_default() {
        if let Ok(Some(lease)) = hold.store.read(&key).await {
            let _refused = hold.store.evict(&key, &lease.owners().into()).await;
        }
    }
}

/// C8: the first record of a new application within half a second. This is the table's part of it.
#[tokio::test(start_paused = true)]
async fn a_new_application_has_its_owners_at_once() {
    let world = World::with_dynamodb(4).await;
    let _a = world.start("a").await;
    let took = world.until("a4", Duration::from_millis(100)).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(world.leader().await.as_deref(), Some("a"));
    let leases = world.rows().await.leases;
    assert!(leases.iter().all(|lease| lease.checkpoint == Checkpoint::TrimHorizon && lease.range.is_some()));
}

#[tokio::test(start_paused = true)]
async fn of_workers_that_start_together_one_leads_and_all_get_their_share() {
    let world = World::of(6).await;
    let (_a, _b, _c) = tokio::join!(world.start("a"), world.start("b"), world.start("c"));
    let took = world.until("a2 b2 c2", Duration::from_secs(15)).await;
    assert!(took < Duration::from_secs(11), "two rounds and a hand-off, {took:?}");
}

/// C8 and S119: a crash of the leader, which also held shards.
#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_the_next_one_leads_and_gives_its_leases_within_bounds() {
    let world = World::of(4).await;
    let mut worst = Duration::ZERO;
    // A crash at any moment of a round and of a heartbeat.
    for offset in [0, 700, 1900, 3100, 4300] {
        let a = world.start("a").await;
        world.until("a4", Duration::from_secs(60)).await;
        let b = world.start("b").await;
        world.until("a2 b2", Duration::from_secs(60)).await;
        sleep(Duration::from_millis(20_000 + offset)).await;
        assert_eq!(world.leader().await.as_deref(), Some("a"));
        a.crash().await;
        worst = worst.max(world.until("b4", Duration::from_secs(60)).await);
        assert_eq!(world.leader().await.as_deref(), Some("b"));
        b.leave().await;
    }
    // Two seconds are left for the new owner to find them; if it is the leader, it knows at once.
    assert!(worst <= Duration::from_secs(20), "{worst:?}");
}

#[tokio::test(start_paused = true)]
async fn when_another_worker_dies_its_leases_are_given_within_bounds_and_it_gets_none() {
    let world = World::with_dynamodb(4).await;
    let _a = world.start("a").await;
    world.until("a4", Duration::from_secs(5)).await;
    let b = world.start("b").await;
    world.until("a2 b2", Duration::from_secs(15)).await;
    sleep(Duration::from_secs(31)).await;
    b.crash().await;
    let took = world.until("a4", Duration::from_secs(30)).await;
    assert!(took <= Duration::from_secs(17), "{took:?}");
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.owners().await, "a4");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_joins_gets_its_share_within_three_rounds() {
    let world = World::of(20).await;
    let _a = world.start("a").await;
    world.until("a20", Duration::from_secs(5)).await;
    sleep(Duration::from_millis(33_300)).await;
    let _b = world.start("b").await;
    let took = world.until("a10 b10", Duration::from_secs(30)).await;
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_leaves_is_followed_at_once_and_its_leases_are_not_waited_for() {
    let world = World::of(4).await;
    let a = world.start("a").await;
    world.until("a4", Duration::from_secs(5)).await;
    let _b = world.start("b").await;
    world.until("a2 b2", Duration::from_secs(15)).await;
    a.leave().await;
    let took = world.until("b4", Duration::from_secs(30)).await;
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

/// At most one of many candidates leads at any moment, whatever faults each one's network has.
#[tokio::test(start_paused = true)]
async fn two_candidates_never_both_lead() {
    let world = World::with_dynamodb(1).await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut roles = Vec::new();
    let mut tasks = JoinSet::new();
    let names = ["a", "b", "c"];
    let clock = Arc::new(Clock::start());
    let (stop, _) = watch::channel(false);
    for (seed, name) in (0..).zip(names) {
        let store = world.table_for(&world.cloud.connect(name).await);
        let hold = HoldContext {
            belonging: Arc::new(Belonging::settled(Arc::clone(&store), Arc::clone(&clock))),
            store,
            clock: Arc::clone(&clock),
            me: WorkerId::from(name),
            duration: D,
            handoff_time: D,
            hints: Arc::new(Hints::default()),
            moved: Arc::default(),
            findings: Findings::new(Arc::clone(&clock), name),
            home: Home::default(),
            seed,
        };
        let campaign = Campaign::new(&hold);
        roles.push(campaign.role());
        tasks.spawn(campaign.run(stop.subscribe()));
    }
    let (mut led, mut changes, mut last) = (0, 0, None);
    for step in 0..6_000 {
        if step % 20 == 0 {
            let faults = world.cloud.faults(names[rng.usize(..names.len())]);
            faults.heal();
            match rng.u8(..8) {
                0 => _ = faults.black_hole(),
                1 => _ = faults.always(Fault::LoseResponse),
                2 => _ = faults.always(Fault::DelayRequest(Duration::from_millis(rng.u64(..15_000)))),
                3 => _ = faults.always(Fault::Throttle),
                _ => {}
            }
        }
        sleep(Duration::from_millis(100)).await;
        let now = clock.now();
        let leading = |role: &watch::Receiver<lock::LeaderRole>| matches!(*role.borrow(), lock::LeaderRole::Leading { until } if now < until);
        let leaders: Vec<_> = (0..names.len()).filter(|worker| leading(&roles[*worker])).collect();
        assert!(leaders.len() <= 1, "{leaders:?} at {now:?}");
        led += leaders.len();
        if let Some(leader) = leaders.first()
            && last != Some(*leader)
        {
            last = Some(*leader);
            changes += 1;
        }
    }
    assert!(led > 3000 && changes > 5, "led {led} of 6000, {changes} changes");
}

/// A worker restarts under its old ID and renews after the leader has judged its lease, but before the leader's write arrives.
/// The write is refused, however late it is.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_renewed_before_the_leader_s_write_arrived_is_not_given_away() {
    let world = World::with_dynamodb(1).await;
    let mut lease = Lease::new(LeaseKey::from("shardId-000000000000"), Checkpoint::TrimHorizon);
    lease.owner = Some(WorkerId::from("b"));
    lease.counter = 4;
    assert!(matches!(world.table.create(&lease).await, Ok(Written::Accepted(_))));
    let leader = world.table_for(&world.cloud.connect("a").await);
    let judged = leader.scan().await.expect("the table is there").leases.remove(0);
    let give = |seen| Move::Assign { key: lease.key.clone(), seen, to: WorkerId::from("a") };
    let late = Fault::DelayRequest(Duration::from_secs(1));
    world.cloud.faults("a").dynamodb().next("UpdateItem", late);
    let change = give(judged.seen());
    let restarted = async {
        sleep(Duration::from_millis(500)).await;
        let b = WorkerId::from("b");
        world.table.renew(Renewal::by(&b, &lease.key, 4)).await.expect("the table answers")
    };
    let (given, renewed) = tokio::join!(rounds::write(&*leader, &change), restarted);
    let Written::Accepted(Some(row)) = renewed else { panic!("{renewed:?}") };
    assert_eq!(given.expect("the table answers"), Written::Refused(Some(row.clone())));
    assert_eq!(world.lease("shardId-000000000000").await.as_ref(), Some(&*row));
    let again = rounds::write(&*leader, &give(row.seen())).await;
    assert!(matches!(again, Ok(Written::Accepted(_))), "{again:?}");
}

/// S101: the owner of a finished shard crashed before it had created both children's leases. Then clean-up.
#[tokio::test(start_paused = true)]
async fn lost_children_are_made_and_finished_leases_deleted() {
    let world = World::of(1).await;
    let _a = world.start("a").await;
    world.until("a1", Duration::from_secs(5)).await;
    let parent = world.rows().await.leases[0].key.as_str().to_owned();
    let children = world.stream.split(0).await;
    world.checkpoint(&parent, &Checkpoint::ShardEnd).await;
    let key = LeaseKey::from(parent.as_str());
    let ids = children.each_ref().map(|id| ShardId::from(id.as_str()));
    let named = world.table.set_children(&key, &WorkerId::from("a"), &ids).await;
    assert!(matches!(named, Ok(Written::Accepted(_))), "{named:?}");
    // A child had a lease before its parent was finished: if that lease is deleted, it is missing like any other.
    let took = world.until("a2", Duration::from_secs(30)).await;
    assert!(Duration::from_secs(10) <= took && took <= Duration::from_secs(20), "{took:?}");
    for child in &children {
        let lease = world.lease(child).await.expect("it was made");
        assert_eq!((lease.checkpoint, lease.parents.len()), (Checkpoint::TrimHorizon, 1));
    }
    let number = "49680535225667252330675211673966545711037954312338669602".parse().expect("a number");
    let position =
        crate::record::Position { sequence_number: number, sub_sequence: 0, shard: children[0].as_str().into() };
    world.checkpoint(&children[0], &Checkpoint::At(position)).await;
    sleep(Duration::from_secs(20)).await;
    assert!(world.lease(&parent).await.is_some(), "one child has not moved");
    world.checkpoint(&children[1], &Checkpoint::Latest).await;
    sleep(Duration::from_secs(6)).await;
    assert!(world.lease(&parent).await.is_none());
}

/// A deleted lease is created again a lease duration after it was first missed (rule `missing`): its owner may keep reading
/// until then.
#[tokio::test(start_paused = true)]
async fn a_hole_is_closed() {
    let world = World::of(4).await;
    let _a = world.start("a").await;
    world.until("a4", Duration::from_secs(5)).await;
    let lost = world.rows().await.leases[2].key.clone();
    world.checkpoint(lost.as_str(), &Checkpoint::ShardEnd).await;
    assert!(matches!(world.table.delete_finished(&lost).await, Ok(Written::Accepted(None))));
    let took = world.until("a4", Duration::from_secs(60)).await;
    assert!(Duration::from_secs(10) <= took && took <= Duration::from_secs(20), "{took:?}");
}

/// The leader is cut off from the stream, not from the table.
#[tokio::test(start_paused = true)]
async fn a_stream_out_of_reach_does_not_hold_up_assignment() {
    let world = World::of(4).await;
    let _a = world.start("a").await;
    world.until("a4", Duration::from_secs(5)).await;
    let b = world.start("b").await;
    world.until("a2 b2", Duration::from_secs(15)).await;
    sleep(Duration::from_secs(31)).await;
    world.cloud.faults("a").kinesis().black_hole();
    sleep(Duration::from_secs(31)).await;
    b.crash().await;
    let took = world.until("a4", Duration::from_secs(60)).await;
    assert!(took <= Duration::from_secs(17), "{took:?}");
}

/// S115: a table that throttles many writes.
#[tokio::test(start_paused = true)]
async fn a_throttled_table_gets_all_its_leases() {
    let world = World::with_dynamodb(30).await;
    world.cloud.faults("a").kinesis().next("ListShards", Fault::DelayResponse(Duration::from_secs(1)));
    let _a = world.start("a").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(world.leader().await.as_deref(), Some("a"));
    world.cloud.faults("a").dynamodb().next_n("PutItem", 40, Fault::Throttle);
    let took = world.until("a30", Duration::from_secs(60)).await;
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

/// A lease that was missed for long enough and could not be created is created by the next sync, not a lease duration later.
#[tokio::test(start_paused = true)]
async fn a_lease_whose_creation_failed_is_made_at_the_next_look() {
    let world = World::with_dynamodb(2).await;
    let _a = world.start("a").await;
    world.until("a2", Duration::from_secs(10)).await;
    sleep(Duration::from_secs(60)).await;
    assert!(world.cloud.table("app").delete("shardId-000000000001"));
    // All attempts of one creation.
    world.cloud.faults("a").dynamodb().next_n("PutItem", 6, Fault::Throttle);
    let took = world.until("a2", Duration::from_secs(60)).await;
    assert!(world.cloud.unused_faults().is_empty(), "the first creation fails");
    assert!(took <= Duration::from_secs(25), "{took:?}");
}

/// S109: the fleet does not start over by itself.
#[tokio::test(start_paused = true)]
async fn leases_that_vanish_are_not_made_anew() {
    let world = World::of(3).await;
    let a = world.start("a").await;
    world.until("a3", Duration::from_secs(5)).await;
    sleep(Duration::from_secs(10)).await;
    for lease in world.rows().await.leases {
        world.checkpoint(lease.key.as_str(), &Checkpoint::ShardEnd).await;
        assert!(matches!(world.table.delete_finished(&lease.key).await, Ok(Written::Accepted(None))));
    }
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.rows().await.leases, []);
    let found = a.found(1, Duration::from_secs(1)).await;
    assert_eq!(found[0].kind, FindingKind::LeasesGone);
    a.stop.send_replace(true);
    a.found(0, Duration::from_secs(5)).await;
}

/// The findings of one leader must be found again by the next leader.
#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_leading_keeps_none_of_a_leaders_findings() {
    let world = World::with_dynamodb(4).await;
    let old = crate::record::Position {
        sequence_number: "1".parse().expect("a number"),
        sub_sequence: 0,
        shard: "shardId-000000000000".into(),
    };
    for (shard, checkpoint) in [(0, Checkpoint::At(old)), (1, Checkpoint::ShardEnd), (2, Checkpoint::Missing)] {
        let lease = Lease::new(LeaseKey::from(world.stream.shards()[shard].id.as_str()), checkpoint);
        assert!(matches!(world.table.create(&lease).await, Ok(Written::Accepted(_))));
    }
    let a = world.start_at("a", Checkpoint::TrimHorizon, 0).await;
    let found = a.found(4, Duration::from_secs(120)).await;
    let kinds: Vec<FindingKind> = found.into_iter().map(|finding| finding.kind).collect();
    assert_eq!(
        kinds,
        [FindingKind::RowUnusable, FindingKind::EndedOpen, FindingKind::LeaseMismatch, FindingKind::NoRoom]
    );
    world.cloud.faults("a").black_hole();
    a.found(0, Duration::from_secs(30)).await;
    world.cloud.faults("a").heal();
    a.found(4, Duration::from_secs(120)).await;
    a.stop.send_replace(true);
    a.found(0, Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_does_not_fit_stops_a_table_that_nothing_else_shows_to_be_ours_and_only_itself_in_one_that_is() {
    for is_bound in [false, true] {
        a_lease_that_does_not_fit(World { is_bound, ..World::of(2).await }).await;
    }
}

async fn a_lease_that_does_not_fit(world: World) {
    let old = crate::record::Position {
        sequence_number: "1".parse().expect("a number"),
        sub_sequence: 0,
        shard: "shardId-000000000000".into(),
    };
    let lease = Lease::new(LeaseKey::from(world.stream.shards()[0].id.as_str()), Checkpoint::At(old));
    assert!(matches!(world.table.create(&lease).await, Ok(Written::Accepted(_))));
    let a = world.start("a").await;
    let found = a.found(1, Duration::from_secs(10)).await;
    assert_eq!((found[0].kind, &found[0].subject), (FindingKind::LeaseMismatch, &lease.key.to_string()));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.rows().await.leases.len(), if world.is_bound { 2 } else { 1 }, "a lease for the other shard");
}

#[tokio::test(start_paused = true)]
async fn leases_beyond_all_limits_are_named_and_a_wake_spares_the_wait() {
    let world = World::of(5).await;
    let a = world.start_at("a", Checkpoint::TrimHorizon, 3).await;
    let found = a.found(2, Duration::from_secs(1)).await;
    assert!(found.iter().all(|finding| finding.kind == FindingKind::NoRoom), "{found:?}");
    assert_eq!(world.owners().await, "-2 a3");
    let lease = world.rows().await.leases[0].clone();
    world.checkpoint(lease.key.as_str(), &Checkpoint::ShardEnd).await;
    a.wake.notify_one();
    let took = world.until("-1 a3", Duration::from_secs(5)).await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
}

/// Rows of workers that have been dead for long are deleted; rows of running and of recently dead workers are not.
#[tokio::test(start_paused = true)]
async fn old_rows_are_deleted() {
    let world = World::of(1).await;
    world
        .table
        .report(&WorkerReport::new(WorkerId::from("old"), UnixSeconds(EPOCH - 90_000), D))
        .await
        .expect("the name is free");
    world
        .table
        .report(&WorkerReport::new(WorkerId::from("late"), UnixSeconds(EPOCH - 3600), D))
        .await
        .expect("the name is free");
    let _a = world.start("a").await;
    sleep(Duration::from_secs(100)).await;
    let names: Vec<_> = world.rows().await.workers.into_iter().map(|row| row.worker.as_str().to_owned()).collect();
    assert_eq!(names, ["a", "late"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_without_a_start_is_named_and_given_to_nobody() {
    let world = World::of(2).await;
    let a = world.start("a").await;
    world.until("a2", Duration::from_secs(5)).await;
    let lease = Lease::new(LeaseKey::from("shardId-000000000009"), Checkpoint::Missing);
    assert!(matches!(world.table.create(&lease).await, Ok(Written::Accepted(_))));
    let found = a.found(1, Duration::from_secs(10)).await;
    assert_eq!((found[0].kind, found[0].subject.as_str()), (FindingKind::RowUnusable, "shardId-000000000009"));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.owners().await, "-1 a2");
}
