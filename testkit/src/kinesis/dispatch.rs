//! From the name of an operation to the function that does it.

use std::sync::Arc;

use super::Kinesis;
use super::account::Account;
use super::event_stream::EventStream;
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::wire::Wire;

/// What goes back to the caller.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The whole body.
    Whole(Vec<u8>),
    /// A subscription that has just begun.
    Events(EventStream),
}

impl Kinesis {
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
