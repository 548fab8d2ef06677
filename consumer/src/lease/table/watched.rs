//! A lease store that reports which actions it does not allow. All calls of a worker that runs go through it.

use std::sync::Arc;

use async_trait::async_trait;
use kinesis_service_errors::Causes;

use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Seen, WorkerId};
use crate::lease::table::store::{
    Binding, Claim, Entry, LeaderLock, LeaseStore, PrepareError, Renewal, Rows, StoreError, UnixSeconds, WorkerReport,
    Written,
};
use crate::shard::ShardId;
use crate::watch::Denials;

#[derive(Debug)]
pub(crate) struct WatchedStore {
    inner: Arc<dyn LeaseStore>,
    table: String,
    denials: Denials,
}

impl WatchedStore {
    /// The store given is used as it is: what is to be used [apart](LeaseStore::apart) has been made so before.
    pub(crate) fn new(inner: Arc<dyn LeaseStore>, table: String, denials: Denials) -> Self {
        Self { inner, table, denials }
    }

    /// Notes the answer to a call of DynamoDB's `action`.
    fn noted<T>(&self, action: &'static str, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match &answer {
            Ok(_) => self.denials.allowed(action),
            Err(error) if error.is_denied() => {
                let seen = |code: &str| {
                    format!("{code} for the lease table {} in {}: {}", self.table, self.inner.place(), Causes(error))
                };
                match error.code() {
                    Some(code) => self.denials.denied(action, format!("dynamodb:{action}"), seen(code)),
                    // A store of the program's own has its own names.
                    None => self.denials.denied(action, error.operation().to_owned(), seen("refused")),
                }
            }
            Err(_) => {}
        }
        answer
    }
}

#[async_trait]
impl LeaseStore for WatchedStore {
    fn table_name(&self) -> Option<&str> {
        Some(&self.table)
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    async fn prepare(&self, entry: Entry<'_>) -> Result<(), PrepareError> {
        // Part of a start, whose error says what is not allowed.
        self.inner.prepare(entry).await
    }

    async fn binding(&self) -> Result<Binding, StoreError> {
        self.noted("GetItem", self.inner.binding().await)
    }

    async fn bind(&self, claim: Claim<'_>) -> Result<bool, StoreError> {
        self.noted("UpdateItem", self.inner.bind(claim).await)
    }

    async fn delete_foreign(&self, key: &LeaseKey, stream: &str) -> Result<Written, StoreError> {
        self.noted("DeleteItem", self.inner.delete_foreign(key, stream).await)
    }

    async fn scan(&self) -> Result<Rows, StoreError> {
        self.noted("Scan", self.inner.scan().await)
    }

    async fn owned_by(&self, worker: &WorkerId) -> Result<Vec<LeaseKey>, StoreError> {
        self.noted("Query", self.inner.owned_by(worker).await)
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.noted("GetItem", self.inner.read(key).await)
    }

    async fn create(&self, lease: &Lease) -> Result<Written, StoreError> {
        self.noted("PutItem", self.inner.create(lease).await)
    }

    async fn renew(&self, renewal: Renewal<'_>) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.renew(renewal).await)
    }

    async fn checkpoint(&self, renewal: Renewal<'_>, checkpoint: &Checkpoint) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.checkpoint(renewal, checkpoint).await)
    }

    async fn assign(&self, key: &LeaseKey, seen: &Seen, to: &WorkerId) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.assign(key, seen, to).await)
    }

    async fn start_handoff(&self, key: &LeaseKey, from: &WorkerId, to: &WorkerId) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.start_handoff(key, from, to).await)
    }

    async fn evict(&self, key: &LeaseKey, seen: &Seen) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.evict(key, seen).await)
    }

    async fn set_children(
        &self,
        key: &LeaseKey,
        holder: &WorkerId,
        children: &[ShardId],
    ) -> Result<Written, StoreError> {
        self.noted("UpdateItem", self.inner.set_children(key, holder, children).await)
    }

    async fn delete_finished(&self, key: &LeaseKey) -> Result<Written, StoreError> {
        self.noted("DeleteItem", self.inner.delete_finished(key).await)
    }

    async fn report(&self, report: &WorkerReport) -> Result<(), StoreError> {
        self.noted("UpdateItem", self.inner.report(report).await)
    }

    async fn withdraw(&self, worker: &WorkerId, last_update: Option<UnixSeconds>) -> Result<(), StoreError> {
        self.noted("DeleteItem", self.inner.withdraw(worker, last_update).await)
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, StoreError> {
        self.noted("GetItem", self.inner.leader().await)
    }

    async fn take_leadership(&self, lock: &LeaderLock, seen: Option<&LeaderLock>) -> Result<bool, StoreError> {
        self.noted("PutItem", self.inner.take_leadership(lock, seen).await)
    }

    async fn renew_leadership(&self, held: &LeaderLock, next: &LeaderLock) -> Result<bool, StoreError> {
        self.noted("UpdateItem", self.inner.renew_leadership(held, next).await)
    }

    async fn release_leadership(&self, held: &LeaderLock) -> Result<bool, StoreError> {
        self.noted("DeleteItem", self.inner.release_leadership(held).await)
    }
}
