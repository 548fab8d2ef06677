//! Runs the closure on batches, one after the other.

use std::ops::Range;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::attempt::{Attempts, BoxError, Outcome};
use super::deliver::{Progress, Work};
use super::on_error::OnError;
use crate::fetch::Batch;
use crate::shard::ShardId;

/// The closure of [`Consumer::run`](crate::Consumer::run) for one shard.
pub(crate) struct Batches<H> {
    handler: Arc<H>,
    shard: ShardId,
    on_error: OnError,
    rng: fastrand::Rng,
    running: Option<(Range<u64>, BoxFuture<'static, Outcome>)>,
    winding_up: watch::Sender<bool>,
}

impl<H> Batches<H> {
    pub(crate) fn new(handler: Arc<H>, shard: ShardId, on_error: OnError, rng: fastrand::Rng) -> Self {
        Self { handler, shard, on_error, rng, running: None, winding_up: watch::Sender::new(false) }
    }
}

impl<H, F, E> Work for Batches<H>
where
    H: Fn(Batch) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    fn accept(&mut self, numbers: Range<u64>, batch: Batch) {
        let handler = Arc::clone(&self.handler);
        let mut attempts = Attempts {
            handler: move |batch| handler(batch),
            shard: self.shard.clone(),
            on_error: self.on_error.clone(),
            rng: self.rng.fork(),
            winding_up: self.winding_up.subscribe(),
        };
        // Yields for each batch: closures that are ready at once would occupy the thread for everything that is read ahead.
        let run = async move {
            tokio::task::yield_now().await;
            attempts.run(batch).await
        };
        self.running = Some((numbers, Box::pin(run)));
    }

    fn has_room(&self) -> bool {
        self.running.is_none()
    }

    fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    async fn progress(&mut self) -> Progress {
        let Some((numbers, running)) = &mut self.running else { return std::future::pending().await };
        let outcome = running.await;
        let numbers = numbers.clone();
        self.running = None;
        Progress { numbers, outcome }
    }

    fn ready(&mut self) -> Option<Progress> {
        None
    }

    fn wind_up(&mut self) {
        self.winding_up.send_replace(true);
    }
}
