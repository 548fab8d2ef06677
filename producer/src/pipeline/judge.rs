//! What the answer to an attempt means for a batch. A pure function of what is known.

use std::borrow::Cow;
use std::sync::Arc;

use kinesis_aggregation::HashKeyRange;

use crate::outcome::Outcome;

/// The answer for one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The batch is in the stream, on this shard.
    Written { shard: Arc<str>, sequence_number: Arc<str> },
    /// The attempt failed, alone or with its whole request.
    Failed(Failed),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) class: Class,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Arc<str>,
    /// Whether the attempt can have written the batch.
    pub(crate) outcome: Outcome,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The shard, or the key that encrypts it, is at its limit.
    Throttled,
    /// The failure passes by itself.
    Transient,
    /// The failure passes when an operator acts: a policy, keys, the stream.
    NeedsAction,
    /// One of the request's entries is invalid. The service does not say which.
    Invalid,
}

/// What is known of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// The shard on which the batch is expected. `None` if the service distributes the records itself.
    pub(crate) predicted: Option<&'a str>,
    /// The range of the hash keys inside.
    pub(crate) hash_keys: HashKeyRange,
    /// The request had other entries.
    pub(crate) had_others: bool,
    /// Refusals that an operator can end are not retried.
    pub(crate) fail_fast: bool,
}

/// What to do with the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written on a shard where consumers find it.
    Done,
    /// Written on an unknown shard. List the shards, then judge again.
    AskMap,
    /// Written on a shard that does not hold all its hash keys. A consumer that filters by hash-key range drops the
    /// whole batch, so the whole batch is sent again. (The KPL repeats only the records outside the range, and loses
    /// those inside.)
    Misrouted,
    /// Send it again after a backoff.
    Again,
    /// Send it again in a request of its own, to learn whether it was the invalid entry.
    Alone,
    /// Give it up.
    Refused,
    /// Give it up, although an operator could end the refusal.
    NeedsAction,
}

pub(crate) fn judge(answer: &Answer, sent: &Sent<'_>, range_of: impl FnOnce(&str) -> Option<HashKeyRange>) -> Verdict {
    match answer {
        Answer::Written { shard, .. } => {
            // The service routes by the hash key of the first record. A batch with a single hash key cannot be
            // misrouted.
            let one_hash_key = sent.hash_keys.start == sent.hash_keys.end;
            if one_hash_key || sent.predicted.is_none_or(|predicted| predicted == &**shard) {
                return Verdict::Done;
            }
            match range_of(shard) {
                None => Verdict::AskMap,
                Some(range) if range.covers(&sent.hash_keys) => Verdict::Done,
                Some(_) => Verdict::Misrouted,
            }
        }
        Answer::Failed(failed) => match failed.class {
            Class::Throttled | Class::Transient => Verdict::Again,
            Class::NeedsAction if sent.fail_fast => Verdict::NeedsAction,
            Class::NeedsAction => Verdict::Again,
            Class::Invalid if sent.had_others => Verdict::Alone,
            Class::Invalid => Verdict::Refused,
        },
    }
}

/// Returns `true` if the answer shows that the shard map is out of date.
pub(crate) fn shows_stale_map(answer: &Answer, predicted: Option<&str>) -> bool {
    match (answer, predicted) {
        (Answer::Written { shard, .. }, Some(predicted)) => &**shard != predicted,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
