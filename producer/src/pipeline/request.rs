//! One request under way, from the last touch on its batches to the judgement of each.

use std::sync::Arc;

use kinesis_aggregation::HashKeyRange;
use kinesis_service_errors::{Departure, Kind, Transmission};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Pipeline;
use super::collect::Entry;
use super::judge::{Answer, Class, Failed, Sent, Verdict, judge, shows_stale_map};
use super::send;
use super::shard_map::ShardMap;
use crate::outcome::{DeliveryErrorKind, Outcome, code};

/// What a request leaves to be done. What was written where it belongs, and what was refused, has been told already.
#[derive(Default)]
pub(crate) struct Completed {
    /// To be sent again.
    pub(crate) again: Vec<(Entry, Cause)>,
    /// Written on shards that the map does not know.
    pub(crate) unknown_shards: Vec<UnknownShard>,
    /// Something was written on another shard than the map says.
    pub(crate) map_is_stale: bool,
    /// The latest refusal that somebody could mend, and how many batches were refused so.
    pub(crate) unmended: Option<(Failed, u64)>,
    /// The service knows no stream of this name: the next one of this name may have other shards.
    pub(crate) gone: bool,
    /// Something was refused for good.
    pub(crate) refused: bool,
}

/// Why a batch is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The shard has had enough.
    Throttled,
    /// It was written where it does not belong.
    Misrouted,
    /// It is more than the stream takes now, and its records need not be.
    TooLarge,
    /// Anything else that may pass.
    Other,
}

/// A batch of which it is known where it was written, but not whether it belongs there.
pub(crate) struct UnknownShard {
    entry: Entry,
    answer: Answer,
}

/// Sends the batches in one request and judges each by its answer. Ends when the `end` has come and says so: what has left and has no answer
/// then may have been written. At or after the end nothing is sent.
pub(crate) async fn send_request(
    pipeline: Arc<Pipeline>,
    mut entries: Vec<Entry>,
    mut end: watch::Receiver<Option<Instant>>,
) -> Completed {
    let is_over = |end: &Option<Instant>| end.is_some_and(|end| end <= Instant::now());
    if is_over(&end.borrow()) {
        let again = entries.into_iter().map(|entry| (entry, Cause::Other)).collect();
        return Completed { again, ..Completed::default() };
    }
    let now = pipeline.clock.now();
    let departure = Departure::new();
    let records = entries
        .iter_mut()
        .map(|Entry { batch, .. }| {
            let record = batch.build().entry();
            batch.sent(now);
            record
        })
        .collect();
    let answers = tokio::select! {
        biased;
        // First: an answer that is there is worth more than the wish to go.
        answers = send::send(&pipeline.client, &pipeline.stream, records, &departure) => answers,
        _ = end.wait_for(is_over) => vec![Answer::Failed(aborted(departure.so_far())); entries.len()],
    };
    let had_company = entries.len() > 1;
    let map = pipeline.map.load_full();
    let mut completed = Completed::default();
    for (entry, answer) in entries.into_iter().zip(answers) {
        completed.map_is_stale |= shows_stale_map(&answer, entry.queue.shard()) && map.has(&entry.queue);
        completed.settle(&pipeline, &map, entry, answer, had_company);
    }
    completed
}

impl Completed {
    /// Judges again what could not be judged by an older map.
    pub(crate) fn decide(&mut self, pipeline: &Pipeline, map: &ShardMap, unknown_shards: Vec<UnknownShard>) {
        for UnknownShard { entry, answer } in unknown_shards {
            self.settle(pipeline, map, entry, answer, false);
        }
    }

    fn settle(&mut self, pipeline: &Pipeline, map: &ShardMap, entry: Entry, answer: Answer, had_company: bool) {
        let Entry { queue, mut batch } = entry;
        let hash_keys = batch.build().range().unwrap_or(HashKeyRange::FULL);
        let fail_fast = pipeline.settings.fail_fast;
        let sent = Sent { predicted: queue.shard(), hash_keys, had_company, fail_fast };
        let verdict = judge(&answer, &sent, |shard| map.range_of(shard));
        let now = pipeline.clock.now();
        match (verdict, answer) {
            (Verdict::Done, Answer::Written { shard, sequence_number }) => batch.written(shard, sequence_number),
            (Verdict::AskMap, answer) => {
                self.unknown_shards.push(UnknownShard { entry: Entry { queue, batch }, answer })
            }
            (_, Answer::Written { shard, sequence_number }) => {
                batch.attempted(now, misrouted(&shard, &sequence_number, hash_keys));
                self.again.push((Entry { queue, batch }, Cause::Misrouted));
            }
            (Verdict::Refused, Answer::Failed(failed)) if batch.is_divisible() => {
                self.refused = true;
                batch.attempted(now, failed);
                self.again.push((Entry { queue, batch }, Cause::TooLarge));
            }
            (Verdict::Refused, Answer::Failed(failed)) => {
                self.refused = true;
                batch.attempted(now, failed);
                batch.failed(DeliveryErrorKind::Refused);
            }
            (Verdict::Unmended, Answer::Failed(failed)) => {
                self.count_unmended(&failed);
                batch.attempted(now, failed);
                batch.failed(DeliveryErrorKind::NeedsAction);
            }
            (verdict, Answer::Failed(failed)) => {
                let cause = if failed.class == Class::Throttled { Cause::Throttled } else { Cause::Other };
                if failed.class == Class::NeedsAction {
                    self.count_unmended(&failed);
                }
                batch.alone |= verdict == Verdict::Alone;
                batch.attempted(now, failed);
                self.again.push((Entry { queue, batch }, cause));
            }
        }
    }
}

impl Completed {
    fn count_unmended(&mut self, failed: &Failed) {
        self.gone |= Kind::of_code(&failed.code, None) == Kind::NotFound;
        match &mut self.unmended {
            Some((_, batches)) => *batches += 1,
            none => *none = Some((failed.clone(), 1)),
        }
    }
}

impl UnknownShard {
    /// When its first record was admitted.
    pub(crate) const fn opened(&self) -> crate::clock::Tick {
        self.entry.batch.opened
    }

    /// Gives up asking.
    pub(crate) fn into_batch(self, pipeline: &Pipeline) -> super::batch::Batch {
        let Entry { mut batch, .. } = self.entry;
        if let Answer::Written { shard, sequence_number } = self.answer {
            let message = format!("written on {shard} as {sequence_number}, and no listing says what that shard holds");
            let failed = Failed {
                class: Class::Transient,
                code: code::UNKNOWN_SHARD.into(),
                message: message.into(),
                outcome: Outcome::Unknown,
            };
            batch.attempted(pipeline.clock.now(), failed);
        }
        batch
    }
}

/// In the stream, but not for a consumer that filters by hash range.
fn misrouted(shard: &str, sequence_number: &str, hash_keys: HashKeyRange) -> Failed {
    let message = format!("written on {shard} as {sequence_number}, which does not hold all of {hash_keys}");
    Failed {
        class: Class::Transient,
        code: code::WRONG_SHARD.into(),
        message: message.into(),
        outcome: Outcome::Unknown,
    }
}

fn aborted(transmission: Transmission) -> Failed {
    let message = match transmission {
        Transmission::NotBegun => "the producer was closed before the request left",
        Transmission::MayHaveBegun => "the producer was closed while the request was under way",
    };
    let outcome = send::unanswered(transmission);
    Failed { class: Class::Transient, code: code::ABORTED.into(), message: message.into(), outcome }
}
