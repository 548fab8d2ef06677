//! The life of a shard in a worker's hands, as a state.

use crate::clock::Tick;
use crate::lease::holder::held::LeaseState;

/// What the shard is doing. In the order of its life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Nothing is read before the parents are finished (C4).
    WaitingOnParents,
    /// Batches are read and handed out.
    Reading,
    /// Everything has been handed out; it is for the processor to finish, and to complete the shard.
    Ended,
    /// The processor was told to finish by then and to release the shard. Nothing more is handed out.
    Revoking { deadline: Tick },
    /// Nothing more comes: the lease is lost, released or finished, or reading failed for good.
    Closed,
}

/// What happens to a shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// All parents are finished or gone.
    ParentsDone,
    /// A batch was read.
    Batch,
    /// The reader has reached the end of the shard.
    End,
    /// The reader cannot go on.
    Failed,
    /// The worker's hold on the lease has changed.
    LeaseState(LeaseState),
    /// The processor released the shard.
    Released,
}

/// What the processor gets to see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// Nothing yet.
    Nothing,
    /// The batch just read.
    Batch,
    /// The end of the shard.
    Ended,
    /// The wish to have the shard back.
    Revoking { deadline: Tick },
    /// Why reading cannot go on.
    Failed,
}

impl State {
    pub(crate) const fn start() -> Self {
        Self::WaitingOnParents
    }

    /// Whether nothing more is told to the processor.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Ended | Self::Closed)
    }

    /// Takes an event in. Events that come too late for the state change nothing.
    pub(crate) fn on(&mut self, input: &Input) -> Output {
        let (next, output) = match (&*self, input) {
            (Self::Closed, _) => return Output::Nothing,
            (_, Input::LeaseState(LeaseState::Lost(_)) | Input::Released) => (Self::Closed, Output::Nothing),
            // A shard that is at its end is completed, not handed over: who takes it next would find nothing.
            (Self::Ended, _) => return Output::Nothing,
            (Self::Revoking { deadline: known }, Input::LeaseState(LeaseState::Revoking { deadline }))
                if known != deadline =>
            {
                (Self::Revoking { deadline: *deadline }, Output::Nothing)
            }
            (Self::Revoking { .. }, _) => return Output::Nothing,
            (Self::WaitingOnParents | Self::Reading, Input::LeaseState(LeaseState::Revoking { deadline })) => {
                (Self::Revoking { deadline: *deadline }, Output::Revoking { deadline: *deadline })
            }
            (Self::WaitingOnParents, Input::ParentsDone) => (Self::Reading, Output::Nothing),
            (Self::Reading, Input::Batch) => (Self::Reading, Output::Batch),
            (Self::Reading, Input::End) => (Self::Ended, Output::Ended),
            (Self::Reading, Input::Failed) => (Self::Closed, Output::Failed),
            (Self::WaitingOnParents | Self::Reading, _) => return Output::Nothing,
        };
        *self = next;
        output
    }
}

#[cfg(test)]
mod tests;
