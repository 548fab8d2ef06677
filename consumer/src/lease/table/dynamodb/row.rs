//! Calls about one row.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use crate::lease::table::dynamodb::DynamoDbLeaseStore;
use crate::lease::table::dynamodb::answer::{call, written};
use crate::lease::table::dynamodb::item::{self, Item, s};
use crate::lease::{StoreError, Written};

impl DynamoDbLeaseStore {
    pub(super) fn update(&self, key: &str, expression: &str, condition: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key(item::KEY, s(key))
            .update_expression(expression)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    pub(super) async fn send(
        &self,
        operation: &'static str,
        update: UpdateItemFluentBuilder,
    ) -> Result<Written, StoreError> {
        written(operation, call(self.call_timeout, operation, update.send()).await, |output| output.attributes)
    }

    /// A row, strongly consistent.
    pub(super) async fn get(&self, operation: &'static str, key: &str) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.table).key(item::KEY, s(key)).consistent_read(true);
        let output = call(self.call_timeout, operation, get.send()).await.map_err(|e| e.into_store_error(operation))?;
        Ok(output.item)
    }
}
