//! User code as a script wants it: quick, slow, failing, hanging.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::Batch;
use kinesis_testkit::Connection;
use tokio::time::sleep;

use super::command::duration;
use crate::sim::call::Witness;

/// How calls go that begin from now on; one that hangs goes on when the habit changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Habit {
    #[default]
    Well,
    Takes(Duration),
    Fails,
    Hangs,
}

impl Habit {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        match words {
            ["is", "well"] => Ok(Self::Well),
            ["takes", time] => Ok(Self::Takes(duration(time)?)),
            ["fails"] => Ok(Self::Fails),
            ["hangs"] => Ok(Self::Hangs),
            _ => Err("user code takes some time, fails, hangs, or is well".to_owned()),
        }
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
        let habit = move || *habit.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = connection.clock();
        let work = async move {
            match habit() {
                Habit::Well => {}
                Habit::Takes(time) => clock.sleep(time).await,
                Habit::Fails => return call.end(true),
                Habit::Hangs => {
                    while habit() == Habit::Hangs {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            call.end(false)
        };
        async move { connection.run(work).await }
    }
}
