//! The open aggregate of a shard, and when it is closed.

use std::sync::Arc;

use super::batch::Batch;
use crate::accounts::Accounts;
use crate::clock::Tick;
use crate::contents::Route;
use crate::delivery::Delivery;
use crate::record::Record;
use crate::settings::Linger;

/// The place of a shard for one open aggregate.
#[derive(Default)]
pub(crate) struct OpenAggregate {
    open: Option<Batch>,
    last_close: Option<Tick>,
}

impl OpenAggregate {
    /// Adds a record. If the open aggregate is full, closes it and opens another.
    pub(crate) fn add(
        &mut self,
        record: &Record<'_>,
        route: &Route<'_>,
        now: impl FnOnce() -> Tick,
        accounts: &Arc<Accounts>,
        max_aggregate_bytes: usize,
    ) -> Added {
        if let Some(open) = &mut self.open
            && let Some(delivery) = open.try_add(record, route)
        {
            return Added { delivery, opened: false, closed: None };
        }
        let now = now();
        let closed = self.close(now);
        let mut batch = Batch::open(
            accounts,
            accounts.pool.take(&accounts.budget, max_aggregate_bytes),
            now,
            record.partition_key.is_none(),
        );
        let delivery = batch.try_add(record, route).expect("an empty aggregate takes any record");
        self.open = Some(batch);
        Added { delivery, opened: true, closed }
    }

    /// Returns when the open aggregate is to be closed although it is not full.
    ///
    /// The linger counts from the last close, and never ends before the first put. So a lone record is sent at once,
    /// and a steady trickle makes one aggregate per linger. If it counted from the first put, every lone record would
    /// wait.
    pub(crate) fn close_at(&self, linger: Linger) -> Option<Tick> {
        let opened = self.open.as_ref()?.opened;
        Some(match (linger, self.last_close) {
            (Linger::FromFirstPut(linger), _) => opened + linger,
            (Linger::SinceLastClose(linger), Some(last_close)) => opened.max(last_close + linger),
            (Linger::SinceLastClose(_), None) => opened,
        })
    }

    pub(crate) fn close_if_due(&mut self, now: Tick, linger: Linger) -> Option<Batch> {
        if self.close_at(linger)? > now {
            return None;
        }
        self.close(now)
    }

    pub(crate) fn close(&mut self, now: Tick) -> Option<Batch> {
        let mut closed = self.open.take()?;
        closed.close();
        self.last_close = Some(now);
        Some(closed)
    }
}

/// The result of adding a record.
pub(crate) struct Added {
    pub(crate) delivery: Delivery,
    /// The record opened an aggregate, and the dispatcher must set an alarm for its close.
    pub(crate) opened: bool,
    /// The previous aggregate, which was full.
    pub(crate) closed: Option<Batch>,
}

#[cfg(test)]
mod tests;
