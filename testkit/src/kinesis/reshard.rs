//! SplitShard and MergeShards.

use serde::Deserialize;

use super::account::Account;
use super::hash_key;
use super::names::check_name;
use super::shard::Shard;
use super::stream::{Change, Mode, Pending, Status, Step, Stream};
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SplitShard {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MergeShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

impl SplitShard {
    pub(crate) fn of(stream: &str, shard: &str, at: u128) -> Self {
        Self {
            stream_name: Some(stream.to_owned()),
            stream_arn: None,
            shard_to_split: Some(shard.to_owned()),
            new_starting_hash_key: Some(at.to_string()),
        }
    }
}

impl MergeShards {
    pub(crate) fn of(stream: &str, shard: &str, adjacent: &str) -> Self {
        Self {
            stream_name: Some(stream.to_owned()),
            stream_arn: None,
            shard_to_merge: Some(shard.to_owned()),
            adjacent_shard_to_merge: Some(adjacent.to_owned()),
        }
    }
}

impl Account {
    pub(crate) fn split_shard(&mut self, request: SplitShard, now: Tick) -> Result<(), Refusal> {
        let id = request.shard_to_split.as_deref().ok_or_else(|| Refusal::missing("shardToSplit"))?;
        check_name(id, "shardToSplit")?;
        let at = request.new_starting_hash_key.as_deref().ok_or_else(|| Refusal::missing("newStartingHashKey"))?;
        if !hash_key::is_decimal(at) {
            let pattern = "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
            return Err(Refusal::constraint(at, "newStartingHashKey", pattern));
        }
        let updating = self.limits.updating;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_reshardable()?;
        let name = stream.name.clone();
        let shard = stream.shard(id, now)?;
        shard.check_open(&name)?;
        let (first, last) = shard.range;
        let parent = shard.index;
        let inside = hash_key::parse(at).filter(|at| *at > first && at - first > 1 && *at < last);
        let Some(at) = inside else {
            return Err(Refusal::invalid_argument(format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {id} in stream {name} under account {ACCOUNT_ID} \
                 is not both greater than one plus the shard's StartingHashKey {first} and less than the shard's \
                 EndingHashKey {last}."
            )));
        };
        self.check_room_for(1)?;
        self.stream(Some(&name), None)?.update(now + updating, Change::Step(Step::Split { parent, at }));
        Ok(())
    }

    pub(crate) fn merge_shards(&mut self, request: MergeShards, now: Tick) -> Result<(), Refusal> {
        let id = request.shard_to_merge.as_deref().ok_or_else(|| Refusal::missing("shardToMerge"))?;
        let other =
            request.adjacent_shard_to_merge.as_deref().ok_or_else(|| Refusal::missing("adjacentShardToMerge"))?;
        check_name(id, "shardToMerge")?;
        check_name(other, "adjacentShardToMerge")?;
        let updating = self.limits.updating;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_reshardable()?;
        let name = stream.name.clone();
        let mut ends = Vec::with_capacity(2);
        for id in [id, other] {
            let shard = stream.shard(id, now)?;
            shard.check_open(&name)?;
            ends.push((shard.index, shard.range));
        }
        let [(parent, a), (adjacent, b)] = ends[..] else { unreachable!("two shards were looked up") };
        // In this order: the service refuses a pair named the other way round.
        if a.1.checked_add(1) != Some(b.0) {
            return Err(Refusal::invalid_argument(format!(
                "Shards {id} and {other} in stream {name} under account {ACCOUNT_ID} are not an adjacent pair of \
                 shards eligible for merging"
            )));
        }
        stream.update(now + updating, Change::Step(Step::Merge { parent, adjacent }));
        Ok(())
    }
}

impl Stream {
    pub(crate) fn check_reshardable(&self) -> Result<(), Refusal> {
        if self.mode == Mode::OnDemand {
            return Err(Refusal::on_demand(&self.name, ACCOUNT_ID));
        }
        self.check_active()
    }

    pub(crate) fn update(&mut self, due: Tick, change: Change) {
        self.status = Status::Updating;
        self.pending = Some(Pending { due, change });
    }
}

impl Shard {
    fn check_open(&self, stream: &str) -> Result<(), Refusal> {
        if self.is_open() {
            return Ok(());
        }
        Err(Refusal::invalid_argument(format!(
            "Shard {} in stream {stream} under account {ACCOUNT_ID} has already been merged or split, and thus is not \
             eligible for merging or splitting.",
            self.id()
        )))
    }
}
