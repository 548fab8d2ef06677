//! What a worker asked of the services, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::exchange::Digest;
use crate::service::Service;

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
    /// A hash of the answer's body, of a subscription's events as far as they have come; none when no answer came. Equal in
    /// all runs of one seed.
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
    /// No connection came up: it was refused, or the host's name was not found.
    NotConnected,
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
///
/// The log keeps the last 100 000 calls. Of those before them it knows how many there were: [`count`](Self::count) and
/// [`len`](Self::len) are of all calls, [`of`](Self::of) and [`iter`](Self::iter) give those kept, and
/// [`forgotten`](Self::forgotten) says how many these lack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calls {
    kept: Vec<Call>,
    /// Per operation, the calls that were made before those.
    forgotten: BTreeMap<String, usize>,
}

impl Calls {
    /// How many calls of `operation` were made.
    ///
    /// # Panics
    ///
    /// When neither service has such an operation and no such call was made: the answer would be 0 for ever.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).count() + self.forgotten.get(operation).copied().unwrap_or_default()
    }

    /// The calls of `operation`.
    ///
    /// # Panics
    ///
    /// When neither service has such an operation and no such call was made.
    pub fn of<'a>(&'a self, operation: &'a str) -> impl Iterator<Item = &'a Call> {
        let made =
            || self.forgotten.contains_key(operation) || self.kept.iter().any(|call| call.operation == operation);
        if let Err(refusal) = Service::either(operation) {
            assert!(made(), "{}", refusal.message);
        }
        self.kept.iter().filter(move |call| call.operation == operation)
    }

    /// All calls.
    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.kept.iter()
    }

    /// How many calls were made in all.
    pub fn len(&self) -> usize {
        self.kept.len() + self.forgotten()
    }

    /// Whether no call was made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many calls were made before the oldest that is kept.
    pub fn forgotten(&self) -> usize {
        self.forgotten.values().sum()
    }
}

/// The growing log behind [`Calls`]. Keeps the last [`KEPT`] calls.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: VecDeque<Call>,
    /// Number of the oldest call kept.
    first: u64,
    /// Per operation, the calls that had to make room.
    forgotten: BTreeMap<String, usize>,
}

impl CallLog {
    /// Returns the number under which the outcome is reported.
    pub(crate) fn begin(&mut self, at: Duration, order: u64, service: Service, operation: &str) -> u64 {
        if self.calls.len() == KEPT
            && let Some(oldest) = self.calls.pop_front()
        {
            *self.forgotten.entry(oldest.operation).or_default() += 1;
            self.first += 1;
        }
        let (operation, outcome) = (operation.to_owned(), Outcome::Waiting);
        self.calls.push_back(Call { at, service, operation, outcome, answer: None, order });
        self.first + self.calls.len() as u64 - 1
    }

    pub(crate) fn end(&mut self, number: u64, outcome: Outcome, answer: Option<Digest>) {
        let Some(call) = self.kept(number) else { return };
        call.outcome = outcome;
        call.answer = answer.map(|Digest(hash)| hash);
    }

    /// A subscription that was answered has broken, or fallen silent.
    pub(crate) fn broke_off(&mut self, number: u64, outcome: Outcome) {
        let Some(call) = self.kept(number) else { return };
        call.outcome = outcome;
    }

    /// Of a subscription these bytes have come.
    pub(crate) fn heard(&mut self, number: u64, bytes: &[u8]) {
        let Some(call) = self.kept(number) else { return };
        call.answer = Some(Digest::after(call.answer.map(Digest), bytes).0);
    }

    fn kept(&mut self, number: u64) -> Option<&mut Call> {
        self.calls.get_mut(number.checked_sub(self.first)? as usize)
    }

    pub(crate) fn snapshot(&self) -> Calls {
        Calls { kept: self.calls.iter().cloned().collect(), forgotten: self.forgotten.clone() }
    }

    pub(crate) fn clear(&mut self) {
        self.first += self.calls.len() as u64;
        self.calls.clear();
        self.forgotten.clear();
    }
}

/// A simulated day of a busy worker; about 10 MB.
const KEPT: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_forgets_the_oldest_calls_and_counts_them() {
        let mut log = CallLog::default();
        let mut begin = |n: u64, operation| log.begin(Duration::from_secs(n), n, Service::Kinesis, operation);
        let numbers = [begin(0, "CreateStream"), begin(1, "PutRecord")];
        (2..2 + KEPT as u64).for_each(|n| _ = begin(n, "PutRecord"));
        numbers.into_iter().for_each(|forgotten| log.end(forgotten, Outcome::Answered, None));
        let calls = log.snapshot();
        assert_eq!((calls.len(), calls.iter().count(), calls.forgotten()), (KEPT + 2, KEPT, 2));
        assert_eq!((calls.count("PutRecord"), calls.of("PutRecord").count()), (KEPT + 1, KEPT));
        assert_eq!((calls.count("CreateStream"), calls.of("CreateStream").count()), (1, 0));
        assert!(calls.iter().all(|call| call.outcome == Outcome::Waiting), "an outcome went to another call");
        log.clear();
        assert_eq!(log.snapshot(), Calls::default());
    }
}
