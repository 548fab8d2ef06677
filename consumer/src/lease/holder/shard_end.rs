//! From a finished shard to its children: their names in its lease, leases for them, then `SHARD_END`, then the children that
//! wait for nobody else are ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::holder::held::{CheckpointError, HeldLease, LeaseState};
use crate::lease::holder::renew::LostReason;
use crate::lease::holder::renewer::pause;
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey};
use crate::lease::table::parents::{Parent, Start, Waiting, parents_of};
use crate::lease::table::store::{LeaseStore, StoreError, Written};
use crate::shard::absence::{APART, Absence, LookUp};
use crate::shard::discover::{Discover, ListFilter};
use crate::shard::{ListedShard, ShardId};

impl HeldLease {
    /// Ends the shard: names the children in this lease, creates their leases, and stores `SHARD_END`, in this order, so
    /// that a crash in between leaves a shard that is read again, and never children that nobody knows of (C4). Whose
    /// lease is gone learns that from the first write, and makes no children who would begin before it is made anew.
    ///
    /// A child whose other parents are finished is created in this worker's name: one write, and no wait for the
    /// leader, who may move it later.
    pub(crate) async fn end(&self, children: &[ListedShard], discover: &Arc<Discover>) -> Result<(), CheckpointError> {
        let (held, children, discover) = (self.clone(), children.to_vec(), Arc::clone(discover));
        let ended = self.context().home.run(async move { held.end_here(&children, &discover).await }).await;
        ended.unwrap_or_else(|| Err(self.lost(LostReason::Dropped)))
    }

    async fn end_here(&self, children: &[ListedShard], discover: &Discover) -> Result<(), CheckpointError> {
        self.claim_table(&Checkpoint::ShardEnd).await?;
        self.context().belonging.named(children);
        for child in children {
            self.await_other_parents(child, discover).await?;
        }
        if !children.is_empty() {
            self.name(children).await?;
        }
        for child in children {
            self.create_child(child).await?;
        }
        self.checkpoint(Checkpoint::ShardEnd).await?;
        for child in children {
            self.take_orphan(child).await?;
        }
        let keys = children.iter().map(|child| LeaseKey::of(&child.id));
        self.context().hints.shard_ended(keys);
        Ok(())
    }

    /// Resolves when the leases of all parents are finished or gone (C4). An absent parent does not block: it expired
    /// from the stream, or was cleaned up, or lies before the configured start. One whose lease is missing does, until the
    /// leader has had time to make it (rule `missing`).
    ///
    /// Looks at the table every second, and at once when a shard ends in this process. Returns early when the lease is
    /// lost. Cancel safe.
    pub(crate) async fn parents_done(&self) {
        let mut lease_state = self.watch();
        let hints = &self.context().hints;
        let mut waiting = Waiting::default();
        loop {
            let ends = hints.ends();
            if self.may_begin(&mut waiting).await {
                return;
            }
            tokio::select! { biased;
                lost = lease_state.wait_for(|lease_state| matches!(lease_state, LeaseState::Lost(_))) => {
                    // A closed channel means lost as well.
                    drop(lost);
                    return;
                }
                () = hints.more_ends(ends) => {}
                () = tokio::time::sleep(PARENT_POLL) => {}
            }
        }
    }

    /// Whether the shard may be read, by a look at the leases of its parents.
    async fn may_begin(&self, waiting: &mut Waiting) -> bool {
        let (lease, context) = (self.lease(), self.context());
        let leases = match leases_of(&*context.store, &lease.parents, None).await {
            Ok(leases) => leases,
            Err(error) => {
                error.log_for(&lease.key, "looking for the parents");
                return false;
            }
        };
        let parents = parents_of(lease, &leases, |parent| context.belonging.may_list(parent));
        let patience = (2 * context.duration).saturating_add(TO_BE_MADE);
        match waiting.judge(context.clock.now(), &parents, patience) {
            Start::Now => true,
            Start::NotYet => false,
            Start::Missed(parents) => {
                tracing::warn!(
                    lease = %lease.key, ?parents,
                    "the lease of a parent is missing, deleted by hand: the shard waits until it is made anew, for {patience:?}"
                );
                false
            }
            Start::Without(parents) => {
                tracing::warn!(
                    lease = %lease.key, ?parents,
                    "nobody has made the missing lease of a parent: the shard is read, and what was not read of the parent is skipped"
                );
                true
            }
        }
    }

    /// Waits until the other parent of a merged child has a lease, unless the child has one already.
    ///
    /// A child could start before its parent otherwise (C4): 0 is split into 2 and 3, then 3 and 1 are merged into 4. As
    /// long as 0 is being read, 3 has no lease, and looks like a parent that is long gone. If 1 ends meanwhile and makes
    /// the lease of 4, then 4 finds nobody to wait for. A parent that is really gone is not met here: its lease stays
    /// until its children have leases; or it has expired, and listings say so. The KCL waits likewise, and for ever.
    async fn await_other_parents(&self, child: &ListedShard, discover: &Discover) -> Result<(), CheckpointError> {
        let own = self.lease().key.shard();
        let others: Vec<&ShardId> = child.parents.iter().filter(|parent| **parent != own).collect();
        let hints = &self.context().hints;
        let mut gone = Gone::default();
        loop {
            let ends = hints.ends();
            let unleased = self.until_lost(|| self.unleased(child, &others)).await?;
            let now = self.context().clock.now();
            let looking = async {
                if gone.are_proven(&unleased, now, discover).await {
                    return true;
                }
                if gone.is_to_be_said() {
                    tracing::info!(shard = %own, child = %child.id, ?others, "at its end, and waiting until the other parents have leases");
                }
                tokio::select! { biased;
                    () = hints.more_ends(ends) => {}
                    () = tokio::time::sleep(PARENT_POLL) => {}
                }
                false
            };
            // The look first: it is done at once where there is nothing to wait for.
            tokio::select! { biased;
                are_gone = looking => if are_gone { return Ok(()) },
                () = self.revoked() => {
                    tracing::info!(shard = %own, child = %child.id, "at its end, and released before the other parents have leases");
                    self.release().await?;
                    return Err(self.lost(LostReason::Released));
                }
            }
        }
    }

    /// Resolves when the lease is to be given up or is lost.
    async fn revoked(&self) {
        let mut lease_state = self.watch();
        // Closed means lost.
        let _closed = lease_state.wait_for(|lease_state| *lease_state != LeaseState::Held).await;
    }

    /// The parents without a lease; none, if the child has one.
    async fn unleased<'a>(&self, child: &ListedShard, parents: &[&'a ShardId]) -> Result<Vec<&'a ShardId>, StoreError> {
        let store = &self.context().store;
        let mut unleased = Vec::new();
        for parent in parents {
            if store.read(&LeaseKey::of(parent)).await?.is_none() {
                unleased.push(*parent);
            }
        }
        if !unleased.is_empty() && store.read(&LeaseKey::of(&child.id)).await?.is_some() {
            unleased.clear();
        }
        Ok(unleased)
    }

    async fn name(&self, children: &[ListedShard]) -> Result<(), CheckpointError> {
        let (key, me, store) = (&self.lease().key, &self.context().me, &self.context().store);
        let ids: Vec<ShardId> = children.iter().map(|child| child.id.clone()).collect();
        let row = match self.until_lost(|| store.set_children(key, me, &ids)).await? {
            Written::Accepted(_) => return Ok(()),
            Written::Refused(Some(row)) => Some(*row),
            Written::Refused(None) => self.until_lost(|| store.read(key)).await?,
        };
        Err(self.lost(row.map_or(LostReason::Deleted, |row| LostReason::Taken { by: row.owner })))
    }

    async fn create_child(&self, child: &ListedShard) -> Result<(), CheckpointError> {
        let mut lease = Lease::new(LeaseKey::of(&child.id), Checkpoint::TrimHorizon);
        lease.parents.clone_from(&child.parents);
        lease.range = Some(child.range);
        lease.bound_to = self.context().belonging.of_new_leases();
        let own = self.lease().key.shard();
        let waits = !self.until_lost(|| self.are_done(&lease, Some(&own))).await?;
        // One that must wait for another parent, or that a leaving worker makes, is the leader's to assign.
        if !waits && self.lease_state() == LeaseState::Held {
            lease.owner = Some(self.context().me.clone());
        }
        // Refused: the other parent's owner, a sync, or an attempt of ours whose answer was lost made it.
        self.until_lost(|| self.context().store.create(&lease)).await?;
        Ok(())
    }

    /// Takes a child that was there already, has no owner, and has just lost its last open parent. Somebody faster is
    /// as good.
    async fn take_orphan(&self, child: &ListedShard) -> Result<(), CheckpointError> {
        let (key, store) = (LeaseKey::of(&child.id), &self.context().store);
        let Some(lease) = self.until_lost(|| store.read(&key)).await? else { return Ok(()) };
        if lease.actual_owner().is_some()
            || self.lease_state() != LeaseState::Held
            || !self.until_lost(|| self.are_done(&lease, None)).await?
        {
            return Ok(());
        }
        let unowned = lease.seen();
        let taken = self.until_lost(|| store.assign(&key, &unowned, &self.context().me)).await?;
        tracing::debug!(lease = %key, accepted = matches!(taken, Written::Accepted(_)), "took an unowned child");
        Ok(())
    }

    /// Whether all parents of a child but `except` let it start now.
    async fn are_done(&self, child: &Lease, except: Option<&ShardId>) -> Result<bool, StoreError> {
        let context = self.context();
        are_done(&*context.store, child, except, |parent| context.belonging.may_list(parent)).await
    }

    /// Repeats a call until it is answered, or the lease is lost.
    async fn until_lost<T, F>(&self, mut call: impl FnMut() -> F + Send) -> Result<T, CheckpointError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut rng = fastrand::Rng::with_seed(self.context().seed ^ self.epoch().0);
        for attempt in 0.. {
            if let LeaseState::Lost(reason) = self.lease_state() {
                return Err(self.lost(reason));
            }
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.log_for(&self.lease().key, "a call at the end of the shard"),
            }
            tokio::time::sleep(pause(&mut rng, self.context().duration, attempt)).await;
        }
        Err(self.lost(LostReason::Expired))
    }
}

/// What listings say of parents without a lease.
#[derive(Debug, Default)]
struct Gone {
    absent: BTreeMap<ShardId, Absence>,
    listed: Option<Tick>,
    said: bool,
}

impl Gone {
    /// Whether none of these holds up a child: by listings, of which there is one each half minute.
    async fn are_proven(&mut self, unleased: &[&ShardId], now: Tick, discover: &Discover) -> bool {
        if unleased.is_empty() {
            return true;
        }
        if self.listed.is_some_and(|listed| now.since(listed) < APART) {
            return false;
        }
        self.listed = Some(now);
        let listing = match Box::pin(discover.list(ListFilter::All)).await {
            Ok(listing) => listing,
            Err(error) => {
                error.log("looking for the other parents of a child");
                return false;
            }
        };
        let mut let_child_be_made = true;
        for parent in unleased {
            let absence = self.absent.entry((*parent).clone()).or_default();
            let is_listed = !absence.is_proven(now, LookUp::of(parent, &listing));
            let_child_be_made &= Parent::of(None, is_listed).lets_child_be_made();
        }
        let_child_be_made
    }

    /// Once.
    fn is_to_be_said(&mut self) -> bool {
        !std::mem::replace(&mut self.said, true)
    }
}

/// Whether all parents of a child let it start now. `except` is at its end, and counts as finished.
pub(in crate::lease) async fn are_done(
    store: &dyn LeaseStore,
    child: &Lease,
    except: Option<&ShardId>,
    is_listed: impl Fn(&ShardId) -> bool,
) -> Result<bool, StoreError> {
    let leases = leases_of(store, &child.parents, except).await?;
    Ok(parents_of(child, &leases, is_listed).into_iter().all(|(_, parent)| parent.lets_child_start()))
}

/// The leases of these shards, as consistent reads show them, up to the first that is not finished: the child waits for that one,
/// whatever the others are. `except` counts as finished.
async fn leases_of(
    store: &dyn LeaseStore,
    shards: &[ShardId],
    except: Option<&ShardId>,
) -> Result<BTreeMap<ShardId, Lease>, StoreError> {
    let mut leases = BTreeMap::new();
    for shard in shards {
        let key = LeaseKey::of(shard);
        let lease = match except == Some(shard) {
            true => Some(Lease::new(key, Checkpoint::ShardEnd)),
            false => store.read(&key).await?,
        };
        let Some(lease) = lease else { continue };
        let is_finished = lease.checkpoint.is_shard_end();
        leases.insert(shard.clone(), lease);
        if !is_finished {
            break;
        }
    }
    Ok(leases)
}

/// How often a child asks whether its parents are finished: C8 allows two seconds from the last parent's end.
const PARENT_POLL: Duration = Duration::from_secs(1);
/// What a leader needs to make a lease that is missing, two lease durations aside (the rule `missing`, and the lead that changes
/// hands): two rounds, and the half minute for which a listing is tried.
const TO_BE_MADE: Duration = Duration::from_secs(40);
