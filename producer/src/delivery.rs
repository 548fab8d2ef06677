//! The future a put returns, and what it shares with the pipeline.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{DeliveryError, Failure};

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Receipt {
    /// The shard, such as `shardId-000000000007`.
    pub shard: Arc<str>,
    /// The sequence number of the Kinesis record that holds the record.
    pub sequence_number: Arc<str>,
    /// The record's index in its Kinesis record, 0 if it is alone there. With the sequence number it orders the records of a shard.
    pub sub_sequence: u64,
    /// How many times it was sent, this one included.
    pub attempts: u32,
}

/// The fate of an admitted record: a future of its [`Receipt`].
///
/// It resolves exactly once, at the latest one record TTL and one request timeout after the record was admitted (P1). Dropping it changes
/// nothing for the record: it is delivered all the same.
#[must_use = "ignoring a delivery may hide that the record was not written"]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
}

impl Delivery {
    pub(crate) const fn new(completion: Arc<Completion>, index: u32) -> Self {
        Self { completion, index }
    }
}

impl Future for Delivery {
    type Output = Result<Receipt, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = {
                let mut state = self.completion.state();
                match &mut *state {
                    State::Pending(wakers) => {
                        wakers.set(self.index, context.waker());
                        return Poll::Pending;
                    }
                    State::Written(written) => return Poll::Ready(Ok(written.receipt(self.index))),
                    State::Failed(failure) => {
                        return Poll::Ready(Err(DeliveryError::new(Arc::clone(failure), self.index)));
                    }
                    State::Forwarded(to) => to[self.index as usize].clone(),
                }
            };
            let (completion, index) = next;
            *self = Self { completion, index };
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("index", &self.index).finish_non_exhaustive()
    }
}

/// How a batch ends, for all deliveries of its records at once. One allocation a batch; a delivery is a reference to it and an index.
pub(crate) struct Completion {
    state: Mutex<State>,
}

/// In the order of life.
enum State {
    /// Not known yet.
    Pending(Wakers),
    /// All records are in the stream, under one sequence number.
    Written(Written),
    /// No record is known to be in the stream.
    Failed(Arc<Failure>),
    /// The records went into other batches, because they no longer belong to one shard: by index, where each one is now.
    Forwarded(Box<[(Arc<Completion>, u32)]>),
}

/// What the receipts of a batch share.
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
        Arc::new(Self { state: Mutex::new(State::Pending(Wakers::default())) })
    }

    pub(crate) fn written(&self, written: Written) {
        self.resolve(State::Written(written));
    }

    pub(crate) fn failed(&self, failure: Arc<Failure>) {
        self.resolve(State::Failed(failure));
    }

    /// Sends the deliveries on, those that are being awaited with their wakers: nobody need poll again only to follow.
    pub(crate) fn forwarded(&self, to: Box<[(Arc<Self>, u32)]>) {
        let mut state = self.state();
        if let State::Pending(wakers) = &mut *state {
            for (index, waker) in wakers.take().into_iter().enumerate() {
                if let Some(waker) = waker {
                    let (completion, index) = &to[index];
                    // A new batch, which no one else has seen yet: it cannot have ended, nor can two of these locks be taken crosswise.
                    if let State::Pending(wakers) = &mut *completion.state() {
                        wakers.set(*index, &waker);
                    }
                }
            }
        }
        *state = State::Forwarded(to);
    }

    fn resolve(&self, end: State) {
        let pending = std::mem::replace(&mut *self.state(), end);
        // Woken outside the lock: a waker may poll at once.
        if let State::Pending(mut wakers) = pending {
            wakers.take().into_iter().flatten().for_each(Waker::wake);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic half-way runs under this lock, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who waits, by index of the record. Grows with the highest index awaited, so fire-and-forget costs nothing.
#[derive(Default)]
struct Wakers(Vec<Option<Waker>>);

impl Wakers {
    fn set(&mut self, index: u32, waker: &Waker) {
        let index = index as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        match &mut self.0[index] {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn take(&mut self) -> Vec<Option<Waker>> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests;
