//! A finished lease of this worker, once its children have begun.

use crate::lease::table::lease::LeaseKey;
use crate::lease::table::store::{LeaseStore, StoreError, Written};

/// The result of a look at a finished lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleaned {
    Gone,
    Stays,
    /// Somebody has given it a checkpoint: its shard is to be read on.
    Reopened,
}

/// Deletes a finished lease of ours if it has served its purpose, by looking at the leases of its family one by one.
pub(crate) async fn delete_if_done(store: &dyn LeaseStore, key: &LeaseKey) -> Result<Cleaned, StoreError> {
    let Some(lease) = store.read(key).await? else { return Ok(Cleaned::Gone) };
    if !lease.checkpoint.is_shard_end() {
        return Ok(Cleaned::Reopened);
    }
    if lease.children.is_empty() {
        return Ok(Cleaned::Stays);
    }
    for child in &lease.children {
        match store.read(&LeaseKey::of(child)).await? {
            Some(child) if child.has_progress() => {}
            _ => return Ok(Cleaned::Stays),
        }
    }
    for parent in lease.parents.iter().filter(|parent| **parent != key.shard()) {
        if store.read(&LeaseKey::of(parent)).await?.is_some() {
            return Ok(Cleaned::Stays);
        }
    }
    let deleted = matches!(store.delete_finished(key).await?, Written::Accepted(_));
    Ok(if deleted { Cleaned::Gone } else { Cleaned::Stays })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Checkpoint, Lease, MemoryLeaseStore};
    use crate::record::Position;
    use crate::shard::ShardId;

    fn id(number: u32) -> ShardId {
        ShardId::from(format!("shardId-{number:012}"))
    }

    fn lease(number: u32, checkpoint: Checkpoint, parents: &[u32], children: &[u32]) -> Lease {
        let mut lease = Lease::new(LeaseKey::of(&id(number)), checkpoint);
        lease.parents = parents.iter().copied().map(id).collect();
        lease.children = children.iter().copied().map(id).collect();
        lease
    }

    #[tokio::test]
    async fn an_owner_deletes_by_looking_at_the_family() {
        let store = MemoryLeaseStore::new();
        let begun = |number| {
            let sequence_number = "5".parse().expect("a number");
            Checkpoint::At(Position { sequence_number, sub_sequence: 0, shard: id(number) })
        };
        let create = async |lease: Lease| assert!(matches!(store.create(&lease).await, Ok(Written::Accepted(_))));
        create(lease(7, Checkpoint::ShardEnd, &[], &[0])).await;
        create(lease(0, Checkpoint::ShardEnd, &[7], &[1, 2])).await;
        create(lease(1, begun(1), &[0], &[])).await;
        let key = LeaseKey::of(&id(0));
        let done = async || delete_if_done(&store, &key).await.expect("the store answers");
        assert_eq!(done().await, Cleaned::Stays, "a child has no lease");
        create(lease(2, begun(2), &[0], &[])).await;
        assert_eq!(done().await, Cleaned::Stays, "its parent is there");
        let parent = delete_if_done(&store, &LeaseKey::of(&id(7))).await.expect("the store answers");
        assert_eq!((parent, done().await), (Cleaned::Gone, Cleaned::Gone));
        assert_eq!(store.read(&key).await.expect("the store answers"), None);
        assert_eq!(done().await, Cleaned::Gone, "gone is gone");
        let unfinished = delete_if_done(&store, &LeaseKey::of(&id(1))).await.expect("the store answers");
        assert_eq!(unfinished, Cleaned::Reopened, "it has a checkpoint");
    }
}
