//! What was written to a table, write by write.

use std::time::Duration;

use super::item::item;
use super::{Item, Table};

/// A write that a table has accepted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TableWrite {
    /// When it took effect, counted from the making of the cloud.
    pub at: Duration,
    /// The name of the worker whose [connection](crate::Cloud::connect) it came through; none for a write from outside.
    pub worker: Option<String>,
    /// The operation, for example `"UpdateItem"`.
    pub operation: String,
    /// The key of the item.
    pub key: Item,
    /// The item after the write; none when it is gone.
    pub item: Option<Item>,
}

impl Table {
    /// Keeps the writes from now on for [`writes`](Self::writes), the newest `most` of them. Without this none are kept. Each
    /// takes as much memory as the item that it left. The table need not exist yet.
    pub fn keep_writes(&self, most: usize) {
        self.services.dynamodb.keep_writes(&self.name, most);
    }

    /// The writes to the table's items since [`keep_writes`](Self::keep_writes), in the order in which they took effect.
    ///
    /// A write whose condition failed, that was throttled, or that never arrived is not among them; one whose answer was
    /// lost is. A batch or a transaction is as many writes as it wrote items. What a table lets expire is not told.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let cloud = kinesis_testkit::Cloud::new();
    /// cloud.table("app").keep_writes(1000);
    /// // ... workers run ...
    /// for write in cloud.table("app").writes() {
    ///     println!("{:?} {:?} {:?}", write.at, write.worker, write.item);
    /// }
    /// # }
    /// ```
    pub fn writes(&self) -> Vec<TableWrite> {
        let clock = self.services.clock();
        let writes = self.services.dynamodb.writes(&self.name).into_iter();
        let told = writes.map(|write| TableWrite {
            at: clock.elapsed_at(write.at),
            worker: write.worker.as_deref().map(str::to_owned),
            operation: write.operation,
            key: item(&write.key),
            item: write.item.as_ref().map(item),
        });
        told.collect()
    }
}
