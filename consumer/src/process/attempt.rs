//! One unit of work through user code, until it is done or abandoned.

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
    /// Failed, and the policy says to stop the shard.
    Stopped(BoxError),
    /// Failed or not begun while the shard was being released: left to the next owner.
    GivenUp,
}

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Runs the closure on units, as the policy says.
#[derive(Debug)]
pub(crate) struct Attempts<H> {
    pub(crate) handler: H,
    pub(crate) shard: ShardId,
    pub(crate) on_error: OnError,
    pub(crate) rng: fastrand::Rng,
    /// Becomes `true` when the shard must be released: nothing is retried then.
    pub(crate) winding_up: watch::Receiver<bool>,
}

impl<H> Attempts<H> {
    /// Processes one unit. Cancel safe only in the sense that a cancelled unit counts as not done.
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

    /// Waits for the next pause. Returns `true` if the shard must be released before the pause has passed.
    async fn winds_up_before(&mut self, pauses: &mut Pauses) -> bool {
        tokio::select! { biased;
            // An error means that the shard's task has ended, and this future with it.
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

/// Turns a panic of user code into an error like any other. State that it left half-changed is the user's responsibility, as
/// with any error.
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
