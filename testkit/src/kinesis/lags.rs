//! What the service does not know yet of a stream: shards that it has just opened or closed.

use super::account::Account;
use super::shard::{Shard, parse_shard_id};
use super::stream::{Lags, Stream};
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

impl Account {
    /// Changes the lags of the stream `name`, which need not exist: one that is made anew under its name has them too.
    pub(crate) fn set_lags(&mut self, name: &str, change: impl FnOnce(&mut Lags)) {
        let lags = self.lags.entry(name.to_owned()).or_default();
        change(lags);
        if let Some(stream) = self.streams.get_mut(name) {
            stream.lags = *lags;
        }
    }

    /// The time that a listing which is answered now speaks of: never one before the stream was made.
    pub(crate) fn listed_at(&mut self, stream: &str, faults: &ModelFaults, now: Tick) -> Tick {
        let Some(stream) = self.streams.get(stream) else { return now };
        let age = stream.lags.listing.draw(&mut self.rng).max(faults.listing_age());
        now.saturating_sub(age).max(stream.created.min(now))
    }
}

impl Stream {
    /// The shards of a listing that speaks of the time `at`.
    pub(crate) fn shards_listed_at(
        &self,
        at: Tick,
        faults: &ModelFaults,
        now: Tick,
    ) -> impl Iterator<Item = &Shard> + use<'_> {
        let hidden: Vec<u32> = self
            .shards
            .iter()
            .filter(|shard| faults.hides_any() && faults.hides(&shard.id()))
            .map(|s| s.index)
            .collect();
        self.listed_shards(now).filter(move |shard| shard.opened <= at && !hidden.contains(&shard.index))
    }

    /// Refuses a reader of a shard that the service does not know yet.
    pub(crate) fn check_known(&self, id: &str, faults: &ModelFaults, now: Tick) -> Result<(), Refusal> {
        let shard = parse_shard_id(id).and_then(|index| self.shards.get(index as usize));
        let Some(shard) = shard else { return Ok(()) };
        let known_from = shard.opened.saturating_add(self.lags.birth.of(shard.starting.opened));
        if known_from <= now && !faults.hides(id) {
            return Ok(());
        }
        let name = &self.name;
        Err(Refusal::not_found(format!("Shard {id} in stream {name} under account {ACCOUNT_ID} does not exist")))
    }
}
