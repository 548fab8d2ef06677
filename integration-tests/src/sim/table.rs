//! The lease table as it is, read around all faults.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_consumer::Position;
use kinesis_testkit::{Cloud, Item, TableWrite};

use super::fleet::{STRANGER, place_of_life};
use super::history::short;
use super::mistakes::ODD_KEY;

/// The application, and so the lease table.
pub(crate) const APPLICATION: &str = "app";

/// What the table says of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint_owner: Option<String>,
    pub(crate) counter: u64,
    pub(crate) checkpoint: Mark,
}

impl Row {
    /// Who holds the lease: during a hand-off the one that gives it away.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.checkpoint_owner.as_deref().or(self.owner.as_deref())
    }
}

/// How far the table says that a shard is processed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Nothing,
    At(Position),
    ShardEnd,
}

/// A write that the table has accepted, to the lease of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseWrite {
    /// Since the making of the cloud.
    pub(crate) at: Duration,
    /// The place whose networks it came through; none for an operator.
    pub(crate) place: Option<String>,
    /// The network itself: of two processes at one place each has its own.
    pub(crate) network: Option<String>,
    pub(crate) shard: String,
    /// The lease after it; none when it is gone.
    pub(crate) row: Option<Row>,
}

/// All writes to leases, in their order.
pub(crate) fn writes(cloud: &Cloud) -> Vec<LeaseWrite> {
    let lease = |write: TableWrite| {
        let shard = text(&write.key, "leaseKey").filter(|key| key.starts_with("shardId-"))?;
        let place = write.worker.as_deref().map(place_of_life).map(str::to_owned);
        Some(LeaseWrite { at: write.at, place, network: write.worker, shard, row: write.item.as_ref().and_then(row) })
    };
    cloud.table(APPLICATION).writes().into_iter().filter_map(lease).collect()
}

/// A write that the table has accepted, to a row that is no lease of ours or from a worker that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherWrite {
    /// Since the making of the cloud.
    pub(crate) at: Duration,
    /// The network that it came through.
    pub(crate) network: String,
    pub(crate) key: String,
}

/// All writes by workers of another stream, and those of ours to rows that are none of theirs.
pub(crate) fn others(cloud: &Cloud) -> Vec<OtherWrite> {
    let other = |write: TableWrite| {
        let (network, key) = (write.worker?, text(&write.key, "leaseKey").unwrap_or_default());
        (network.starts_with(STRANGER) || key == ODD_KEY).then_some(OtherWrite { at: write.at, network, key })
    };
    cloud.table(APPLICATION).writes().into_iter().filter_map(other).collect()
}

/// All leases by shard; none while there is no table.
pub(crate) fn rows(cloud: &Cloud) -> Option<BTreeMap<String, Row>> {
    look(cloud).map(|(rows, _)| rows)
}

/// All leases by shard, and the id of the worker that holds the leader's lock.
pub(crate) fn look(cloud: &Cloud) -> Option<(BTreeMap<String, Row>, Option<String>)> {
    let items = cloud.table(APPLICATION).try_items().ok()?;
    let rows = items.iter().filter_map(|item| Some((text(item, "leaseKey")?, row(item)?))).collect();
    let lock = items.iter().find(|item| text(item, "leaseKey").as_deref() == Some("Leader"));
    Some((rows, lock.and_then(|lock| text(lock, "ownerName"))))
}

/// `None` for rows that are no leases.
fn row(item: &Item) -> Option<Row> {
    let key = text(item, "leaseKey").filter(|key| key.starts_with("shardId-"))?;
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok());
    let checkpoint = match text(item, "checkpoint")?.as_str() {
        "SHARD_END" => Mark::ShardEnd,
        "TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP" => Mark::Nothing,
        digits => Mark::At(Position {
            sequence_number: digits.parse().expect("a checkpoint is a sequence number or one of the KCL's words"),
            sub_sequence: number("checkpointSubSequenceNumber").unwrap_or_default(),
            shard: key.into(),
        }),
    };
    let (owner, checkpoint_owner) = (text(item, "leaseOwner"), text(item, "checkpointOwner"));
    Some(Row { owner, checkpoint_owner, counter: number("leaseCounter")?, checkpoint })
}

fn text(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, checkpoint_owner, counter, checkpoint } = self;
        write!(f, "counter {counter} owner {}", owner.as_deref().unwrap_or("-"))?;
        if let Some(holder) = checkpoint_owner {
            write!(f, " still held by {holder}")?;
        }
        write!(f, " checkpoint {checkpoint}")
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.pad("-"),
            Self::At(position) => f.pad(&short(position)),
            Self::ShardEnd => f.pad("SHARD_END"),
        }
    }
}
