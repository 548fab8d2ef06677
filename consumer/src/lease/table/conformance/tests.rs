use async_trait::async_trait;
use kinesis_testkit::Cloud;

use super::*;
use crate::lease::table::conformance::expect::{renewal, worker};
use crate::lease::{
    Binding, Checkpoint, Claim, DynamoDbLeaseStore, Entry, LeaderLock, Lease, LeaseKey, MemoryLeaseStore, PrepareError,
    Renewal, Rows, Seen, StoreError, UnixSeconds, WorkerId, WorkerReport, Written,
};
use crate::shard::ShardId;

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let failures = run(|| async { Arc::new(MemoryLeaseStore::new()) as Arc<dyn LeaseStore> }).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(start_paused = true)]
async fn the_store_in_dynamodb_conforms() {
    let cloud = Cloud::new();
    let mut tables = 0;
    let failures = run(|| {
        tables += 1;
        let table = format!("app-{tables}");
        let cloud = cloud.clone();
        async move {
            let store = DynamoDbLeaseStore::new(cloud.connect("a").await.dynamodb, table);
            store.prepare(Entry::of(&worker("a"), UnixSeconds(1_700_000_000))).await.expect("a new table can be made");
            Arc::new(store) as Arc<dyn LeaseStore>
        }
    })
    .await;
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A suite that passes everything proves nothing: stores with one fault each, as somebody might write them.
#[tokio::test]
async fn faulty_stores_do_not_conform() {
    for (fault, expected) in [
        (Fault::RenewsAnyCounter, "renew is refused for another counter, and for a lease that is not there"),
        (Fault::RenewsForAnybody, "renew, checkpoint and set_children are refused for all but the actual owner"),
        (Fault::NamesChildrenForAnybody, "renew, checkpoint and set_children are refused for all but the actual owner"),
        (Fault::ForgetsPending, "create writes every attribute, and read gives them back"),
        (Fault::AssignsAnyCounter, "assign and evict are refused if the counter has moved, unless any will do"),
        (Fault::EvictsAnyCounter, "assign and evict are refused if the counter has moved, unless any will do"),
        (Fault::HandoffMovesCounter, "start_handoff names both workers, leaves the counter, and starts only once"),
        (Fault::DeletesUnfinished, "delete_finished deletes at SHARD_END only; deleted twice is deleted"),
        (Fault::BindsAgain, "bind needs the binding to be as the claim says, and binding shows it"),
        (Fault::DeletesOurs, "delete_foreign deletes leases that do not say they are of the stream, and no others"),
        (Fault::LockForAll, "take_leadership gives the lock to one of two"),
    ] {
        let fresh = || async { Arc::new(Faulty { inner: MemoryLeaseStore::new(), fault }) as Arc<dyn LeaseStore> };
        let failed: Vec<_> = run(fresh).await.into_iter().map(|failure| failure.check).collect();
        assert!(failed.contains(&expected), "{fault:?}: {failed:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    RenewsAnyCounter,
    RenewsForAnybody,
    NamesChildrenForAnybody,
    ForgetsPending,
    AssignsAnyCounter,
    EvictsAnyCounter,
    HandoffMovesCounter,
    DeletesUnfinished,
    BindsAgain,
    DeletesOurs,
    LockForAll,
}

#[derive(Debug)]
struct Faulty {
    inner: MemoryLeaseStore,
    fault: Fault,
}

#[async_trait]
impl LeaseStore for Faulty {
    async fn prepare(&self, entry: Entry<'_>) -> Result<(), PrepareError> {
        self.inner.prepare(entry).await
    }

    async fn binding(&self) -> Result<Binding, StoreError> {
        self.inner.binding().await
    }

    async fn bind(&self, claim: Claim<'_>) -> Result<bool, StoreError> {
        let before = match self.inner.binding().await? {
            Binding::To(stream) => Some(stream),
            Binding::New | Binding::Unbound => None,
        };
        let in_place_of = if self.fault == Fault::BindsAgain { before.as_deref() } else { claim.in_place_of };
        self.inner.bind(Claim { in_place_of, ..claim }).await
    }

    async fn delete_foreign(&self, key: &LeaseKey, stream: &str) -> Result<Written, StoreError> {
        let stream = if self.fault == Fault::DeletesOurs { "" } else { stream };
        self.inner.delete_foreign(key, stream).await
    }

    async fn scan(&self) -> Result<Rows, StoreError> {
        self.inner.scan().await
    }

    async fn owned_by(&self, worker: &WorkerId) -> Result<Vec<LeaseKey>, StoreError> {
        self.inner.owned_by(worker).await
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.inner.read(key).await
    }

    async fn create(&self, lease: &Lease) -> Result<Written, StoreError> {
        let mut lease = lease.clone();
        if self.fault == Fault::ForgetsPending {
            lease.pending = None;
        }
        self.inner.create(&lease).await
    }

    async fn renew(&self, renewal: Renewal<'_>) -> Result<Written, StoreError> {
        let row = self.inner.read(renewal.key).await?;
        match (self.fault, &row) {
            (Fault::RenewsAnyCounter, Some(row)) => self.inner.renew(Renewal { counter: row.counter, ..renewal }).await,
            (Fault::RenewsForAnybody, Some(row)) => {
                let holder = row.actual_owner().unwrap_or(renewal.holder);
                self.inner.renew(Renewal { holder, ..renewal }).await
            }
            _ => self.inner.renew(renewal).await,
        }
    }

    async fn checkpoint(&self, renewal: Renewal<'_>, checkpoint: &Checkpoint) -> Result<Written, StoreError> {
        self.inner.checkpoint(renewal, checkpoint).await
    }

    async fn assign(&self, key: &LeaseKey, seen: &Seen, to: &WorkerId) -> Result<Written, StoreError> {
        if self.fault == Fault::AssignsAnyCounter {
            return self.inner.assign(key, &seen.owners.clone().into(), to).await;
        }
        self.inner.assign(key, seen, to).await
    }

    async fn start_handoff(&self, key: &LeaseKey, from: &WorkerId, to: &WorkerId) -> Result<Written, StoreError> {
        match self.inner.start_handoff(key, from, to).await? {
            Written::Accepted(Some(row)) if self.fault == Fault::HandoffMovesCounter => {
                self.inner.renew(Renewal { in_handoff: true, ..renewal(&row, row.counter) }).await
            }
            answer => Ok(answer),
        }
    }

    async fn evict(&self, key: &LeaseKey, seen: &Seen) -> Result<Written, StoreError> {
        if self.fault == Fault::EvictsAnyCounter {
            return self.inner.evict(key, &seen.owners.clone().into()).await;
        }
        self.inner.evict(key, seen).await
    }

    async fn set_children(
        &self,
        key: &LeaseKey,
        holder: &WorkerId,
        children: &[ShardId],
    ) -> Result<Written, StoreError> {
        let row = self.inner.read(key).await?;
        let anybody =
            row.as_ref().and_then(Lease::actual_owner).filter(|_| self.fault == Fault::NamesChildrenForAnybody);
        self.inner.set_children(key, anybody.unwrap_or(holder), children).await
    }

    async fn delete_finished(&self, key: &LeaseKey) -> Result<Written, StoreError> {
        if self.fault == Fault::DeletesUnfinished
            && let Some(row) = self.inner.read(key).await?
        {
            self.inner.checkpoint(renewal(&row, row.counter), &Checkpoint::ShardEnd).await?;
        }
        self.inner.delete_finished(key).await
    }

    async fn report(&self, report: &WorkerReport) -> Result<(), StoreError> {
        self.inner.report(report).await
    }

    async fn withdraw(&self, worker: &WorkerId, last_update: Option<UnixSeconds>) -> Result<(), StoreError> {
        self.inner.withdraw(worker, last_update).await
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, StoreError> {
        self.inner.leader().await
    }

    async fn take_leadership(&self, lock: &LeaderLock, seen: Option<&LeaderLock>) -> Result<bool, StoreError> {
        let taken = self.inner.take_leadership(lock, seen).await?;
        Ok(taken || self.fault == Fault::LockForAll)
    }

    async fn renew_leadership(&self, held: &LeaderLock, next: &LeaderLock) -> Result<bool, StoreError> {
        self.inner.renew_leadership(held, next).await
    }

    async fn release_leadership(&self, held: &LeaderLock) -> Result<bool, StoreError> {
        self.inner.release_leadership(held).await
    }
}
