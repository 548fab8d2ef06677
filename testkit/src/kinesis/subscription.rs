//! One subscription, as a plain state: asked what to do now, it gives an event or says until when there is none.

use serde::Serialize;

use super::account::Account;
use super::consumer::{ConsumerStatus, already_subscribed, consumer_not_found};
use super::names::stream_not_found;
use super::read::{ChildShardAnswer, RecordAnswer};
use super::sequence::SequenceNumber;
use super::shard::shard_id;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subscription {
    pub(crate) id: u64,
    pub(crate) stream: String,
    /// When the stream was created: another of its name is not meant.
    pub(crate) created: Tick,
    pub(crate) consumer: String,
    /// As in the consumer's ARN: another of its name is not meant.
    pub(crate) mark: u64,
    pub(crate) shard: u32,
    /// Records from this counter on are still to be sent.
    pub(crate) from: u64,
    pub(crate) last_event: Tick,
    pub(crate) until: Tick,
    /// The last event has been sent.
    pub(crate) over: bool,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// To be sent now; ask again.
    Emit(Event),
    /// The last thing to be sent: the subscription failed.
    Fail(Refusal),
    /// Nothing to send before this time, unless the subscription is woken.
    Wait(Tick),
    /// It is over, all is sent.
    End,
}

/// SubscribeToShardEvent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    records: Vec<RecordAnswer>,
    /// Missing at the end of the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_sequence_number: Option<String>,
    millis_behind_latest: u64,
    /// Only at the end of the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    child_shards: Option<Vec<ChildShardAnswer>>,
}

impl Subscription {
    pub(crate) fn step(&mut self, account: &mut Account, now: Tick) -> Step {
        if self.over {
            return Step::End;
        }
        let step = self.next(account, now).unwrap_or_else(Step::Fail);
        self.over = match &step {
            Step::Emit(event) => event.child_shards.is_some(),
            Step::Fail(_) | Step::End => true,
            Step::Wait(_) => false,
        };
        if self.over {
            self.leave(account);
        }
        step
    }

    fn next(&mut self, account: &mut Account, now: Tick) -> Result<Step, Refusal> {
        let Account { limits, streams, .. } = account;
        let stream = streams.get_mut(&self.stream).filter(|s| s.created == self.created && s.takes_calls());
        let stream = stream.ok_or_else(|| stream_not_found(&self.stream))?;
        let horizon = stream.trim_horizon(now);
        let consumer = stream.consumers.by_name.get_mut(&self.consumer).filter(|consumer| consumer.mark == self.mark);
        let consumer = consumer.filter(|consumer| consumer.status == ConsumerStatus::Active);
        let consumer = consumer.ok_or_else(|| consumer_not_found(&self.consumer))?;
        // A later subscription has taken the seat. The API reference: the previous connection expires or fails with this.
        let seat = consumer.seats.get_mut(&self.shard).filter(|seat| seat.is_held_by(self.id));
        let seat = seat.ok_or_else(|| already_subscribed(&self.stream, &shard_id(self.shard), &self.consumer))?;
        if now >= self.until {
            return Ok(Step::End);
        }
        let shard = stream.shards.get_mut(self.shard as usize).filter(|shard| !shard.is_gone(horizon));
        let shard = shard.ok_or_else(|| gone(self.shard, &self.stream))?;
        shard.trim(horizon);

        let page = shard.page(self.from, usize::MAX, limits.subscription_event_bytes);
        let bytes = page.iter().map(|record| record.bytes() as u64).sum();
        let last = page.last();
        let next = last.map_or(self.from, |last| last.sequence.counter + 1);
        let at_end = !shard.is_open() && shard.position(next) == shard.records.len();
        let earliest = if page.is_empty() && !at_end {
            self.last_event.saturating_add(limits.subscription_heartbeat)
        } else {
            seat.bytes.ready_at(bytes, now)
        };
        if earliest > now {
            let change = stream.pending.as_ref().map_or(Tick::MAX, |pending| pending.due);
            return Ok(Step::Wait(earliest.min(self.until).min(change)));
        }
        let records = page.iter().map(|record| RecordAnswer::of(record)).collect();
        let millis_behind_latest = shard.millis_behind(last.map(|last| last.arrival), next, now);
        let reached = SequenceNumber { counter: next.saturating_sub(1).max(shard.starting.counter), ..shard.starting };
        seat.bytes.take(bytes, now);
        self.from = next;
        self.last_event = now;
        Ok(Step::Emit(Event {
            records,
            millis_behind_latest,
            // No record lies between the last one sent and this number, so reading goes on after it without a gap.
            continuation_sequence_number: (!at_end).then(|| reached.to_string()),
            child_shards: at_end.then(|| stream.child_answers(self.shard)),
        }))
    }

    /// Gives the seat back, if it is still this subscription's.
    pub(crate) fn leave(&self, account: &mut Account) {
        let consumer = account.streams.get_mut(&self.stream).and_then(|stream| {
            let same = stream.created == self.created;
            stream.consumers.by_name.get_mut(&self.consumer).filter(|consumer| same && consumer.mark == self.mark)
        });
        let seat = consumer.and_then(|consumer| consumer.seats.get_mut(&self.shard));
        if let Some(seat) = seat.filter(|seat| seat.is_held_by(self.id)) {
            seat.holder = None;
        }
    }
}

fn gone(shard: u32, stream: &str) -> Refusal {
    Refusal::not_found(format!(
        "Shard {} in stream {stream} under account {ACCOUNT_ID} does not exist",
        shard_id(shard)
    ))
}

#[cfg(test)]
mod tests;
