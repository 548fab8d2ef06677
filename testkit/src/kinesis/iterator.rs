//! GetShardIterator: from a starting position to a place in the shard.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::list::future_timestamp;
use super::put::rate_exceeded;
use super::sequence::SequenceNumber;
use super::shard::{Shard, shard_id};
use super::token::ShardIterator;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;
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

/// Where reading starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    TrimHorizon,
    Latest,
    At(SequenceNumber),
    After(SequenceNumber),
    AtTime(Tick),
}

impl Account {
    pub(crate) fn get_shard_iterator(
        &mut self,
        request: GetShardIterator,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let id = request.shard_id.as_deref().ok_or_else(|| Refusal::missing("shardId"))?;
        let kind = request.shard_iterator_type.as_deref().ok_or_else(|| Refusal::missing("shardIteratorType"))?;
        let stream = self.usable_stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let (name, horizon) = (stream.name.clone(), stream.trim_horizon(now));
        let shard = stream.readable_shard(id, now)?;
        let position = request.position(kind, shard, &name, now)?;
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

impl GetShardIterator {
    fn position(&self, kind: &str, shard: &Shard, stream: &str, now: Tick) -> Result<Position, Refusal> {
        if matches!(kind, "TRIM_HORIZON" | "LATEST") && self.starting_sequence_number.is_some() {
            return Err(either_or(&format!("{kind} and also a")));
        }
        match kind {
            "TRIM_HORIZON" => Ok(Position::TrimHorizon),
            "LATEST" => Ok(Position::Latest),
            "AT_SEQUENCE_NUMBER" => self.starting_number(kind, shard, stream).map(Position::At),
            "AFTER_SEQUENCE_NUMBER" => self.starting_number(kind, shard, stream).map(Position::After),
            "AT_TIMESTAMP" => match self.timestamp {
                None => Err(Refusal::invalid_argument(
                    "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has \
                     no timestamp parameter.",
                )),
                // Sub-millisecond parts do not travel: the present millisecond is not the future.
                Some(Timestamp(at)) if at.as_millis() > now.as_millis() => Err(future_timestamp(at, now)),
                Some(Timestamp(at)) => Ok(Position::AtTime(at)),
            },
            other => Err(Refusal::constraint(
                other,
                "shardIteratorType",
                "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, \
                 TRIM_HORIZON]",
            )),
        }
    }

    fn starting_number(&self, kind: &str, shard: &Shard, stream: &str) -> Result<SequenceNumber, Refusal> {
        let text = self.starting_sequence_number.as_deref();
        let text = text.ok_or_else(|| either_or(&format!("{kind} and no")))?;
        let id = shard.id();
        let invalid = |why: &str| {
            Refusal::invalid_argument(format!(
                "StartingSequenceNumber {text} used in GetShardIterator on shard {id} in stream {stream} under account \
                 {ACCOUNT_ID} is invalid{why}."
            ))
        };
        let number = SequenceNumber::parse(text).ok_or_else(|| invalid(""))?;
        if number.opened != shard.starting.opened {
            if number.shard != shard.index {
                return Err(Refusal::invalid_argument(format!(
                    "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {id}",
                    shard_id(number.shard)
                )));
            }
            return Err(invalid(" because it did not come from this stream"));
        }
        if number.counter > shard.last_counter {
            return Err(invalid(" because it is larger than the last sequence number of the shard"));
        }
        Ok(number)
    }
}

fn either_or(specified: &str) -> Refusal {
    Refusal::invalid_argument(format!(
        "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
         TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {specified} StartingSequenceNumber."
    ))
}

impl Shard {
    /// The counter from which records are still to be read.
    pub(crate) fn first_counter_from(&self, position: &Position) -> u64 {
        match position {
            Position::TrimHorizon => 0,
            Position::Latest => self.last_counter + 1,
            Position::At(number) => number.counter,
            Position::After(number) => number.counter + 1,
            Position::AtTime(at) => {
                let first = self.records.partition_point(|record| record.arrival.as_millis() < at.as_millis());
                self.records.get(first).map_or(self.last_counter + 1, |record| record.sequence.counter)
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorAnswer {
    shard_iterator: String,
}
