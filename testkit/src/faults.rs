//! What can go wrong between a worker and the services.

mod script;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::script::{EntryFaults, Injected, Leg, Plan, Script};
use self::script::{Lasts, Rule};
use crate::service::Service;
use crate::worker::Worker;

/// One thing that goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request vanishes: no effect, no answer. Whoever set no timeout waits for ever.
    BlackHole,
    /// The call takes effect, the answer vanishes: the caller waits until its own timeout.
    SilentAnswer,
    /// The connection breaks before the service has the request: no effect, an error at once.
    LoseRequest,
    /// The connection breaks before the answer arrives: the effect is there, the caller gets an error at once.
    LoseResponse,
    /// The request arrives this much later. It takes effect then, even if the caller gave up meanwhile.
    DelayRequest(Duration),
    /// The answer arrives this much later; the effect is there already.
    DelayResponse(Duration),
    /// The service answers 500 `InternalFailureException` (DynamoDB: `InternalServerError`): no effect.
    ServerError,
    /// The service answers 503 `ServiceUnavailable`: no effect.
    Unavailable,
    /// The service refuses the whole call: `ProvisionedThroughputExceededException` where data is read or written,
    /// `LimitExceededException` elsewhere.
    Throttle,
    /// These entries of a PutRecords call fail, the others are written. Other operations do not notice.
    FailEntries(Entries, EntryError),
}

/// Entries of a PutRecords call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entries {
    /// All of them.
    All,
    /// Those at these places in the request, from 0.
    At(Vec<usize>),
    /// Those with this partition key.
    WithKey(String),
    /// Those that would be written to this shard.
    OnShard(String),
}

/// How an entry of a PutRecords call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// `ProvisionedThroughputExceededException`.
    Throttled,
    /// `InternalFailure`.
    InternalFailure,
}

/// The network of one worker: what stands until it is healed, and what happens to the next calls.
///
/// [`kinesis`](Self::kinesis) and [`dynamodb`](Self::dynamodb) narrow it to one service.
#[derive(Debug, Clone)]
#[must_use = "does nothing until one of its methods is called"]
pub struct Faults {
    pub(crate) worker: Arc<Worker>,
    pub(crate) scope: Option<Service>,
}

impl Faults {
    /// Only calls to Kinesis.
    pub fn kinesis(self) -> Self {
        Self { scope: Some(Service::Kinesis), ..self }
    }

    /// Only calls to DynamoDB.
    pub fn dynamodb(self) -> Self {
        Self { scope: Some(Service::DynamoDb), ..self }
    }

    /// From now on no request arrives and no answer comes back, until [`heal`](Self::heal). Calls that are under way
    /// get no answer either.
    pub fn black_hole(&self) {
        self.always(Fault::BlackHole);
    }

    /// From now on `fault` happens to every call, beside what stands already.
    pub fn always(&self, fault: Fault) {
        self.add(None, Lasts::Standing, fault);
    }

    /// From now on `fault` happens to every call of `operation`, for example `"PutRecords"`.
    pub fn always_for(&self, operation: &str, fault: Fault) {
        self.add(Some(operation), Lasts::Standing, fault);
    }

    /// `fault` happens to the next call of `operation`. Several wait for one call each, in order.
    pub fn next(&self, operation: &str, fault: Fault) {
        self.next_n(operation, 1, fault);
    }

    /// `fault` happens to each of the next `n` calls of `operation`.
    pub fn next_n(&self, operation: &str, n: usize, fault: Fault) {
        for _ in 0..n {
            self.add(Some(operation), Lasts::OneCall, fault.clone());
        }
    }

    /// Takes everything back, what stands and what waits for a next call; narrowed to a service, what was asked for
    /// that service alone. A call that fell into a black hole stays there.
    pub fn heal(&self) {
        self.worker.script(|script| script.rules.retain(|rule| self.scope.is_some() && rule.scope != self.scope));
    }

    fn add(&self, operation: Option<&str>, lasts: Lasts, fault: Fault) {
        let rule = Rule { scope: self.scope, operation: operation.map(str::to_owned), lasts, fault };
        self.worker.script(|script| script.rules.push_back(rule));
    }
}
