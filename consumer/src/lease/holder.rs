//! A worker that owns leases: it finds them, makes them its own, renews them, hands them over and ends their shards.

pub(crate) mod cleanup;
pub(crate) mod discover;
pub(crate) mod held;
pub(crate) mod hints;
pub(crate) mod renew;
pub(crate) mod renewer;
pub(crate) mod shard_end;
pub(crate) mod shutdown;
pub(crate) mod throughput;
