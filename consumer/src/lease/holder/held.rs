//! A lease in this worker's hands, as the task of its shard uses it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, Tick};
use crate::lease::holder::hints::Hints;
use crate::lease::holder::renew::LostReason;
use crate::lease::holder::renewer::pause;
use crate::lease::table::belonging::{Belonging, ClaimError};
use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, WorkerId};
use crate::lease::table::store::LeaseStore;
use crate::thread::Home;
use crate::watch::Findings;

/// One ownership of a lease, as a number that grows with every change of hands: what the lease counter was after the
/// renewal by which this worker made the lease its own. Give it to external systems as a fencing token. An operator who deletes the
/// lease's row makes them start over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// How this worker stands to a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LeaseState {
    /// Held.
    Held,
    /// To be given up: finish, checkpoint, release. At `deadline` it is given up whatever the processor does.
    Revoking { deadline: Tick },
    /// Not held any more. Final.
    Lost(LostReason),
}

/// A checkpoint was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The lease is not held any more, so the checkpoint was refused: somebody else may be processing the shard.
    #[error("the lease {lease} was lost ({reason:?})")]
    LeaseLost {
        /// The lease.
        lease: LeaseKey,
        /// Why.
        reason: LostReason,
    },
    /// The position lies outside what may be checkpointed. Nothing was sent.
    #[error("{position} of {lease} cannot be checkpointed: {reason}")]
    Refused {
        /// The lease.
        lease: LeaseKey,
        /// The position.
        position: String,
        /// The bound that it breaks.
        reason: String,
    },
}

/// What all leases of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct HoldContext {
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) me: WorkerId,
    pub(crate) duration: Duration,
    /// How long a processor gets to finish when the lease is to be handed over.
    pub(crate) handoff_time: Duration,
    pub(crate) hints: Arc<Hints>,
    pub(crate) moved: Arc<Moved>,
    /// Where to report what is wrong, and that it is mended.
    pub(crate) findings: Findings,
    /// Where the store is called from.
    pub(crate) home: Home,
    pub(crate) belonging: Arc<Belonging>,
    pub(crate) seed: u64,
}

/// When a lease of this worker last moved in the table: a sign of life to all who look.
#[derive(Debug, Default)]
pub(crate) struct Moved(AtomicU64);

impl Moved {
    /// Records that a write sent at this time was accepted.
    pub(in crate::lease) fn note(&self, sent: Tick) {
        self.0.fetch_max(nanos(sent), Ordering::Relaxed);
    }

    /// The start of the clock if none has moved yet.
    pub(crate) fn last(&self) -> Tick {
        Tick::new(Duration::from_nanos(self.0.load(Ordering::Relaxed)))
    }
}

/// Since the start of the clock.
fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX)
}

/// A lease that this worker holds, from take to loss. Clones share it.
///
/// When the last clone is dropped or [let go of](Self::let_go) without [`release`](Self::release), the lease is not renewed any more
/// and runs out: a lease without a reader must not look alive.
#[derive(Clone)]
pub(crate) struct HeldLease {
    context: HoldContext,
    lease: Arc<Lease>,
    epoch: Epoch,
    lease_state: watch::Receiver<LeaseState>,
    commands: Commands,
    delivered: Arc<AtomicU64>,
    expiry: Expiry,
    failed: Failed,
}

/// The way to the renewer of a lease.
#[derive(Clone)]
enum Commands {
    /// Keeps the lease renewed.
    Holding(mpsc::Sender<Command>),
    /// Leads there as long as another one keeps it renewed.
    LetGo(mpsc::WeakSender<Command>),
}

/// Why this worker cannot go on with a shard, once that is so. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failed(Arc<OnceLock<String>>);

impl Failed {
    pub(crate) fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// When a lease runs out, by the clock of leases, which goes on while the machine sleeps or the process stands still: the
/// renewer of the lease may not have noticed, for its timers stood still as well. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    clock: Arc<Clock>,
    /// In nanoseconds since the start of the clock.
    at: Arc<AtomicU64>,
}

impl Expiry {
    pub(in crate::lease) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, at: Arc::default() }
    }

    /// Sets when the lease runs out from now on.
    pub(in crate::lease) fn set(&self, at: Tick) {
        self.at.store(nanos(at), Ordering::Relaxed);
    }

    pub(crate) fn has_passed(&self) -> bool {
        nanos(self.clock.now()) >= self.at.load(Ordering::Relaxed)
    }

    /// Resolves when it is polled after that. Nothing wakes it: it is a look, beside something else that is waited for.
    pub(crate) async fn look(&self) {
        std::future::poll_fn(|_| if self.has_passed() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

#[derive(Debug)]
pub(in crate::lease) enum Command {
    Checkpoint(Checkpoint, oneshot::Sender<Result<(), CheckpointError>>),
    Release(oneshot::Sender<Result<(), CheckpointError>>),
}

impl HeldLease {
    pub(in crate::lease) fn new(
        context: HoldContext,
        lease: Arc<Lease>,
        counter: u64,
        lease_state: watch::Receiver<LeaseState>,
        commands: mpsc::Sender<Command>,
        delivered: Arc<AtomicU64>,
        expiry: Expiry,
    ) -> Self {
        let commands = Commands::Holding(commands);
        Self {
            context,
            lease,
            epoch: Epoch(counter),
            lease_state,
            commands,
            delivered,
            expiry,
            failed: Failed::default(),
        }
    }

    /// Records that this worker cannot go on with the shard. The lease is then released when it is dropped, and left alone for a
    /// while (the rule *one shard that cannot begin*). The first reason counts.
    pub(crate) fn fail(&self, why: impl fmt::Display) {
        self.failed.0.get_or_init(|| why.to_string());
    }

    pub(crate) fn failed(&self) -> Failed {
        self.failed.clone()
    }

    pub(crate) const fn context(&self) -> &HoldContext {
        &self.context
    }

    /// Lets go of the lease, as if this were dropped, and keeps what is known of it (rule `let-go`). Other clones hold it still, and this
    /// one reaches it through them.
    pub(crate) fn let_go(&mut self) {
        if let Commands::Holding(commands) = &self.commands {
            self.commands = Commands::LetGo(commands.downgrade());
            self.lease = Arc::new(Lease::clone(&self.lease));
        }
    }

    /// Alive as long as any clone of this is that has not let go.
    pub(crate) fn alive(&self) -> Weak<Lease> {
        Arc::downgrade(&self.lease)
    }

    pub(in crate::lease) fn lost(&self, reason: LostReason) -> CheckpointError {
        CheckpointError::LeaseLost { lease: self.lease.key.clone(), reason }
    }

    /// The lease as it was adopted.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn lease_state(&self) -> LeaseState {
        let lease_state = self.lease_state.borrow().clone();
        // A renewer that was cancelled with its worker, or has panicked, says nothing.
        let silent = self.lease_state.has_changed().is_err() && !matches!(lease_state, LeaseState::Lost(_));
        if silent { LeaseState::Lost(LostReason::Dropped) } else { lease_state }
    }

    pub(crate) const fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// Shows every change of the lease_state; the last value is always `Lost`.
    pub(crate) fn watch(&self) -> watch::Receiver<LeaseState> {
        self.lease_state.clone()
    }

    /// Counts bytes of user data handed to the processor, for the rate published with the lease.
    pub(crate) fn note_delivered(&self, bytes: u64) {
        self.delivered.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Stores a checkpoint under this epoch; it renews the lease as well. Transient failures are retried until the lease
    /// runs out. Cancel safe in that the checkpoint is then stored or not, and nothing else is harmed.
    ///
    /// Before the first one of a table that is bound to no stream, the table is bound to this one (rule `binding`).
    pub(crate) async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), CheckpointError> {
        self.claim_table(&checkpoint).await?;
        self.command(|reply| Command::Checkpoint(checkpoint, reply)).await
    }

    pub(in crate::lease) async fn claim_table(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let mut rng = fastrand::Rng::with_seed(self.context.seed ^ self.epoch.0);
        for attempt in 0.. {
            if self.context.belonging.is_ours() {
                return Ok(());
            }
            let belonging = Arc::clone(&self.context.belonging);
            let error = match self.context.home.run(async move { belonging.claim().await }).await {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => error,
                None => return Err(self.lost(LostReason::Dropped)),
            };
            match error {
                ClaimError::Another(other) => {
                    return Err(CheckpointError::Refused {
                        lease: self.lease.key.clone(),
                        position: match checkpoint {
                            Checkpoint::At(position) => position.to_string(),
                            _ => "the end".to_owned(),
                        },
                        reason: other.to_string(),
                    });
                }
                ClaimError::Store(error) => error.log_for(&self.lease.key, "finding out whose the lease table is"),
                ClaimError::Stream(error) => error.log("finding out whose the lease table is"),
            }
            if let LeaseState::Lost(reason) = self.lease_state() {
                return Err(self.lost(reason));
            }
            tokio::time::sleep(pause(&mut rng, self.context.duration, attempt)).await;
        }
        Err(self.lost(LostReason::Expired))
    }

    /// Completes the hand-off that was asked for, or else makes the lease free. A finished lease stays ours.
    pub(crate) async fn release(&self) -> Result<(), CheckpointError> {
        self.command(Command::Release).await
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), CheckpointError>>) -> Command + Send,
    ) -> Result<(), CheckpointError> {
        let (reply, answer) = oneshot::channel();
        let commands = match &self.commands {
            Commands::Holding(commands) => Some(commands.clone()),
            Commands::LetGo(commands) => commands.upgrade(),
        };
        if let Some(commands) = commands
            && commands.send(command(reply)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        // The renewer ended, and it says why before it does.
        let reason = match self.lease_state() {
            LeaseState::Lost(reason) => reason,
            LeaseState::Held | LeaseState::Revoking { .. } => LostReason::Dropped,
        };
        Err(self.lost(reason))
    }
}

impl fmt::Debug for HeldLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease").field("key", &self.lease.key).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
