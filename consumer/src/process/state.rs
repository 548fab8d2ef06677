//! The state of a shard that a worker holds.

use crate::clock::Tick;
use crate::lease::holder::held::LeaseState;

/// What the shard is doing, in the order of its life cycle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Nothing is read before the parents are finished (C4).
    WaitingOnParents,
    /// Batches are read and delivered.
    Reading,
    /// Everything has been delivered; the processor must finish, and complete the shard.
    Ended,
    /// The processor was told to finish and release the shard by the deadline. Nothing more is delivered.
    Revoking { deadline: Tick },
    /// Nothing more comes: the lease is lost, released or finished, or reading failed for good.
    Closed,
}

/// An input of the state.
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
    /// The lease state has changed.
    LeaseState(LeaseState),
    /// The processor released the shard.
    Released,
}

/// What the processor sees of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// No event.
    Nothing,
    /// The batch just read.
    Batch,
    /// The end of the shard.
    Ended,
    /// The request to release the shard by the deadline.
    Revoking { deadline: Tick },
    /// The error that ended reading.
    Failed,
}

impl State {
    pub(crate) const fn start() -> Self {
        Self::WaitingOnParents
    }

    /// Returns `true` if the processor receives no more events.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::Ended | Self::Closed)
    }

    /// Applies an input. Inputs that come too late for the state change nothing.
    pub(crate) fn on(&mut self, input: &Input) -> Output {
        let (next, output) = match (&*self, input) {
            (Self::Closed, _) => return Output::Nothing,
            (_, Input::LeaseState(LeaseState::Lost(_)) | Input::Released) => (Self::Closed, Output::Nothing),
            // A shard at its end is completed, not handed over: the next owner would find nothing.
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
