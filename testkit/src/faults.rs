//! What can go wrong between a worker and the services.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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
    /// The service answers 500 `InternalFailure` (DynamoDB: `InternalServerError`): no effect.
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

    /// From now on no request arrives and no answer comes back, until [`heal`](Self::heal). Calls that are under way get no answer either.
    pub fn black_hole(&self) {
        self.always(Fault::BlackHole);
    }

    /// From now on `fault` happens to every call, beside what stands already.
    pub fn always(&self, fault: Fault) {
        self.add(None, None, fault);
    }

    /// From now on `fault` happens to every call of `operation`, for example `"PutRecords"`.
    pub fn always_for(&self, operation: &str, fault: Fault) {
        self.add(Some(operation), None, fault);
    }

    /// `fault` happens to the next call of `operation`. Several wait for one call each, in order.
    pub fn next(&self, operation: &str, fault: Fault) {
        self.next_n(operation, 1, fault);
    }

    /// `fault` happens to each of the next `n` calls of `operation`.
    pub fn next_n(&self, operation: &str, n: usize, fault: Fault) {
        for _ in 0..n {
            self.add(Some(operation), Some(()), fault.clone());
        }
    }

    /// Takes everything back, what stands and what waits for a next call. A call that fell into a black hole stays there.
    pub fn heal(&self) {
        self.worker.script(|script| script.rules.retain(|rule| self.scope.is_some() && rule.scope != self.scope));
    }

    fn add(&self, operation: Option<&str>, once: Option<()>, fault: Fault) {
        let rule = Rule { scope: self.scope, operation: operation.map(str::to_owned), once: once.is_some(), fault };
        self.worker.script(|script| script.rules.push_back(rule));
    }
}

/// All that is to go wrong for one worker, in the order it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: VecDeque<Rule>,
}

#[derive(Debug)]
struct Rule {
    scope: Option<Service>,
    operation: Option<String>,
    once: bool,
    fault: Fault,
}

impl Rule {
    fn matches(&self, service: Service, operation: &str) -> bool {
        self.scope.is_none_or(|scope| scope == service) && self.operation.as_deref().is_none_or(|own| own == operation)
    }
}

impl Script {
    /// What happens to this call: all that stands, and the first that waits for it.
    pub(crate) fn plan(&mut self, service: Service, operation: &str) -> Plan {
        let mut plan = Plan::default();
        for rule in self.rules.iter().filter(|rule| !rule.once && rule.matches(service, operation)) {
            plan.add(&rule.fault);
        }
        let next = self.rules.iter().position(|rule| rule.once && rule.matches(service, operation));
        if let Some(rule) = next.and_then(|at| self.rules.remove(at)) {
            plan.add(&rule.fault);
        }
        plan
    }

    /// Whether an answer that arrives now still gets through.
    pub(crate) fn is_black_hole(&self, service: Service, operation: &str) -> bool {
        self.rules.iter().any(|rule| !rule.once && rule.fault == Fault::BlackHole && rule.matches(service, operation))
    }
}

/// What happens to one call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) request: Leg,
    pub(crate) request_delay: Duration,
    pub(crate) refusal: Option<Injected>,
    pub(crate) entries: EntryFaults,
    pub(crate) response: Leg,
    pub(crate) response_delay: Duration,
}

/// One way of a call.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    #[default]
    Arrives,
    /// The connection breaks.
    Breaks,
    /// Nothing is heard of it.
    Vanishes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Injected {
    ServerError,
    Unavailable,
    Throttle,
}

impl Plan {
    /// The worst that was asked for a leg wins, delays add up, and the first refusal stays.
    fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::BlackHole => self.request = Leg::Vanishes,
            Fault::SilentAnswer => self.response = Leg::Vanishes,
            Fault::LoseRequest if self.request == Leg::Arrives => self.request = Leg::Breaks,
            Fault::LoseResponse if self.response == Leg::Arrives => self.response = Leg::Breaks,
            Fault::LoseRequest | Fault::LoseResponse => {}
            Fault::DelayRequest(by) => self.request_delay += *by,
            Fault::DelayResponse(by) => self.response_delay += *by,
            Fault::ServerError => _ = self.refusal.get_or_insert(Injected::ServerError),
            Fault::Unavailable => _ = self.refusal.get_or_insert(Injected::Unavailable),
            Fault::Throttle => _ = self.refusal.get_or_insert(Injected::Throttle),
            Fault::FailEntries(entries, error) => self.entries.0.push((entries.clone(), *error)),
        }
    }
}

/// The entries of one PutRecords call that are to fail.
#[derive(Debug, Default, Clone)]
pub(crate) struct EntryFaults(Vec<(Entries, EntryError)>);

impl EntryFaults {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn for_entry(&self, index: usize, partition_key: &str, shard: &str) -> Option<EntryError> {
        let hit = |entries: &Entries| match entries {
            Entries::All => true,
            Entries::At(places) => places.contains(&index),
            Entries::WithKey(key) => key == partition_key,
            Entries::OnShard(id) => id == shard,
        };
        self.0.iter().find(|(entries, _)| hit(entries)).map(|(_, error)| *error)
    }
}
