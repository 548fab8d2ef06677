//! From what was asked for to what happens to one call.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::weather::Drawn;
use super::{Fault, Injection, ModelFaults};
use crate::service::Service;

/// All that is to go wrong for one worker, in the order it was asked for.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) rules: VecDeque<Rule>,
    /// What is no rule any more, and had struck nothing when it went. It may strike yet: its call is under way.
    pub(super) gone: VecDeque<Injection>,
    /// For what the faults themselves leave to chance.
    pub(crate) rng: fastrand::Rng,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) scope: Option<Service>,
    pub(crate) operation: Option<String>,
    pub(crate) lasts: Lasts,
    pub(crate) what: What,
    pub(crate) injection: Injection,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// For so many calls that it fits, the next ones.
    Calls(usize),
    /// For calls made in this time since the making of the cloud.
    During(Range<Duration>),
    /// Until it is healed.
    Standing,
}

#[derive(Debug)]
pub(crate) enum What {
    Fault(Fault),
    Drawn(Drawn),
}

impl fmt::Display for Lasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(1) => f.write_str("next"),
            Self::Calls(n) => write!(f, "next {n}"),
            Self::During(time) => write!(f, "during {time:?}"),
            Self::Standing => f.write_str("always"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault:?}"),
            Self::Drawn(drawn) => write!(f, "{:?}", drawn.weather()),
        }
    }
}

impl From<Fault> for What {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Drawn> for What {
    fn from(drawn: Drawn) -> Self {
        Self::Drawn(drawn)
    }
}

impl Rule {
    fn matches(&self, service: Service, operation: &str) -> bool {
        self.scope.is_none_or(|scope| scope == service) && self.operation.as_deref().is_none_or(|own| own == operation)
    }

    /// Holds for all calls now, not only for one.
    fn stands(&self, now: Duration) -> bool {
        match &self.lasts {
            Lasts::Calls(_) => false,
            Lasts::During(time) => time.contains(&now),
            Lasts::Standing => true,
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        matches!(&self.lasts, Lasts::During(time) if time.end <= now)
    }
}

impl Script {
    /// A script whose chance comes from the cloud's seed and the worker's name.
    pub(crate) fn of(seed: u64, worker: &str) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let salt = worker.bytes().fold(rng.u64(..), |salt, byte| (salt ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        Self { rng: fastrand::Rng::with_seed(salt), ..Self::default() }
    }

    /// What happens to this call: all that stands, and the first that waits for it. `now` counts from the making of the
    /// cloud.
    pub(crate) fn plan(&mut self, service: Service, operation: &str, now: Duration) -> Plan {
        let mut plan = Plan::default();
        self.retain(|rule| !rule.is_over(now));
        for rule in self.rules.iter_mut().filter(|rule| rule.matches(service, operation) && rule.stands(now)) {
            match &mut rule.what {
                What::Fault(fault) => plan.add(fault, operation, &rule.injection, &mut self.rng),
                What::Drawn(drawn) => {
                    let (faults, mut rng) = drawn.next();
                    faults.iter().for_each(|fault| plan.add(fault, operation, &rule.injection, &mut rng));
                }
            }
        }
        let waits = |rule: &Rule| matches!(rule.lasts, Lasts::Calls(_)) && rule.matches(service, operation);
        if let Some(at) = self.rules.iter().position(waits) {
            let rule = &mut self.rules[at];
            if let What::Fault(fault) = &rule.what {
                plan.add(fault, operation, &rule.injection, &mut self.rng);
            }
            match &mut rule.lasts {
                Lasts::Calls(left) if *left > 1 => *left -= 1,
                _ => {
                    let rule = self.rules.remove(at);
                    rule.into_iter().for_each(|rule| self.bury(rule.injection));
                }
            }
        }
        plan
    }

    /// Takes back the rules that are not to stay.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Rule) -> bool) {
        if self.rules.iter().all(&stays) {
            return;
        }
        for rule in std::mem::take(&mut self.rules) {
            if stays(&rule) {
                self.rules.push_back(rule);
            } else {
                self.bury(rule.injection);
            }
        }
    }

    fn bury(&mut self, injection: Injection) {
        while self.gone.front().is_some_and(|oldest| oldest.struck() > 0) {
            self.gone.pop_front();
        }
        if injection.struck() == 0 {
            self.gone.push_back(injection);
        }
    }

    /// What was asked for and has struck no call.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &Injection> {
        let all = self.gone.iter().chain(self.rules.iter().map(|rule| &rule.injection));
        all.filter(|injection| injection.struck() == 0)
    }

    /// What befalls the worker when it asks for its credentials now; if it does, that has happened.
    pub(crate) fn credentials(&self, now: Duration) -> Option<Fault> {
        self.rules.iter().filter(|rule| rule.stands(now)).find_map(|rule| match &rule.what {
            What::Fault(fault) if fault.is_of_credentials() => {
                rule.injection.strike();
                Some(fault.clone())
            }
            _ => None,
        })
    }

    /// Whether an answer that arrives now is lost for good, whatever was planned for its call.
    pub(crate) fn swallows_answers(&self, service: Service, operation: &str, now: Duration) -> bool {
        let standing = self.rules.iter().filter(|rule| rule.matches(service, operation) && rule.stands(now));
        let swallowing =
            standing.filter(|rule| matches!(rule.what, What::Fault(Fault::BlackHole | Fault::SilentAnswer)));
        swallowing.inspect(|rule| rule.injection.strike()).count() > 0
    }
}

impl Default for Script {
    fn default() -> Self {
        Self { rules: VecDeque::new(), gone: VecDeque::new(), rng: fastrand::Rng::with_seed(0) }
    }
}

/// What happens to one call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) connect: Connect,
    pub(crate) request: Leg,
    pub(crate) request_delay: Duration,
    pub(crate) refusal: Option<Injected>,
    pub(crate) model: ModelFaults,
    pub(crate) response: Leg,
    pub(crate) response_delay: Duration,
    pub(crate) subscription: SubscriptionFaults,
    /// What strikes when the request has arrived.
    arriving: Vec<Injection>,
}

/// After how many events an open subscription is cut, cut within the next event, or falls silent.
#[derive(Debug, Default, Clone)]
pub(crate) struct SubscriptionFaults {
    pub(crate) cut: Option<After>,
    pub(crate) torn: Option<After>,
    pub(crate) silent: Option<After>,
}

#[derive(Debug, Clone)]
pub(crate) struct After {
    events: usize,
    injection: Injection,
}

impl After {
    /// Whether it strikes after so many events; if so, that has happened.
    pub(crate) fn strikes(after: Option<&Self>, events: usize) -> bool {
        let due = after.filter(|after| after.events == events);
        due.iter().for_each(|after| after.injection.strike());
        due.is_some()
    }
}

/// The earlier of what was asked for already and what is asked for now.
fn soonest(asked: &mut Option<After>, events: usize, injection: &Injection) {
    if asked.as_ref().is_none_or(|already| events < already.events) {
        *asked = Some(After { events, injection: injection.clone() });
    }
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

/// How a call gets its connection. In order of what wins.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Connect {
    /// From those that are open, or anew.
    #[default]
    Comes,
    /// Open ones are gone, and the host does not take a new one.
    Refused,
    /// Open ones are gone, and the host's name is not found.
    HostNotFound,
    /// Open ones are gone, and nobody answers.
    Hangs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Injected {
    ServerError,
    Unavailable,
    Throttle,
    ExpireIterator,
    Refuse { code: String, message: Option<String> },
}

impl Plan {
    /// The worst that was asked for a leg wins, delays add up, and the first refusal stays.
    fn add(&mut self, fault: &Fault, operation: &str, injection: &Injection, rng: &mut fastrand::Rng) {
        if !fault.fits(operation) {
            return;
        }
        match fault {
            Fault::BlackHole
            | Fault::SilentRequest
            | Fault::LoseRequest
            | Fault::HostNotFound
            | Fault::RefuseConnection
            | Fault::HangConnection
            | Fault::DelayRequest(_)
            | Fault::Latency(_) => injection.strike(),
            // They strike where they are found to.
            Fault::HideShard(_)
            | Fault::StaleListing(_)
            | Fault::ThrottlePage(_)
            | Fault::CutSubscription { .. }
            | Fault::TearSubscription { .. }
            | Fault::SilenceSubscription { .. }
            | Fault::FailEntries(..) => {}
            _ => self.arriving.push(injection.clone()),
        }
        match fault {
            Fault::BlackHole | Fault::SilentRequest => self.request = Leg::Vanishes,
            Fault::SilentAnswer => self.response = Leg::Vanishes,
            Fault::LoseRequest if self.request == Leg::Arrives => self.request = Leg::Breaks,
            Fault::LoseResponse if self.response == Leg::Arrives => self.response = Leg::Breaks,
            Fault::LoseRequest | Fault::LoseResponse => {}
            Fault::DelayRequest(by) => self.request_delay += *by,
            Fault::DelayResponse(by) => self.response_delay += *by,
            Fault::Latency(range) => {
                self.request_delay += draw(range, rng);
                self.response_delay += draw(range, rng);
            }
            Fault::ServerError => _ = self.refusal.get_or_insert(Injected::ServerError),
            Fault::Unavailable => _ = self.refusal.get_or_insert(Injected::Unavailable),
            Fault::Throttle => _ = self.refusal.get_or_insert(Injected::Throttle),
            Fault::ExpireIterator => _ = self.refusal.get_or_insert(Injected::ExpireIterator),
            Fault::Refuse { code, message } => {
                let (code, message) = (code.clone(), message.clone());
                self.refusal.get_or_insert(Injected::Refuse { code, message });
            }
            Fault::RefuseConnection => self.connect = self.connect.max(Connect::Refused),
            Fault::HostNotFound => self.connect = self.connect.max(Connect::HostNotFound),
            Fault::HangConnection => self.connect = self.connect.max(Connect::Hangs),
            // No call's: `fits` says so.
            Fault::FailCredentials | Fault::HangCredentials => {}
            Fault::HideShard(_) | Fault::StaleListing(_) | Fault::ThrottlePage(_) | Fault::FailEntries(..) => {
                self.model.add(fault, injection, rng);
            }
            Fault::CutSubscription { after_events } => soonest(&mut self.subscription.cut, *after_events, injection),
            Fault::TearSubscription { after_events } => soonest(&mut self.subscription.torn, *after_events, injection),
            Fault::SilenceSubscription { after_events } => {
                soonest(&mut self.subscription.silent, *after_events, injection)
            }
        }
    }

    /// The request has arrived, or is answered for by what stands in its way.
    pub(crate) fn arrived(&mut self) {
        self.arriving.drain(..).for_each(|injection| injection.strike());
    }
}

/// A time from `range` in whole microseconds; its start when it is empty.
fn draw(range: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (from, to) = (micros(range.start()), micros(range.end()));
    Duration::from_micros(rng.u64(from..=to.max(from)))
}

/// Of the 64-bit FNV-1a hash: spreads names that differ in one letter.
const FNV_PRIME: u64 = 0x0100_0000_01b3;
