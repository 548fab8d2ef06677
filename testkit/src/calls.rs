//! What a worker asked of the services, and what came of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::service::{Digest, Service};

/// One attempt of a worker's SDK client to reach a service. A retry is a call of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// When it was made, counted from the making of the cloud.
    pub at: Duration,
    /// Which service it went to.
    pub service: Service,
    /// The operation, for example `"PutRecords"`.
    pub operation: String,
    /// What came of it.
    pub outcome: Outcome,
    /// A hash of the answer's body; none when no answer came or it is a stream of events. Equal in all runs of one seed.
    pub answer: Option<u64>,
    /// Its place among all calls to the cloud.
    pub(crate) order: u64,
}

impl Call {
    /// One line of a trace.
    pub(crate) fn trace(&self, worker: &str) -> String {
        let Self { at, operation, outcome, answer, .. } = self;
        let answer = answer.map_or_else(|| "-".to_owned(), |hash| format!("{hash:016x}"));
        format!("{}.{:09} {worker} {operation} {outcome:?} {answer}\n", at.as_secs(), at.subsec_nanos())
    }
}

/// What became of a call, as the worker saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not answered yet.
    Waiting,
    /// The worker stopped waiting: its own timeout, or its task is gone.
    GivenUp,
    /// The connector's connect or read timeout ended it.
    TimedOut,
    /// The connection broke before the service had the request.
    RequestLost,
    /// The connection broke after the call had taken effect.
    ResponseLost,
    /// The service refused, with this error code.
    Refused(String),
    /// The service answered, and the connection broke while the events of a subscription came.
    StreamBroken,
    /// The service answered, and events of a subscription were lost: from then on nothing came.
    StreamSilent,
    /// The service answered. Entries of a PutRecords call may have failed all the same.
    Answered,
}

/// The calls of one worker, oldest first: a copy made when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls(pub(crate) Vec<Call>);

impl Calls {
    /// How many calls of `operation` were made.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).count()
    }

    /// The calls of `operation`.
    pub fn of<'a>(&'a self, operation: &'a str) -> impl Iterator<Item = &'a Call> {
        self.0.iter().filter(move |call| call.operation == operation)
    }

    /// All calls.
    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.0.iter()
    }

    /// How many calls were made in all.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no call was made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The growing log behind [`Calls`]. Keeps the last [`KEPT`] calls.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: VecDeque<Call>,
    /// Number of the oldest call kept.
    first: u64,
}

impl CallLog {
    /// Returns the number under which the outcome is reported.
    pub(crate) fn begin(&mut self, at: Duration, order: u64, service: Service, operation: &str) -> u64 {
        if self.calls.len() == KEPT {
            self.calls.pop_front();
            self.first += 1;
        }
        let (operation, outcome) = (operation.to_owned(), Outcome::Waiting);
        self.calls.push_back(Call { at, service, operation, outcome, answer: None, order });
        self.first + self.calls.len() as u64 - 1
    }

    pub(crate) fn end(&mut self, number: u64, outcome: Outcome, answer: Option<Digest>) {
        let Some(place) = number.checked_sub(self.first) else { return };
        if let Some(call) = self.calls.get_mut(place as usize) {
            call.outcome = outcome;
            call.answer = answer.map(|Digest(hash)| hash);
        }
    }

    pub(crate) fn snapshot(&self) -> Calls {
        Calls(self.calls.iter().cloned().collect())
    }

    pub(crate) fn clear(&mut self) {
        self.first += self.calls.len() as u64;
        self.calls.clear();
    }
}

/// A simulated day of a busy worker; about 10 MB.
const KEPT: usize = 100_000;
