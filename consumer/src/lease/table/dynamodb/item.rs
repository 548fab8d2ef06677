//! Rows of the lease table as the KCL 3.5 writes them: attribute names, types and encodings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use kinesis_aggregation::{HashKey, HashKeyRange};

use crate::lease::{
    Checkpoint, LeaderLock, Lease, LeaseKey, PendingCheckpoint, UnixSeconds, WorkerId, WorkerReport, WorkerRow,
};
use crate::record::Position;
use crate::shard::ShardId;
use crate::text::escaped;

use self::lock::check_lock;
pub(super) use self::lock::lock;

mod lock;

pub(super) type Item = HashMap<String, AttributeValue>;

/// A row, told apart by its `entityType`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    /// No type, as KCL ≤ 3.4 wrote leases, or `LEASE`.
    Lease(Box<Lease>),
    Worker(WorkerRow),
    Lock(LeaderLock),
    /// A row of the KCL that is no concern of a worker.
    Other,
}

/// An attribute that is not what the KCL writes there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute {attribute} {problem}")]
pub(super) struct Malformed {
    attribute: &'static str,
    problem: String,
}

impl Row {
    pub(super) fn read(item: &Item) -> Result<Self, Malformed> {
        match text(item, ENTITY_TYPE)? {
            None | Some(LEASE) => Ok(Self::Lease(Box::new(lease(item)?))),
            Some(WORKER) => Ok(Self::Worker(worker(item)?)),
            Some(LEADER) => Ok(Self::Lock(check_lock(item)?)),
            Some("CLIENT_VERSION_MIGRATION" | "TABLE_MIGRATION" | "STREAM") => Ok(Self::Other),
            // Some later version's. Java's lease reader passes over it too; not knowing what it means, we must not own it.
            Some(unknown) => Err(malformed(ENTITY_TYPE, format!("is {}, which is not known", escaped(unknown)))),
        }
    }
}

/// Reads a lease. A row of another type is not one, whatever else is in it.
pub(super) fn lease(item: &Item) -> Result<Lease, Malformed> {
    if let Some(other) = text(item, ENTITY_TYPE)?.filter(|entity_type| *entity_type != LEASE) {
        return Err(malformed(ENTITY_TYPE, format!("is {}, and not that of a lease", escaped(other))));
    }
    let key = LeaseKey::from(required(KEY, text(item, KEY)?)?);
    let of_shard = key.shard();
    let mut lease = Lease::new(key, checkpoint(item, &of_shard)?);
    lease.owner = text(item, OWNER)?.map(WorkerId::from);
    lease.checkpoint_owner = text(item, CHECKPOINT_OWNER)?.map(WorkerId::from);
    lease.counter = required(COUNTER, number(item, COUNTER)?)?;
    lease.owner_switches = required(SWITCHES, number(item, SWITCHES)?)?;
    lease.pending = pending(item, &of_shard)?;
    lease.parents = shards(item, PARENTS)?;
    lease.children = shards(item, CHILDREN)?;
    lease.range = range(text(item, RANGE_START)?, text(item, RANGE_END)?)?;
    lease.throughput_kib_per_s = number(item, THROUGHPUT)?;
    lease.stream = text(item, STREAM)?.map(str::to_owned);
    lease.shard = text(item, SHARD)?.map(ShardId::from);
    lease.bound_to = text(item, BOUND_TO)?.map(Arc::from);
    Ok(lease)
}

/// A whole lease, for its creation.
pub(super) fn from_lease(lease: &Lease) -> Item {
    let mut item = Item::new();
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put(KEY, s(lease.key.as_str()));
    put(ENTITY_TYPE, s(LEASE));
    put(COUNTER, n(lease.counter));
    put(SWITCHES, n(lease.owner_switches));
    if let Some((checkpoint, sub)) = from_checkpoint(&lease.checkpoint) {
        put(CHECKPOINT, checkpoint);
        put(CHECKPOINT_SUB, sub);
    }
    if let Some(pending) = &lease.pending
        && let Some((checkpoint, sub)) = from_checkpoint(&pending.checkpoint)
    {
        put(PENDING, checkpoint);
        put(PENDING_SUB, sub);
        if let Some(state) = &pending.state {
            put(PENDING_STATE, AttributeValue::B(Blob::new(state.to_vec())));
        }
    }
    if let Some(owner) = &lease.owner {
        put(OWNER, s(owner.as_str()));
    }
    if let Some(owner) = &lease.checkpoint_owner {
        put(CHECKPOINT_OWNER, s(owner.as_str()));
    }
    if let Some(parents) = from_shards(&lease.parents) {
        put(PARENTS, parents);
    }
    if let Some(children) = from_shards(&lease.children) {
        put(CHILDREN, children);
    }
    if let Some(range) = lease.range {
        put(RANGE_START, s(range.start.to_string()));
        put(RANGE_END, s(range.end.to_string()));
    }
    if let Some(throughput) = lease.throughput_kib_per_s.and_then(from_throughput) {
        put(THROUGHPUT, throughput);
    }
    if let Some(stream) = &lease.stream {
        put(STREAM, s(stream));
    }
    if let Some(shard) = &lease.shard {
        put(SHARD, s(shard.as_str()));
    }
    if let Some(stream) = &lease.bound_to {
        put(BOUND_TO, s(&**stream));
    }
    item
}

/// The two attributes of a checkpoint; none for one that is missing.
pub(super) fn from_checkpoint(checkpoint: &Checkpoint) -> Option<(AttributeValue, AttributeValue)> {
    let (text, sub) = match checkpoint {
        Checkpoint::Missing => return None,
        Checkpoint::AtTimestamp => (AT_TIMESTAMP, 0),
        Checkpoint::TrimHorizon => (TRIM_HORIZON, 0),
        Checkpoint::Latest => (LATEST, 0),
        Checkpoint::At(position) => (position.sequence_number.as_str(), position.sub_sequence),
        Checkpoint::ShardEnd => (SHARD_END, 0),
    };
    Some((s(text), n(sub)))
}

/// A set of shard IDs; none for an empty one, which DynamoDB does not take.
pub(super) fn from_shards(shards: &[ShardId]) -> Option<AttributeValue> {
    // Nor does it take an element twice.
    let ids: BTreeSet<&str> = shards.iter().map(ShardId::as_str).collect();
    (!ids.is_empty()).then(|| AttributeValue::Ss(ids.into_iter().map(str::to_owned).collect()))
}

/// A rate with the six decimals that the KCL keeps; none for what is no number to DynamoDB.
pub(super) fn from_throughput(kib_per_s: f64) -> Option<AttributeValue> {
    let rounded = (kib_per_s * 1e6).round() / 1e6;
    // Display never writes an exponent, and `1e300` has more digits than DynamoDB takes; nothing reads that fast.
    (rounded.is_finite() && rounded.abs() < 1e15).then(|| n(rounded))
}

pub(super) fn from_lock(lock: &LeaderLock) -> Item {
    [
        (KEY, s(LEADER_KEY)),
        (ENTITY_TYPE, s(LEADER)),
        (LOCK_OWNER, s(lock.owner.as_str())),
        (LOCK_DURATION, from_lock_duration(lock.duration)),
        (LOCK_VERSION, s(&lock.version)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The lock client keeps this number as text.
pub(super) fn from_lock_duration(duration: Duration) -> AttributeValue {
    s(duration.as_millis().to_string())
}

/// Not for IDs, which show themselves escaped: their text is wanted.
pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn checkpoint(item: &Item, shard: &ShardId) -> Result<Checkpoint, Malformed> {
    let sub = number(item, CHECKPOINT_SUB)?.unwrap_or(0);
    text(item, CHECKPOINT)?.map_or(Ok(Checkpoint::Missing), |text| parse_checkpoint(CHECKPOINT, text, sub, shard))
}

fn pending(item: &Item, shard: &ShardId) -> Result<Option<PendingCheckpoint>, Malformed> {
    let state = match item.get(PENDING_STATE) {
        None => None,
        Some(AttributeValue::B(blob)) => Some(Bytes::copy_from_slice(blob.as_ref())),
        Some(other) => return Err(unexpected(PENDING_STATE, other)),
    };
    let sub = number(item, PENDING_SUB)?.unwrap_or(0);
    let Some(text) = text(item, PENDING)? else { return Ok(None) };
    Ok(Some(PendingCheckpoint { checkpoint: parse_checkpoint(PENDING, text, sub, shard)?, state }))
}

/// The sentinels are exact: Java would take `latest` or ` 49…` into a lease and fail later, at the shard.
fn parse_checkpoint(
    attribute: &'static str,
    text: &str,
    sub_sequence: u64,
    shard: &ShardId,
) -> Result<Checkpoint, Malformed> {
    Ok(match text {
        AT_TIMESTAMP => Checkpoint::AtTimestamp,
        TRIM_HORIZON => Checkpoint::TrimHorizon,
        LATEST => Checkpoint::Latest,
        SHARD_END => Checkpoint::ShardEnd,
        number => {
            let sequence_number =
                number.parse().map_err(|_| malformed(attribute, format!("is no checkpoint: {}", escaped(number))))?;
            Checkpoint::At(Position { sequence_number, sub_sequence, shard: shard.clone() })
        }
    })
}

/// Some clients write one ID as a string, or IDs as a list; read as "no parents", a child would be read too early.
fn shards(item: &Item, attribute: &'static str) -> Result<Vec<ShardId>, Malformed> {
    match item.get(attribute) {
        None => Ok(Vec::new()),
        Some(AttributeValue::Ss(ids)) => Ok(ids.iter().map(|id| ShardId::from(id.as_str())).collect()),
        Some(AttributeValue::S(id)) => Ok(vec![ShardId::from(id.as_str())]),
        Some(AttributeValue::L(ids)) => ids
            .iter()
            .map(|id| id.as_s().map(|id| ShardId::from(id.as_str())).map_err(|other| unexpected(attribute, other)))
            .collect(),
        Some(other) => Err(unexpected(attribute, other)),
    }
}

/// The hash keys from `start` to `end`, if both are there. An end beyond the last hash key means the last.
fn range(start: Option<&str>, end: Option<&str>) -> Result<Option<HashKeyRange>, Malformed> {
    let parse = |attribute, text: Option<&str>| match text {
        None => Ok(None),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(text.parse().unwrap_or(u128::MAX))),
        Some(text) => Err(malformed(attribute, format!("is no hash key: {}", escaped(text)))),
    };
    let (start, end) = (parse(RANGE_START, start)?, parse(RANGE_END, end)?);
    let (Some(start), Some(end)) = (start, end) else { return Ok(None) };
    if start > end {
        return Err(malformed(RANGE_START, format!("is {start}, above the end of the range, {end}")));
    }
    Ok(Some(HashKeyRange::new(HashKey::new(start), HashKey::new(end))))
}

fn worker(item: &Item) -> Result<WorkerRow, Malformed> {
    let worker = WorkerId::from(required(KEY, text(item, KEY)?)?);
    let last_update = number(item, LAST_UPDATE)?.map(UnixSeconds);
    Ok(WorkerRow {
        worker,
        last_update,
        heartbeat_interval: announced(item, HEARTBEAT_INTERVAL),
        handoff_time: announced(item, HANDOFF_TIME),
        fit: last_update.is_some() && is_fit(item),
    })
}

/// The KCL reserves `properties`, a map of texts, and sets none. A version adds names and never changes what a name means, so
/// every version reads the names that it knows from every other.
fn announced(item: &Item, name: &str) -> Option<Duration> {
    let Some(AttributeValue::M(properties)) = item.get(PROPERTIES) else { return None };
    let millis = properties.get(name)?.as_s().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

pub(super) fn from_report(report: &WorkerReport) -> AttributeValue {
    let properties = [
        (PROPERTIES_VERSION, s(VERSION.to_string())),
        (HEARTBEAT_INTERVAL, s(report.heartbeat_interval.as_millis().to_string())),
    ];
    let handoff_time = report.handoff_time.map(|time| (HANDOFF_TIME, s(time.as_millis().to_string())));
    AttributeValue::M(
        properties.into_iter().chain(handoff_time).map(|(name, value)| (name.to_owned(), value)).collect(),
    )
}

/// A row of no measurements stands for a worker that is judged by its leases alone. Otherwise every measurement needs
/// an operating range other than 0, and its last sample must not be −1, the mark of a failed measurement.
fn is_fit(item: &Item) -> bool {
    let (Some(AttributeValue::M(stats)), Some(AttributeValue::M(ranges))) = (item.get(STATS), item.get(RANGES)) else {
        return false;
    };
    let numbers = |value: Option<&AttributeValue>| -> Vec<f64> {
        let list = value.and_then(|value| value.as_l().ok());
        list.into_iter().flatten().filter_map(|value| value.as_n().ok()?.parse().ok()).collect()
    };
    stats.iter().all(|(name, samples)| {
        let in_range = name == THROUGHPUT_STAT || numbers(ranges.get(name)).first().is_some_and(|max| *max != 0.0);
        in_range && numbers(Some(samples)).last() != Some(&-1.0)
    })
}

/// An empty text stands for none: no row of the KCL holds one, and a worker named by it owns nothing.
pub(super) fn text<'a>(item: &'a Item, attribute: &'static str) -> Result<Option<&'a str>, Malformed> {
    match item.get(attribute) {
        None => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(unexpected(attribute, other)),
    }
}

fn number<T>(item: &Item, attribute: &'static str) -> Result<Option<T>, Malformed>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match item.get(attribute) {
        None => Ok(None),
        Some(AttributeValue::N(text)) => {
            text.parse().map(Some).map_err(|e| malformed(attribute, format!("is {}: {e}", escaped(text))))
        }
        Some(other) => Err(unexpected(attribute, other)),
    }
}

fn required<T>(attribute: &'static str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| malformed(attribute, "is missing".to_owned()))
}

fn unexpected(attribute: &'static str, value: &AttributeValue) -> Malformed {
    let kind = match value {
        AttributeValue::S(_) => "S",
        AttributeValue::N(_) => "N",
        AttributeValue::B(_) => "B",
        AttributeValue::Ss(_) => "SS",
        AttributeValue::Ns(_) => "NS",
        AttributeValue::Bs(_) => "BS",
        AttributeValue::M(_) => "M",
        AttributeValue::L(_) => "L",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::Null(_) => "NULL",
        _ => "unknown",
    };
    malformed(attribute, format!("has the wrong type, {kind}"))
}

const fn malformed(attribute: &'static str, problem: String) -> Malformed {
    Malformed { attribute, problem }
}

// The names and words of the KCL. Never add one that Java does not know: its leader would take the row for a lease.
pub(super) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const COUNTER: &str = "leaseCounter";
pub(super) const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const CHECKPOINT_SUB: &str = "checkpointSubSequenceNumber";
pub(super) const PENDING: &str = "pendingCheckpoint";
pub(super) const PENDING_SUB: &str = "pendingCheckpointSubSequenceNumber";
pub(super) const PENDING_STATE: &str = "pendingCheckpointState";
pub(super) const CHILDREN: &str = "childShardIds";
pub(super) const THROUGHPUT: &str = "throughputKBps";
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(super) const ENTITY_TYPE: &str = "entityType";
pub(super) const LAST_UPDATE: &str = "lut";
pub(super) const STATS: &str = "sts";
pub(super) const RANGES: &str = "opr";
const PROPERTIES: &str = "properties";
pub(super) const LOCK_OWNER: &str = "ownerName";
pub(super) const LOCK_DURATION: &str = "leaseDuration";
pub(super) const LOCK_VERSION: &str = "recordVersionNumber";
const PARENTS: &str = "parentShardId";
const RANGE_START: &str = "startingHashKey";
const RANGE_END: &str = "endingHashKey";
const STREAM: &str = "streamName";
const SHARD: &str = "shardId";
/// Ours: the stream of the table, on its version row, and of the shard, on leases that we make. Every KCL 3.x ignores and keeps it.
pub(super) const BOUND_TO: &str = "boundToStream";
const LOCK_RELEASED: &str = "isReleased";

pub(super) const LEADER_KEY: &str = "Leader";
pub(super) const WORKER: &str = "WORKER_METRIC_STATS";
pub(super) const SHARD_END: &str = "SHARD_END";
pub(super) const LEASE: &str = "LEASE";
const LEADER: &str = "LEADER";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
/// Ours, in `properties`: the version of the worker's names in there.
const PROPERTIES_VERSION: &str = "version";
const VERSION: u32 = 1;
/// Ours, in `properties`: in milliseconds.
const HEARTBEAT_INTERVAL: &str = "heartbeatIntervalMillis";
/// Ours, in `properties`: in milliseconds.
const HANDOFF_TIME: &str = "handoffTimeMillis";
/// The measurement that a leader makes up from a worker's leases, without an operating range.
const THROUGHPUT_STAT: &str = "T";

#[cfg(test)]
mod tests;
