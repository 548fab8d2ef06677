//! What the unit tests of the stages are made of.

use std::sync::Arc;

use kinesis_aggregation::{HashKey, HashKeyRange};

use super::shard_queue::{Access, QueueRules, ShardQueue};
use crate::accounts::Accounts;
use crate::settings::Settings;
use crate::stream::info::StreamInfo;

pub(super) use crate::clock::at;

pub(super) fn accounts() -> Arc<Accounts> {
    Accounts::new(&Settings::default(), "clicks".into())
}

pub(super) fn rules() -> QueueRules {
    QueueRules::new(&Settings::default(), &StreamInfo::default())
}

pub(super) fn queue(serial: u64, start: u128, end: u128) -> Arc<ShardQueue> {
    let range = HashKeyRange::new(HashKey::new(start), HashKey::new(end));
    ShardQueue::new(serial, Some(format!("shard-{serial}").into()), range, rules(), Access::Open, 7)
}
