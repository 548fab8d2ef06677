//! How long a start tries a call to the table that fails (docs/rules.md, *Who waits*).

use std::fmt;
use std::time::Duration;

use kinesis_service_errors::Causes;
use tokio::time::{Instant, sleep};

use crate::backoff::{Backoff, Pauses, StartPatience};
use crate::failed_call::FailedCall;
use crate::lease::table::store::{PrepareError, StoreError};

/// The tries of one step of a start, within the patience of all of it.
pub(in crate::lease) struct Starting {
    since: Instant,
    /// When the latest try began.
    attempt: Instant,
    attempts: u32,
    patience: StartPatience,
    pauses: Pauses,
}

impl Starting {
    /// The seed keeps a fleet that starts in one moment from coming again in one moment.
    pub(in crate::lease) fn new(seed: u64, patience: &StartPatience) -> Self {
        let now = Instant::now();
        let pauses = RETRIES.pauses(fastrand::Rng::with_seed(seed));
        Self { since: now, attempt: now, attempts: 0, patience: patience.clone(), pauses }
    }

    /// Waits before the next try, or says that it is not worth one.
    ///
    /// # Errors
    /// The failure, with what it was about and how often it was tried, when it does not pass, or has not for long enough.
    pub(in crate::lease) async fn failed(
        &mut self,
        error: StoreError,
        table: &str,
        place: &(dyn fmt::Display + Sync),
    ) -> Result<(), PrepareError> {
        if !error.may_pass() {
            return Err(error.into());
        }
        let (pause, code, operation) = (self.pauses.draw(), error.code().map(str::to_owned), error.operation());
        // The next attempt may take as long as this one.
        let next = pause.saturating_add(self.attempt.elapsed().min(A_CALL));
        self.attempts += 1;
        let attempts = self.attempts;
        let Some(left) = self.patience.failed(next) else {
            let (of, place, operation) = (format!("the lease table {table}"), place.to_string(), operation.to_owned());
            let call = FailedCall { operation, of, place, attempts, spent: self.since.elapsed(), code };
            return Err(PrepareError::Unavailable { call: Box::new(call), source: error });
        };
        if attempts == 1 {
            tracing::warn!(table, %place, operation, code, error = %Causes(&error), "the start waits: trying again for {left:.0?}");
        } else {
            tracing::debug!(table, %place, operation, code, attempts, ?pause, error = %Causes(&error), "trying again");
        }
        sleep(pause).await;
        self.attempt = Instant::now();
        Ok(())
    }
}

/// Longer attempts have waited for a table that is being made.
const A_CALL: Duration = Duration::from_secs(10);
const RETRIES: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(5));
