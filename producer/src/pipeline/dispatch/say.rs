//! What people are told of refusals and losses: at once, and then seldom.

use crate::clock::Tick;
use crate::foreign::log;
use crate::pipeline::Pipeline;
use crate::pipeline::judge::Failed;
use crate::pipeline::report::Lost;
use crate::pipeline::seldom::Seldom;

/// What has been said.
#[derive(Debug, Default)]
pub(super) struct Say {
    /// By the service's code.
    unmended: Vec<(String, Seldom)>,
    losses: Seldom,
    /// Of the losses, those that were counted here.
    seen: u64,
}

impl Say {
    /// The service refuses what somebody can mend, and nobody else may be looking.
    pub(super) fn unmended(&mut self, pipeline: &Pipeline, failed: &Failed, batches: u64) {
        let place = match self.unmended.iter().position(|(code, _)| *code == failed.code) {
            Some(place) => place,
            None => {
                // Codes are few; one that makes up new ones all the time is not remembered.
                if self.unmended.len() == MOST_CODES {
                    self.unmended.remove(0);
                }
                self.unmended.push((failed.code.clone().into_owned(), Seldom::default()));
                self.unmended.len() - 1
            }
        };
        let Some(times) = self.unmended[place].1.happened(batches, pipeline.clock.now()) else { return };
        let fate = match pipeline.settings.fail_fast {
            true => "they fail",
            false => "they are sent again until their time to live is over",
        };
        log(|| {
            tracing::error!(
                stream = %pipeline.stream,
                code = %failed.code,
                message = %failed.message,
                times,
                "the service refuses records until somebody mends what is in the way; {fate}",
            );
        });
    }

    /// Records were lost whose deliveries nobody holds.
    pub(super) fn losses(&mut self, pipeline: &Pipeline, now: Tick) {
        let lost = pipeline.accounts.losses.so_far();
        let new = lost.records - std::mem::replace(&mut self.seen, lost.records);
        let due = if new > 0 { self.losses.happened(new, now) } else { self.losses.due(now) };
        if let Some(records) = due {
            warn(pipeline, records, &lost);
        }
    }

    /// At the end, what waits to be said.
    pub(super) fn rest(&mut self, pipeline: &Pipeline) {
        self.losses(pipeline, pipeline.clock.now());
        if let Some(records) = self.losses.rest() {
            warn(pipeline, records, &pipeline.accounts.losses.so_far());
        }
    }

    pub(super) fn due_at(&self) -> Option<Tick> {
        self.losses.due_at()
    }
}

fn warn(pipeline: &Pipeline, records: u64, lost: &Lost) {
    let reason = lost.kind.map(|kind| kind.to_string()).unwrap_or_default();
    log(|| {
        tracing::warn!(
            stream = %pipeline.stream,
            records,
            in_all = lost.records,
            reason,
            code = lost.code.as_deref().unwrap_or("none"),
            "records were lost whose deliveries nobody holds",
        );
    });
}

/// More than the services have that somebody can mend.
const MOST_CODES: usize = 16;
