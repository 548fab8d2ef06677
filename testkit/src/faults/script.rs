//! From what was asked for to what happens to one call.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Entries, EntryError, Fault};
use crate::service::Service;

/// All that is to go wrong for one worker, in the order it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) rules: VecDeque<Rule>,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) scope: Option<Service>,
    pub(crate) operation: Option<String>,
    pub(crate) lasts: Lasts,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until it is healed.
    Standing,
    /// For the next call that it fits.
    OneCall,
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
        for rule in self.rules.iter().filter(|rule| rule.lasts == Lasts::Standing && rule.matches(service, operation)) {
            plan.add(&rule.fault);
        }
        let next = self.rules.iter().position(|rule| rule.lasts == Lasts::OneCall && rule.matches(service, operation));
        if let Some(rule) = next.and_then(|at| self.rules.remove(at)) {
            plan.add(&rule.fault);
        }
        plan
    }

    /// Whether an answer that arrives now still gets through.
    pub(crate) fn is_black_hole(&self, service: Service, operation: &str) -> bool {
        let mut standing = self.rules.iter().filter(|rule| rule.lasts == Lasts::Standing);
        standing.any(|rule| rule.fault == Fault::BlackHole && rule.matches(service, operation))
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
