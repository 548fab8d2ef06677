//! The lease table in DynamoDB, in the single-table layout of the KCL 3.5.

mod answer;
mod condition;
mod item;
mod permissions;
mod prepare;
mod row;
mod scan;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::IdentityCache;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use self::answer::{call, condition_held, written};
use self::condition::{
    IS_FOREIGN, LOCK_IS_HELD, NO_LOCK, WORKER_ROW, is_as_seen, is_held, is_held_for_itself, owners_are, with_holder,
    with_owners, with_renewal, with_seen,
};
use self::item::{Item, Row, n, s, text};
use crate::apart::{Apart, OwnTimers};
use crate::failed_call::Place;
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Owners, Seen, WorkerId};
use crate::lease::table::store::{
    Binding, BoxError, Claim, Entry, LeaderLock, LeaseStore, PrepareError, Renewal, Rows, StoreError, UnixSeconds,
    WorkerReport, Written,
};
use crate::settings::{SettingError, check};
use crate::shard::ShardId;

pub use self::table::TableOptions;

/// The lease table of an application in DynamoDB, shared with workers of the Java KCL 3.x.
///
/// The table's name is the KCL's application name. The client's retries are switched off for every call (a write that
/// the SDK repeats would be refused by its own first attempt), and each call is given up after
/// [`call_timeout`](Self::call_timeout); its endpoint, credentials and HTTP client are used as they are. A worker uses the store on a
/// thread of its own ([`apart`](LeaseStore::apart)), with connections and stored credentials of its own: the SDK's HTTP clients keep
/// connections apart by their timeouts. One that does not, or is another kind of client, can be shared by a program that blocks its
/// threads only at the cost of late renewals; give the store a client with an HTTP client of its own then.
///
/// It needs these permissions on the table: `dynamodb:DescribeTable`, `GetItem`, `PutItem`, `UpdateItem`, `DeleteItem` and
/// `Scan`, `Query` on its index, and `DescribeTable` on `<table>-CoordinatorState`, by which an application of KCL 3.0 to
/// 3.4 is told. `CreateTable` only where there is no table yet (with tags also `TagResource`), `UpdateTable` only where a
/// KCL 3.x has made the table and not yet its index.
#[derive(Clone)]
pub struct DynamoDbLeaseStore {
    client: Client,
    table: String,
    options: TableOptions,
    call_timeout: Duration,
    place: Place,
    _apart: Option<Arc<Apart>>,
}

impl DynamoDbLeaseStore {
    /// A store on `table`, which need not exist yet: [`prepare`](LeaseStore::prepare) makes it.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let place = Place::of(client.config().region().map(AsRef::as_ref));
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        let config = config.interceptor(place.interceptor()).build();
        Self {
            client: Client::from_conf(config),
            table: table.into(),
            options: TableOptions::default(),
            call_timeout: CALL_TIMEOUT,
            place,
            _apart: None,
        }
    }

    /// How to create the table if it does not exist. Nothing of this touches a table that exists.
    #[must_use]
    pub fn table_options(mut self, options: TableOptions) -> Self {
        self.options = options;
        self
    }

    /// When a call without an answer is given up: 3 s by default, so that a renewal has three tries in a lease of 10 s. From 100 ms to
    /// 1 min; [`build`](crate::ConsumerBuilder::build) refuses anything else.
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// The name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }
}

#[async_trait]
impl LeaseStore for DynamoDbLeaseStore {
    fn validate(&self) -> Result<(), SettingError> {
        let timeout = self.call_timeout;
        let fits = (SHORTEST_CALL..=LONGEST_CALL).contains(&timeout);
        check("call_timeout", fits, format_args!("{timeout:?}"), "must be from 100 ms to 1 min")
    }

    fn table_name(&self) -> Option<&str> {
        Some(&self.table)
    }

    fn place(&self) -> String {
        self.place.to_string()
    }

    fn apart(&self) -> Option<Arc<dyn LeaseStore>> {
        let apart = Arc::new(Apart::new());
        let own = self.client.config();
        let config = own
            .to_builder()
            .timeout_config(apart.timeouts(own.timeout_config(), self.call_timeout))
            .sleep_impl(OwnTimers)
            .identity_cache(IdentityCache::lazy().build());
        Some(Arc::new(Self { client: Client::from_conf(config.build()), _apart: Some(apart), ..self.clone() }))
    }

    async fn prepare(&self, entry: Entry<'_>) -> Result<(), PrepareError> {
        self.make_ready(entry).await
    }

    async fn binding(&self) -> Result<Binding, StoreError> {
        self.bound_to().await
    }

    async fn bind(&self, claim: Claim<'_>) -> Result<bool, StoreError> {
        self.claim(claim).await
    }

    async fn delete_foreign(&self, key: &LeaseKey, stream: &str) -> Result<Written, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::KEY, s(key.as_str()))
            .condition_expression(IS_FOREIGN)
            .expression_attribute_values(":stream", s(stream))
            .expression_attribute_values(":lease", s(item::LEASE))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = call(self.call_timeout, "delete_foreign", delete.send()).await;
        written("delete_foreign", answer, |_| None)
    }

    async fn scan(&self) -> Result<Rows, StoreError> {
        let mut rows = Rows::default();
        for item in self.all_rows("scan", false).await? {
            match Row::read(&item) {
                Ok(Row::Lease(lease)) => rows.leases.push(*lease),
                Ok(Row::Worker(worker)) => rows.workers.push(worker),
                Ok(Row::Lock(_) | Row::Other) => {}
                Err(problem) => rows.unreadable.push((key_of(&item), problem.to_string())),
            }
        }
        rows.leases.sort_by(|a, b| a.key.cmp(&b.key));
        rows.workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        rows.unreadable.sort();
        Ok(rows)
    }

    async fn owned_by(&self, worker: &WorkerId) -> Result<Vec<LeaseKey>, StoreError> {
        let mut keys = Vec::new();
        let mut next = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(table::INDEX)
                .key_condition_expression("leaseOwner = :owner")
                .expression_attribute_values(":owner", s(worker.as_str()))
                .set_exclusive_start_key(next.take());
            let page = call(self.call_timeout, "owned_by", query.send()).await;
            let page = page.map_err(|e| e.into_query_error("owned_by"))?;
            let items = page.items.unwrap_or_default();
            keys.extend(items.iter().map(|item| LeaseKey::from(key_of(item))));
            next = page.last_evaluated_key;
            if next.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let Some(item) = self.get("read", key.as_str()).await? else { return Ok(None) };
        item::lease(&item).map(Some).map_err(|problem| StoreError::Unreadable { problem: problem.to_string() })
    }

    async fn create(&self, lease: &Lease) -> Result<Written, StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::from_lease(lease)))
            .condition_expression("attribute_not_exists(leaseKey)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = call(self.call_timeout, "create", put.send()).await;
        match written("create", answer, |_| None)? {
            Written::Accepted(_) => Ok(Written::Accepted(Some(Box::new(lease.clone())))),
            refused => Ok(refused),
        }
    }

    async fn renew(&self, renewal: Renewal<'_>) -> Result<Written, StoreError> {
        let holds = if renewal.in_handoff { is_held() } else { is_held_for_itself() };
        let update =
            self.update(renewal.key.as_str(), "SET leaseCounter = :next", &format!("leaseCounter = :seen AND {holds}"));
        self.send("renew", with_renewal(update, renewal)).await
    }

    async fn checkpoint(&self, renewal: Renewal<'_>, checkpoint: &Checkpoint) -> Result<Written, StoreError> {
        let (checkpoint, sub) =
            item::from_checkpoint(checkpoint).ok_or_else(|| refused("checkpoint", "there is no position to store"))?;
        let expression = "SET leaseCounter = :next, checkpoint = :checkpoint, checkpointSubSequenceNumber = :sub, \
             ownerSwitchesSinceCheckpoint = :zero \
             REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState";
        let update = self
            .update(renewal.key.as_str(), expression, &format!("leaseCounter = :seen AND {}", is_held()))
            .expression_attribute_values(":checkpoint", checkpoint)
            .expression_attribute_values(":sub", sub)
            .expression_attribute_values(":zero", n(0));
        self.send("checkpoint", with_renewal(update, renewal)).await
    }

    async fn assign(&self, key: &LeaseKey, seen: &Seen, to: &WorkerId) -> Result<Written, StoreError> {
        let owners = &seen.owners;
        let from_another = owners.owner.as_ref().is_some_and(|owner| owner != to);
        let back_again = owners.checkpoint_owner.as_ref() == Some(to);
        let switches = if from_another || back_again { ", ownerSwitchesSinceCheckpoint :one" } else { "" };
        let expression = format!("SET leaseOwner = :to REMOVE checkpointOwner ADD leaseCounter :one{switches}");
        let update = self
            .update(key.as_str(), &expression, &is_as_seen(seen))
            .expression_attribute_values(":to", s(to.as_str()))
            .expression_attribute_values(":one", n(1));
        self.send("assign", with_seen(update, seen)).await
    }

    async fn start_handoff(&self, key: &LeaseKey, from: &WorkerId, to: &WorkerId) -> Result<Written, StoreError> {
        let seen = Owners { owner: Some(from.clone()), checkpoint_owner: None };
        let update = self
            .update(key.as_str(), "SET leaseOwner = :to, checkpointOwner = :owner", &owners_are(&seen))
            .expression_attribute_values(":to", s(to.as_str()));
        self.send("start_handoff", with_owners(update, &seen)).await
    }

    async fn evict(&self, key: &LeaseKey, seen: &Seen) -> Result<Written, StoreError> {
        let remove = if seen.owners.checkpoint_owner.is_some() { "checkpointOwner" } else { "leaseOwner" };
        let expression = format!("REMOVE {remove} ADD leaseCounter :one");
        let update =
            self.update(key.as_str(), &expression, &is_as_seen(seen)).expression_attribute_values(":one", n(1));
        self.send("evict", with_seen(update, seen)).await
    }

    async fn set_children(
        &self,
        key: &LeaseKey,
        holder: &WorkerId,
        children: &[ShardId],
    ) -> Result<Written, StoreError> {
        let mut update = with_holder(self.update(key.as_str(), "", &is_held()).set_update_expression(None), holder);
        if let Some(children) = item::from_shards(children) {
            update = update
                .update_expression("SET childShardIds = :children")
                .expression_attribute_values(":children", children);
        }
        self.send("set_children", update).await
    }

    async fn delete_finished(&self, key: &LeaseKey) -> Result<Written, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::KEY, s(key.as_str()))
            .condition_expression("attribute_not_exists(leaseKey) OR checkpoint = :end")
            .expression_attribute_values(":end", s(item::SHARD_END))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = call(self.call_timeout, "delete_finished", delete.send()).await;
        written("delete_finished", answer, |_| None)
    }

    async fn report(&self, report: &WorkerReport) -> Result<(), StoreError> {
        // Without measurements (two empty maps) a leader of either kind weighs a worker by its leases.
        let expression = "SET entityType = :worker, lut = :now, sts = :none, opr = :none, sup = :supported, slu = :now, \
                          properties = :properties";
        let update = self
            .update(report.worker.as_str(), expression, WORKER_ROW)
            .expression_attribute_values(":worker", s(item::WORKER))
            .expression_attribute_values(":now", n(report.now.0))
            .expression_attribute_values(":none", AttributeValue::M(Item::new()))
            .expression_attribute_values(":supported", n(SINGLE_TABLE_SUPPORT))
            .expression_attribute_values(":properties", item::from_report(report));
        let answer = call(self.call_timeout, "report", update.send()).await;
        if condition_held("report", answer)? { Ok(()) } else { Err(taken_name("report", &report.worker)) }
    }

    async fn withdraw(&self, worker: &WorkerId, last_update: Option<UnixSeconds>) -> Result<(), StoreError> {
        let unchanged = if last_update.is_some() { "entityType = :worker AND lut = :seen" } else { WORKER_ROW };
        let mut delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::KEY, s(worker.as_str()))
            .condition_expression(unchanged)
            .expression_attribute_values(":worker", s(item::WORKER));
        if let Some(seen) = last_update {
            delete = delete.expression_attribute_values(":seen", n(seen.0));
        }
        let held = condition_held("withdraw", call(self.call_timeout, "withdraw", delete.send()).await)?;
        // With a time given, a refusal says that the worker lives: as good as done.
        if held || last_update.is_some() { Ok(()) } else { Err(taken_name("withdraw", worker)) }
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, StoreError> {
        let Some(item) = self.get("leader", item::LEADER_KEY).await? else { return Ok(None) };
        Ok(item::lock(&item))
    }

    async fn take_leadership(&self, lock: &LeaderLock, seen: Option<&LeaderLock>) -> Result<bool, StoreError> {
        let mut put = self.client.put_item().table_name(&self.table).set_item(Some(item::from_lock(lock)));
        put = match seen {
            None => put
                .condition_expression(NO_LOCK)
                .expression_attribute_values(":text", s("S"))
                .expression_attribute_values(":empty", s("")),
            Some(seen) => put
                .condition_expression("recordVersionNumber = :seen")
                .expression_attribute_values(":seen", s(&seen.version)),
        };
        condition_held("take_leadership", call(self.call_timeout, "take_leadership", put.send()).await)
    }

    async fn renew_leadership(&self, held: &LeaderLock, next: &LeaderLock) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(item::KEY, s(item::LEADER_KEY))
            .update_expression("SET leaseDuration = :duration, recordVersionNumber = :next")
            .condition_expression(LOCK_IS_HELD)
            .expression_attribute_values(":duration", item::from_lock_duration(next.duration))
            .expression_attribute_values(":next", s(&next.version))
            .expression_attribute_values(":held", s(&held.version))
            .expression_attribute_values(":me", s(held.owner.as_str()));
        condition_held("renew_leadership", call(self.call_timeout, "renew_leadership", update.send()).await)
    }

    async fn release_leadership(&self, held: &LeaderLock) -> Result<bool, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::KEY, s(item::LEADER_KEY))
            .condition_expression(LOCK_IS_HELD)
            .expression_attribute_values(":held", s(&held.version))
            .expression_attribute_values(":me", s(held.owner.as_str()));
        condition_held("release_leadership", call(self.call_timeout, "release_leadership", delete.send()).await)
    }
}

impl fmt::Debug for DynamoDbLeaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbLeaseStore").field("table", &self.table).finish_non_exhaustive()
    }
}

fn key_of(item: &Item) -> String {
    text(item, item::KEY).ok().flatten().unwrap_or("(without a key)").to_owned()
}

fn refused(operation: &'static str, why: impl Into<BoxError>) -> StoreError {
    StoreError::Refused { operation, source: why.into() }
}

fn taken_name(operation: &'static str, worker: &WorkerId) -> StoreError {
    refused(operation, format!("the worker id {worker} is the key of a row of another kind"))
}

/// The support code of a worker that knows the single-table layout (KCL 3.5).
const SINGLE_TABLE_SUPPORT: u8 = 1;
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// A call across regions takes less, with its handshake; in less than it no call would ever succeed.
const SHORTEST_CALL: Duration = Duration::from_millis(100);
/// A worker that waits for longer for one call looks for no leases meanwhile.
const LONGEST_CALL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
