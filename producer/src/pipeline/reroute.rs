//! Moves batches to other shards: their shard is closed, or keyless records find room elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinesis_aggregation::{Aggregator, UserRecord};

use super::batch::{ACCEPTED_BY_ALL, Batch, OUTER_KEY_LEN};
use super::shard_map::ShardMap;
use super::shard_queue::ShardQueue;
use crate::contents::{Contents, Plain, Route};

/// Returns the batch with the queue that it belongs to by this map. If its records belong to several shards, returns
/// several batches of the same age and history, and forwards the deliveries. If the service distributes the records,
/// each record is in a batch of its own.
pub(crate) fn reroute(mut batch: Batch, map: &ShardMap) -> Vec<(Arc<ShardQueue>, Batch)> {
    let contents = batch.build().clone();
    if !map.is_routed() {
        return scatter(batch, contents, &map.queues()[0]);
    }
    let Some(range) = contents.range() else {
        // A keyless batch that was made for a service without keys. From now on it needs one.
        let queue = &map.queues()[0];
        return vec![(Arc::clone(queue), move_to_shard(batch, queue))];
    };
    let queue = map.queue(range.start);
    let (true, Contents::Aggregate { record, .. }) = (!queue.range().covers(&range), contents) else {
        return vec![(Arc::clone(queue), batch)];
    };
    let mut parts = Parts::default();
    for user in record.user_records() {
        let route = route(&user);
        parts.add(map.queue(route.hash_key), &route, &user.data);
    }
    parts.forward(batch)
}

/// The route of a record as it was put.
fn route(user: &UserRecord) -> Route<'_> {
    let hash_key = user.hash_key().expect("what was put has a hash key");
    let partition_key = user.partition_key().expect("what was put has a partition key");
    Route { hash_key, partition_key, explicit_hash_key: user.explicit_hash_key().map(|_| hash_key) }
}

/// Divides a batch that is larger than the stream now accepts into batches that every stream accepts. A record that is
/// itself larger is alone in a batch.
pub(crate) fn divide(mut batch: Batch) -> Vec<Batch> {
    let Contents::Aggregate { record, keyless } = batch.build().clone() else { return vec![batch] };
    let mut part = Aggregator::new(ACCEPTED_BY_ALL - OUTER_KEY_LEN);
    let (mut parts, mut places) = (Vec::new(), Vec::new());
    for user in record.user_records() {
        let Route { hash_key, partition_key, explicit_hash_key } = route(&user);
        while !part.try_add_hashed(hash_key, partition_key, explicit_hash_key, &user.data) {
            parts.extend(part.take());
        }
        places.push((parts.len(), part.len() as u32 - 1));
    }
    parts.extend(part.take());
    let parts: Vec<Batch> =
        parts.into_iter().map(|record| batch.successor(Contents::Aggregate { record, keyless })).collect();
    batch.forwarded(places.iter().map(|(part, index)| (&parts[*part], *index)).collect());
    parts
}

/// Puts each record into a batch of its own, for a service that distributes the records.
fn scatter(mut batch: Batch, contents: Contents, queue: &Arc<ShardQueue>) -> Vec<(Arc<ShardQueue>, Batch)> {
    let (record, keyless) = match contents {
        Contents::Aggregate { record, keyless } => (record, keyless),
        Contents::Plain(plain) => {
            batch.replace(Contents::Plain(Plain { keyless_to: None, ..plain }));
            return vec![(Arc::clone(queue), batch)];
        }
    };
    let parts: Vec<Batch> = record
        .user_records()
        .map(|user| {
            let plain = Plain {
                explicit_hash_key: user.explicit_hash_key().filter(|_| !keyless).and_then(|_| user.hash_key()),
                partition_key: user.partition_key.filter(|_| !keyless),
                keyless_to: None,
                data: user.data,
            };
            batch.successor(Contents::Plain(plain))
        })
        .collect();
    batch.forwarded(parts.iter().map(|part| (part, 0)).collect());
    parts.into_iter().map(|part| (Arc::clone(queue), part)).collect()
}

/// Makes a keyless batch anew for another shard: each of its records names a hash key of that shard.
pub(crate) fn move_to_shard(mut batch: Batch, queue: &Arc<ShardQueue>) -> Batch {
    let hash_key = queue.range().start;
    let mut contents = batch.build().clone();
    match &mut contents {
        // A plain record stays unchanged, except for its route.
        Contents::Plain(plain) => {
            plain.keyless_to = Some(hash_key);
            batch.replace(contents);
            batch
        }
        Contents::Aggregate { record, .. } => {
            let mut parts = Parts::default();
            for user in record.user_records() {
                parts.add(queue, &Route::keyless(hash_key), &user.data);
            }
            let mut moved = parts.forward(batch);
            moved.pop().expect("one shard, one part").1
        }
    }
}

/// The records of one batch, by the shards that they belong to now.
#[derive(Default)]
struct Parts {
    /// By the queue's serial number, so that the order is deterministic.
    parts: BTreeMap<u64, (Arc<ShardQueue>, Aggregator)>,
    /// By index in the batch: the part, and the index in that part.
    places: Vec<(u64, u32)>,
}

impl Parts {
    fn add(&mut self, queue: &Arc<ShardQueue>, route: &Route<'_>, data: &[u8]) {
        let serial = queue.serial();
        // Without a limit: a part is no larger than the aggregate that it comes from.
        let (_, part) = self.parts.entry(serial).or_insert_with(|| (Arc::clone(queue), Aggregator::new(usize::MAX)));
        self.places.push((serial, part.len() as u32));
        let added = part.try_add_hashed(route.hash_key, route.partition_key, route.explicit_hash_key, data);
        debug_assert!(added, "an aggregator without a limit takes any record");
    }

    fn forward(self, batch: Batch) -> Vec<(Arc<ShardQueue>, Batch)> {
        let parts: BTreeMap<u64, (Arc<ShardQueue>, Batch)> = self
            .parts
            .into_iter()
            .map(|(serial, (queue, mut part))| {
                let record = part.take().expect("a part is made for its first record");
                let contents = Contents::Aggregate { record, keyless: batch.keyless };
                (serial, (queue, batch.successor(contents)))
            })
            .collect();
        batch.forwarded(self.places.iter().map(|(serial, index)| (&parts[serial].1, *index)).collect());
        parts.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
