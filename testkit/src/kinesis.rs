//! A model of Kinesis Data Streams: one file an operation family, with time, limits and randomness as inputs.

pub(crate) mod account;
mod bucket;
mod consumer;
mod consumers;
mod control;
pub(crate) mod create;
mod demand;
mod describe;
mod distribution;
mod dry_run;
mod encryption;
pub(crate) mod entry;
mod event_stream;
pub(crate) mod hash_key;
mod iterator;
mod lags;
mod list;
mod mode;
mod monitoring;
mod policy;
mod position;
pub(crate) mod put;
mod read;
mod record_size;
mod register;
pub(crate) mod reshard;
mod resource;
mod retention;
mod rolling;
mod seat;
mod sequence;
mod settings;
pub(crate) mod shard;
pub(crate) mod shard_count;
pub(crate) mod stream;
mod subscribe;
mod subscription;
mod tags;
mod token;
mod warm;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::account::Account;
use self::event_stream::EventStream;
use crate::clock::{Clock, Tick};
use crate::faults::ModelFaults;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire::Wire;

#[derive(Debug)]
pub(crate) struct Kinesis {
    clock: Clock,
    account: Mutex<Account>,
}

/// What goes back to the caller.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The whole body.
    Whole(Vec<u8>),
    /// A subscription that has just begun.
    Events(EventStream),
}

impl Kinesis {
    pub(crate) fn new(clock: Clock, limits: Limits, seed: u64) -> Self {
        Self { clock, account: Mutex::new(Account::new(limits, seed)) }
    }

    /// Answers one request, now and at once: an effect happens at one point in time. Only events come later.
    pub(crate) fn call(
        self: &Arc<Self>,
        wire: Wire,
        operation: &str,
        body: &[u8],
        faults: &ModelFaults,
    ) -> Result<Answer, Refusal> {
        if operation == "SubscribeToShard" {
            return self.subscribe(wire, body, faults).map(Answer::Events);
        }
        self.with(|account, now| account.call(wire, operation, body, faults, now)).map(Answer::Whole)
    }

    fn subscribe(self: &Arc<Self>, wire: Wire, body: &[u8], faults: &ModelFaults) -> Result<EventStream, Refusal> {
        let request = wire.parse(body)?;
        let (subscription, bell) = self.with(|account, now| account.subscribe_to_shard(&request, faults, now))?;
        Ok(EventStream { kinesis: self.clone(), wire, subscription, bell, greeted: false })
    }

    /// Runs `f` on the account as it is now.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Account, Tick) -> T) -> T {
        let now = self.clock.tick();
        let mut account = self.lock();
        account.settle(now);
        let answer = f(&mut account, now);
        account.ring();
        answer
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn now(&self) -> Tick {
        self.clock.tick()
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn call(
        &mut self,
        wire: Wire,
        operation: &str,
        body: &[u8],
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<Vec<u8>, Refusal> {
        self.admit(wire, operation, body, now)?;
        Ok(match operation {
            "CreateStream" => empty(self.create_stream(wire.parse(body)?, now)?),
            "DeleteStream" => empty(self.delete_stream(wire.parse(body)?, now)?),
            "DescribeStream" => wire.answer(self.describe_stream(wire.parse(body)?, faults, now)?),
            "DescribeStreamSummary" => wire.answer(self.describe_stream_summary(wire.parse(body)?)?),
            "ListStreams" => wire.answer(self.list_streams(wire.parse(body)?)?),
            "ListShards" => wire.answer(self.list_shards(wire.parse(body)?, faults, now)?),
            "PutRecord" => wire.answer(self.put_record(wire.parse(body)?, now)?),
            "PutRecords" => wire.answer(self.put_records(wire.parse(body)?, faults, now)?),
            "GetShardIterator" => wire.answer(self.get_shard_iterator(wire.parse(body)?, faults, now)?),
            "GetRecords" => wire.answer(self.get_records(wire.parse(body)?, faults, now)?),
            "SplitShard" => empty(self.split_shard(wire.parse(body)?, now)?),
            "MergeShards" => empty(self.merge_shards(wire.parse(body)?, now)?),
            "IncreaseStreamRetentionPeriod" => empty(self.increase_retention(wire.parse(body)?, now)?),
            "DecreaseStreamRetentionPeriod" => empty(self.decrease_retention(wire.parse(body)?, now)?),
            "UpdateMaxRecordSize" => empty(self.update_max_record_size(wire.parse(body)?)?),
            "UpdateStreamMode" => empty(self.update_stream_mode(wire.parse(body)?, now)?),
            "UpdateStreamRecordDistributionStrategy" => {
                empty(self.update_record_distribution_strategy(wire.parse(body)?)?)
            }
            "UpdateStreamWarmThroughput" => wire.answer(self.update_warm_throughput(wire.parse(body)?, now)?),
            "StartStreamEncryption" => empty(self.start_stream_encryption(wire.parse(body)?, now)?),
            "StopStreamEncryption" => empty(self.stop_stream_encryption(wire.parse(body)?, now)?),
            "EnableEnhancedMonitoring" => wire.answer(self.enable_monitoring(wire.parse(body)?)?),
            "DisableEnhancedMonitoring" => wire.answer(self.disable_monitoring(wire.parse(body)?)?),
            "AddTagsToStream" => empty(self.add_tags(wire.parse(body)?)?),
            "RemoveTagsFromStream" => empty(self.remove_tags(wire.parse(body)?)?),
            "ListTagsForStream" => wire.answer(self.list_tags(wire.parse(body)?)?),
            "TagResource" => empty(self.tag_resource(wire.parse(body)?)?),
            "UntagResource" => empty(self.untag_resource(wire.parse(body)?)?),
            "ListTagsForResource" => wire.answer(self.list_tags_for_resource(wire.parse(body)?)?),
            "PutResourcePolicy" => empty(self.put_resource_policy(wire.parse(body)?)?),
            "GetResourcePolicy" => wire.answer(self.get_resource_policy(wire.parse(body)?)?),
            "DeleteResourcePolicy" => empty(self.delete_resource_policy(wire.parse(body)?)?),
            "DescribeLimits" => wire.answer(self.describe_limits()),
            "DescribeAccountSettings" => wire.answer(self.describe_account_settings(now)),
            "UpdateAccountSettings" => wire.answer(self.update_account_settings(wire.parse(body)?, now)?),
            "UpdateShardCount" => wire.answer(self.update_shard_count(wire.parse(body)?, now)?),
            "RegisterStreamConsumer" => wire.answer(self.register_stream_consumer(wire.parse(body)?, now)?),
            "DeregisterStreamConsumer" => empty(self.deregister_stream_consumer(wire.parse(body)?, now)?),
            "DescribeStreamConsumer" => wire.answer(self.describe_stream_consumer(wire.parse(body)?)?),
            "ListStreamConsumers" => wire.answer(self.list_stream_consumers(wire.parse(body)?, now)?),
            _ => return Err(Refusal::unknown_operation(operation)),
        })
    }
}

/// Operations without an answer have an empty body.
fn empty((): ()) -> Vec<u8> {
    Vec::new()
}
