//! Leases that have become this worker's, on their way to the program that requested them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock::Tick;
use crate::lease::holder::held::HeldLease;

/// The sending end. When it is dropped, the offers end, and leases not yet taken are dropped.
#[derive(Debug, Default)]
pub(super) struct Offers(Arc<Queue>);

/// The receiving end.
#[derive(Debug)]
pub(super) struct Taker(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// A std mutex: held for a push or a pop, never across an await.
    offers: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Tick, HeldLease)>,
    /// `true` if an offer was withdrawn since the last check: the caller must request again.
    lapsed: bool,
    closed: bool,
}

impl Offers {
    pub(super) fn taker(&self) -> Taker {
        Taker(Arc::clone(&self.0))
    }

    /// Returns a second sender. Dropping that one does not end the offers.
    pub(super) fn offering(&self) -> impl FnOnce(Tick, HeldLease) + Send + 'static + use<> {
        let queue = Arc::clone(&self.0);
        move |now, lease| {
            let mut state = queue.lock();
            // Too late: the lease is dropped, so that it is not renewed.
            if !state.closed {
                state.waiting.push_back((now, lease));
                drop(state);
                queue.changed.notify_one();
            }
        }
    }

    /// Drops leases that were offered before `then`: the caller that requested them was cancelled, and a lease without a reader
    /// must not be renewed. Returns how many.
    pub(super) fn withdraw_before(&self, then: Tick) -> usize {
        let mut state = self.0.lock();
        let fresh = state.waiting.iter().position(|(at, _)| *at >= then).unwrap_or(state.waiting.len());
        let withdrawn = state.waiting.drain(..fresh).count();
        state.lapsed |= withdrawn > 0;
        withdrawn
    }
}

impl Drop for Offers {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Taker {
    /// Returns `true` if an offer was withdrawn since the last call.
    pub(super) fn has_lapsed(&self) -> bool {
        std::mem::take(&mut self.0.lock().lapsed)
    }

    /// Returns the oldest offer, or `None` when no more will come. Cancel safe.
    pub(super) async fn take(&mut self) -> Option<HeldLease> {
        loop {
            {
                let mut state = self.0.lock();
                if let Some((_, lease)) = state.waiting.pop_front() {
                    return Some(lease);
                }
                if state.closed {
                    return None;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
