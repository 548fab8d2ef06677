//! Warns operators of refusals and losses: at once, and then at most once a minute.

use std::sync::Arc;

use super::log_limiter::LogLimiter;
use super::losses::{Losses, Lost};
use crate::clock::Tick;
use crate::foreign::log;

/// Writes the warnings of one producer, and keeps them rare.
#[derive(Debug)]
pub(crate) struct OperatorLog {
    stream: String,
    fail_fast: bool,
    /// By the service's code.
    refusals: Vec<(String, LogLimiter)>,
    losses: Arc<Losses>,
    loss_limiter: LogLimiter,
    /// Losses that the limiter has counted.
    seen: u64,
}

impl OperatorLog {
    pub(crate) fn new(stream: String, fail_fast: bool, losses: Arc<Losses>) -> Self {
        Self { stream, fail_fast, refusals: Vec::new(), losses, loss_limiter: LogLimiter::default(), seen: 0 }
    }

    /// Reports batches that the service refused until an operator acts.
    pub(crate) fn refused(&mut self, now: Tick, code: &str, message: &str, batches: u64) {
        let place = match self.refusals.iter().position(|(known, _)| known == code) {
            Some(place) => place,
            None => {
                // The service has few codes. The bound holds if it sends new ones all the time.
                if self.refusals.len() == MAX_CODES {
                    self.refusals.remove(0);
                }
                self.refusals.push((code.to_owned(), LogLimiter::default()));
                self.refusals.len() - 1
            }
        };
        let Some(times) = self.refusals[place].1.happened(batches, now) else { return };
        let fate = match self.fail_fast {
            true => "they fail",
            false => "they are sent again until their time to live is over",
        };
        log(|| {
            tracing::error!(
                stream = %self.stream,
                %code,
                %message,
                times,
                "the service refuses records until an operator acts; {fate}",
            );
        });
    }

    /// Reports new losses, if a warning is due.
    pub(crate) fn losses(&mut self, now: Tick) {
        let lost = self.losses.so_far();
        let new = lost.records - std::mem::replace(&mut self.seen, lost.records);
        let due = if new > 0 { self.loss_limiter.happened(new, now) } else { self.loss_limiter.due(now) };
        if let Some(records) = due {
            self.warn(records, &lost);
        }
    }

    /// Reports at the end of the producer every loss that has not been reported.
    pub(crate) fn rest(&mut self, now: Tick) {
        self.losses(now);
        if let Some(records) = self.loss_limiter.rest() {
            self.warn(records, &self.losses.so_far());
        }
    }

    /// Returns when [`losses`](Self::losses) must be called again.
    pub(crate) fn due_at(&self) -> Option<Tick> {
        self.loss_limiter.due_at()
    }

    fn warn(&self, records: u64, lost: &Lost) {
        let reason = lost.kind.map(|kind| kind.to_string()).unwrap_or_default();
        log(|| {
            tracing::warn!(
                stream = %self.stream,
                records,
                in_all = lost.records,
                reason,
                code = lost.code.as_deref().unwrap_or("none"),
                "records were lost after their deliveries were dropped",
            );
        });
    }
}

/// More than the service has for refusals that an operator can end.
const MAX_CODES: usize = 16;
