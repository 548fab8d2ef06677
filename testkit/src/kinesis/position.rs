//! Where reading a shard starts: for shard iterators and for subscriptions.

use super::list::future_timestamp;
use super::sequence::SequenceNumber;
use super::shard::{Shard, shard_id};
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;
use crate::wire::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    TrimHorizon,
    Latest,
    At(SequenceNumber),
    After(SequenceNumber),
    AtTime(Tick),
}

/// A position as a request words it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The operation that asks, and what it calls kind and number: for messages.
    pub(crate) operation: &'static str,
    pub(crate) kind_member: &'static str,
    pub(crate) number_member: &'static str,
    pub(crate) number_path: &'static str,
    pub(crate) kind: &'a str,
    pub(crate) number: Option<&'a str>,
    pub(crate) time: Option<Timestamp>,
}

impl Wanted<'_> {
    /// Refuses what does not belong together, and numbers that are not of this shard.
    pub(crate) fn position(&self, shard: &Shard, stream: &str, now: Tick) -> Result<Position, Refusal> {
        let kind = self.kind;
        if matches!(kind, "TRIM_HORIZON" | "LATEST") && self.number.is_some() {
            return Err(self.either_or(&format!("{kind} and also a")));
        }
        match kind {
            "TRIM_HORIZON" => Ok(Position::TrimHorizon),
            "LATEST" => Ok(Position::Latest),
            "AT_SEQUENCE_NUMBER" => self.starting_number(shard, stream).map(Position::At),
            "AFTER_SEQUENCE_NUMBER" => self.starting_number(shard, stream).map(Position::After),
            "AT_TIMESTAMP" => match self.time {
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
                self.kind_member,
                "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, \
                 TRIM_HORIZON]",
            )),
        }
    }

    fn starting_number(&self, shard: &Shard, stream: &str) -> Result<SequenceNumber, Refusal> {
        let Self { operation, number_member: member, .. } = self;
        let text = self.number.ok_or_else(|| self.either_or(&format!("{} and no", self.kind)))?;
        let id = shard.id();
        let invalid = |why: &str| {
            Refusal::invalid_argument(format!(
                "{member} {text} used in {operation} on shard {id} in stream {stream} under account {ACCOUNT_ID} is \
                 invalid{why}."
            ))
        };
        SequenceNumber::check_form(text, self.number_path)?;
        let number = SequenceNumber::parse(text).ok_or_else(|| invalid(""))?;
        if number.opened != shard.starting.opened {
            if number.shard != shard.index {
                return Err(Refusal::invalid_argument(format!(
                    "Invalid {member}. It encodes {}, while it was used in a call to a shard with {id}",
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

    fn either_or(&self, specified: &str) -> Refusal {
        let member = self.number_member;
        Refusal::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and {member} or (2) TRIM_HORIZON or \
             LATEST and no {member}. Request specified {specified} {member}."
        ))
    }
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
