//! What a listing says about a shard that it lacks.
//!
//! Absence from one listing proves nothing: listings lag behind a reshard, and can lack a shard for a moment (Q1, Q3). The
//! rule is `expiry` in `docs/rules.md`.

use std::time::Duration;

use super::shard::ListedShard;
use crate::clock::Tick;
use crate::record::ShardId;

/// A shard in a complete listing of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookUp<'a> {
    Listed(&'a ListedShard),
    /// Its id is above the newest listed one: the shard is newer than the listing. Ids are given in order, and whatever has
    /// expired has younger shards after it.
    NotYet,
    /// Younger shards are listed, and this one is not.
    Lacked,
}

impl<'a> LookUp<'a> {
    pub(crate) fn of(shard: &ShardId, listing: &'a [ListedShard]) -> Self {
        match listing.iter().find(|listed| listed.id == *shard) {
            Some(listed) => Self::Listed(listed),
            None if listing.iter().any(|listed| listed.id > *shard) => Self::Lacked,
            None => Self::NotYet,
        }
    }
}

/// Follows the listings of a stream until they prove that a shard has expired: two that lack it, half a minute apart, and
/// none between them that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Absence {
    since: Option<Tick>,
}

impl Absence {
    /// Records what a complete listing, asked for at `asked`, says. Returns whether the shard has expired, if the listings are of its stream.
    pub(crate) fn is_proven(&mut self, asked: Tick, found: LookUp<'_>) -> bool {
        if found != LookUp::Lacked {
            self.since = None;
            return false;
        }
        asked.since(*self.since.get_or_insert(asked)) >= APART
    }
}

/// How far apart two listings are that have to agree. A listing lags behind a reshard by seconds.
pub(crate) const APART: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use kinesis_aggregation::HashKeyRange;

    use super::*;

    fn listing(ids: &[u32]) -> Vec<ListedShard> {
        let shard = |id: &u32| ListedShard {
            id: ShardId::from(format!("shardId-{id:012}")),
            parents: Vec::new(),
            range: HashKeyRange::FULL,
            starting: "1".parse().expect("a number"),
            ending: None,
        };
        ids.iter().map(shard).collect()
    }

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_shard_above_the_newest_is_newer_than_the_listing() {
        let id = listing(&[4]).remove(0).id;
        assert_eq!(LookUp::of(&id, &listing(&[3, 2])), LookUp::NotYet);
        assert_eq!(LookUp::of(&id, &listing(&[])), LookUp::NotYet);
        assert_eq!(LookUp::of(&id, &listing(&[9, 3])), LookUp::Lacked);
        assert_eq!(LookUp::of(&id, &listing(&[9, 4])), LookUp::Listed(&listing(&[4])[0]));
    }

    /// Rule `expiry`: each row is the listings of one stream, and when they prove that shard 4 has expired.
    #[test]
    fn two_listings_half_a_minute_apart_that_agree_prove_it() {
        type Listings = &'static [(u64, &'static [u32])];
        let rows: &[(Listings, Option<u64>)] = &[
            (&[(0, &[5])], None),
            (&[(0, &[5]), (29, &[5])], None),
            (&[(0, &[5]), (30, &[5])], Some(30)),
            (&[(0, &[5]), (10, &[5]), (31, &[5])], Some(31)),
            // It came back between: the first listing was torn.
            (&[(0, &[5]), (20, &[4, 5]), (31, &[5]), (60, &[5]), (61, &[5])], Some(61)),
            // Newer than the listing, for as long as one likes.
            (&[(0, &[3]), (31, &[3]), (3600, &[3])], None),
            (&[(0, &[5]), (31, &[]), (62, &[5])], None),
        ];
        let id = listing(&[4]).remove(0).id;
        for (listings, proven) in rows {
            let mut absence = Absence::default();
            let found =
                listings.iter().find(|(seconds, ids)| absence.is_proven(at(*seconds), LookUp::of(&id, &listing(ids))));
            assert_eq!(found.map(|(seconds, _)| *seconds), *proven, "{listings:?}");
        }
    }
}
