//! A model of Kinesis Data Streams: one file an operation family, with time, limits and randomness as inputs.

pub(crate) mod account;
mod bucket;
pub(crate) mod create;
mod demand;
mod describe;
mod distribution;
pub(crate) mod entry;
pub(crate) mod hash_key;
mod iterator;
mod json;
mod list;
mod mode;
pub(crate) mod put;
mod read;
mod record_size;
pub(crate) mod reshard;
mod retention;
mod rolling;
mod sequence;
pub(crate) mod shard;
pub(crate) mod shard_count;
pub(crate) mod stream;
mod token;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use self::account::Account;
use self::json::parse;
use crate::clock::{Clock, Tick};
use crate::faults::EntryFaults;
use crate::limits::Limits;
use crate::refusal::Refusal;

#[derive(Debug)]
pub(crate) struct Kinesis {
    clock: Clock,
    account: Mutex<Account>,
}

impl Kinesis {
    pub(crate) fn new(clock: Clock, limits: Limits, seed: u64) -> Self {
        Self { clock, account: Mutex::new(Account::new(limits, seed)) }
    }

    /// Answers one request, now and at once: an effect happens at one point in time.
    pub(crate) fn call(&self, operation: &str, body: &[u8], entry_faults: &EntryFaults) -> Result<Vec<u8>, Refusal> {
        self.with(|account, now| account.call(operation, body, entry_faults, now))
    }

    /// Runs `f` on the account as it is now.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Account, Tick) -> T) -> T {
        let now = self.clock.tick();
        let mut account = self.lock();
        account.settle(now);
        f(&mut account, now)
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn call(&mut self, operation: &str, body: &[u8], faults: &EntryFaults, now: Tick) -> Result<Vec<u8>, Refusal> {
        match operation {
            "CreateStream" => self.create_stream(parse(body)?, now).map(empty),
            "DeleteStream" => self.delete_stream(parse(body)?, now).map(empty),
            "DescribeStream" => self.describe_stream(parse(body)?, now).map(json),
            "DescribeStreamSummary" => self.describe_stream_summary(parse(body)?).map(json),
            "ListStreams" => self.list_streams(parse(body)?).map(json),
            "ListShards" => self.list_shards(parse(body)?, now).map(json),
            "PutRecord" => self.put_record(parse(body)?, now).map(json),
            "PutRecords" => self.put_records(parse(body)?, faults, now).map(json),
            "GetShardIterator" => self.get_shard_iterator(parse(body)?, now).map(json),
            "GetRecords" => self.get_records(parse(body)?, now).map(json),
            "SplitShard" => self.split_shard(parse(body)?, now).map(empty),
            "MergeShards" => self.merge_shards(parse(body)?, now).map(empty),
            "IncreaseStreamRetentionPeriod" => self.increase_retention(parse(body)?, now).map(empty),
            "DecreaseStreamRetentionPeriod" => self.decrease_retention(parse(body)?, now).map(empty),
            "UpdateMaxRecordSize" => self.update_max_record_size(parse(body)?).map(empty),
            "UpdateStreamMode" => self.update_stream_mode(parse(body)?, now).map(empty),
            "UpdateStreamRecordDistributionStrategy" => {
                self.update_record_distribution_strategy(parse(body)?).map(empty)
            }
            "UpdateShardCount" => self.update_shard_count(parse(body)?, now).map(json),
            _ => Err(Refusal::unknown_operation(operation)),
        }
    }
}

fn json(answer: impl Serialize) -> Vec<u8> {
    serde_json::to_vec(&answer).expect("answers have string keys and finite numbers only")
}

/// Operations without an answer have an empty body.
fn empty((): ()) -> Vec<u8> {
    Vec::new()
}
