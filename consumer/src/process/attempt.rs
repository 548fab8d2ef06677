//! One unit of work through user code, until it is done or given up.

use std::any::Any;
use std::error::Error;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::watch;

use super::on_error::{DeadLetter, OnError, RETRY};
use crate::backoff::Pauses;
use crate::fetch::Batch;
use crate::record::Record;
use crate::shard::ShardId;

/// Records that are processed together.
pub(crate) trait Unit: Clone + Send + Sync {
    fn records(&self) -> &[Record];
}

impl Unit for Batch {
    fn records(&self) -> &[Record] {
        Self::records(self)
    }
}

impl Unit for Record {
    fn records(&self) -> &[Record] {
        std::slice::from_ref(self)
    }
}

/// How a unit of work ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Processed, or in the dead-letter sink.
    Done,
    /// Failed, and so the shard is to stop.
    Stopped(BoxError),
    /// Failed or not begun while the shard was being given up: left to the next owner.
    GivenUp,
}

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Takes units through a closure, as the policy says.
#[derive(Debug)]
pub(crate) struct Attempts<H> {
    pub(crate) handler: H,
    pub(crate) shard: ShardId,
    pub(crate) on_error: OnError,
    pub(crate) rng: fastrand::Rng,
    /// Turns true when the shard is to be given up: nothing is tried again.
    pub(crate) winding_up: watch::Receiver<bool>,
}

impl<H> Attempts<H> {
    /// Processes one unit. Cancel safe only in the sense that the unit then is not done.
    pub(crate) async fn run<U, F, E>(&mut self, unit: U) -> Outcome
    where
        U: Unit,
        H: Fn(U) -> F + Send + Sync,
        F: Future<Output = Result<(), E>> + Send,
        E: Into<BoxError>,
    {
        let backoff = if let OnError::Retry(backoff) = self.on_error { backoff } else { RETRY };
        let mut pauses = backoff.pauses(self.rng.fork());
        loop {
            let Err(error) = call(&self.handler, unit.clone()).await else { return Outcome::Done };
            let first = unit.records().first().map(Record::position);
            match &self.on_error {
                OnError::Retry(_) => {
                    tracing::warn!(shard = %self.shard, ?first, error = &*error as &dyn Error, "processing failed; trying again");
                }
                OnError::StopShard => return Outcome::Stopped(error),
                OnError::DeadLetter(sink) => {
                    tracing::warn!(shard = %self.shard, ?first, error = &*error as &dyn Error, "processing failed; to the dead-letter sink");
                    let sink = sink.clone();
                    return self.dead_letter(&*sink, &unit, &*error, pauses).await;
                }
            }
            if self.winds_up_before(&mut pauses).await {
                return Outcome::GivenUp;
            }
        }
    }

    async fn dead_letter<U: Unit>(
        &mut self,
        sink: &dyn super::DeadLetterSink,
        unit: &U,
        error: &(dyn Error + Send + Sync + 'static),
        mut pauses: Pauses,
    ) -> Outcome {
        loop {
            let letter = DeadLetter { shard: &self.shard, records: unit.records(), error };
            let Err(error) = caught(sink.accept(letter)).await else { return Outcome::Done };
            tracing::error!(shard = %self.shard, error = &*error as &dyn Error, "the dead-letter sink failed; trying again");
            if self.winds_up_before(&mut pauses).await {
                return Outcome::GivenUp;
            }
        }
    }

    /// Waits for the next pause to pass, unless the shard is to be given up.
    async fn winds_up_before(&mut self, pauses: &mut Pauses) -> bool {
        tokio::select! { biased;
            // An error means that the shard's task is gone, and this future with it.
            _ = self.winding_up.wait_for(|winding_up| *winding_up) => true,
            () = tokio::time::sleep(pauses.draw()) => false,
        }
    }
}

async fn call<H, U, F, E>(handler: &H, unit: U) -> Result<(), BoxError>
where
    H: Fn(U) -> F + Send + Sync,
    U: Send,
    F: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    caught(async move { handler(unit).await.map_err(Into::into) }).await
}

/// A panic in user code is an error like others. What it left half-done is the user's, as with any error.
async fn caught(future: impl Future<Output = Result<(), BoxError>> + Send) -> Result<(), BoxError> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Box::new(Panicked(message_of(&*panic)))),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[derive(Debug, thiserror::Error)]
#[error("the closure panicked: {0}")]
struct Panicked(String);
