//! What a worker knows of the stream's shards, by which it judges a lease before it adopts it, under any leader.

use std::collections::BTreeMap;

use crate::clock::Tick;
use crate::lease::Lease;
use crate::lease::table::belonging::{Belonging, Confirmed, is_of_several_streams};
use crate::lease::table::mismatch;
use crate::shard::absence::LookUp;
use crate::shard::discover::ListFilter;
use crate::shard::{DiscoverError, ListedShard, ShardId};

/// Whether a lease may be adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Ours,
    /// What is known is too old to tell: list the shards, and judge again.
    AskAgain,
    /// It is left alone: why, in words.
    Foreign(String),
}

/// The last complete listing, and shards that the service has named since.
#[derive(Debug, Default)]
pub(super) struct Known {
    listing: Vec<ListedShard>,
    /// When it was asked for.
    asked: Option<Tick>,
    named: BTreeMap<ShardId, ListedShard>,
}

impl Known {
    fn judge(&self, lease: &Lease, now: Tick, is_ours: bool) -> Fit {
        let id = lease.key.shard();
        let found = match self.named.get(&id) {
            Some(named) => LookUp::Listed(named),
            None => LookUp::of(&id, &self.listing),
        };
        let is_old = self.asked.is_none_or(|asked| now.since(asked) > FRESH);
        match found {
            LookUp::Listed(_) if is_old => Fit::AskAgain,
            LookUp::Listed(shard) => match mismatch::mismatch(shard, lease) {
                Some(mismatch) => Fit::Foreign(mismatch.to_string()),
                None => Fit::Ours,
            },
            // Whether it has expired is for its reader to find out; a table that may be another stream's proves nothing.
            LookUp::Lacked if is_ours && !is_old => Fit::Ours,
            LookUp::Lacked | LookUp::NotYet => Fit::AskAgain,
        }
    }
}

impl Belonging {
    /// Whether a lease that the table names as this worker's is one of its stream.
    pub(crate) fn judge_lease(&self, lease: &Lease) -> Fit {
        self.note_leases();
        if self.discover.is_none() {
            return Fit::Ours;
        }
        if let Some(other) = self.another() {
            return Fit::Foreign(other.to_string());
        }
        if is_of_several_streams(lease) {
            return Fit::Foreign("it is of an application that reads several streams".to_owned());
        }
        if self.is_foreign(lease) {
            return Fit::Foreign(format!("it is of the stream {}", lease.bound_to.as_deref().unwrap_or_default()));
        }
        self.known().judge(lease, self.clock.now(), self.is_ours())
    }

    /// Lists the shards, and asks whether the stream is still the one that it was.
    pub(crate) async fn refresh(&self) -> Result<(), DiscoverError> {
        let Some(discover) = &self.discover else { return Ok(()) };
        let asked = self.clock.now();
        if let Confirmed::Another(_) = self.confirm_here(asked).await {
            return Ok(());
        }
        let listing = match discover.list(ListFilter::All).await {
            Ok(listing) => listing,
            Err(error) => {
                // Work does not stand still because nobody lists shards: what is known is made do with.
                // From now on, for the tries may have taken longer than what is known stays fresh.
                let (mut known, now) = (self.known(), self.clock.now());
                known.asked = known.asked.map(|_| now);
                return Err(error);
            }
        };
        self.listed(as_of(asked, self.clock.now()), listing);
        Ok(())
    }

    /// Records a complete listing.
    pub(crate) fn listed(&self, asked: Tick, listing: Vec<ListedShard>) {
        let mut known = self.known();
        if known.asked.is_none_or(|before| before <= asked) {
            known.named.retain(|id, _| LookUp::of(id, &listing) == LookUp::NotYet);
            known.listing = listing;
            known.asked = Some(asked);
        }
    }

    /// Records shards that the service has named as children of another: the listing may not have them yet.
    pub(crate) fn named(&self, children: &[ListedShard]) {
        let mut known = self.known();
        known.named.extend(children.iter().map(|child| (child.id.clone(), child.clone())));
    }

    /// The last complete listing.
    pub(crate) fn last_listing(&self) -> Vec<ListedShard> {
        self.known().listing.clone()
    }

    /// Whether the stream may list the shard: it does, or the last listing is older than the shard.
    pub(crate) fn may_list(&self, shard: &ShardId) -> bool {
        LookUp::of(shard, &self.known().listing) != LookUp::Lacked
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The time for which a listing counts. One that took long settles the leases that waited for it: where every listing takes long, none
/// would ever be adopted.
fn as_of(asked: Tick, ended: Tick) -> Tick {
    asked.max(ended - FRESH / 2)
}

/// Before a lease is adopted, what is known of the stream is at most this old: no stream is deleted and made again sooner.
const FRESH: std::time::Duration = std::time::Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kinesis_aggregation::{HashKey, HashKeyRange};

    use super::*;
    use crate::lease::{Checkpoint, LeaseKey};
    use crate::record::Position;

    fn shard(id: u32) -> ListedShard {
        ListedShard {
            id: ShardId::from(format!("shardId-{id:012}")),
            parents: Vec::new(),
            range: HashKeyRange::FULL,
            starting: "100".parse().expect("a number"),
            ending: None,
        }
    }

    fn lease(id: u32) -> Lease {
        Lease::new(LeaseKey::of(&shard(id).id), Checkpoint::TrimHorizon)
    }

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    /// Thousands of shards, of which each page is tried several times.
    #[test]
    fn a_listing_that_took_long_settles_the_leases_that_wait_for_it() {
        let known =
            |asked, ended| Known { listing: vec![shard(2)], asked: Some(as_of(asked, ended)), ..Known::default() };
        assert_eq!(known(at(0), at(90)).judge(&lease(2), at(90), true), Fit::Ours);
        assert_eq!(known(at(0), at(90)).judge(&lease(2), at(98), true), Fit::AskAgain);
        assert_eq!(known(at(89), at(90)).judge(&lease(2), at(104), true), Fit::Ours);
    }

    /// Rule `adoption`: shards 2 and 4 are listed at 0 s, and 7 has been named as a child since.
    #[test]
    fn only_a_lease_that_fits_the_stream_is_adopted() {
        let named = [(shard(7).id, shard(7))].into();
        let known = Known { listing: vec![shard(2), shard(4)], asked: Some(at(0)), named };
        let mut other_range = lease(2);
        other_range.range = Some(HashKeyRange::new(HashKey::new(0), HashKey::new(9)));
        let mut before = lease(2);
        let sequence_number = "99".parse().expect("a number");
        before.checkpoint = Checkpoint::At(Position { sequence_number, sub_sequence: 0, shard: shard(2).id });
        assert_eq!(known.judge(&lease(2), at(15), false), Fit::Ours);
        assert_eq!(known.judge(&lease(7), at(15), false), Fit::Ours);
        assert_eq!(known.judge(&lease(2), at(16), true), Fit::AskAgain);
        assert_eq!(known.judge(&lease(5), at(1), true), Fit::AskAgain, "newer than the listing");
        assert_eq!(known.judge(&lease(3), at(1), true), Fit::Ours, "its reader finds out whether it has expired");
        assert_eq!(known.judge(&lease(3), at(1), false), Fit::AskAgain, "the table may be another stream's");
        assert!(matches!(known.judge(&other_range, at(1), true), Fit::Foreign(_)));
        assert!(matches!(known.judge(&before, at(1), true), Fit::Foreign(_)));
        assert_eq!(Known::default().judge(&lease(2), at(0), true), Fit::AskAgain);
    }
}
