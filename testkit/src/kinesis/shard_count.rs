//! UpdateShardCount: the splits and merges that lead to shards of one size.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::hash_key;
use super::stream::{Change, Step, Stream};
use crate::clock::Tick;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateShardCount {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
}

impl UpdateShardCount {
    pub(crate) fn of(stream: &str, target: u32) -> Self {
        Self {
            stream_name: Some(stream.to_owned()),
            stream_arn: None,
            target_shard_count: Some(target.into()),
            scaling_type: Some(UNIFORM_SCALING.to_owned()),
        }
    }
}

impl Account {
    pub(crate) fn update_shard_count(
        &mut self,
        request: UpdateShardCount,
        now: Tick,
    ) -> Result<impl Serialize + use<>, Refusal> {
        let asked = request.target_shard_count.ok_or_else(|| Refusal::missing("targetShardCount"))?;
        let target = u32::try_from(asked).ok().filter(|target| *target > 0).ok_or_else(|| {
            let what = "Member must have value greater than or equal to 1";
            Refusal::constraint(asked, "targetShardCount", what)
        })?;
        check_scaling_type(request.scaling_type.as_deref())?;
        let limits = self.limits.clone();
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_reshardable()?;
        let current = stream.open_shards().count();
        stream.check_target(current, target as usize, &limits, now)?;
        let answer = UpdateShardCountAnswer {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            current_shard_count: current,
            target_shard_count: target,
        };
        self.check_room_for((target as usize).saturating_sub(current))?;
        let stream = self.stream(Some(&answer.stream_name), None)?;
        stream.shard_count_updates.count(limits.shard_count_updates_per_day, now);
        let change = stream.reshard_to(&stream.uniform_targets(target));
        stream.update(now.saturating_add(limits.updating), change);
        Ok(answer)
    }
}

impl Stream {
    fn check_target(&mut self, current: usize, target: usize, limits: &Limits, now: Tick) -> Result<(), Refusal> {
        let counts = format!("Current open shard count: {current} Target shard count: {target}");
        let exceeded = |what: &str| Err(Refusal::limit_exceeded(format!("{what} {counts}")));
        if target > 2 * current {
            return exceeded("UpdateShardCount cannot scale up over double your current open shard count.");
        }
        if 2 * target < current {
            return exceeded("UpdateShardCount cannot scale down below half your current open shard count.");
        }
        let most = limits.shards_per_stream;
        if target > most && target > current {
            return exceeded(&format!("UpdateShardCount cannot scale a stream up to more than {most} shards."));
        }
        if current > most && target >= most {
            return exceeded(&format!(
                "UpdateShardCount cannot scale a stream with more than {most} shards down unless the result is less than \
                 {most} shards."
            ));
        }
        if !self.shard_count_updates.allows(limits.shard_count_updates_per_day, now) {
            return Err(Refusal::limit_exceeded(format!(
                "UpdateShardCount was called more than {} times in a rolling 24 hour period on stream {} under account \
                 {ACCOUNT_ID}.",
                limits.shard_count_updates_per_day, self.name
            )));
        }
        Ok(())
    }

    /// The ranges of `n` equal shards. Where one ends within rounding of where a shard ends now, it ends there: a width
    /// that was rounded down for 3 shards is not twice that for 6.
    pub(crate) fn uniform_targets(&self, n: u32) -> Vec<(u128, u128)> {
        let ends: BTreeSet<u128> = self.open_shards().map(|shard| shard.range.1).collect();
        let mut first = 0;
        let mut targets = Vec::with_capacity(n as usize);
        for (_, last) in hash_key::split_evenly(n) {
            let near = last.saturating_sub(ROUNDING)..=last.saturating_add(ROUNDING);
            let last = ends.range(near).copied().min_by_key(|end| end.abs_diff(last)).unwrap_or(last);
            targets.push((first, last));
            first = last.wrapping_add(1);
        }
        targets
    }

    /// The splits and merges on the way to the ranges `targets`, from the lowest hash key up, in one pass.
    ///
    /// As the service has been seen to do it (4 shards to 3: shard 1 is split at a third, its lower part merged with
    /// shard 0, then shard 2 is split at two thirds, and so on): what reaches over the end of a target is split there,
    /// what lies within it is merged from the left. So every shard has parents, and some live only for a moment.
    pub(crate) fn reshard_to(&self, targets: &[(u128, u128)]) -> Change {
        let mut open: Vec<_> = self.open_shards().map(|shard| (shard.range, shard.index)).collect();
        // The lowest hash key last, where it is taken from.
        open.sort_unstable_by(|a, b| b.cmp(a));
        let mut steps = VecDeque::new();
        // No other change comes between, so the children's numbers are known.
        let mut next = self.shards.len() as u32;
        for &(_, end) in targets {
            // All targets before this one are shards already, so this one begins where the next shard begins.
            while let Some((range, index)) = open.pop()
                && range.1 != end
            {
                let (first, last) = range;
                if last > end {
                    steps.push_back(Step::Split { parent: index, at: end + 1 });
                    open.extend([((end + 1, last), next + 1), ((first, end), next)]);
                    next += 2;
                    continue;
                }
                let Some(((from, last), adjacent)) = open.pop() else { break };
                if last > end {
                    steps.push_back(Step::Split { parent: adjacent, at: end + 1 });
                    open.extend([((end + 1, last), next + 1), ((from, end), next), (range, index)]);
                    next += 2;
                } else {
                    steps.push_back(Step::Merge { parent: index, adjacent });
                    open.push(((first, last), next));
                    next += 1;
                }
            }
        }
        Change::Reshard { steps, shards: targets.len() }
    }
}

fn check_scaling_type(asked: Option<&str>) -> Result<(), Refusal> {
    match asked {
        Some(UNIFORM_SCALING) => Ok(()),
        None => Err(Refusal::missing("scalingType")),
        Some(other) => {
            Err(Refusal::constraint(other, "scalingType", "Member must satisfy enum value set: [UNIFORM_SCALING]"))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateShardCountAnswer {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_count: usize,
    target_shard_count: u32,
}

/// Ends of ranges differ by no more hash keys than a stream has had shards; and no shard is nearly as small as this.
const ROUNDING: u128 = 1 << 32;
const UNIFORM_SCALING: &str = "UNIFORM_SCALING";
