//! One row of the lease table, as data.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kinesis_aggregation::HashKeyRange;

use crate::record::Position;
use crate::shard::ShardId;
use crate::text::escaped;

/// The key of a lease: the shard ID, or `account:stream:epoch:shard` where one table serves several streams.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey(Arc<str>);

/// The name under which a worker owns leases; unique among the running workers of an application.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(id: T) -> Self {
                Self(id.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&escaped(&self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
text_id!(LeaseKey);
text_id!(WorkerId);

impl LeaseKey {
    /// The key of a shard's lease in the table of a single stream.
    #[must_use]
    pub fn of(shard: &ShardId) -> Self {
        Self::from(shard.as_str())
    }

    /// The shard whose lease this is, in the table of a single stream.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        ShardId::from(self.as_str())
    }
}

/// How far a shard has been processed. Ordered as the KCL orders it:
/// `AT_TIMESTAMP` < `TRIM_HORIZON` < `LATEST` < any number < `SHARD_END`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checkpoint {
    /// The row does not say: somebody edited it. Where to start cannot be known, so the shard is not read until an
    /// operator gives the row a checkpoint.
    Missing,
    /// Nothing yet; start at the time that the application is configured with.
    AtTimestamp,
    /// Nothing yet; start at the oldest record.
    TrimHorizon,
    /// Nothing yet; start after the newest record.
    Latest,
    /// Everything up to and including this position is done.
    At(Position),
    /// The shard is closed and everything in it is done.
    ShardEnd,
}

impl Checkpoint {
    /// Whether the shard is finished.
    #[must_use]
    pub const fn is_shard_end(&self) -> bool {
        matches!(self, Self::ShardEnd)
    }
}

/// A checkpoint that was prepared and not committed: what the KCL's two-phase checkpoints leave in a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingCheckpoint {
    /// The position that was prepared.
    pub checkpoint: Checkpoint,
    /// Bytes that the application gave with it.
    pub state: Option<Bytes>,
}

/// One row of the lease table: who owns a shard and how far it has come.
///
/// Attributes that we do not know are not here; writes leave them in the table as they are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lease {
    /// The row's key.
    pub key: LeaseKey,
    /// Who owns the shard, or will own it once a hand-off is finished. `None`: nobody.
    pub owner: Option<WorkerId>,
    /// During a hand-off: the worker that still holds the shard.
    pub checkpoint_owner: Option<WorkerId>,
    /// Moves with every renewal, checkpoint and change of owner: what writes are fenced by.
    pub counter: u64,
    /// Changes of owner since the last checkpoint.
    pub owner_switches: u64,
    /// How far the shard has been processed.
    pub checkpoint: Checkpoint,
    /// A prepared checkpoint that was not committed.
    pub pending: Option<PendingCheckpoint>,
    /// Shards that must be finished before this one starts.
    pub parents: Vec<ShardId>,
    /// Shards that follow this one; known at its end.
    pub children: Vec<ShardId>,
    /// The hash keys of the shard.
    pub range: Option<HashKeyRange>,
    /// The smoothed rate at which records were delivered, in KiB per second.
    pub throughput_kib_per_s: Option<f64>,
    /// Where one table serves several streams: `account:stream:epoch`.
    pub stream: Option<String>,
    /// Where one table serves several streams: the bare shard ID.
    pub shard: Option<ShardId>,
    /// The stream of the shard, as the [binding](crate::lease::Binding) of the table names it. Only this library writes it, when it
    /// makes a lease; that it is missing says nothing.
    pub bound_to: Option<Arc<str>>,
}

impl Lease {
    /// A lease that nobody owns yet.
    #[must_use]
    pub const fn new(key: LeaseKey, checkpoint: Checkpoint) -> Self {
        Self {
            key,
            owner: None,
            checkpoint_owner: None,
            counter: 0,
            owner_switches: 0,
            checkpoint,
            pending: None,
            parents: Vec::new(),
            children: Vec::new(),
            range: None,
            throughput_kib_per_s: None,
            stream: None,
            shard: None,
            bound_to: None,
        }
    }

    /// Whether its shard has been begun, as the KCL judges it: a start at `LATEST` counts, since nothing before it will be asked for.
    pub(crate) const fn has_progress(&self) -> bool {
        !matches!(self.checkpoint, Checkpoint::Missing | Checkpoint::AtTimestamp | Checkpoint::TrimHorizon)
    }

    /// Who holds the shard now: during a hand-off the old owner still does.
    #[must_use]
    pub fn actual_owner(&self) -> Option<&WorkerId> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// Whether a hand-off is under way.
    #[must_use]
    pub const fn in_handoff(&self) -> bool {
        self.checkpoint_owner.is_some()
    }

    /// The owners as read, for the condition of a write that changes them.
    #[must_use]
    pub fn owners(&self) -> Owners {
        Owners { owner: self.owner.clone(), checkpoint_owner: self.checkpoint_owner.clone() }
    }

    /// The owners and the counter as read, for the condition of a write by somebody who does not hold the lease.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { owners: self.owners(), counter: Some(self.counter) }
    }
}

/// The two owner attributes of a lease as a writer last saw them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owners {
    /// The attribute `leaseOwner`.
    pub owner: Option<WorkerId>,
    /// The attribute `checkpointOwner`.
    pub checkpoint_owner: Option<WorkerId>,
}

/// A lease as the writer of a change of owner last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The owners.
    pub owners: Owners,
    /// The counter, by which a worker that wants to take a lease has judged that nobody renews it. `None`: any, for a holder
    /// that gives its own lease away, and for a hand-off that is ended though its source still renews.
    pub counter: Option<u64>,
}

impl From<Owners> for Seen {
    /// These owners, with any counter.
    fn from(owners: Owners) -> Self {
        Self { owners, counter: None }
    }
}
