//! Leases that tell of another stream.

use std::collections::BTreeMap;

use kinesis_aggregation::HashKeyRange;

use crate::lease::{Checkpoint, Lease, LeaseKey, Rows};
use crate::record::{Position, SequenceNumber};
use crate::shard::{ListedShard, ShardId};

/// A lease that does not fit the stream: the stream was deleted and made again under its name, or the table is that of
/// another one. Reading on would skip everything up to the old number without a word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The checkpoint lies before the shard's first possible record.
    #[error(
        "lease {key} is at {checkpoint}, before shard {shard} begins ({starting}): the stream was made anew, or is another one"
    )]
    CheckpointBeforeStart {
        /// The lease.
        key: LeaseKey,
        /// Where it stands.
        checkpoint: Position,
        /// The shard of that ID.
        shard: ShardId,
        /// Where the shard begins.
        starting: SequenceNumber,
    },
    /// The lease is of a shard with other hash keys, which a shard never changes.
    #[error(
        "lease {key} has the hash keys {leased}, shard {shard} has {listed}: the stream was made anew, or is another one"
    )]
    OtherHashKeys {
        /// The lease.
        key: LeaseKey,
        /// The hash keys that it names.
        leased: HashKeyRange,
        /// The shard of that ID.
        shard: ShardId,
        /// The hash keys of the shard.
        listed: HashKeyRange,
    },
    /// The lease is that of one stream among several, as the KCL's multi-stream mode writes it.
    #[error("lease {key} belongs to stream {stream} of an application that reads several streams")]
    OfSeveralStreams {
        /// The lease.
        key: LeaseKey,
        /// The stream that it names.
        stream: String,
    },
    /// The lease says that it is another stream's, or that of one that was deleted and made again under its name.
    #[error("lease {key} is of the stream {stream}")]
    OfAnotherStream {
        /// The lease.
        key: LeaseKey,
        /// The stream that it names.
        stream: String,
    },
}

impl Mismatch {
    /// Returns the lease that does not fit.
    #[must_use]
    pub const fn key(&self) -> &LeaseKey {
        match self {
            Self::CheckpointBeforeStart { key, .. }
            | Self::OtherHashKeys { key, .. }
            | Self::OfSeveralStreams { key, .. }
            | Self::OfAnotherStream { key, .. } => key,
        }
    }
}

/// The leases that do not fit the listed stream. Leases of shards that are not listed are no error: shards expire.
pub(crate) fn mismatches(listing: &[ListedShard], rows: &Rows) -> Vec<Mismatch> {
    let shards: BTreeMap<&ShardId, &ListedShard> = listing.iter().map(|shard| (&shard.id, shard)).collect();
    let judge = |lease: &Lease| {
        if let Some(stream) = lease.stream.clone() {
            return Some(Mismatch::OfSeveralStreams { key: lease.key.clone(), stream });
        }
        mismatch(shards.get(&lease.key.shard())?, lease)
    };
    rows.leases.iter().filter_map(judge).collect()
}

/// Why the lease of a shard does not fit it.
pub(crate) fn mismatch(shard: &ListedShard, lease: &Lease) -> Option<Mismatch> {
    let key = lease.key.clone();
    if let Some(leased) = lease.range.filter(|range| *range != shard.range) {
        return Some(Mismatch::OtherHashKeys { key, leased, shard: shard.id.clone(), listed: shard.range });
    }
    let Checkpoint::At(position) = &lease.checkpoint else { return None };
    (position.sequence_number < shard.starting).then(|| Mismatch::CheckpointBeforeStart {
        key,
        checkpoint: position.clone(),
        shard: shard.id.clone(),
        starting: shard.starting.clone(),
    })
}
