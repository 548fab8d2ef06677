//! The future that a put returns, and the state that it shares with the pipeline.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{DeliveryError, Failure};
use crate::foreign::wake;

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Receipt {
    /// The shard, such as `shardId-000000000007`.
    pub shard: Arc<str>,
    /// The sequence number of the Kinesis record that holds the record.
    pub sequence_number: Arc<str>,
    /// The record's index in its Kinesis record, 0 if it is alone there. Together with the sequence number it orders
    /// the records of a shard.
    pub sub_sequence: u64,
    /// How many times the record was sent, the successful attempt included.
    pub attempts: u32,
}

/// A future that resolves to the [`Receipt`] of an admitted record, or to its error.
///
/// It resolves exactly once, at the latest one record TTL and one request timeout after the record was admitted (P1). A
/// record is delivered even if its delivery is dropped.
#[must_use = "ignoring a delivery may hide that the record was not written"]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
    /// The delivery has resolved.
    resolved: bool,
}

impl Delivery {
    pub(crate) const fn new(completion: Arc<Completion>, index: u32) -> Self {
        Self { completion, index, resolved: false }
    }
}

impl Drop for Delivery {
    /// Counts the record as unwatched if it is lost, because no delivery will report it.
    fn drop(&mut self) {
        if !self.resolved {
            self.completion.drop_waiter(self.index);
        }
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            // An old waker is dropped after the lock is released. It may hold the last reference to another delivery.
            let mut old = None;
            let step = match &mut *self.completion.state() {
                State::Pending(waiters) => {
                    old = waiters.set(self.index, context.waker());
                    Err(Poll::Pending)
                }
                State::Written(written) => Err(Poll::Ready(Ok(written.receipt(self.index)))),
                State::Failed(failure) => Err(Poll::Ready(Err(DeliveryError::new(Arc::clone(failure), self.index)))),
                State::Forwarded(to) => Ok(to[self.index as usize].clone()),
            };
            drop(old);
            match step {
                Ok((completion, index)) => {
                    self.completion = completion;
                    self.index = index;
                }
                Err(poll) => {
                    self.resolved |= poll.is_ready();
                    return poll;
                }
            }
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("index", &self.index).finish_non_exhaustive()
    }
}

/// The result of a batch, shared by all deliveries of its records. It costs one allocation per batch. A delivery is a
/// reference to it and an index.
pub(crate) struct Completion {
    state: Mutex<State>,
}

/// In the order of the transitions.
enum State {
    /// The batch is not settled.
    Pending(Waiters),
    /// All records are in the stream, under one sequence number.
    Written(Written),
    /// The attempts failed. Whether a record may be in the stream is in the failure.
    Failed(Arc<Failure>),
    /// The records moved to other batches, because they no longer belong to one shard. Holds the new place of each
    /// record, by index.
    Forwarded(Box<[(Arc<Completion>, u32)]>),
}

/// The part that the receipts of a batch share.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) shard: Arc<str>,
    pub(crate) sequence_number: Arc<str>,
    pub(crate) attempts: u32,
}

impl Written {
    fn receipt(&self, index: u32) -> Receipt {
        Receipt {
            shard: Arc::clone(&self.shard),
            sequence_number: Arc::clone(&self.sequence_number),
            sub_sequence: u64::from(index),
            attempts: self.attempts,
        }
    }
}

impl Completion {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Pending(Waiters::default())) })
    }

    pub(crate) fn written(&self, written: Written) {
        self.resolve(State::Written(written));
    }

    /// Resolves the deliveries to an error. Returns how many of them had been dropped.
    pub(crate) fn failed(&self, failure: Arc<Failure>) -> u64 {
        self.resolve(State::Failed(failure))
    }

    /// Moves the deliveries to other batches. Their wakers move with them, so no task is woken only to follow.
    pub(crate) fn forwarded(&self, to: Box<[(Arc<Self>, u32)]>) {
        let mut state = self.state();
        if let State::Pending(waiters) = &mut *state {
            let Waiters { wakers, dropped } = std::mem::take(waiters);
            // The new batches are not shared yet. They cannot have ended, and no other task can hold one of these locks
            // and wait for another.
            let moved = |index: usize, tell: &mut dyn FnMut(&mut Waiters, u32)| {
                let (completion, index) = &to[index];
                if let State::Pending(waiters) = &mut *completion.state() {
                    tell(waiters, *index);
                }
            };
            for (index, waker) in wakers.into_iter().enumerate() {
                if let Some(waker) = waker {
                    let mut waker = Some(waker);
                    moved(index, &mut |waiters, index| *waiters.place(index) = waker.take());
                }
            }
            for index in dropped.places() {
                moved(index, &mut |waiters, index| waiters.dropped.insert(index));
            }
        }
        *state = State::Forwarded(to);
    }

    /// Drops the interest in a record whose delivery was dropped before it resolved.
    fn drop_waiter(&self, index: u32) {
        let mut waker = None;
        let next = match &mut *self.state() {
            State::Pending(waiters) => {
                waker = waiters.leave(index);
                None
            }
            State::Written(_) => None,
            State::Failed(failure) => {
                failure.unwatched(1);
                None
            }
            State::Forwarded(to) => Some(to[index as usize].clone()),
        };
        // After the lock is released: a waker may hold the last reference to another delivery of this batch.
        drop(waker);
        if let Some((completion, index)) = next {
            completion.drop_waiter(index);
        }
    }

    fn resolve(&self, end: State) -> u64 {
        let pending = std::mem::replace(&mut *self.state(), end);
        let State::Pending(Waiters { wakers, dropped }) = pending else { return 0 };
        // Outside the lock, because a waker may poll at once.
        wakers.into_iter().flatten().for_each(wake);
        dropped.places().count() as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half-way, so the state behind a poisoned lock is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wakers of the deliveries that are polled, and the records whose deliveries were dropped.
#[derive(Default)]
struct Waiters {
    /// By index of the record. It grows with the highest index that was polled, so fire-and-forget costs nothing.
    wakers: Vec<Option<Waker>>,
    dropped: Indices,
}

impl Waiters {
    /// Sets the waker for a record. Returns the previous waker.
    fn set(&mut self, index: u32, waker: &Waker) -> Option<Waker> {
        let place = self.place(index);
        if place.as_ref().is_some_and(|old| old.will_wake(waker)) {
            return None;
        }
        place.replace(waker.clone())
    }

    fn place(&mut self, index: u32) -> &mut Option<Waker> {
        let index = index as usize;
        if index >= self.wakers.len() {
            self.wakers.resize(index + 1, None);
        }
        &mut self.wakers[index]
    }

    /// Marks the delivery of a record as dropped. Returns its waker.
    fn leave(&mut self, index: u32) -> Option<Waker> {
        self.dropped.insert(index);
        self.wakers.get_mut(index as usize).and_then(Option::take)
    }
}

/// A set of indices, one bit each.
#[derive(Debug, Default)]
struct Indices(Vec<u64>);

impl Indices {
    fn insert(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, index % 64);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit))
    }
}

#[cfg(test)]
mod tests;
