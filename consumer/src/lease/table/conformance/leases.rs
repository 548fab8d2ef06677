//! What is required of the verbs on leases.

use std::sync::Arc;

use bytes::Bytes;
use kinesis_aggregation::HashKeyRange;

use crate::lease::table::conformance::Outcome;
use crate::lease::table::conformance::expect::{
    accepted, at, found, lease, made, owned, refused, renewal, same, with, worker,
};
use crate::lease::table::store::LeaseStore;
use crate::lease::{Checkpoint, Lease, Owners, PendingCheckpoint, Renewal, Seen, StoreError, Written};
use crate::shard::ShardId;

pub(super) async fn created_as_given(store: Arc<dyn LeaseStore>) -> Outcome {
    let mut lease = lease(1);
    lease.owner = Some(worker("a"));
    lease.checkpoint_owner = Some(worker("b"));
    lease.counter = 7;
    lease.owner_switches = 2;
    lease.checkpoint = at("49680535143221397331707497921426878846729339711503990802", 4);
    lease.pending = Some(PendingCheckpoint {
        checkpoint: at("49680535143221397331707497921426878846729339711503990803", 1),
        state: Some(Bytes::from_static(b"\x00\xffstate")),
    });
    lease.parents = vec![ShardId::from("p1"), ShardId::from("p2")];
    lease.children = vec![ShardId::from("c1"), ShardId::from("c2")];
    lease.range = Some(HashKeyRange::FULL);
    lease.throughput_kib_per_s = Some(5.449_945);
    lease.bound_to = Some("arn:aws:kinesis:us-east-1:123456789012:stream/clicks 1764522000.123".into());
    same("the answer", accepted(store.create(&lease).await)?, lease.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(lease))?;
    let bare = crate::lease::table::conformance::expect::lease(2);
    accepted(store.create(&bare).await)?;
    same("a row with nothing but a checkpoint", found(store.read(&bare.key).await)?, Some(bare))
}

pub(super) async fn foreign_leases_are_deleted(store: Arc<dyn LeaseStore>) -> Outcome {
    let ours = with(lease(1), |lease| lease.bound_to = Some("ours".into()));
    let others = with(lease(2), |lease| lease.bound_to = Some("another".into()));
    for lease in [&ours, &others, &lease(3)] {
        accepted(store.create(lease).await)?;
    }
    refused("one that says it is ours", store.delete_foreign(&ours.key, "ours").await, Some(&ours))?;
    for key in [&others.key, &lease(3).key, &lease(4).key] {
        match found(store.delete_foreign(key, "ours").await)? {
            Written::Accepted(_) => {}
            Written::Refused(_) => return Err(format!("{key}: it was refused")),
        }
    }
    same("what is left", found(store.scan().await)?.leases, vec![ours])
}

pub(super) async fn created_once(store: Arc<dyn LeaseStore>) -> Outcome {
    let first = with(lease(1), |lease| lease.counter = 3);
    accepted(store.create(&first).await)?;
    refused("the second", store.create(&lease(1)).await, Some(&first))?;
    same("the row", found(store.read(&first.key).await)?, Some(first))
}

pub(super) async fn renewal_moves_the_counter(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |lease| lease.owner_switches = 4).await?;
    let renewed = accepted(store.renew(Renewal { throughput_kib_per_s: Some(1.5), ..renewal(&lease, 0) }).await)?;
    let expected = with(lease.clone(), |lease| {
        lease.counter = 1;
        lease.throughput_kib_per_s = Some(1.5);
    });
    same("the answer", renewed, expected.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(expected.clone()))?;
    let again = accepted(store.renew(renewal(&lease, 1)).await)?;
    let expected = with(expected, |lease| lease.counter = 2);
    same("without a throughput", again, expected.clone())?;
    let far = accepted(store.renew(Renewal { next: 40, ..renewal(&lease, 2) }).await)?;
    same("by more than one", far, with(expected, |lease| lease.counter = 40))
}

pub(super) async fn renewal_is_fenced(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |lease| lease.counter = 5).await?;
    refused("an old counter", store.renew(renewal(&lease, 4)).await, Some(&lease))?;
    refused("a counter to come", store.renew(renewal(&lease, 6)).await, Some(&lease))?;
    let absent = with(lease.clone(), |absent| absent.key = crate::lease::table::conformance::expect::lease(2).key);
    refused("no row", store.renew(renewal(&absent, 0)).await, None)?;
    same("no row is made", found(store.read(&absent.key).await)?, None)
}

pub(super) async fn renewal_notices_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    })
    .await?;
    refused("unaware", store.renew(renewal(&lease, 0)).await, Some(&lease))?;
    let aware = accepted(store.renew(Renewal { in_handoff: true, ..renewal(&lease, 0) }).await)?;
    same("aware", aware, with(lease, |lease| lease.counter = 1))
}

/// An operator deletes a lease, and it is made anew: its counter then counts from the start again.
pub(super) async fn only_the_holder_writes(store: Arc<dyn LeaseStore>) -> Outcome {
    let (a, b) = (worker("a"), worker("b"));
    let children = [ShardId::from("c")];
    let free = made(&store, |_| {}).await?;
    let owned = with(lease(2), |lease| lease.owner = Some(a.clone()));
    let handed_over = with(lease(3), |lease| {
        lease.owner = Some(b.clone());
        lease.checkpoint_owner = Some(a.clone());
    });
    for lease in [&owned, &handed_over] {
        accepted(store.create(lease).await)?;
    }
    for (what, row, by) in [("nobody's", free, &b), ("another's", owned, &b), ("not mine yet", handed_over, &b)] {
        for in_handoff in [false, true] {
            let renewal = Renewal { in_handoff, ..Renewal::by(by, &row.key, 0) };
            refused(what, store.renew(renewal).await, Some(&row))?;
        }
        refused(what, store.checkpoint(Renewal::by(by, &row.key, 0), &at("1", 0)).await, Some(&row))?;
        refused(what, store.set_children(&row.key, by, &children).await, Some(&row))?;
        same(what, found(store.read(&row.key).await)?, Some(row))?;
    }
    Ok(())
}

pub(super) async fn checkpoint_stores_and_clears(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |lease| {
        lease.owner_switches = 3;
        lease.children = vec![ShardId::from("c")];
        lease.pending = Some(PendingCheckpoint { checkpoint: at("9", 0), state: Some(Bytes::from_static(b"s")) });
    })
    .await?;
    let renewal = Renewal { throughput_kib_per_s: Some(0.25), ..renewal(&lease, 0) };
    let stored = accepted(store.checkpoint(renewal, &at("12", 3)).await)?;
    let expected = with(lease.clone(), |lease| {
        lease.counter = 1;
        lease.owner_switches = 0;
        lease.pending = None;
        lease.checkpoint = at("12", 3);
        lease.throughput_kib_per_s = Some(0.25);
    });
    same("the answer", stored, expected.clone())?;
    same("the row", found(store.read(&lease.key).await)?, Some(expected))
}

pub(super) async fn checkpoint_is_fenced(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |_| {}).await?;
    let first = accepted(store.checkpoint(renewal(&lease, 0), &at("1", 0)).await)?;
    refused("the same again", store.checkpoint(renewal(&lease, 0), &at("1", 0)).await, Some(&first))?;
    let absent = with(lease, |absent| absent.key = crate::lease::table::conformance::expect::lease(2).key);
    refused("no row", store.checkpoint(renewal(&absent, 0), &at("1", 0)).await, None)
}

pub(super) async fn checkpoint_allows_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = made(&store, |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    })
    .await?;
    let stored = accepted(store.checkpoint(renewal(&lease, 0), &at("1", 0)).await)?;
    same("the hand-off goes on", stored.owners(), lease.owners())
}

pub(super) async fn every_kind_of_checkpoint(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |_| {}).await?;
    let long = "9".repeat(120);
    let kinds = [
        Checkpoint::AtTimestamp,
        Checkpoint::TrimHorizon,
        Checkpoint::Latest,
        at("0", 0),
        at(&long, 1 << 40),
        Checkpoint::ShardEnd,
    ];
    for (counter, kind) in (0..).zip(kinds) {
        accepted(store.checkpoint(renewal(&lease, counter), &kind).await)?;
        let row = found(store.read(&lease.key).await)?;
        same("the row", row.map(|row| row.checkpoint), Some(kind))?;
    }
    match store.checkpoint(renewal(&lease, 6), &Checkpoint::Missing).await {
        Err(StoreError::Refused { .. }) => Ok(()),
        other => Err(format!("a missing checkpoint was not refused: {other:?}")),
    }
}

pub(super) async fn assign_counts_switches(store: Arc<dyn LeaseStore>) -> Outcome {
    let free = made(&store, |_| {}).await?;
    let a = accepted(store.assign(&free.key, &free.seen(), &worker("a")).await)?;
    same("from nobody", (a.owner.clone(), a.counter, a.owner_switches), (Some(worker("a")), 1, 0))?;
    let again = accepted(store.assign(&free.key, &a.seen(), &worker("a")).await)?;
    same("to the same", (again.counter, again.owner_switches), (2, 0))?;
    let b = accepted(store.assign(&free.key, &again.seen(), &worker("b")).await)?;
    same("to another", (b.owner.clone(), b.counter, b.owner_switches), (Some(worker("b")), 3, 1))?;
    same("the row", found(store.read(&free.key).await)?, Some(b))
}

pub(super) async fn assign_needs_owners_as_seen(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| lease.owner = Some(worker("a"))).await?;
    let other = Owners { owner: Some(worker("b")), checkpoint_owner: None };
    let handoff = Owners { owner: Some(worker("a")), checkpoint_owner: Some(worker("b")) };
    for (what, seen) in [("nobody seen", Owners::default()), ("another", other), ("a hand-off", handoff)] {
        refused(what, store.assign(&owned.key, &seen.into(), &worker("c")).await, Some(&owned))?;
    }
    let absent = lease(2);
    refused("no row", store.assign(&absent.key, &Seen::default(), &worker("c")).await, None)?;
    same("no row is made", found(store.read(&absent.key).await)?, None)
}

pub(super) async fn changes_need_the_counter_as_seen(store: Arc<dyn LeaseStore>) -> Outcome {
    let judged = made(&store, |lease| {
        lease.owner = Some(worker("a"));
        lease.counter = 6;
    })
    .await?;
    let row = accepted(store.renew(renewal(&judged, 6)).await)?;
    let ahead = Seen { counter: Some(8), ..row.seen() };
    for (what, seen) in [("renewed meanwhile", judged.seen()), ("not renewed yet", ahead)] {
        refused(what, store.assign(&row.key, &seen, &worker("b")).await, Some(&row))?;
        refused(what, store.evict(&row.key, &seen).await, Some(&row))?;
    }
    same("the row", found(store.read(&row.key).await)?, Some(row.clone()))?;
    let taken = accepted(store.assign(&row.key, &row.seen(), &worker("b")).await)?;
    same("as it is", (taken.owner.clone(), taken.counter), (Some(worker("b")), 8))?;
    accepted(store.renew(renewal(&taken, 8)).await)?;
    let any = Seen::from(taken.owners());
    let taken = accepted(store.assign(&row.key, &any, &worker("b")).await)?;
    same("any counter", taken.counter, 10)?;
    let freed = accepted(store.evict(&row.key, &any).await)?;
    same("freed", (freed.owner, freed.counter), (None, 11))
}

pub(super) async fn handoff_leaves_the_counter(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| {
        lease.owner = Some(worker("a"));
        lease.counter = 6;
    })
    .await?;
    let (a, b, c) = (worker("a"), worker("b"), worker("c"));
    refused("from a worker that is not the owner", store.start_handoff(&owned.key, &b, &c).await, Some(&owned))?;
    let started = accepted(store.start_handoff(&owned.key, &a, &b).await)?;
    let expected = with(owned.clone(), |lease| {
        lease.owner = Some(b.clone());
        lease.checkpoint_owner = Some(a.clone());
    });
    same("the answer", started.clone(), expected)?;
    refused("a second time", store.start_handoff(&owned.key, &a, &c).await, Some(&started))?;
    refused("by the target", store.start_handoff(&owned.key, &b, &c).await, Some(&started))?;
    refused("no row", store.start_handoff(&lease(2).key, &a, &b).await, None)
}

pub(super) async fn assign_ends_handoff(store: Arc<dyn LeaseStore>) -> Outcome {
    let handing_over = |lease: &mut Lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    };
    let first = made(&store, handing_over).await?;
    let done = accepted(store.assign(&first.key, &first.owners().into(), &worker("b")).await)?;
    same(
        "completed",
        (done.owner.clone(), done.checkpoint_owner, done.counter, done.owner_switches),
        (Some(worker("b")), None, 1, 0),
    )?;
    let second = with(lease(2), handing_over);
    accepted(store.create(&second).await)?;
    let back = accepted(store.assign(&second.key, &second.seen(), &worker("a")).await)?;
    same(
        "called off",
        (back.owner, back.checkpoint_owner, back.counter, back.owner_switches),
        (Some(worker("a")), None, 1, 1),
    )
}

pub(super) async fn evict_frees(store: Arc<dyn LeaseStore>) -> Outcome {
    let owned = made(&store, |lease| lease.owner = Some(worker("a"))).await?;
    refused("by another", store.evict(&owned.key, &Seen::default()).await, Some(&owned))?;
    let free = accepted(store.evict(&owned.key, &owned.owners().into()).await)?;
    same("freed", (free.owner.clone(), free.counter, free.owner_switches), (None, 1, 0))?;
    // S117: the counter never goes back, so that a write from before comes too late.
    refused("a renewal from before", store.renew(renewal(&owned, 0)).await, Some(&free))?;
    let handed = with(lease(2), |lease| {
        lease.owner = Some(worker("b"));
        lease.checkpoint_owner = Some(worker("a"));
    });
    accepted(store.create(&handed).await)?;
    let ended = accepted(store.evict(&handed.key, &handed.seen()).await)?;
    same("in a hand-off", (ended.owner, ended.checkpoint_owner, ended.counter), (Some(worker("b")), None, 1))?;
    refused("no row", store.evict(&lease(3).key, &Seen::default()).await, None)
}

pub(super) async fn children_are_set(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |lease| lease.counter = 4).await?;
    let children = [ShardId::from("c1"), ShardId::from("c2")];
    let set = accepted(store.set_children(&lease.key, &worker("a"), &children).await)?;
    let expected = with(lease.clone(), |lease| lease.children = children.to_vec());
    same("the answer", set, expected.clone())?;
    accepted(store.set_children(&lease.key, &worker("a"), &[]).await)?;
    same("none changes nothing", found(store.read(&lease.key).await)?, Some(expected))?;
    let absent = crate::lease::table::conformance::expect::lease(2).key;
    refused("no row", store.set_children(&absent, &worker("a"), &children).await, None)?;
    same("no row is made", found(store.read(&absent).await)?, None)
}

pub(super) async fn only_finished_leases_are_deleted(store: Arc<dyn LeaseStore>) -> Outcome {
    let live = owned(&store, |lease| lease.checkpoint = at("1", 0)).await?;
    refused("unfinished", store.delete_finished(&live.key).await, Some(&live))?;
    accepted(store.checkpoint(renewal(&live, 0), &Checkpoint::ShardEnd).await)?;
    for what in ["finished", "not there"] {
        match store.delete_finished(&live.key).await {
            Ok(Written::Accepted(None)) => {}
            other => return Err(format!("{what}: {other:?}")),
        }
    }
    same("gone", found(store.read(&live.key).await)?, None)
}

pub(super) async fn racing_writes_have_one_winner(store: Arc<dyn LeaseStore>) -> Outcome {
    let lease = owned(&store, |_| {}).await?;
    let writers = (0..8).map(|_| store.renew(renewal(&lease, 0)));
    let answers = futures::future::join_all(writers).await;
    let accepted = answers.iter().filter(|answer| matches!(answer, Ok(Written::Accepted(_)))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Ok(Written::Refused(_)))).count();
    same("accepted and refused", (accepted, refused), (1, 7))?;
    same("the counter", found(store.read(&lease.key).await)?.map(|row| row.counter), Some(1))
}
