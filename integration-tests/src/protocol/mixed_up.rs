//! A program that reads shards itself and mixes up their positions (Q5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::{CheckpointError, Consumer, Event, Position, Shard, ShardId};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::user_code::UserCode;

/// The last position that was read of each shard.
type Positions = Arc<Mutex<BTreeMap<ShardId, Position>>>;

/// Reads all shards, and tries to checkpoint each at the position of another one first, until the worker is shut down.
pub(super) async fn read_all(mut consumer: Consumer, user_code: UserCode) {
    let (mut shards, positions) = (JoinSet::new(), Positions::default());
    while let Some(shard) = consumer.next_shard().await {
        shards.spawn(read(shard, user_code.clone(), Arc::clone(&positions)));
    }
    shards.join_all().await;
}

/// Reads a shard until it ends, goes to another worker or is lost. An error means that it is lost.
async fn read(mut shard: Shard, user_code: UserCode, positions: Positions) -> Result<(), CheckpointError> {
    while let Some(event) = shard.next().await {
        match event {
            Event::Batch(batch) => {
                while user_code.take(&batch).await.is_err() {
                    sleep(AGAIN).await;
                }
                let other = {
                    let mut positions = positions.lock().unwrap_or_else(PoisonError::into_inner);
                    positions.insert(shard.id().clone(), batch.last().clone());
                    positions.iter().find(|(id, _)| *id != shard.id()).map(|(_, position)| position.clone())
                };
                if let Some(other) = other {
                    match shard.checkpoint(&other).await {
                        Err(CheckpointError::Refused { .. }) => {}
                        // Written, as the trace shows.
                        other => other?,
                    }
                }
                shard.checkpoint(batch.last()).await?;
            }
            // Everything is checkpointed by now.
            Event::Revoking { .. } => return shard.release().await,
            Event::Ended(end) => return end.complete().await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Between two tries of a batch that fails.
const AGAIN: Duration = Duration::from_millis(100);
