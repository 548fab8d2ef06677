//! What can go wrong between a worker and the services.

mod script;
mod weather;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::script::{EntryFaults, Injected, Leg, Plan, Script, SubscriptionFaults};
use self::script::{Lasts, Rule, What};
pub use self::weather::Weather;
use crate::refusal::{Refusal, Refused};
use crate::service::Service;
use crate::stream::panics;
use crate::worker::Worker;

/// One thing that goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request vanishes: no effect, no answer. Whoever set no timeout waits for ever.
    BlackHole,
    /// The request vanishes: no effect, no answer. Unlike in a [`BlackHole`](Self::BlackHole) the answer of a call that is
    /// under way gets through: a network that is cut in one direction.
    SilentRequest,
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
    /// Request and answer are each later by a time from this range, drawn from the worker's own seed for each call.
    Latency(RangeInclusive<Duration>),
    /// The service answers 500 `InternalFailureException` (DynamoDB: `InternalServerError`): no effect.
    ServerError,
    /// The service answers 503 `ServiceUnavailable`: no effect.
    Unavailable,
    /// The service refuses the whole call: `ProvisionedThroughputExceededException` where data is read or written,
    /// `LimitExceededException` elsewhere.
    Throttle,
    /// GetRecords answers `ExpiredIteratorException`. Other operations do not notice.
    ExpireIterator,
    /// The connection of a SubscribeToShard call breaks when so many events have come. Other operations do not notice.
    CutSubscription {
        /// Events that still come.
        after_events: usize,
    },
    /// As [`CutSubscription`](Self::CutSubscription), but half of the bytes of the next event still come.
    TearSubscription {
        /// Events that still come whole.
        after_events: usize,
    },
    /// After so many events nothing more comes of a SubscribeToShard call, not even its end. Other operations do not notice.
    SilenceSubscription {
        /// Events that still come.
        after_events: usize,
    },
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
    /// Each by itself with this chance out of a hundred, drawn from the worker's own seed.
    Percent(u8),
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
/// [`kinesis`](Self::kinesis) and [`dynamodb`](Self::dynamodb) narrow it to one service. An operation goes by the API's
/// name. One that the cloud does not have is a mistake of the test: the methods panic, their `try_` twins return the
/// [`Refused`].
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
    /// get no answer either. A subscription that loses an event in it stays silent for good, as a connection does that has
    /// lost bytes.
    pub fn black_hole(&self) {
        self.always(Fault::BlackHole);
    }

    /// From now on no request arrives, until [`heal`](Self::heal). Answers of calls that are under way still come back.
    pub fn cut_requests(&self) {
        self.always(Fault::SilentRequest);
    }

    /// From now on requests arrive and take effect, and no answer comes back, until [`heal`](Self::heal). Calls that are
    /// under way get no answer either.
    pub fn cut_answers(&self) {
        self.always(Fault::SilentAnswer);
    }

    /// From now on what happens to each call is drawn from `seed`, until [`heal`](Self::heal).
    ///
    /// The same seed gives the same worker's same calls the same faults, whatever other workers do.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kinesis_testkit::{Cloud, Fault, Weather};
    /// # let cloud = Cloud::new();
    /// let rough = Weather::calm()
    ///     .chance(0.02, Fault::LoseResponse)
    ///     .chance(0.01, Fault::ServerError)
    ///     .chance(0.30, Fault::Latency(Duration::ZERO..=Duration::from_millis(80)));
    /// cloud.faults("a").random(7, rough);
    /// ```
    pub fn random(&self, seed: u64, weather: Weather) {
        self.add(None, Lasts::Standing, weather.drawn_from(seed));
    }

    /// `fault` happens to every call that is made in this time, counted from the making of the cloud
    /// ([`Clock::elapsed`](crate::Clock::elapsed)).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use kinesis_testkit::{Cloud, Fault};
    /// # let cloud = Cloud::new();
    /// cloud.faults("a").during(Duration::from_secs(60)..Duration::from_secs(90), Fault::BlackHole);
    /// ```
    pub fn during(&self, time: Range<Duration>, fault: Fault) {
        self.add(None, Lasts::During(time), fault);
    }

    /// From now on `fault` happens to every call, beside what stands already.
    pub fn always(&self, fault: Fault) {
        self.add(None, Lasts::Standing, fault);
    }

    /// From now on `fault` happens to every call of `operation`, for example `"PutRecords"`.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn always_for(&self, operation: &str, fault: Fault) {
        self.try_always_for(operation, fault).unwrap_or_else(panics);
    }

    /// As [`always_for`](Self::always_for).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_always_for(&self, operation: &str, fault: Fault) -> Result<(), Refused> {
        self.check(operation)?;
        self.add(Some(operation), Lasts::Standing, fault);
        Ok(())
    }

    /// `fault` happens to the next call of `operation`. Several wait for one call each, in order.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn next(&self, operation: &str, fault: Fault) {
        self.try_next(operation, fault).unwrap_or_else(panics);
    }

    /// As [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_next(&self, operation: &str, fault: Fault) -> Result<(), Refused> {
        self.try_next_n(operation, 1, fault)
    }

    /// `fault` happens to each of the next `n` calls of `operation`.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn next_n(&self, operation: &str, n: usize, fault: Fault) {
        self.try_next_n(operation, n, fault).unwrap_or_else(panics);
    }

    /// As [`next_n`](Self::next_n).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_next_n(&self, operation: &str, n: usize, fault: Fault) -> Result<(), Refused> {
        self.check(operation)?;
        if n > 0 {
            self.add(Some(operation), Lasts::Calls(n), fault);
        }
        Ok(())
    }

    /// Takes everything back, what stands and what waits for a next call; narrowed to a service, what was asked for
    /// that service alone. A call that fell into a black hole stays there.
    pub fn heal(&self) {
        self.worker.script(|script| script.rules.retain(|rule| self.scope.is_some() && rule.scope != self.scope));
    }

    fn check(&self, operation: &str) -> Result<(), Refused> {
        let (known, of_whom) = match self.scope {
            Some(service @ Service::Kinesis) => (service.knows(operation), "Kinesis has no operation"),
            Some(service @ Service::DynamoDb) => (service.knows(operation), "DynamoDB has no operation"),
            None => (
                Service::Kinesis.knows(operation) || Service::DynamoDb.knows(operation),
                "neither Kinesis nor DynamoDB has an operation",
            ),
        };
        let refusal = || Refusal { message: format!("{of_whom} {operation}"), ..Refusal::unknown_operation(operation) };
        if known { Ok(()) } else { Err(Refused::of_worker(&self.worker.name, refusal())) }
    }

    fn add(&self, operation: Option<&str>, lasts: Lasts, what: impl Into<What>) {
        let what = what.into();
        let rule = Rule { scope: self.scope, operation: operation.map(str::to_owned), lasts, what };
        self.worker.script(|script| script.rules.push_back(rule));
    }
}
