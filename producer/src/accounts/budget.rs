//! The bytes that admitted records hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::error::Closed;
use crate::foreign::guarded;

/// Returns the room that a record of this many bytes of data and partition key needs to be admitted: enough to open an
/// aggregate for it.
pub(crate) const fn footprint(wire_len: usize) -> usize {
    wire_len + CHARGE_STEP
}

/// Counts the bytes that admitted records hold, the whole capacity of their buffers included, and keeps them below a
/// limit (P6).
///
/// Buffers grow by doubling, so the size of one more record is known only after it was added. Therefore an eighth of
/// the limit is kept back. It covers buffers that grew when the permits had just run out (the *overdraft*), and pooled
/// buffers. While there is an overdraft, no record is admitted, so the overdraft is at most one buffer's growth per
/// thread.
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

    /// Returns the most that one reservation can get.
    pub(crate) const fn total(&self) -> usize {
        self.total
    }

    /// Returns the most that pooled buffers may hold together.
    pub(crate) const fn spare_bytes(&self) -> usize {
        self.total / KEPT_BACK / 2
    }

    /// Returns the bytes held now.
    pub(crate) fn held(&self) -> usize {
        let overdraft = self.overdraft.load(Ordering::Relaxed);
        (self.total + overdraft).saturating_sub(self.permits.available_permits())
    }

    /// Returns `true` if this many bytes and a margin are free, and no other caller waits for them.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.permits.available_permits() >= bytes + MARGIN
    }

    /// Waits until this many bytes are free, first come first served, and takes them. They must be
    /// [released](Self::release).
    ///
    /// Cancel safe: a dropped future has taken nothing and has lost its place.
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

    /// Takes bytes that are allocated already. They may exceed the limit.
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

    /// Returns bytes that were reserved or charged. An overdraft is paid first.
    ///
    /// This wakes callers that wait for room, and a waker may put at once. So it must not be called while a queue is
    /// locked.
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

    /// Admits no more records. Waiting callers get an error.
    pub(crate) fn close(&self) {
        self.permits.close();
    }
}

/// The bytes of a batch besides its buffers: its fields, its completion and its place in the queues, rounded up.
pub(crate) const BATCH_BYTES: usize = 512;
/// The bytes of a record besides its wire bytes: the waker of its delivery.
pub(crate) const RECORD_BYTES: usize = size_of::<Option<std::task::Waker>>();

/// Open aggregates are charged in steps of this size: to charge each record would cost more than the record. The first
/// step covers a small record, the first buffers for it, and the batch around it.
pub(crate) const CHARGE_STEP: usize = 4 << 10;

/// An eighth of the limit. Enough if all threads of a large machine double the buffers of a default aggregate at once.
const KEPT_BACK: usize = 8;
/// One more step, for buffers that grow with the record.
const MARGIN: usize = CHARGE_STEP;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdraft_is_paid_before_a_record_is_admitted() {
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
