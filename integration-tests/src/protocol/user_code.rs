//! User code as a script wants it: quick, slow, failing, hanging.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::Batch;
use kinesis_testkit::Connection;
use tokio::time::sleep;

use super::command::{duration, number, shard_id};
use crate::sim::call::Witness;

/// How calls go that begin from now on; one that hangs goes on when the habit changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Habit {
    how: How,
    /// Where it has this habit; none: everywhere.
    shard: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum How {
    #[default]
    Well,
    Takes(Duration),
    Fails,
    Hangs,
}

impl Habit {
    /// `takes 2s`, `hangs at 0`
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let (words, shard) = match words {
            [words @ .., "at", shard] => (words, Some(shard_id(number(shard)?))),
            words => (words, None),
        };
        let how = match words {
            ["is", "well"] => How::Well,
            ["takes", time] => How::Takes(duration(time)?),
            ["fails"] => How::Fails,
            ["hangs"] => How::Hangs,
            _ => return Err("user code takes some time, fails, hangs, or is well".to_owned()),
        };
        Ok(Self { how, shard })
    }

    fn at(&self, shard: &str) -> How {
        if self.shard.as_ref().is_none_or(|own| own == shard) { self.how } else { How::Well }
    }
}

/// One worker's.
#[derive(Debug, Clone)]
pub(super) struct UserCode {
    pub(super) habit: Arc<Mutex<Habit>>,
    pub(super) connection: Connection,
    pub(super) witness: Witness,
}

impl UserCode {
    pub(super) fn take(&self, batch: &Batch) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let call = self.witness.begin(batch.shard().as_str(), Some(batch.epoch().0), batch.records());
        let Self { habit, connection, .. } = self.clone();
        let shard = batch.shard().clone();
        let habit = move || habit.lock().unwrap_or_else(PoisonError::into_inner).at(shard.as_str());
        let clock = connection.clock();
        let work = async move {
            match habit() {
                How::Well => {}
                How::Takes(time) => clock.sleep(time).await,
                How::Fails => return call.end(true),
                How::Hangs => {
                    while habit() == How::Hangs {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            call.end(false)
        };
        async move { connection.run(work).await }
    }
}
