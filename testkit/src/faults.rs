//! What can go wrong between a worker and the services.

mod injection;
mod script;
mod weather;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

pub use self::injection::Injection;
pub(crate) use self::script::{After, EntryFaults, Injected, Leg, Plan, Script, SubscriptionFaults};
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
    /// The answer arrives this much later; the effect is there already. So does each event of a subscription, in order.
    DelayResponse(Duration),
    /// Request and answer are each later by a time from this range, drawn from the worker's own seed for each call. The
    /// events of a subscription are late by the time of its answer.
    Latency(RangeInclusive<Duration>),
    /// The service answers 500 `InternalFailureException` (DynamoDB: `InternalServerError`): no effect.
    ServerError,
    /// The service answers 503 `ServiceUnavailable`: no effect.
    Unavailable,
    /// The service refuses the whole call: `ProvisionedThroughputExceededException` where data is read or written,
    /// elsewhere `LimitExceededException` (DynamoDB: `ThrottlingException`, as its developer guide has it for the control
    /// plane).
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

impl Fault {
    /// The only operation that it can strike, if there is but one.
    fn operation(&self) -> Option<&'static str> {
        match self {
            Self::ExpireIterator => Some("GetRecords"),
            Self::CutSubscription { .. } | Self::TearSubscription { .. } | Self::SilenceSubscription { .. } => {
                Some("SubscribeToShard")
            }
            Self::FailEntries(..) => Some("PutRecords"),
            _ => None,
        }
    }

    fn fits(&self, operation: &str) -> bool {
        self.operation().is_none_or(|own| own == operation)
    }

    /// What is wrong with it, whatever it is asked for.
    fn check(&self) -> Result<(), String> {
        match self {
            Self::FailEntries(Entries::Percent(percent), _) if *percent > 100 => {
                Err(format!("a chance is at most 100 out of a hundred, not {percent}"))
            }
            _ => Ok(()),
        }
    }
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
    /// Each by itself with this chance out of a hundred, drawn from the worker's own seed. More than 100 is refused.
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
/// name. One that the cloud does not have is a mistake of the test, and so is a fault that cannot strike the operation or the
/// service: the methods panic, their `try_` twins return the [`Refused`].
///
/// A worker may be given its faults before it connects. So a name that is misspelt here is found at the end only: by
/// [`Cloud::unused_faults`](crate::Cloud::unused_faults), or by the [`Injection`], which says whether the fault has struck.
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
    pub fn black_hole(&self) -> Injection {
        self.always(Fault::BlackHole)
    }

    /// From now on no request arrives, until [`heal`](Self::heal). Answers of calls that are under way still come back.
    pub fn cut_requests(&self) -> Injection {
        self.always(Fault::SilentRequest)
    }

    /// From now on requests arrive and take effect, and no answer comes back, until [`heal`](Self::heal). Calls that are
    /// under way get no answer either.
    pub fn cut_answers(&self) -> Injection {
        self.always(Fault::SilentAnswer)
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
    ///
    /// # Panics
    ///
    /// When one of the faults cannot strike the service that this is narrowed to.
    pub fn random(&self, seed: u64, weather: Weather) -> Injection {
        self.try_random(seed, weather).unwrap_or_else(panics)
    }

    /// As [`random`](Self::random).
    ///
    /// # Errors
    ///
    /// When one of the faults cannot strike the service that this is narrowed to.
    pub fn try_random(&self, seed: u64, weather: Weather) -> Result<Injection, Refused> {
        weather.faults().try_for_each(|fault| self.check(None, fault))?;
        Ok(self.add(None, Lasts::Standing, weather.drawn_from(seed)))
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
    ///
    /// # Panics
    ///
    /// When the fault is not possible, or cannot strike the service that this is narrowed to.
    pub fn during(&self, time: Range<Duration>, fault: Fault) -> Injection {
        self.try_during(time, fault).unwrap_or_else(panics)
    }

    /// As [`during`](Self::during).
    ///
    /// # Errors
    ///
    /// When the fault is not possible, or cannot strike the service that this is narrowed to.
    pub fn try_during(&self, time: Range<Duration>, fault: Fault) -> Result<Injection, Refused> {
        self.check(None, &fault)?;
        Ok(self.add(None, Lasts::During(time), fault))
    }

    /// From now on `fault` happens to every call that it can strike, beside what stands already.
    ///
    /// # Panics
    ///
    /// When the fault is not possible, or cannot strike the service that this is narrowed to.
    pub fn always(&self, fault: Fault) -> Injection {
        self.try_always(fault).unwrap_or_else(panics)
    }

    /// As [`always`](Self::always).
    ///
    /// # Errors
    ///
    /// When the fault is not possible, or cannot strike the service that this is narrowed to.
    pub fn try_always(&self, fault: Fault) -> Result<Injection, Refused> {
        self.check(None, &fault)?;
        Ok(self.add(None, Lasts::Standing, fault))
    }

    /// From now on `fault` happens to every call of `operation`, for example `"PutRecords"`.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn always_for(&self, operation: &str, fault: Fault) -> Injection {
        self.try_always_for(operation, fault).unwrap_or_else(panics)
    }

    /// As [`always_for`](Self::always_for).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_always_for(&self, operation: &str, fault: Fault) -> Result<Injection, Refused> {
        self.check(Some(operation), &fault)?;
        Ok(self.add(Some(operation), Lasts::Standing, fault))
    }

    /// `fault` happens to the next call of `operation`. Several wait for one call each, in order.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn next(&self, operation: &str, fault: Fault) -> Injection {
        self.try_next(operation, fault).unwrap_or_else(panics)
    }

    /// As [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_next(&self, operation: &str, fault: Fault) -> Result<Injection, Refused> {
        self.try_next_n(operation, 1, fault)
    }

    /// `fault` happens to each of the next `n` calls of `operation`.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn next_n(&self, operation: &str, n: usize, fault: Fault) -> Injection {
        self.try_next_n(operation, n, fault).unwrap_or_else(panics)
    }

    /// As [`next_n`](Self::next_n).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_next_n(&self, operation: &str, n: usize, fault: Fault) -> Result<Injection, Refused> {
        self.check(Some(operation), &fault)?;
        Ok(self.add(Some(operation), Lasts::Calls(n), fault))
    }

    /// Takes everything back, what stands and what waits for a next call; narrowed to a service, what was asked for
    /// that service alone. A call that fell into a black hole stays there.
    pub fn heal(&self) {
        self.worker.script(|script| script.retain(|rule| self.scope.is_some() && rule.scope != self.scope));
    }

    fn check(&self, operation: Option<&str>, fault: &Fault) -> Result<(), Refused> {
        operation.map_or(Ok(()), |operation| self.check_operation(operation))?;
        let impossible = |message| Refused::of_worker(&self.worker.name, Refusal::impossible(message));
        fault.check().map_err(impossible)?;
        let Some(own) = fault.operation() else { return Ok(()) };
        match (operation, self.scope) {
            (Some(other), _) if other != own => {
                Err(impossible(format!("{fault:?} strikes {own} alone, never {other}")))
            }
            (_, Some(Service::DynamoDb)) => Err(impossible(format!("{fault:?} strikes {own} alone, never DynamoDB"))),
            _ => Ok(()),
        }
    }

    fn check_operation(&self, operation: &str) -> Result<(), Refused> {
        let known = match self.scope {
            Some(service) if !service.knows(operation) => Err(service.unknown(operation)),
            Some(_) => Ok(()),
            None => Service::either(operation),
        };
        known.map_err(|refusal| Refused::of_worker(&self.worker.name, refusal))
    }

    fn add(&self, operation: Option<&str>, lasts: Lasts, what: impl Into<What>) -> Injection {
        let what = what.into();
        let of = operation.map(str::to_owned).or_else(|| Some(format!("{:?}", self.scope?)));
        let calls = of.map_or_else(|| lasts.to_string(), |of| format!("{lasts} {of}"));
        let injection = Injection::new(format!("{calls}: {what}"));
        if lasts != Lasts::Calls(0) {
            let (scope, operation) = (self.scope, operation.map(str::to_owned));
            let rule = Rule { scope, operation, lasts, what, injection: injection.clone() };
            self.worker.script(|script| script.rules.push_back(rule));
        }
        injection
    }
}
