//! What a policy must allow, tried before the work begins.

use super::DynamoDbLeaseStore;
use super::answer::call;
use super::item::{self, s};
use crate::lease::{LeaseStore, StoreError, WorkerId};

impl DynamoDbLeaseStore {
    /// Tries the actions that a worker cannot do without and that the preparation of the table has not taken: UpdateItem, by which it
    /// takes and keeps leases, and Query on the index, by which it finds them. Only that one is not allowed is an error: a table that
    /// is being made refuses both for another reason.
    ///
    /// Nothing is written: the condition cannot hold.
    pub(super) async fn try_actions(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(item::KEY, s(worker.as_str()))
            .update_expression("REMOVE leaseCounter")
            .condition_expression("attribute_exists(leaseKey) AND attribute_not_exists(leaseKey)");
        let update = async {
            let answer = call(self.call_timeout, "UpdateItem", update.send()).await;
            answer.map(drop).map_err(|failure| failure.into_store_error("UpdateItem"))
        };
        let query = async { self.owned_by(worker).await.map(drop) };
        let (update, query) = tokio::join!(update, query);
        [update, query].into_iter().try_for_each(|answer| match answer {
            Err(error @ StoreError::Denied { .. }) => Err(error),
            _ => Ok(()),
        })
    }
}
