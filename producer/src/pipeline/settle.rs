//! Where batches end. Every answer goes to the shard's queue first. Then the batch is settled, or returned to be sent
//! again.
//!
//! Batches without an answer end here, too: those whose time to live is over, and those left at a close. Only a batch
//! that is dropped, in a panic or with the runtime, ends itself ([`Batch`]).

use std::sync::Arc;

use kinesis_aggregation::HashKeyRange;
use kinesis_service_errors::Kind;

use super::batch::Batch;
use super::collect::Entry;
use super::judge::{Answer, Class, Failed, Sent, Verdict, judge, shows_stale_map};
use super::shard_map::ShardMap;
use super::shard_queue::ShardQueue;
use crate::clock::Tick;
use crate::error::Failure;
use crate::outcome::{DeliveryErrorKind, Outcome, code};

/// The work that the answers of a request leave to the dispatcher. Written and refused batches are settled already.
#[derive(Default)]
pub(crate) struct Completed {
    pub(crate) returned: Vec<Returned>,
    pub(crate) unknown_shards: Vec<UnknownShard>,
    /// A batch was written on another shard than the map predicts.
    pub(crate) map_is_stale: bool,
    /// The latest refusal that an operator can end, and the number of batches refused so.
    pub(crate) needs_action: Option<(Failed, u64)>,
    /// The service knows no stream of this name. The next stream of this name may have other shards.
    pub(crate) stream_is_gone: bool,
    /// A batch was refused for good.
    pub(crate) refused: bool,
}

/// A batch to be sent again.
pub(crate) struct Returned {
    pub(crate) queue: Arc<ShardQueue>,
    pub(crate) batch: Batch,
    pub(crate) cause: Cause,
}

/// Why a batch is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The shard is at its limit.
    Throttled,
    /// It was written on a shard that does not hold all its hash keys.
    Misrouted,
    /// It is larger than the stream now accepts, and its records may be smaller.
    TooLarge,
    /// Another failure that may pass.
    Other,
}

/// A batch that was written on a shard which the map does not know. So it cannot be judged yet.
pub(crate) struct UnknownShard {
    queue: Arc<ShardQueue>,
    batch: Batch,
    answer: Answer,
}

/// The facts by which answers are judged.
pub(crate) struct Rules<'a> {
    pub(crate) map: &'a ShardMap,
    pub(crate) now: Tick,
    pub(crate) fail_fast: bool,
}

impl Completed {
    /// Returns the entries of a request that was not sent.
    pub(crate) fn unsent(entries: Vec<Entry>) -> Self {
        let returned = entries.into_iter().map(|entry| {
            let (queue, batch) = entry.answered();
            Returned { queue, batch, cause: Cause::Other }
        });
        Self { returned: returned.collect(), ..Self::default() }
    }

    /// Handles the answer for one entry. `had_others` says that its request had other entries.
    pub(crate) fn answered(&mut self, rules: &Rules<'_>, entry: Entry, answer: Answer, had_others: bool) {
        let (queue, batch) = entry.answered();
        self.map_is_stale |= shows_stale_map(&answer, queue.shard()) && rules.map.has(&queue);
        self.settle(rules, queue, batch, answer, had_others);
    }

    /// Judges by a newer map the batches that an older one could not judge.
    pub(crate) fn judge_again(&mut self, rules: &Rules<'_>, unknown_shards: Vec<UnknownShard>) {
        for UnknownShard { queue, batch, answer } in unknown_shards {
            self.settle(rules, queue, batch, answer, false);
        }
    }

    fn settle(
        &mut self,
        rules: &Rules<'_>,
        queue: Arc<ShardQueue>,
        mut batch: Batch,
        answer: Answer,
        had_others: bool,
    ) {
        let hash_keys = batch.build().range().unwrap_or(HashKeyRange::FULL);
        let sent = Sent { predicted: queue.shard(), hash_keys, had_others, fail_fast: rules.fail_fast };
        let verdict = judge(&answer, &sent, |shard| rules.map.range_of(shard));
        match (verdict, answer) {
            (Verdict::Done, Answer::Written { shard, sequence_number }) => batch.written(shard, sequence_number),
            (Verdict::AskMap, answer) => self.unknown_shards.push(UnknownShard { queue, batch, answer }),
            (_, Answer::Written { shard, sequence_number }) => {
                batch.attempted(rules.now, misrouted(&shard, &sequence_number, hash_keys));
                self.returned.push(Returned { queue, batch, cause: Cause::Misrouted });
            }
            (Verdict::Refused, Answer::Failed(failed)) if batch.is_divisible() => {
                self.refused = true;
                batch.attempted(rules.now, failed);
                self.returned.push(Returned { queue, batch, cause: Cause::TooLarge });
            }
            (Verdict::Refused, Answer::Failed(failed)) => {
                self.refused = true;
                batch.attempted(rules.now, failed);
                batch.failed(DeliveryErrorKind::Refused);
            }
            (Verdict::NeedsAction, Answer::Failed(failed)) => {
                self.count_needs_action(&failed);
                batch.attempted(rules.now, failed);
                batch.failed(DeliveryErrorKind::NeedsAction);
            }
            (verdict, Answer::Failed(failed)) => {
                let cause = if failed.class == Class::Throttled { Cause::Throttled } else { Cause::Other };
                if failed.class == Class::NeedsAction {
                    self.count_needs_action(&failed);
                }
                batch.alone |= verdict == Verdict::Alone;
                batch.attempted(rules.now, failed);
                self.returned.push(Returned { queue, batch, cause });
            }
        }
    }

    fn count_needs_action(&mut self, failed: &Failed) {
        self.stream_is_gone |= Kind::of_code(&failed.code, None) == Kind::NotFound;
        match &mut self.needs_action {
            Some((_, batches)) => *batches += 1,
            none => *none = Some((failed.clone(), 1)),
        }
    }
}

impl UnknownShard {
    /// Returns when its first record was admitted.
    pub(crate) const fn opened(&self) -> Tick {
        self.batch.opened
    }

    /// Records that no listing named the shard.
    fn into_batch(self, now: Tick) -> Batch {
        let Self { mut batch, answer, .. } = self;
        if let Answer::Written { shard, sequence_number } = answer {
            let message = format!("written on {shard} as {sequence_number}, and no listing says what that shard holds");
            let failed = Failed {
                class: Class::Transient,
                code: code::UNKNOWN_SHARD.into(),
                message: message.into(),
                outcome: Outcome::Unknown,
            };
            batch.attempted(now, failed);
        }
        batch
    }
}

/// Fails batches whose time to live is over.
pub(crate) fn expired(batches: Vec<Batch>) {
    for batch in batches {
        batch.failed(DeliveryErrorKind::Expired);
    }
}

/// Fails batches whose time to live is over before their shard became known.
pub(crate) fn expired_unknown(unknown_shards: Vec<UnknownShard>, now: Tick) {
    expired(unknown_shards.into_iter().map(|unknown| unknown.into_batch(now)).collect());
}

/// Fails the batches that are left at a close, and returns their failures.
pub(crate) fn closed(completed: Vec<Completed>, waiting: Vec<Batch>, now: Tick) -> Vec<Arc<Failure>> {
    let of_requests = completed.into_iter().flat_map(|Completed { returned, unknown_shards, .. }| {
        let returned = returned.into_iter().map(|returned| returned.batch);
        returned.chain(unknown_shards.into_iter().map(move |unknown| unknown.into_batch(now)))
    });
    of_requests.chain(waiting).map(|batch| batch.failed(DeliveryErrorKind::Closed)).collect()
}

/// The failed attempt of a misrouted batch: in the stream, but not for a consumer that filters by hash-key range.
fn misrouted(shard: &str, sequence_number: &str, hash_keys: HashKeyRange) -> Failed {
    let message = format!("written on {shard} as {sequence_number}, which does not hold all of {hash_keys}");
    Failed {
        class: Class::Transient,
        code: code::WRONG_SHARD.into(),
        message: message.into(),
        outcome: Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests;
