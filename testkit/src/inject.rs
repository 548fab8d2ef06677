//! What a test asks to go wrong between one worker and the services.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::faults::{Fault, Injection, Lasts, Rule, Weather, What};
use crate::refusal::{Refusal, Refused, panics};
use crate::service::Service;
use crate::worker::Worker;

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

    /// `fault` happens to every call of `operation` that is made in this time, counted from the making of the cloud.
    ///
    /// # Panics
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not: the fault would never strike.
    pub fn during_for(&self, operation: &str, time: Range<Duration>, fault: Fault) -> Injection {
        self.try_during_for(operation, time, fault).unwrap_or_else(panics)
    }

    /// As [`during_for`](Self::during_for).
    ///
    /// # Errors
    ///
    /// When the cloud has no such operation, or the service it is narrowed to has not.
    pub fn try_during_for(&self, operation: &str, time: Range<Duration>, fault: Fault) -> Result<Injection, Refused> {
        self.check(Some(operation), &fault)?;
        Ok(self.add(Some(operation), Lasts::During(time), fault))
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
        if fault.is_of_credentials() && (operation.is_some() || self.scope.is_some()) {
            return Err(impossible(format!("{fault:?} strikes the worker, never one operation or service")));
        }
        let Some(own) = fault.operations() else { return Ok(()) };
        let alone = own.join(", ");
        match (operation, self.scope) {
            (Some(other), _) if !own.contains(&other) => {
                Err(impossible(format!("{fault:?} strikes {alone} alone, never {other}")))
            }
            (_, Some(Service::DynamoDb)) => Err(impossible(format!("{fault:?} strikes {alone} alone, never DynamoDB"))),
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
