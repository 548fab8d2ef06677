//! A stream as a test handles it, from outside: no faults, no rates.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::clock::Tick;
use crate::dynamodb::settings::Lag;
use crate::kinesis::Kinesis;
use crate::kinesis::account::Account;
use crate::kinesis::entry::{Entry, Place};
use crate::kinesis::put::Pace;
use crate::kinesis::reshard::{MergeShards, SplitShard};
use crate::kinesis::shard::{Shard as Model, Stored, shard_id};
use crate::kinesis::shard_count::UpdateShardCount;
use crate::refusal::{Refusal, Refused, panics};

/// A stream of the cloud. Clones are handles of the same stream.
///
/// Its methods act on the stream directly: no fault, no latency, no rate touches them.
/// They panic with the service's own words when they are asked for what is not possible, as an assertion would; their
/// `try_` twins return the [`Refused`] instead.
#[derive(Debug, Clone)]
pub struct Stream {
    kinesis: Arc<Kinesis>,
    name: String,
}

/// A shard: where it stands among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// `shardId-` and twelve digits.
    pub id: String,
    /// The shard it was split from, or the two it was merged from; empty for a shard of the stream's beginning.
    pub parents: Vec<String>,
    /// First and last hash key.
    pub hash_keys: std::ops::RangeInclusive<u128>,
    /// Takes records.
    pub open: bool,
    /// No record has it; all have larger ones.
    pub starting_sequence_number: String,
    /// Of a closed shard: larger than all of its records have.
    pub ending_sequence_number: Option<String>,
}

/// A Kinesis record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The shard that holds it.
    pub shard_id: String,
    /// 56 decimal digits.
    pub sequence_number: String,
    /// As it was put; empty when it was put without one, which AUTO distribution allows.
    pub partition_key: String,
    /// As it was put. The service does not give it to readers.
    pub explicit_hash_key: Option<String>,
    /// As it was put.
    pub data: Bytes,
    /// When it was stored.
    pub arrival: SystemTime,
}

/// How a shard is named: by its place among the open shards in the order of their hash keys, or by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardRef {
    /// Place among the open shards, from 0.
    Open(usize),
    /// Shard id.
    Id(String),
}

impl Stream {
    pub(crate) fn new(kinesis: Arc<Kinesis>, name: &str) -> Self {
        Self { kinesis, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        crate::kinesis::names::stream_arn(&self.name)
    }

    /// Puts one record and returns it as it was stored. It is stored at once: nothing is awaited.
    ///
    /// # Panics
    ///
    /// When there is no such stream, or the record is none that the service takes.
    pub async fn put(&self, partition_key: &str, data: impl Into<Bytes>) -> Record {
        self.try_put(partition_key, data).await.unwrap_or_else(panics)
    }

    /// As [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// When there is no such stream, or the record is none that the service takes.
    pub async fn try_put(&self, partition_key: &str, data: impl Into<Bytes>) -> Result<Record, Refused> {
        self.put_at(partition_key, None, data.into())
    }

    /// [`put`](Self::put) with an explicit hash key.
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub async fn put_with_hash_key(&self, partition_key: &str, hash_key: u128, data: impl Into<Bytes>) -> Record {
        self.try_put_with_hash_key(partition_key, hash_key, data).await.unwrap_or_else(panics)
    }

    /// As [`put_with_hash_key`](Self::put_with_hash_key).
    ///
    /// # Errors
    ///
    /// As [`try_put`](Self::try_put).
    pub async fn try_put_with_hash_key(
        &self,
        partition_key: &str,
        hash_key: u128,
        data: impl Into<Bytes>,
    ) -> Result<Record, Refused> {
        self.put_at(partition_key, Some(hash_key.to_string()), data.into())
    }

    /// Splits an open shard in the middle and waits until that is done. Returns the ids of the children.
    ///
    /// Dropped half-way, it leaves the stream splitting.
    ///
    /// # Panics
    ///
    /// When there is no such open shard, or it has too few hash keys to be split.
    pub async fn split(&self, shard: impl Into<ShardRef>) -> [String; 2] {
        self.try_split(shard).await.unwrap_or_else(panics)
    }

    /// As [`split`](Self::split).
    ///
    /// # Errors
    ///
    /// When there is no such open shard, or it has too few hash keys to be split.
    pub async fn try_split(&self, shard: impl Into<ShardRef>) -> Result<[String; 2], Refused> {
        self.until_active().await?;
        let parent = self.find(&shard.into())?;
        let (first, last) = parent.hash_keys.clone().into_inner();
        let middle = first + (last - first).div_ceil(2);
        self.reshard(|account, name, now| account.split_shard(SplitShard::of(name, &parent.id, middle), now)).await?;
        let children = self.children(&parent.id)?;
        Ok(children.try_into().expect("a split shard has two children"))
    }

    /// Merges two open shards that lie side by side and waits until that is done. Returns the id of the child.
    ///
    /// Dropped half-way, it leaves the stream merging.
    ///
    /// # Panics
    ///
    /// When these are not two open shards side by side.
    pub async fn merge(&self, shard: impl Into<ShardRef>, adjacent: impl Into<ShardRef>) -> String {
        self.try_merge(shard, adjacent).await.unwrap_or_else(panics)
    }

    /// As [`merge`](Self::merge).
    ///
    /// # Errors
    ///
    /// When these are not two open shards side by side.
    pub async fn try_merge(
        &self,
        shard: impl Into<ShardRef>,
        adjacent: impl Into<ShardRef>,
    ) -> Result<String, Refused> {
        self.until_active().await?;
        let mut pair = [self.find(&shard.into())?, self.find(&adjacent.into())?];
        pair.sort_by_key(|shard| *shard.hash_keys.start());
        let [a, b] = &pair;
        self.reshard(|account, name, now| account.merge_shards(MergeShards::of(name, &a.id, &b.id), now)).await?;
        Ok(self.children(&a.id)?.pop().expect("a merged shard has a child"))
    }

    /// Gives the stream `shards` open shards of equal size by splits and merges, and waits until that is done.
    ///
    /// Dropped half-way, it leaves the stream resharding.
    ///
    /// # Panics
    ///
    /// When that is more than double or less than half of what the stream has, or otherwise over the limits of
    /// UpdateShardCount.
    pub async fn update_shard_count(&self, shards: u32) {
        self.try_update_shard_count(shards).await.unwrap_or_else(panics);
    }

    /// As [`update_shard_count`](Self::update_shard_count).
    ///
    /// # Errors
    ///
    /// When that is over the limits of UpdateShardCount.
    pub async fn try_update_shard_count(&self, shards: u32) -> Result<(), Refused> {
        self.until_active().await?;
        let change = |account: &mut Account, name: &str, now| {
            account.update_shard_count(UpdateShardCount::of(name, shards), now).map(drop)
        };
        self.reshard(change).await
    }

    /// From now on ListShards and DescribeStream see each split and merge that much later: shards opened since are not there, those
    /// closed since are open. The lag is drawn for each answer, so with [`Lag::UpTo`] one listing may lack what the one before
    /// it had, and the pages of one listing may not fit. The stream need not exist yet.
    pub fn listing_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.kinesis.with(|account, _| account.set_lags(&self.name, |lags| lags.listing = lag));
    }

    /// From now on a shard can be read that much later than it takes records: until then GetShardIterator, GetRecords and
    /// SubscribeToShard say that it does not exist. The lag is drawn for each shard. The stream need not exist yet.
    pub fn birth_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.kinesis.with(|account, _| account.set_lags(&self.name, |lags| lags.birth = lag));
    }

    /// All records stored now, shard by shard, in the order of their sequence numbers.
    ///
    /// # Panics
    ///
    /// When there is no such stream.
    pub fn records(&self) -> Vec<Record> {
        self.try_records().unwrap_or_else(panics)
    }

    /// As [`records`](Self::records).
    ///
    /// # Errors
    ///
    /// When there is no such stream.
    pub fn try_records(&self) -> Result<Vec<Record>, Refused> {
        self.read(|stream, now| {
            let horizon = stream.trim_horizon(now);
            let mut records = Vec::new();
            for shard in &mut stream.shards {
                shard.trim(horizon);
                records.extend(shard.records.iter().map(Record::of));
            }
            records
        })
    }

    /// All shards that ever were, closed ones included, in the order of their ids.
    ///
    /// # Panics
    ///
    /// When there is no such stream.
    pub fn shards(&self) -> Vec<Shard> {
        self.try_shards().unwrap_or_else(panics)
    }

    /// As [`shards`](Self::shards).
    ///
    /// # Errors
    ///
    /// When there is no such stream.
    pub fn try_shards(&self) -> Result<Vec<Shard>, Refused> {
        self.read(|stream, _| stream.shards.iter().map(Shard::of).collect())
    }

    /// The open shards in the order of their hash keys.
    ///
    /// # Panics
    ///
    /// When there is no such stream.
    pub fn open_shards(&self) -> Vec<Shard> {
        self.try_open_shards().unwrap_or_else(panics)
    }

    /// As [`open_shards`](Self::open_shards).
    ///
    /// # Errors
    ///
    /// When there is no such stream.
    pub fn try_open_shards(&self) -> Result<Vec<Shard>, Refused> {
        let mut open: Vec<Shard> = self.try_shards()?.into_iter().filter(|shard| shard.open).collect();
        open.sort_by_key(|shard| *shard.hash_keys.start());
        Ok(open)
    }

    fn put_at(&self, partition_key: &str, explicit: Option<String>, data: Bytes) -> Result<Record, Refused> {
        let result = self.kinesis.with(|account, now| {
            let entry = Entry::from_parts(Place::Alone, data, partition_key.to_owned(), explicit)?;
            account.write(&self.name, entry, Pace::Unlimited, now).map(Record::of)
        });
        result.map_err(|refusal| self.refused(refusal))
    }

    async fn reshard(&self, change: impl Fn(&mut Account, &str, Tick) -> Result<(), Refusal>) -> Result<(), Refused> {
        let result = self.kinesis.with(|account, now| change(account, &self.name, now));
        result.map_err(|refusal| self.refused(refusal))?;
        self.until_active().await
    }

    /// Waits until no change is under way.
    pub(crate) async fn until_active(&self) -> Result<(), Refused> {
        while let Some(wait) = self.read(|stream, now| Some(stream.pending.as_ref()?.due.saturating_sub(now)))? {
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        Ok(())
    }

    fn find(&self, shard: &ShardRef) -> Result<Shard, Refused> {
        let open = self.try_open_shards()?;
        let (found, wanted) = match shard {
            ShardRef::Open(place) => {
                (open.get(*place).cloned(), format!("open shard {place} (counted from 0, of {} open ones)", open.len()))
            }
            ShardRef::Id(id) => (self.try_shards()?.into_iter().find(|shard| shard.id == *id), format!("shard {id}")),
        };
        found.ok_or_else(|| self.refused(Refusal::not_found(format!("there is no {wanted}"))))
    }

    fn children(&self, parent: &str) -> Result<Vec<String>, Refused> {
        let of_parent = |shard: &Shard| shard.parents.iter().any(|id| id == parent);
        Ok(self.try_shards()?.into_iter().filter(of_parent).map(|shard| shard.id).collect())
    }

    fn read<T>(&self, f: impl FnOnce(&mut crate::kinesis::stream::Stream, Tick) -> T) -> Result<T, Refused> {
        let result = self.kinesis.with(|account, now| Ok(f(account.stream(Some(&self.name), None)?, now)));
        result.map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> Refused {
        Refused::new(&self.name, refusal)
    }
}

impl Record {
    fn of(record: &Stored) -> Self {
        Self {
            shard_id: shard_id(record.sequence.shard),
            sequence_number: record.sequence.to_string(),
            partition_key: record.partition_key.clone(),
            explicit_hash_key: record.explicit_hash_key.clone(),
            data: record.data.clone(),
            arrival: UNIX_EPOCH + record.arrival,
        }
    }
}

impl Shard {
    fn of(shard: &Model) -> Self {
        Self {
            id: shard.id(),
            parents: shard.parent.into_iter().chain(shard.adjacent_parent).map(shard_id).collect(),
            hash_keys: shard.range.0..=shard.range.1,
            open: shard.is_open(),
            starting_sequence_number: shard.starting.to_string(),
            ending_sequence_number: shard.closed.as_ref().map(|closed| closed.ending.to_string()),
        }
    }
}

impl From<usize> for ShardRef {
    fn from(place: usize) -> Self {
        Self::Open(place)
    }
}

impl From<&str> for ShardRef {
    fn from(id: &str) -> Self {
        Self::Id(id.to_owned())
    }
}

impl From<String> for ShardRef {
    fn from(id: String) -> Self {
        Self::Id(id)
    }
}
