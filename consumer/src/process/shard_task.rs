//! A shard as a value that user code owns.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::state::{Input, Output, State};
use crate::checkpoint::commit::Permitted;
use crate::clock::Clock;
use crate::fetch::read::{Fetched, ReadContext, Reader};
use crate::fetch::{Batch, ReadError};
use crate::lease::holder::held::{Expiry, HeldLease, LeaseState};
use crate::lease::{Checkpoint, CheckpointError, Epoch, LostReason, PendingCheckpoint};
use crate::record::Position;
use crate::shard::discover::Discover;
use crate::shard::{ListedShard, ShardId};
use crate::thread::AbortOnDrop;

/// A shard that this worker has taken. Read its [events](Self::next) one after the other.
///
/// While this value exists and is not over, its lease is renewed and no other worker owns the shard. If it is dropped without
/// [`release`](Self::release), renewals stop, and another worker takes the shard when the lease has expired.
///
/// It is over after a release, or when [`next`](Self::next) has returned `None`. It may be kept then, and still answers
/// questions about the shard. The same shard may come from [`Consumer::next_shard`](crate::Consumer::next_shard) again.
pub struct Shard {
    id: ShardId,
    held: HeldLease,
    context: ReadContext,
    state: State,
    lease_state: watch::Receiver<LeaseState>,
    /// The lease state that `state` has seen.
    seen: LeaseState,
    /// The task that waits for the parents, while the state is waiting for them.
    parents: Option<AbortOnDrop>,
    reader: Option<Running>,
    permitted: Permitted,
    rng: fastrand::Rng,
}

/// An event of a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Records to process, then to checkpoint.
    Batch(Batch),
    /// The shard must be released: it goes to another worker, or this one shuts down. No batches follow. Finish what is begun,
    /// checkpoint it, and [`release`](Shard::release) the shard; then nothing is delivered twice. At the deadline the lease is
    /// released in any case, and checkpoints are refused from then on.
    Revoking {
        /// When the lease is released.
        deadline: Instant,
    },
    /// The shard was split or merged, and all its records have been delivered.
    Ended(End),
    /// The shard cannot be read; nothing follows. Its lease is released when this `Shard` is dropped or over, and this worker
    /// does not take it for 10 s, doubling to 5 min.
    Failed(ReadError),
}

/// The end of a shard, to be confirmed when all its records are done.
#[derive(Debug)]
#[must_use = "unless the end is completed, the children of the shard never start"]
pub struct End {
    held: Box<HeldLease>,
    children: Vec<ListedShard>,
    discover: Arc<Discover>,
}

impl Shard {
    pub(crate) fn new(held: HeldLease, context: ReadContext, rng: fastrand::Rng) -> Self {
        let lease_state = held.watch();
        let id = held.lease().key.shard();
        Self {
            permitted: Permitted::of(id.clone()),
            id,
            held,
            context,
            state: State::start(),
            lease_state,
            seen: LeaseState::Held,
            parents: None,
            reader: None,
            rng,
        }
    }

    /// Returns the shard's ID.
    #[must_use]
    pub const fn id(&self) -> &ShardId {
        &self.id
    }

    /// Returns the epoch of this ownership, a number that grows with every change of owner: a fencing token.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.held.epoch()
    }

    /// Returns the checkpoint at which the shard was taken.
    #[must_use]
    pub fn start(&self) -> &Checkpoint {
        &self.held.lease().checkpoint
    }

    /// Returns a checkpoint that the former owner prepared and did not commit, with the data stored beside it (the KCL's
    /// two-phase checkpoints). Reading starts at the committed checkpoint all the same.
    #[must_use]
    pub fn pending(&self) -> Option<&PendingCheckpoint> {
        self.held.lease().pending.as_ref()
    }

    /// Returns the next event, or `None` when no more will come: the shard ended, failed, was released, or was lost.
    ///
    /// After `None` this value does not hold the lease any more, so checkpoint what is done before that. At shard end the
    /// [`End`] holds the lease, and checkpoints are accepted as long as it exists.
    ///
    /// The first batch comes when all parents of the shard are finished. Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.state.is_over() {
            let (input, fetched) = self.input().await;
            let output = self.state.on(&input);
            self.run_reader();
            match (output, fetched) {
                (Output::Batch, Some(Fetched::Batch(batch))) => {
                    self.held.note_delivered(batch.bytes());
                    self.permitted.delivered(batch.first(), batch.last());
                    return Some(Event::Batch(batch));
                }
                (Output::Ended, Some(Fetched::End(children))) => {
                    let discover = Arc::clone(&self.context.discover);
                    return Some(Event::Ended(End { held: Box::new(self.held.clone()), children, discover }));
                }
                (Output::Failed, Some(Fetched::Failed(error))) => {
                    self.held.fail(&error);
                    return Some(Event::Failed(error));
                }
                (Output::Revoking { deadline }, _) => {
                    return Some(Event::Revoking { deadline: self.clock().instant(deadline) });
                }
                _ => {}
            }
        }
        self.held.let_go();
        None
    }

    /// Stores a checkpoint: everything up to and including `position` is done.
    ///
    /// # Errors
    /// - [`CheckpointError::LeaseLost`] when this worker does not own the shard any more. Nothing was stored, and the new owner
    ///   starts at the previous checkpoint.
    /// - [`CheckpointError::Refused`] for a position of another shard, for one that this value did not deliver, and for one
    ///   before the stored one. Nothing was sent.
    ///
    /// Throttling and outages of the table are not errors: the call is repeated until it is answered or the lease has expired.
    ///
    /// Cancel safe in that the checkpoint is then stored or not.
    pub async fn checkpoint(&self, position: &Position) -> Result<(), CheckpointError> {
        self.permitted.check(position).map_err(|reason| CheckpointError::Refused {
            lease: self.held.lease().key.clone(),
            position: position.to_string(),
            reason,
        })?;
        self.commit(position.clone()).await
    }

    /// Resolves when the shard must be released or is lost. Race it against the work on a long batch; the next event says
    /// which. The future owns its parts and is cancel safe.
    pub fn revoked(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut lease_state = self.lease_state.clone();
        async move {
            // A closed channel means that the lease is lost.
            let _closed = lease_state.wait_for(|lease_state| *lease_state != LeaseState::Held).await;
        }
    }

    /// Releases the shard, to the worker that waits for it or to the one that the leader chooses. No checkpoint is accepted
    /// after that.
    ///
    /// # Errors
    /// [`CheckpointError::LeaseLost`] when this worker did not own the shard any more.
    pub async fn release(&mut self) -> Result<(), CheckpointError> {
        let released = self.held.release().await;
        self.state.on(&Input::Released);
        self.run_reader();
        self.held.let_go();
        released
    }

    /// Records that this worker cannot go on with the shard. It takes the lease again only after a while.
    pub(crate) fn fail(&self, why: impl fmt::Display) {
        self.held.fail(why);
    }

    /// Writes like [`checkpoint`](Self::checkpoint), without borrowing this value.
    pub(crate) fn commit(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<(), CheckpointError>> + Send + 'static + use<> {
        let held = self.held.clone();
        // The checkpoint lies inside a record that was delivered again whole: the stored checkpoint is further already.
        let is_stored = matches!(self.start(), Checkpoint::At(start)
            if position < *start && position.sequence_number == start.sequence_number);
        async move { if is_stored { Ok(()) } else { held.checkpoint(Checkpoint::At(position)).await } }
    }

    pub(crate) fn lease_state(&self) -> watch::Receiver<LeaseState> {
        self.lease_state.clone()
    }

    pub(crate) fn expiry(&self) -> Expiry {
        self.held.expiry().clone()
    }

    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.context.clock
    }

    /// Waits for the next input of the state.
    async fn input(&mut self) -> (Input, Option<Fetched>) {
        let (seen, waiting) = (&self.seen, self.state == State::WaitingOnParents);
        let changed = async {
            match self.lease_state.wait_for(|lease_state| lease_state != seen).await {
                Ok(lease_state) => lease_state.clone(),
                // The worker has ended, and the lease with it.
                Err(_) => LeaseState::Lost(LostReason::Dropped),
            }
        };
        // Kept across calls: a new wait in each call would never finish if `next` is raced with a short timer.
        if waiting && self.parents.is_none() {
            let held = self.held.clone();
            let home = &self.held.context().home;
            self.parents = Some(AbortOnDrop(home.spawn(async move { held.parents_done().await })));
        }
        let parents = async {
            match &mut self.parents {
                // A panic in that task would be a bug. Without a reader the lease must not be renewed then.
                Some(task) => (&mut task.0).await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let fetched = async {
            match &mut self.reader {
                Some(reader) => reader.fetched.recv().await,
                None => std::future::pending().await,
            }
        };
        // The lease first: no batch is delivered once the lease is lost or must be released.
        let (input, fetched) = tokio::select! { biased;
            lease_state = changed => (Input::LeaseState(lease_state), None),
            done = parents, if waiting => (if done { Input::ParentsDone } else { Input::Released }, None),
            fetched = fetched => match fetched {
                // The machine was suspended, and the renewer's timers have not run yet.
                Some(Fetched::Batch(_)) if self.held.expiry().has_passed() => (Input::LeaseState(LeaseState::Lost(LostReason::Expired)), None),
                Some(fetched @ Fetched::Batch(_)) => (Input::Batch, Some(fetched)),
                Some(fetched @ Fetched::End(_)) => (Input::End, Some(fetched)),
                Some(fetched @ Fetched::Failed(_)) => (Input::Failed, Some(fetched)),
                // Only a panic ends a reader without an event. Without a reader the lease must not be renewed.
                None => (Input::Released, None),
            },
        };
        if let Input::LeaseState(lease_state) = &input {
            self.seen = lease_state.clone();
        }
        (input, fetched)
    }

    /// Starts or stops the reader: it runs if and only if the state is reading.
    fn run_reader(&mut self) {
        if self.state != State::WaitingOnParents {
            self.parents = None;
        }
        match (&self.state, &self.reader) {
            (State::Reading, None) => {
                self.reader = Some(Running::start(&self.held, &self.context, self.rng.fork()));
            }
            (State::Reading, Some(_)) | (_, None) => {}
            (_, Some(_)) => self.reader = None,
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .field("epoch", &self.epoch().0)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl End {
    /// Returns the child shards, as far as they are known.
    #[must_use]
    pub fn children(&self) -> &[ListedShard] {
        &self.children
    }

    /// Finishes the shard: creates its children's leases, then sets its checkpoint to `SHARD_END`, for good.
    ///
    /// Call it when every record of the shard is done: none of them will be delivered again. Failed calls are repeated until
    /// the lease expires. If this is cancelled, the shard may be finished or not.
    ///
    /// A merged child can have another parent that no worker reads yet; then this waits for that parent's lease. If the shard
    /// must be released meanwhile, it is.
    ///
    /// # Errors
    /// [`CheckpointError::LeaseLost`] when this worker does not own the shard any more. The new owner reads it again from the
    /// last checkpoint.
    pub async fn complete(self) -> Result<(), CheckpointError> {
        self.held.end(&self.children, &self.discover).await
    }
}

/// A reader's task and the channel of its events. Dropping this value ends the task.
#[derive(Debug)]
struct Running {
    fetched: mpsc::Receiver<Fetched>,
    _task: Option<AbortOnDrop>,
}

impl Running {
    fn start(held: &HeldLease, context: &ReadContext, rng: fastrand::Rng) -> Self {
        // The budget allows a shard a few batches. The channel has room for them all, and for the end.
        let (sender, fetched) = mpsc::channel(8);
        let task = match Reader::new(context.clone(), held.lease(), held.epoch(), rng) {
            Ok(reader) => Some(AbortOnDrop(tokio::spawn(reader.run(sender)))),
            Err(error) => {
                sender.try_send(Fetched::Failed(error)).expect("the channel is new and has room");
                None
            }
        };
        Self { fetched, _task: task }
    }
}
