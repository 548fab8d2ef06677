//! A program on the face that gives shards as values: it reads them one beside the other, and has to see to checkpoints,
//! hand-offs and the ends of shards itself.

use std::pin::pin;
use std::time::Duration;

use kinesis_consumer::{Batch, CheckpointError, Consumer, Event, Position, Record, Shard};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::processor::Processor;

/// Reads all shards that this worker gets, until it is shut down.
pub(crate) async fn read_all(mut consumer: Consumer, processor: Processor) {
    let mut shards = JoinSet::new();
    while let Some(shard) = consumer.next_shard().await {
        shards.spawn(read(shard, processor.clone()));
    }
    shards.join_all().await;
}

/// Reads a shard until it ends, goes to another worker or is lost. An error means that it is lost.
async fn read(mut shard: Shard, processor: Processor) -> Result<(), CheckpointError> {
    // Done, and not checkpointed yet.
    let mut last = None;
    while let Some(event) = shard.next().await {
        match event {
            Event::Batch(batch) => {
                let taken = take(&mut shard, &processor, &batch).await;
                if matches!(taken, Taken::Lost) {
                    return Ok(());
                }
                let records = batch.records();
                last = records.last().map(Record::position);
                if matches!(taken, Taken::DoneAtLast) {
                    return release(shard, last).await;
                }
                // In the middle of an aggregate, as often as not.
                shard.checkpoint(&records[records.len() / 2].position()).await?;
            }
            Event::Revoking { .. } => return release(shard, last).await,
            Event::Ended(end) => return end.complete().await,
            // Dropped: another worker tries.
            _ => return Ok(()),
        }
    }
    Ok(())
}

enum Taken {
    Done,
    /// And the shard is to be released now.
    DoneAtLast,
    /// In the middle, and dropped there.
    Lost,
}

/// Has a batch processed, again and again if it fails, for as long as the shard is ours.
async fn take(shard: &mut Shard, processor: &Processor, batch: &Batch) -> Taken {
    let (id, epoch) = (shard.id().to_string(), Some(shard.epoch().0));
    let mut work = pin!(async {
        while processor.take(&id, epoch, batch.records()).await.is_err() {
            sleep(AGAIN).await;
        }
    });
    let revoked = shard.revoked();
    tokio::select! { biased;
        () = &mut work => return Taken::Done,
        () = revoked => {}
    }
    // It says until when, and then that it is over.
    let Some(Event::Revoking { .. }) = shard.next().await else { return Taken::Lost };
    tokio::select! { biased;
        _ = shard.next() => Taken::Lost,
        () = work => Taken::DoneAtLast,
    }
}

async fn release(mut shard: Shard, last: Option<Position>) -> Result<(), CheckpointError> {
    if let Some(last) = last {
        shard.checkpoint(&last).await?;
    }
    shard.release().await
}

/// Between two tries of a batch that fails.
const AGAIN: Duration = Duration::from_millis(100);
