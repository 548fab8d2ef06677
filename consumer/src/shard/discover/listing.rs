//! The pages of one listing, put together.

use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::types::Shard;
use kinesis_aggregation::HashKeyRange;

use super::DiscoverError;
use crate::record::SequenceNumber;
use crate::shard::{ListedShard, ShardId};

/// What has been read of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Listing {
    shards: Vec<ListedShard>,
    /// Where to go on.
    token: Option<String>,
    complete: bool,
}

impl Listing {
    /// Adds a page.
    pub(super) fn take(&mut self, page: ListShardsOutput) -> Result<(), DiscoverError> {
        for shard in page.shards.unwrap_or_default() {
            self.shards.push(parse(&shard)?);
        }
        self.token = page.next_token.filter(|token| !token.is_empty());
        self.complete = self.token.is_none();
        Ok(())
    }

    /// The token for the next page; none for the first.
    pub(super) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn into_shards(self) -> Vec<ListedShard> {
        self.shards
    }
}

fn parse(shard: &Shard) -> Result<ListedShard, DiscoverError> {
    let malformed = |reason: String| DiscoverError::Malformed { shard: shard.shard_id.clone(), reason };
    let range = shard.hash_key_range.as_ref().ok_or_else(|| malformed("no hash-key range".to_owned()))?;
    let numbers =
        shard.sequence_number_range.as_ref().ok_or_else(|| malformed("no range of sequence numbers".to_owned()))?;
    let starting: SequenceNumber =
        numbers.starting_sequence_number.parse().map_err(|error| malformed(format!("a bad start: {error}")))?;
    // Closed is what has an end, whatever the end says; one that is no number at all stands for an empty shard.
    let ending = numbers.ending_sequence_number.as_ref().map(|end| end.parse().unwrap_or_else(|_| starting.clone()));
    let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
    Ok(ListedShard {
        id: ShardId::from(shard.shard_id.as_str()),
        parents: parents
            .into_iter()
            .flatten()
            .filter(|id| !id.is_empty())
            .map(|id| ShardId::from(id.as_str()))
            .collect(),
        range: HashKeyRange::parse(&range.starting_hash_key, &range.ending_hash_key)
            .map_err(|error| malformed(format!("a bad hash-key range: {error}")))?,
        starting,
        ending,
    })
}
