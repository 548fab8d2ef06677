//! One budget of bytes for all records that the shards of a worker have read and not yet processed (C9).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use self::allocator::{Allocator, Grant, ShareId};

mod allocator;

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// A std mutex: held for a few operations on maps, never across an await.
    books: Mutex<Books>,
    next_share: AtomicU64,
    /// The size of the largest record seen in any shard.
    largest_record: AtomicU64,
}

#[derive(Debug)]
struct Books {
    allocator: Allocator,
    /// Where each grant is sent: one sender for every request in the allocator.
    waiting: BTreeMap<ShareId, oneshot::Sender<Permit>>,
}

/// One shard's access to the budget.
#[derive(Debug)]
pub(crate) struct Share {
    shared: Arc<Shared>,
    id: ShareId,
}

/// Bytes taken from the budget; returned when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    share: ShareId,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let books = Books { allocator: Allocator::new(bytes), waiting: BTreeMap::new() };
        Self {
            shared: Arc::new(Shared {
                books: Mutex::new(books),
                next_share: AtomicU64::new(0),
                largest_record: AtomicU64::new(USUAL_RECORD),
            }),
        }
    }

    /// Returns how many bytes are in use.
    pub(crate) fn held(&self) -> u64 {
        self.shared.books().allocator.used()
    }

    /// Returns how large a record can be, as far as is known.
    pub(crate) fn largest_record(&self) -> u64 {
        self.shared.largest_record.load(Ordering::Relaxed)
    }

    /// Records the size of the largest record of a response: a stream may allow larger ones than usual.
    pub(crate) fn saw_record(&self, bytes: u64) {
        self.shared.largest_record.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn share(&self) -> Share {
        let id = ShareId(self.shared.next_share.fetch_add(1, Ordering::Relaxed));
        Share { shared: Arc::clone(&self.shared), id }
    }
}

impl Share {
    /// Takes `want` bytes, the most that the response can hold, as soon as this shard may have them. After `patience` it
    /// accepts fewer, but never less than `least`. Cancel safe.
    pub(crate) async fn reserve(&mut self, least: u64, want: u64, patience: Duration) -> Permit {
        let (sender, mut granted) = oneshot::channel();
        {
            let mut books = self.shared.books();
            books.allocator.ask(self.id, least, want);
            books.waiting.insert(self.id, sender);
        }
        self.shared.grant();
        let asking = Asking(self);
        let permit = match timeout(patience, &mut granted).await {
            Ok(permit) => permit,
            Err(_) => {
                asking.0.shared.books().allocator.make_urgent(asking.0.id);
                asking.0.shared.grant();
                granted.await
            }
        };
        permit.expect("a sender leaves the books only to send, or when the ask is withdrawn by the guard above")
    }
}

/// Withdraws a request when its future is dropped.
struct Asking<'a>(&'a Share);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut books = self.0.shared.books();
        if books.waiting.remove(&self.0.id).is_some() {
            books.allocator.withdraw(self.0.id);
            drop(books);
            // The next request may fit where this one did not.
            self.0.shared.grant();
        }
    }
}

impl Permit {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Corrects the amount to the response's real size. A response larger than reserved is counted in full: it is in memory
    /// already.
    pub(crate) fn settle(&mut self, bytes: u64) {
        self.shared.books().allocator.settle(self.bytes, bytes);
        self.bytes = bytes;
        self.shared.grant();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.books().allocator.release(self.share, self.bytes);
        self.shared.grant();
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(self: &Arc<Self>) {
        let mut granted = Vec::new();
        {
            let mut books = self.books();
            while let Some(Grant { share, bytes }) = books.allocator.next_grant() {
                if let Some(sender) = books.waiting.remove(&share) {
                    granted.push((sender, Permit { shared: Arc::clone(self), share, bytes }));
                }
            }
        }
        // Outside of the lock: a permit whose receiver was just dropped is dropped here, and returns its bytes.
        for (sender, permit) in granted {
            drop(sender.send(permit));
        }
    }
}

/// The service takes records of up to 1 MiB, unless a stream is set to more.
const USUAL_RECORD: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_permit_dropped_lets_the_next_one_in() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        let first = a.reserve(80, 80, Duration::MAX).await;
        assert_eq!(budget.held(), 80);
        assert!(b.reserve(30, 30, Duration::MAX).now_or_never().is_none());
        drop(first);
        let mut second = b.reserve(30, 30, Duration::MAX).await;
        second.settle(100);
        assert_eq!(budget.held(), 100);
        assert!(a.reserve(1, 1, Duration::MAX).now_or_never().is_none());
        second.settle(99);
        assert!(a.reserve(1, 1, Duration::MAX).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_ask_that_is_dropped_makes_room_for_those_behind_it() {
        let budget = Budget::new(100);
        let (mut a, mut b, mut c) = (budget.share(), budget.share(), budget.share());
        let _held = a.reserve(60, 60, Duration::MAX).await;
        let large = Box::pin(b.reserve(90, 90, Duration::MAX));
        let mut small = Box::pin(c.reserve(10, 10, Duration::MAX));
        let mut large = Some(large);
        assert!(large.as_mut().is_some_and(|ask| ask.now_or_never().is_none()));
        // First come, first served: the small request waits although it would fit.
        assert!(small.as_mut().now_or_never().is_none());
        drop(large.take());
        assert!(small.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_grant_that_nobody_waits_for_any_more_is_given_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        let held = a.reserve(100, 100, Duration::MAX).await;
        {
            let mut ask = Box::pin(b.reserve(100, 100, Duration::MAX));
            assert!(ask.as_mut().now_or_never().is_none());
            drop(held);
            // Granted by now, but dropped before it was received.
        }
        assert!(a.reserve(100, 100, Duration::MAX).now_or_never().is_some());
    }

    /// Q13: a shard that holds nothing gets its turn beside a stalled one that holds nearly all.
    #[tokio::test(start_paused = true)]
    async fn a_share_that_waits_is_given_a_part_after_its_patience() {
        let budget = Budget::new(100);
        let (mut stuck, mut healthy) = (budget.share(), budget.share());
        let _held = stuck.reserve(90, 90, Duration::MAX).await;
        let asked = tokio::time::Instant::now();
        let reserved = healthy.reserve(2, 50, Duration::from_secs(1));
        let permit = timeout(Duration::from_secs(9), reserved).await.expect("it gets its turn");
        assert_eq!((permit.bytes(), asked.elapsed()), (2, Duration::from_secs(1)));
        assert_eq!(budget.held(), 92);
    }
}
