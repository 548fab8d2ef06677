use kinesis_aggregation::HashKeyRange;
use kinesis_testkit::{Cloud, Fault};
use tokio::time::sleep;

use super::*;
use crate::clock::Clock;
use crate::lease::holder::held::Epoch;
use crate::lease::table::belonging::Belonging;
use crate::lease::table::store::Entry;
use crate::lease::{DynamoDbLeaseStore, Hints, LeaseStore, UnixSeconds, WorkerId};
use crate::shard::discover::Discover;
use crate::shard::stream::Stream;
use crate::thread::Home;
use crate::watch::Findings;
use crate::{ListedShard, ShardId};

const D: Duration = Duration::from_secs(10);

/// One lease on the cloud's DynamoDB, and a worker that has adopted it through its own connection.
struct Scene {
    cloud: Cloud,
    /// Another worker's or the leader's access to the same table.
    other: DynamoDbLeaseStore,
    shutdown: Shutdown,
    key: LeaseKey,
}

impl Scene {
    async fn start() -> Self {
        let cloud = Cloud::new();
        let other = DynamoDbLeaseStore::new(cloud.connect("other").await.dynamodb, "app");
        other.prepare(Entry::of(&WorkerId::from("other"), UnixSeconds(0))).await.expect("a new table");
        let key = LeaseKey::from("shardId-000000000000");
        let mut lease = Lease::new(key.clone(), Checkpoint::TrimHorizon);
        lease.owner = Some(WorkerId::from("me"));
        other.create(&lease).await.expect("a new lease");
        Self { cloud, other, shutdown: Shutdown::default(), key }
    }

    async fn context(&self, connection: &str) -> HoldContext {
        let store: Arc<dyn LeaseStore> =
            Arc::new(DynamoDbLeaseStore::new(self.cloud.connect(connection).await.dynamodb, "app"));
        let clock = Arc::new(Clock::start());
        HoldContext {
            belonging: Arc::new(Belonging::settled(Arc::clone(&store), Arc::clone(&clock))),
            store,
            clock,
            me: WorkerId::from("me"),
            duration: D,
            handoff_time: Duration::from_secs(30),
            hints: Arc::new(Hints::default()),
            moved: Arc::default(),
            findings: Findings::new(Arc::new(Clock::start()), "me"),
            home: Home::default(),
            seed: 7,
        }
    }

    async fn discover(&self) -> Discover {
        Discover::new(Stream::new(&self.cloud.connect("me").await.kinesis, "clicks"), fastrand::Rng::with_seed(1))
    }

    async fn adopt(
        &self,
        connection: &str,
    ) -> Result<(HeldLease, tokio::task::JoinHandle<(LostReason, u64)>), LostReason> {
        let context = self.context(connection).await;
        let (held, renewer) =
            adopt(context, self.row().await, self.shutdown.clone(), Arc::default(), fastrand::Rng::with_seed(7))
                .await?;
        Ok((held, tokio::spawn(renewer.run())))
    }

    async fn delete_row(&self) {
        let operator = self.cloud.outside().dynamodb;
        let key = aws_sdk_dynamodb::types::AttributeValue::S(self.key.as_str().to_owned());
        operator.delete_item().table_name("app").key("leaseKey", key).send().await.expect("the row is there");
    }

    async fn row(&self) -> Lease {
        self.other.read(&self.key).await.expect("the table answers").expect("the lease is there")
    }
}

fn at(n: u64) -> Checkpoint {
    let sequence_number = n.to_string().parse().expect("digits");
    Checkpoint::At(crate::record::Position { sequence_number, sub_sequence: 0, shard: "shardId-000000000000".into() })
}

#[tokio::test(start_paused = true)]
async fn adoption_writes_before_anything_is_read_and_renewals_follow_every_third_of_the_duration() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let adopted = scene.row().await.counter;
    assert_eq!(held.epoch(), Epoch(adopted));
    assert!(adopted > 1, "as a renewal would have moved it");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(held.lease_state(), LeaseState::Held);
    // One every 3.33 s.
    assert_eq!(scene.row().await.counter, adopted + 17);
}

/// C6: what the second process adopts while a renewal of the first is lost on its way is not the first one's renewal.
#[tokio::test(start_paused = true)]
async fn of_two_processes_under_one_id_the_one_that_adopted_last_holds_the_lease() {
    let scene = Scene::start().await;
    let (_first, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.cloud.faults("me").next("UpdateItem", Fault::LoseRequest);
    sleep(D / 3).await;
    let (second, _renewer) = scene.adopt("twin").await.expect("the first one's renewal is lost");
    let ended = timeout(D * 3, renewer).await.expect("it is refused").expect("no panic");
    assert_eq!(ended.0, LostReason::Taken { by: Some(WorkerId::from("me")) });
    sleep(D * 3).await;
    assert_eq!(second.lease_state(), LeaseState::Held);
}

/// C6: a lease that an operator deleted and that is made anew counts from the start again, and comes by the old counter.
#[tokio::test(start_paused = true)]
async fn a_lease_made_anew_is_not_renewed_by_the_owner_of_the_old_one() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let mut anew = Lease::new(scene.key.clone(), Checkpoint::TrimHorizon);
    anew.owner = Some(WorkerId::from("other"));
    anew.counter = scene.row().await.counter;
    scene.delete_row().await;
    scene.other.create(&anew).await.expect("a new lease");
    let lost = held.checkpoint(at(7)).await.expect_err("another worker holds it");
    assert!(matches!(lost, CheckpointError::LeaseLost { .. }), "{lost}");
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Taken { by: Some(WorkerId::from("other")) });
    assert_eq!(scene.row().await, anew);
}

/// C4: they would be read before their parent, whose lease is made anew.
#[tokio::test(start_paused = true)]
async fn no_child_is_made_by_the_owner_of_a_lease_that_is_gone_or_another_s() {
    for anew in [false, true] {
        let scene = Scene::start().await;
        let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
        let mut row = scene.row().await;
        row.owner = Some(WorkerId::from("other"));
        scene.delete_row().await;
        if anew {
            scene.other.create(&row).await.expect("a new lease");
        }
        let child = ListedShard {
            id: ShardId::from("shardId-000000000001"),
            parents: vec![scene.key.shard()],
            range: HashKeyRange::FULL,
            starting: "7".parse().expect("digits"),
            ending: None,
        };
        let error = held
            .end(std::slice::from_ref(&child), &Arc::new(scene.discover().await))
            .await
            .expect_err("the lease is not ours any more");
        let CheckpointError::LeaseLost { reason, .. } = error else { panic!("{error}") };
        let taken = LostReason::Taken { by: row.owner.clone() };
        assert_eq!(reason, if anew { taken } else { LostReason::Deleted });
        assert_eq!(scene.other.read(&LeaseKey::of(&child.id)).await.expect("the table answers"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_each_second_is_all_the_writes_there_are() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.cloud.clear_calls("me");
    for second in 1..=60 {
        sleep(Duration::from_millis(999)).await;
        held.checkpoint(at(second)).await.expect("held");
    }
    assert_eq!(scene.cloud.calls("me").count("UpdateItem"), 60);
    assert_eq!(scene.row().await.checkpoint, at(60));
}

#[tokio::test(start_paused = true)]
async fn lost_responses_cost_neither_the_lease_nor_the_checkpoint() {
    let scene = Scene::start().await;
    scene.cloud.faults("me").next("UpdateItem", Fault::LoseResponse);
    let (held, _renewer) = scene.adopt("me").await.expect("it landed");
    for n in 1..=5 {
        scene.cloud.faults("me").next_n("UpdateItem", 2, Fault::LoseResponse);
        held.checkpoint(at(n)).await.expect("it landed");
        assert_eq!(scene.row().await.checkpoint, at(n));
        scene.cloud.faults("me").next("UpdateItem", Fault::LoseResponse);
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(held.lease_state(), LeaseState::Held);
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_and_loses_nothing() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.cloud.faults("me").next_n("UpdateItem", 6, Fault::Throttle);
    held.checkpoint(at(1)).await.expect("throttled, not refused");
    assert_eq!(scene.row().await.checkpoint, at(1));
}

#[tokio::test(start_paused = true)]
async fn cut_off_it_gives_up_before_a_taker_may_start_and_writes_no_more() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let before = tokio::time::Instant::now();
    scene.cloud.faults("me").black_hole();
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Expired);
    // Counted from the last accepted write, which was sent at most a few milliseconds before the cut.
    let took = before.elapsed();
    assert!(took <= D.mul_f64(0.9) + Duration::from_millis(1), "C7: gave up after {took:?}");
    scene.cloud.faults("me").heal();
    let refused = held.checkpoint(at(1)).await;
    assert_eq!(refused, Err(CheckpointError::LeaseLost { lease: scene.key.clone(), reason: LostReason::Expired }));
    assert_eq!(scene.row().await.checkpoint, Checkpoint::TrimHorizon);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_outlives_the_lease_whenever_the_table_goes_silent() {
    for commit_after in [500, 1_000, 2_800, 3_200] {
        let scene = Scene::start().await;
        let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
        sleep(Duration::from_millis(commit_after)).await;
        let before = tokio::time::Instant::now();
        scene.cloud.faults("me").black_hole();
        let (refused, lost) = tokio::join!(held.checkpoint(at(1)), renewer);
        assert!(refused.is_err());
        assert_eq!(lost.expect("no panic").0, LostReason::Expired);
        // The last accepted write is the adoption.
        let took = before.elapsed() + Duration::from_millis(commit_after);
        assert!(took <= D.mul_f64(0.9) + Duration::from_millis(5), "C7: gave up after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hand_off_that_begins_while_releasing_is_completed_though_the_table_is_throttled() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let me = WorkerId::from("me");
    scene.other.start_handoff(&scene.key, &me, &WorkerId::from("other")).await.expect("the table answers");
    // The refusal that shows the hand-off, then throttling.
    scene.cloud.faults("me").next("UpdateItem", Fault::LoseRequest);
    scene.cloud.faults("me").next_n("UpdateItem", 3, Fault::Throttle);
    held.release().await.expect("released");
    let row = scene.row().await;
    assert_eq!((row.owner, row.checkpoint_owner), (Some(WorkerId::from("other")), None));
}

#[tokio::test(start_paused = true)]
async fn a_renewer_that_is_cancelled_counts_as_lost() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    renewer.abort();
    let _cancelled = renewer.await;
    assert_eq!(held.lease_state(), LeaseState::Lost(LostReason::Dropped));
    assert!(held.end(&[], &Arc::new(scene.discover().await)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn two_processes_under_one_name_cannot_both_adopt() {
    let scene = Scene::start().await;
    let (first, second) = tokio::join!(scene.adopt("process 1"), scene.adopt("process 2"));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hand_off_is_seen_by_an_owner_that_only_checkpoints_and_is_completed_by_release() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let me = WorkerId::from("me");
    scene.other.start_handoff(&scene.key, &me, &WorkerId::from("other")).await.expect("the table answers");
    held.checkpoint(at(1)).await.expect("the old owner may");
    sleep(Duration::from_millis(1)).await;
    assert!(matches!(held.lease_state(), LeaseState::Revoking { .. }), "{:?}", held.lease_state());
    held.checkpoint(at(2)).await.expect("until it hands over");
    held.release().await.expect("handed over");
    assert!(matches!(held.lease_state(), LeaseState::Lost(LostReason::Released)));
    renewer.await.expect("no panic");
    let row = scene.row().await;
    assert_eq!((row.owner, row.checkpoint_owner, row.checkpoint), (Some(WorkerId::from("other")), None, at(2)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_owner_sees_a_hand_off_with_its_next_renewal_and_the_deadline_ends_it() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let me = WorkerId::from("me");
    scene.other.start_handoff(&scene.key, &me, &WorkerId::from("other")).await.expect("the table answers");
    let mut lease_state = held.watch();
    let seen = tokio::time::Instant::now();
    lease_state
        .wait_for(|lease_state| matches!(lease_state, LeaseState::Revoking { .. }))
        .await
        .expect("the renewer lives");
    assert!(seen.elapsed() <= Duration::from_secs(4));
    // The processor never answers: the old owner renews until the deadline, then hands over all the same.
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Released);
    assert!((30..35).contains(&seen.elapsed().as_secs()), "{:?}", seen.elapsed());
    assert_eq!(scene.row().await.owner, Some(WorkerId::from("other")));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_is_not_renewed_and_a_released_one_is_free_at_once() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    drop(held);
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Dropped);
    let counter = scene.row().await.counter;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.row().await.counter, counter);

    let (held, _renewer) = scene.adopt("me").await.expect("still named as ours");
    held.release().await.expect("released");
    assert_eq!(scene.row().await.owner, None);
}

#[tokio::test(start_paused = true)]
async fn a_taken_lease_is_noticed_at_the_next_write_and_its_late_checkpoint_is_refused() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let taken = scene.other.assign(&scene.key, &scene.row().await.seen(), &WorkerId::from("other")).await;
    assert!(matches!(taken, Ok(Written::Accepted(_))));
    assert!(held.checkpoint(at(1)).await.is_err());
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Taken { by: Some(WorkerId::from("other")) });
    assert_eq!(scene.row().await.checkpoint, Checkpoint::TrimHorizon);
}

#[tokio::test(start_paused = true)]
async fn checkpoints_never_go_back_and_shard_end_is_final() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    held.checkpoint(at(10)).await.expect("held");
    assert!(matches!(held.checkpoint(at(9)).await, Err(CheckpointError::Refused { .. })));
    held.end(&[], &Arc::new(scene.discover().await)).await.expect("held");
    assert!(matches!(held.checkpoint(at(11)).await, Err(CheckpointError::Refused { .. })));
    assert_eq!(scene.row().await.checkpoint, Checkpoint::ShardEnd);
}

#[tokio::test(start_paused = true)]
async fn a_finished_lease_is_renewed_without_a_reader_until_its_row_goes() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    held.end(&[], &Arc::new(scene.discover().await)).await.expect("held");
    drop(held);
    let counter = scene.row().await.counter;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.row().await.counter, counter + 17);
    scene.other.delete_finished(&scene.key).await.expect("the table answers");
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Deleted);
}

/// C9, under a leader that leaves it to the owners.
#[tokio::test(start_paused = true)]
async fn a_finished_lease_goes_when_its_children_have_moved() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let child = LeaseKey::from("shardId-000000000001");
    let mut lease = Lease::new(child.clone(), Checkpoint::TrimHorizon);
    lease.parents = vec![scene.key.shard()];
    lease.owner = Some(WorkerId::from("me"));
    scene.other.create(&lease).await.expect("a new lease");
    let me = WorkerId::from("me");
    scene.other.set_children(&scene.key, &me, &[child.shard()]).await.expect("the table answers");
    held.end(&[], &Arc::new(scene.discover().await)).await.expect("held");
    drop(held);
    sleep(Duration::from_secs(100)).await;
    assert!(scene.row().await.checkpoint.is_shard_end(), "the child has not moved");
    let moved = scene.other.checkpoint(Renewal::by(&me, &child, 0), &at(7)).await.expect("the table answers");
    assert!(matches!(moved, Written::Accepted(_)), "{moved:?}");
    sleep(Duration::from_secs(31)).await;
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Deleted);
    assert_eq!(scene.other.read(&scene.key).await.expect("the table answers"), None);
}

/// C7: whom the table names next may begin at once, long before the answer is here.
#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_processor_is_stopped_before_the_table_names_another() {
    let scene = Scene::start().await;
    let (held, _renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.other.start_handoff(&scene.key, &WorkerId::from("me"), &WorkerId::from("other")).await.expect("it is ours");
    scene.cloud.faults("me").always(Fault::DelayResponse(Duration::from_secs(1)));
    let handed_over = async {
        while scene.row().await.in_handoff() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(D * 5, handed_over).await.expect("the deadline comes");
    assert_eq!(held.lease_state(), LeaseState::Lost(LostReason::Released));
    assert_eq!(scene.row().await.owner, Some(WorkerId::from("other")));
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_the_processor_has_until_the_deadline() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    let deadline = Tick::new(Duration::from_secs(20));
    scene.shutdown.begin(deadline);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(held.lease_state(), LeaseState::Revoking { deadline });
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Released);
    assert_eq!(scene.row().await.owner, None);
}

/// C6, C7: a release that arrives late, when this worker has the lease again, does not take it away.
#[tokio::test(start_paused = true)]
async fn a_release_that_arrives_late_does_not_end_the_next_epoch() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.cloud.faults("me").next("UpdateItem", Fault::DelayRequest(Duration::from_secs(8)));
    held.release().await.expect("the second try is answered");
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Released);
    let row = scene.row().await;
    assert_eq!(row.owner, None);
    let me = WorkerId::from("me");
    assert!(matches!(scene.other.assign(&scene.key, &row.seen(), &me).await, Ok(Written::Accepted(_))));
    let (again, _renewer) = scene.adopt("me again").await.expect("it is ours again");
    sleep(Duration::from_secs(20)).await;
    assert_eq!((again.lease_state(), scene.row().await.owner), (LeaseState::Held, Some(me)));
}

/// A renewal that has landed, and whose answer is lost, does not keep the lease from being released.
#[tokio::test(start_paused = true)]
async fn a_lease_is_released_at_the_counter_of_a_renewal_whose_answer_is_lost() {
    let scene = Scene::start().await;
    let (held, renewer) = scene.adopt("me").await.expect("nobody else wants it");
    scene.cloud.faults("me").next("UpdateItem", Fault::SilentAnswer);
    // The renewal has been sent, and waits for its answer.
    sleep(D / 3 + Duration::from_secs(1)).await;
    held.release().await.expect("it is released");
    assert_eq!(renewer.await.expect("no panic").0, LostReason::Released);
    assert_eq!(scene.row().await.owner, None);
}
