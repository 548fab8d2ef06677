//! `DryRun`: the checks of a request and nothing else.
//!
//! What would have succeeded is refused with DryRunOperationException, what would not with the error that it would have
//! met. The rates of the shards have no part in it; dry runs have a rate of their own, one a second and stream for all
//! operations together.

use super::stream::Stream;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

impl Stream {
    /// Ends a request here when it asks for a dry run. Comes behind all checks and before rates and effects.
    pub(crate) fn end_dry_run(&mut self, asked: Option<bool>, now: Tick) -> Result<(), Refusal> {
        if asked != Some(true) {
            return Ok(());
        }
        if !self.dry_runs.holds(1, now) {
            return Err(Refusal::throttling(format!(
                "Rate exceeded for dry runs on stream {} under account {ACCOUNT_ID}.",
                self.name
            )));
        }
        self.dry_runs.take(1, now);
        Err(Refusal::dry_run())
    }
}
