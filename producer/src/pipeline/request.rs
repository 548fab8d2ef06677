//! The task of one request, from its start to the judgement of its entries.

use std::sync::Arc;

use kinesis_service_errors::{Departure, Transmission};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Pipeline;
use super::collect::Entry;
use super::judge::{Answer, Class, Failed};
use super::send;
use super::settle::{Completed, Rules};
use crate::outcome::code;

/// Sends the batches in one request and judges each by its answer.
///
/// At `end` the task stops waiting for the answer. Batches that left by then may have been written. At or after `end`
/// nothing is sent.
pub(crate) async fn send_request(
    pipeline: Arc<Pipeline>,
    mut entries: Vec<Entry>,
    mut end: watch::Receiver<Option<Instant>>,
) -> Completed {
    let is_over = |end: &Option<Instant>| end.is_some_and(|end| end <= Instant::now());
    if is_over(&end.borrow()) {
        return Completed::unsent(entries);
    }
    let now = pipeline.clock.now();
    let departure = Departure::new();
    let records = entries.iter_mut().map(|entry| entry.begin(now)).collect();
    let answers = tokio::select! {
        biased;
        // The answer first: if it has arrived, it is used even at the end.
        answers = send::send(&pipeline.client, &pipeline.stream, records, &departure) => answers,
        _ = end.wait_for(is_over) => vec![Answer::Failed(aborted(departure.so_far())); entries.len()],
    };
    let had_others = entries.len() > 1;
    let map = pipeline.router.map_to_keep();
    let rules = Rules { map: &map, now: pipeline.clock.now(), fail_fast: pipeline.settings.fail_fast };
    let mut completed = Completed::default();
    for (entry, answer) in entries.into_iter().zip(answers) {
        completed.answered(&rules, entry, answer, had_others);
    }
    completed
}

fn aborted(transmission: Transmission) -> Failed {
    let message = match transmission {
        Transmission::NotBegun => "the producer was closed before the request left",
        Transmission::MayHaveBegun => "the producer was closed while the request was under way",
    };
    let outcome = send::unanswered(transmission);
    Failed { class: Class::Transient, code: code::ABORTED.into(), message: message.into(), outcome }
}
