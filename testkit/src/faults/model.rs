//! What goes wrong inside the service, for one call.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{Entries, EntryError, Fault, Injection};

/// What the service itself gets wrong in one call: entries that fail, shards it does not know of, listings that are old.
#[derive(Debug, Default, Clone)]
pub(crate) struct ModelFaults {
    entries: Vec<EntryFault>,
    hidden: Vec<(String, Strike)>,
    stale: Vec<(Duration, Strike)>,
    throttled_pages: Vec<(usize, Strike)>,
}

#[derive(Debug, Clone)]
struct EntryFault {
    entries: Entries,
    error: EntryError,
    /// For each place in the request whether it would fail by chance: 500 entries are the most that a call has.
    chance: Vec<bool>,
    strike: Strike,
}

/// However often a fault does something in a call, it strikes the call once.
#[derive(Debug, Clone)]
struct Strike {
    injection: Injection,
    once: Arc<OnceLock<()>>,
}

impl Strike {
    fn of(injection: &Injection) -> Self {
        Self { injection: injection.clone(), once: Arc::default() }
    }

    fn strike(&self) {
        self.once.get_or_init(|| self.injection.strike());
    }
}

impl ModelFaults {
    pub(super) fn add(&mut self, fault: &Fault, injection: &Injection, rng: &mut fastrand::Rng) {
        let strike = Strike::of(injection);
        match fault {
            Fault::FailEntries(entries, error) => {
                let chance = match entries {
                    Entries::Percent(percent) => (0..MOST_ENTRIES).map(|_| rng.u8(0..100) < *percent).collect(),
                    _ => Vec::new(),
                };
                self.entries.push(EntryFault { entries: entries.clone(), error: *error, chance, strike });
            }
            Fault::HideShard(id) => self.hidden.push((id.clone(), strike)),
            Fault::StaleListing(by) => self.stale.push((*by, strike)),
            Fault::ThrottlePage(page) => self.throttled_pages.push((*page, strike)),
            _ => {}
        }
    }

    pub(crate) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(crate) fn for_entry(&self, index: usize, partition_key: &str, shard: &str) -> Option<EntryError> {
        let hit = |fault: &EntryFault| match &fault.entries {
            Entries::All => true,
            Entries::At(places) => places.contains(&index),
            Entries::WithKey(key) => key == partition_key,
            Entries::OnShard(id) => id == shard,
            Entries::Percent(_) => fault.chance.get(index % MOST_ENTRIES).copied().unwrap_or(false),
        };
        let fault = self.entries.iter().find(|fault| hit(fault))?;
        fault.strike.strike();
        Some(fault.error)
    }

    pub(crate) fn hides_any(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Whether the service knows nothing of this shard; if so, that has happened.
    pub(crate) fn hides(&self, shard: &str) -> bool {
        let hidden = self.hidden.iter().find(|(id, _)| id == shard);
        hidden.inspect(|(_, strike)| strike.strike()).is_some()
    }

    /// How old a listing is that is answered now.
    pub(crate) fn listing_age(&self) -> Duration {
        self.stale.iter().inspect(|(_, strike)| strike.strike()).map(|(by, _)| *by).max().unwrap_or_default()
    }

    /// Whether this page of a listing, from 1, is refused; if so, that has happened.
    pub(crate) fn throttles_page(&self, page: usize) -> bool {
        let throttled = self.throttled_pages.iter().find(|(throttled, _)| *throttled == page);
        throttled.inspect(|(_, strike)| strike.strike()).is_some()
    }
}

/// Of one PutRecords call, unless the cloud's limits allow more.
const MOST_ENTRIES: usize = 500;
