//! GetShardIterator: from a starting position to a place in the shard.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::names::check_name;
use super::position::Wanted;
use super::put::rate_exceeded;
use super::token::ShardIterator;
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::wire::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIterator {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
    dry_run: Option<bool>,
}

impl Account {
    pub(crate) fn get_shard_iterator(
        &mut self,
        request: GetShardIterator,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let id = request.shard_id.as_deref().ok_or_else(|| Refusal::missing("shardId"))?;
        check_name(id, "shardId")?;
        let kind = request.shard_iterator_type.as_deref().ok_or_else(|| Refusal::missing("shardIteratorType"))?;
        let stream = self.usable_stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let (name, horizon) = (stream.name.clone(), stream.trim_horizon(now));
        stream.check_known(id, faults, now)?;
        let shard = stream.readable_shard(id, now)?;
        let wanted = Wanted {
            operation: "GetShardIterator",
            kind_member: "shardIteratorType",
            number_member: "StartingSequenceNumber",
            number_path: "startingSequenceNumber",
            kind,
            number: request.starting_sequence_number.as_deref(),
            time: request.timestamp,
        };
        let position = wanted.position(shard, &name, now)?;
        stream.end_dry_run(request.dry_run, now)?;
        let shard = stream.readable_shard(id, now)?;
        if !shard.rates.get_shard_iterator.holds(1, now) {
            return Err(rate_exceeded(id, &name));
        }
        shard.rates.get_shard_iterator.take(1, now);
        shard.trim(horizon);
        let iterator = ShardIterator {
            stream: name,
            shard: shard.index,
            opened: shard.starting.opened,
            from: shard.first_counter_from(&position),
            issued: now,
        };
        Ok(GetShardIteratorAnswer { shard_iterator: iterator.to_text() })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorAnswer {
    shard_iterator: String,
}
