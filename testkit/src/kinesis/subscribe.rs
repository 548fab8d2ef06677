//! SubscribeToShard: who may subscribe, and from where.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Notify;

use super::account::Account;
use super::consumer::{ConsumerArn, already_subscribed, consumer_not_found};
use super::names::check_name;
use super::position::Wanted;
use super::seat::{Bell, Holder, Seat, Sight};
use super::subscription::Subscription;
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;
use crate::wire::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SubscribeToShard {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
    shard_id: Option<String>,
    starting_position: Option<StartingPosition>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartingPosition {
    r#type: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<Timestamp>,
}

impl Account {
    /// Takes the seat of consumer and shard, over from a subscription that is 5 s old or older.
    pub(crate) fn subscribe_to_shard(
        &mut self,
        request: &SubscribeToShard,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<(Subscription, Arc<Notify>), Refusal> {
        let arn = request.consumer_arn.as_deref().ok_or_else(|| Refusal::missing("consumerARN"))?;
        let shard_id = request.shard_id.as_deref().ok_or_else(|| Refusal::missing("shardId"))?;
        let start = request.starting_position.as_ref().ok_or_else(|| Refusal::missing("startingPosition"))?;
        let wanted = start.wanted()?;
        let limits = self.limits.clone();
        let id = self.next_subscription();

        let parts = ConsumerArn::parse(arn)?;
        let stream = self.usable_stream(None, Some(parts.stream_arn))?;
        let (name, created, horizon) = (stream.name.clone(), stream.created, stream.trim_horizon(now));
        check_name(shard_id, "shardId")?;
        stream.check_known(shard_id, faults, now)?;
        let index = stream.readable_shard(shard_id, now)?.index;
        let consumer = stream.consumers.by_name.get_mut(parts.name).filter(|consumer| consumer.mark == parts.mark);
        let consumer = consumer.ok_or_else(|| consumer_not_found(arn))?;
        consumer.check_active(arn)?;
        let seat = consumer.seats.entry(index).or_insert_with(|| Seat::new(&limits, now));
        if seat.is_fresh(now, limits.subscription_takeover) {
            return Err(already_subscribed(&name, shard_id, parts.name));
        }
        if request.dry_run != Some(true) {
            if !seat.calls.holds(1, now) {
                return Err(Refusal::limit_exceeded(format!(
                    "Rate exceeded for consumer {arn} and shard {shard_id} under account {ACCOUNT_ID}."
                )));
            }
            seat.calls.take(1, now);
        }
        let shard = stream.readable_shard(shard_id, now)?;
        let position = wanted.position(shard, &name, now)?;
        stream.end_dry_run(request.dry_run, now)?;

        let shard = stream.readable_shard(shard_id, now)?;
        shard.trim(horizon);
        let from = shard.first_counter_from(&position);
        let notify = Arc::new(Notify::new());
        let consumer = stream.consumers.by_name.get_mut(parts.name).ok_or_else(|| consumer_not_found(arn))?;
        let seat = consumer.seats.get_mut(&index).expect("it was looked at above");
        seat.taken_at = Some(now);
        seat.holder = Some(Holder { id, bell: Bell(notify.clone()), seen: None });
        let subscription = Subscription {
            id,
            stream: name,
            created,
            consumer: parts.name.to_owned(),
            mark: parts.mark,
            shard: index,
            from,
            last_event: now,
            until: now.saturating_add(limits.subscription_life),
            over: false,
        };
        Ok((subscription, notify))
    }

    fn next_subscription(&mut self) -> u64 {
        self.last_subscription += 1;
        self.last_subscription
    }

    /// Wakes the subscriptions whose shard or stream is not as they saw it. Comes after every request.
    pub(crate) fn ring(&mut self) {
        for stream in self.streams.values_mut() {
            let (shards, takes_calls) = (&stream.shards, stream.takes_calls());
            let due = stream.pending.as_ref().map(|pending| pending.due);
            for (index, seat) in stream.consumers.by_name.values_mut().flat_map(|consumer| &mut consumer.seats) {
                let Some(holder) = &mut seat.holder else { continue };
                let last_counter = shards.get(*index as usize).map_or(0, |shard| shard.last_counter);
                let sight = Some(Sight { last_counter, shards: shards.len(), takes_calls, due });
                if holder.seen != sight {
                    holder.seen = sight;
                    holder.bell.ring();
                }
            }
        }
    }
}

impl StartingPosition {
    fn wanted(&self) -> Result<Wanted<'_>, Refusal> {
        Ok(Wanted {
            operation: "SubscribeToShard",
            kind_member: "startingPosition.type",
            number_member: "SequenceNumber",
            number_path: "startingPosition.sequenceNumber",
            kind: self.r#type.as_deref().ok_or_else(|| Refusal::missing("startingPosition.type"))?,
            number: self.sequence_number.as_deref(),
            time: self.timestamp,
        })
    }
}
