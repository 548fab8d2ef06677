//! What an attempt's answer means for a batch. Pure: all that is known comes in, the verdict comes out.

use std::borrow::Cow;
use std::sync::Arc;

use kinesis_aggregation::HashKeyRange;

use crate::outcome::Outcome;

/// What an attempt said of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is in the stream, on this shard.
    Written { shard: Arc<str>, sequence_number: Arc<str> },
    /// The attempt failed, by itself or with its whole request.
    Failed(Failed),
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) class: Class,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Arc<str>,
    /// Whether it can have written the batch.
    pub(crate) outcome: Outcome,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The shard, or the key that encrypts it, has had enough for now.
    Throttled,
    /// It may pass.
    Transient,
    /// It passes when somebody has mended something: a policy, keys, the stream.
    NeedsAction,
    /// One of the request's entries is not acceptable; which one is not said.
    Invalid,
}

/// What is known of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// The shard that was to hold it; `None` where the service distributes the records itself.
    pub(crate) predicted: Option<&'a str>,
    /// The hash keys inside.
    pub(crate) hash_keys: HashKeyRange,
    /// Other entries were in its request.
    pub(crate) had_company: bool,
    /// What somebody can mend is not waited for.
    pub(crate) fail_fast: bool,
}

/// What becomes of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written where consumers find it.
    Done,
    /// Written on a shard of which nothing is known: list the shards, then judge again.
    AskMap,
    /// Written on a shard that does not hold all its hash keys: a consumer that filters by hash range drops it whole, so it is sent again
    /// whole. (The KPL repeats only the records outside, and loses those inside.)
    Misrouted,
    /// Send it again, after a while.
    Again,
    /// Send it again, in a request of its own: then it is clear whether it was this one.
    Alone,
    /// Give it up.
    Refused,
    /// Give it up, although somebody could mend what is in the way.
    Unmended,
}

pub(crate) fn judge(answer: &Answer, sent: &Sent<'_>, range_of: impl FnOnce(&str) -> Option<HashKeyRange>) -> Verdict {
    match answer {
        Answer::Written { shard, .. } => {
            // The service routes by the hash key of the first record: when there is no other hash key inside, it cannot be misrouted.
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
            Class::NeedsAction if sent.fail_fast => Verdict::Unmended,
            Class::NeedsAction => Verdict::Again,
            Class::Invalid if sent.had_company => Verdict::Alone,
            Class::Invalid => Verdict::Refused,
        },
    }
}

/// Whether the answer shows that the shard map is out of date.
pub(crate) fn shows_stale_map(answer: &Answer, predicted: Option<&str>) -> bool {
    match (answer, predicted) {
        (Answer::Written { shard, .. }, Some(predicted)) => &**shard != predicted,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
