//! Reading the whole table.

use std::time::Duration;

use tokio::time::sleep;

use crate::lease::StoreError;
use crate::lease::table::dynamodb::DynamoDbLeaseStore;
use crate::lease::table::dynamodb::answer::call;
use crate::lease::table::dynamodb::item::Item;

impl DynamoDbLeaseStore {
    /// Every row, page by page; one page holds some two thousand leases, so reading pages at once would gain little. A page that fails is asked for again, for a while: the pages before it count.
    pub(super) async fn all_rows(&self, operation: &'static str, consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut rows = Vec::new();
        let mut next = None;
        let mut pause = FIRST_PAGE_PAUSE;
        loop {
            let scan = self
                .client
                .scan()
                .table_name(&self.table)
                .consistent_read(consistent)
                .set_exclusive_start_key(next.clone());
            match call(self.call_timeout, operation, scan.send()).await.map_err(|e| e.into_store_error(operation)) {
                Ok(page) => {
                    rows.extend(page.items.unwrap_or_default());
                    next = page.last_evaluated_key;
                    pause = FIRST_PAGE_PAUSE;
                    if next.is_none() {
                        return Ok(rows);
                    }
                }
                Err(error) if error.is_retryable() && pause <= LAST_PAGE_PAUSE => {
                    tracing::debug!(operation, error = &error as &dyn std::error::Error, "reading a page again");
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Five tries a page, within some two seconds: a round of the leader comes every five.
const FIRST_PAGE_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAGE_PAUSE: Duration = Duration::from_millis(800);
