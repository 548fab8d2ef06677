//! What a policy must allow, tried before the work begins.

use crate::lease::table::dynamodb::DynamoDbLeaseStore;
use crate::lease::table::dynamodb::answer::call;
use crate::lease::table::dynamodb::item::{self, s};
use crate::lease::{LeaseStore, StoreError, WorkerId};

impl DynamoDbLeaseStore {
    /// Tries the actions that a worker cannot do without and that the preparation of a table that is there has not taken: UpdateItem, by
    /// which it takes and keeps leases, Query on the index, by which it finds them, and Scan, PutItem and DeleteItem, without which it
    /// cannot lead, end a shard or leave. Only that one is not allowed is an error: a table that is being made refuses them for another
    /// reason.
    ///
    /// Nothing is written: the condition cannot hold.
    pub(super) async fn try_actions(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(item::KEY, s(worker.as_str()))
            .update_expression("REMOVE leaseCounter")
            .condition_expression(NEVER);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(item::KEY, s(worker.as_str()))
            .condition_expression(NEVER);
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::KEY, s(worker.as_str()))
            .condition_expression(NEVER);
        let scan = self.client.scan().table_name(&self.table).limit(1);
        let put = Box::pin(async {
            let answer = call(self.call_timeout, "PutItem", put.send()).await;
            answer.map(drop).map_err(|failure| failure.into_store_error("PutItem"))
        });
        let delete = Box::pin(async {
            let answer = call(self.call_timeout, "DeleteItem", delete.send()).await;
            answer.map(drop).map_err(|failure| failure.into_store_error("DeleteItem"))
        });
        let scan = Box::pin(async {
            let answer = call(self.call_timeout, "Scan", scan.send()).await;
            answer.map(drop).map_err(|failure| failure.into_store_error("Scan"))
        });
        let update = Box::pin(async {
            let answer = call(self.call_timeout, "UpdateItem", update.send()).await;
            answer.map(drop).map_err(|failure| failure.into_store_error("UpdateItem"))
        });
        let query = Box::pin(async { self.owned_by(worker).await.map(drop) });
        let (update, query, scan, put, delete) = tokio::join!(update, query, scan, put, delete);
        [update, query, scan, put, delete].into_iter().try_for_each(|answer| match answer {
            Err(error @ StoreError::Denied { .. }) => Err(error),
            _ => Ok(()),
        })
    }
}

/// The condition of a write that is only tried.
const NEVER: &str = "attribute_exists(leaseKey) AND attribute_not_exists(leaseKey)";
