//! The bytes that admitted records hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::error::Closed;
use crate::foreign::guarded;

/// What a record of this many bytes of data and partition key needs of the budget to be admitted: enough to open an aggregate for it.
pub(crate) const fn footprint(wire_len: usize) -> usize {
    wire_len + CHARGE_STEP
}

/// The bytes that admitted records hold, their buffers' whole capacity counted, and never more than a limit of them (P6).
///
/// Buffers grow by doubling, so how much one more record takes is known only when it is in. Therefore an eighth of the limit is kept
/// back for what was allocated although the permits had just run out (the *overdraft*) and for buffers waiting to be used again. While
/// there is an overdraft nobody is admitted: it is at most one buffer's growth for each thread.
#[derive(Debug)]
pub(crate) struct Budget {
    permits: Semaphore,
    total: usize,
    overdraft: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max_buffered_bytes: usize) -> Self {
        let total = max_buffered_bytes - max_buffered_bytes / KEPT_BACK;
        Self { permits: Semaphore::new(total), total, overdraft: AtomicUsize::new(0) }
    }

    /// The most that one reservation can get.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// What buffers waiting to be used again may hold together.
    pub(crate) const fn spare_bytes(&self) -> usize {
        self.total / KEPT_BACK / 2
    }

    /// The bytes held now.
    pub(crate) fn held(&self) -> usize {
        let overdraft = self.overdraft.load(Ordering::Relaxed);
        (self.total + overdraft).saturating_sub(self.permits.available_permits())
    }

    /// Whether this much, and a little more, is free and nobody waits for it.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.permits.available_permits() >= bytes + MARGIN
    }

    /// Waits for this much to be free, first come first served, and takes it. To be released, or spent by [`charge`](Self::charge)ing less.
    ///
    /// Cancel safe: given up, it has taken nothing and has lost its place.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<(), Closed> {
        debug_assert!(bytes <= self.total, "a reservation that can never be met");
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let taken = match self.permits.try_acquire_many(permits) {
            Ok(taken) => taken,
            Err(_) => guarded(self.permits.acquire_many(permits)).await.map_err(|_| Closed)?,
        };
        taken.forget();
        Ok(())
    }

    /// Takes what has been allocated already.
    pub(crate) fn charge(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.permits.try_acquire_many(permits) {
            Ok(taken) => taken.forget(),
            Err(_) => {
                self.overdraft.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Gives back what was reserved or charged; an overdraft is paid first.
    ///
    /// It wakes who waits for room, which may put at once: never while a queue is locked.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut paid = 0;
        if self.overdraft.load(Ordering::Relaxed) > 0 {
            let debt = self
                .overdraft
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |debt| Some(debt - debt.min(bytes)))
                .unwrap_or_else(|debt| debt);
            paid = debt.min(bytes);
        }
        self.permits.add_permits(bytes - paid);
    }

    /// Lets nobody in any more; who waits is told.
    pub(crate) fn close(&self) {
        self.permits.close();
    }
}

/// What a batch holds besides its buffers: its own fields, its completion and its place in the queues, rounded up.
pub(crate) const BATCH_BYTES: usize = 512;
/// What a record holds besides its wire bytes: the waker of its delivery.
pub(crate) const RECORD_BYTES: usize = size_of::<Option<std::task::Waker>>();

/// In steps of this open aggregates are charged: charging each record by itself would cost more than the record. The first covers a small
/// record, the first buffers for it and the batch around it.
pub(crate) const CHARGE_STEP: usize = 4 << 10;

/// An eighth of the budget: for all threads of a large machine at once doubling the buffers of a default aggregate.
const KEPT_BACK: usize = 8;
/// Another step, for buffers that grow with the record.
const MARGIN: usize = CHARGE_STEP;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdraft_is_paid_before_anyone_is_let_in() {
        let budget = Budget::new(64 << 10);
        assert_eq!((budget.total(), budget.held()), (56 << 10, 0));
        budget.charge(50 << 10);
        assert!(!budget.has_room(footprint(1)), "6 KiB are less than two steps");
        budget.charge(10 << 10);
        assert_eq!(budget.held(), 60 << 10, "over the total, within the limit");
        budget.release(5 << 10);
        assert_eq!(budget.held(), 55 << 10);
        budget.release(55 << 10);
        assert_eq!(budget.held(), 0);
        assert!(budget.has_room(40 << 10));
    }
}
