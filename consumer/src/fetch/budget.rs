//! One budget of bytes for what all shards of a worker have read and not yet processed (C9).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use self::ledger::{Grant, Ledger, ShareId};

mod ledger;

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
}

#[derive(Debug)]
struct Books {
    ledger: Ledger,
    /// Where a grant goes; one for every ask in the ledger.
    waiting: BTreeMap<ShareId, oneshot::Sender<Permit>>,
}

/// One shard's access to the budget.
#[derive(Debug)]
pub(crate) struct Share {
    shared: Arc<Shared>,
    id: ShareId,
}

/// Bytes taken from the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    share: ShareId,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let books = Books { ledger: Ledger::new(bytes), waiting: BTreeMap::new() };
        Self { shared: Arc::new(Shared { books: Mutex::new(books), next_share: AtomicU64::new(0) }) }
    }

    /// The bytes that are taken.
    pub(crate) fn held(&self) -> u64 {
        self.shared.books().ledger.used()
    }

    pub(crate) fn share(&self) -> Share {
        let id = ShareId(self.shared.next_share.fetch_add(1, Ordering::Relaxed));
        Share { shared: Arc::clone(&self.shared), id }
    }
}

impl Share {
    /// Takes bytes for an answer that is expected to be so large, as soon as this shard may have them. Cancel safe.
    pub(crate) async fn reserve(&mut self, bytes: u64) -> Permit {
        let (sender, granted) = oneshot::channel();
        {
            let mut books = self.shared.books();
            books.ledger.ask(self.id, bytes);
            books.waiting.insert(self.id, sender);
        }
        self.shared.grant();
        let _asking = Asking(self);
        granted.await.expect("a sender leaves the books only to send, or when the ask is withdrawn by the guard above")
    }
}

/// Takes an ask back when its future is dropped.
struct Asking<'a>(&'a Share);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut books = self.0.shared.books();
        if books.waiting.remove(&self.0.id).is_some() {
            books.ledger.withdraw(self.0.id);
            drop(books);
            // The one behind may fit where this one did not.
            self.0.shared.grant();
        }
    }
}

impl Permit {
    /// Corrects the amount to what the answer really takes. More than was reserved is taken too: it is in memory already.
    pub(crate) fn settle(&mut self, bytes: u64) {
        self.shared.books().ledger.settle(self.bytes, bytes);
        self.bytes = bytes;
        self.shared.grant();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.books().ledger.release(self.share, self.bytes);
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
            while let Some(Grant { share, bytes }) = books.ledger.next_grant() {
                if let Some(sender) = books.waiting.remove(&share) {
                    granted.push((sender, Permit { shared: Arc::clone(self), share, bytes }));
                }
            }
        }
        // Outside of the lock: a permit whose receiver has just gone is dropped here, and gives its bytes back.
        for (sender, permit) in granted {
            drop(sender.send(permit));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_permit_dropped_lets_the_next_one_in() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        let first = a.reserve(80).await;
        assert_eq!(budget.held(), 80);
        assert!(b.reserve(30).now_or_never().is_none());
        drop(first);
        let mut second = b.reserve(30).await;
        second.settle(100);
        assert_eq!(budget.held(), 100);
        assert!(a.reserve(1).now_or_never().is_none());
        second.settle(99);
        assert!(a.reserve(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_ask_that_is_dropped_makes_room_for_those_behind_it() {
        let budget = Budget::new(100);
        let (mut a, mut b, mut c) = (budget.share(), budget.share(), budget.share());
        let _held = a.reserve(60).await;
        let large = Box::pin(b.reserve(90));
        let mut small = Box::pin(c.reserve(10));
        let mut large = Some(large);
        assert!(large.as_mut().is_some_and(|ask| ask.now_or_never().is_none()));
        // First come, first served: the small one waits although it would fit.
        assert!(small.as_mut().now_or_never().is_none());
        drop(large.take());
        assert!(small.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_grant_that_nobody_waits_for_any_more_is_given_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (budget.share(), budget.share());
        let held = a.reserve(100).await;
        {
            let mut ask = Box::pin(b.reserve(100));
            assert!(ask.as_mut().now_or_never().is_none());
            drop(held);
            // Granted by now, but dropped before it was looked at.
        }
        assert!(a.reserve(100).now_or_never().is_some());
    }
}
