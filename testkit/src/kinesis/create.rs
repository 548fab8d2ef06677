//! CreateStream and DeleteStream.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::account::Account;
use super::bucket::{Bucket, Buckets};
use super::consumer::Consumers;
use super::hash_key;
use super::names::{check_stream_name, stream_arn};
use super::record_size::check_max_record_size;
use super::rolling::RollingDay;
use super::strategy::{Distribution, Strategy};
use super::stream::{Change, Encryption, Metrics, Mode, ON_DEMAND_SHARDS, Pending, Status, Step, Stream, shards_for};
use super::tags::Tags;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::{ACCOUNT_ID, REGION};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<StreamModeDetails>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_kib: Option<i64>,
    record_distribution_strategy: Option<String>,
    #[serde(rename = "WarmThroughputMiBps")]
    warm_throughput: Option<i64>,
    tags: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    enforce_consumer_deletion: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamModeDetails {
    stream_mode: Option<String>,
}

impl CreateStream {
    pub(crate) fn provisioned(name: &str, shards: i32) -> Self {
        Self { stream_name: Some(name.to_owned()), shard_count: Some(shards.into()), ..Self::default() }
    }

    pub(crate) fn on_demand(name: &str) -> Self {
        let mode = StreamModeDetails { stream_mode: Some(Mode::OnDemand.as_str().to_owned()) };
        Self { stream_name: Some(name.to_owned()), stream_mode_details: Some(mode), ..Self::default() }
    }
}

impl Account {
    pub(crate) fn create_stream(&mut self, request: CreateStream, now: Tick) -> Result<(), Refusal> {
        let name = request.stream_name.ok_or_else(|| Refusal::missing("streamName"))?;
        check_stream_name(&name)?;
        let mode = parse_mode(request.stream_mode_details)?;
        let shards = shard_count(mode, request.shard_count)?;
        let asked = request.record_distribution_strategy.as_deref();
        let strategy = asked.map_or(Ok(Strategy::UserPartitionKey), Strategy::parse)?;
        strategy.check_mode(mode, &name)?;
        let max_record_size_kib = match request.max_record_size_kib {
            None => self.limits.max_record_size_kib,
            Some(kib) => check_max_record_size(kib)?,
        };
        let warm_mib_per_second = self.warm_throughput(request.warm_throughput, mode, now)?;
        let shards = warm_mib_per_second.map_or(shards, shards_for);
        let mut tags = Tags::default();
        if request.tags.is_some() {
            tags.add(Tags::parse(request.tags)?, &format!("stream {name}"))?;
        }
        if self.streams.contains_key(&name) {
            return Err(Refusal::in_use(format!("Stream {name} under account {ACCOUNT_ID} already exists.")));
        }
        let creating = self.streams.values().filter(|stream| stream.status == Status::Creating).count();
        if creating >= self.limits.streams_creating {
            return Err(Refusal::limit_exceeded(format!(
                "Account {ACCOUNT_ID} has {creating} streams in the CREATING state, and may not have more."
            )));
        }
        match mode {
            Mode::Provisioned => self.check_room_for(shards as usize)?,
            Mode::OnDemand => self.check_room_for_on_demand()?,
        }
        let stream = Stream {
            arn: stream_arn(&name),
            created: now,
            status: Status::Creating,
            pending: Some(Pending {
                due: now.saturating_add(self.limits.creating),
                change: Change::Create { ranges: hash_key::split_evenly(shards) },
            }),
            shards: Vec::new(),
            mode,
            retention: self.limits.retention,
            expired: now,
            max_record_size_kib,
            shard_count_updates: RollingDay::default(),
            mode_switches: RollingDay::default(),
            distribution: Distribution::new(strategy),
            demand_since: now,
            trimmed: now,
            warm_mib_per_second,
            control: Buckets::new(),
            dry_runs: Bucket::full(self.limits.dry_runs_per_second, now),
            consumers: Consumers::default(),
            tags,
            encryption: Encryption::default(),
            metrics: Metrics::default(),
            lags: self.lags.get(&name).copied().unwrap_or_default(),
            policy: None,
            name: name.clone(),
        };
        self.streams.insert(name, stream);
        Ok(())
    }

    /// Refuses `more` open shards when the account has not so many left. Those of on-demand streams do not count.
    pub(crate) fn check_room_for(&self, more: usize) -> Result<(), Refusal> {
        let provisioned = self.streams.values().filter(|stream| stream.mode == Mode::Provisioned);
        let open: usize = provisioned.map(Stream::open_shard_count).sum();
        let limit = self.limits.open_shards;
        if open + more <= limit {
            return Ok(());
        }
        Err(Refusal::limit_exceeded(format!(
            "This request would exceed the shard limit for the account {ACCOUNT_ID} in {REGION}. Current shard count \
             for the account: {open}. Limit: {limit}. Number of additional shards that would have resulted from this \
             request: {more}."
        )))
    }

    pub(crate) fn delete_stream(&mut self, request: DeleteStream, now: Tick) -> Result<(), Refusal> {
        let deleting = self.limits.deleting;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        let consumers = stream.consumers.by_name.len();
        if consumers > 0 && request.enforce_consumer_deletion != Some(true) {
            return Err(Refusal::in_use(format!(
                "Stream {} under account {ACCOUNT_ID} has {consumers} consumers, and EnforceConsumerDeletion is not true.",
                stream.name
            )));
        }
        stream.status = Status::Deleting;
        stream.pending = Some(Pending { due: now + deleting, change: Change::Delete });
        Ok(())
    }
}

impl Stream {
    /// Those that a stream is about to have count as well.
    fn open_shard_count(&self) -> usize {
        let open = self.open_shards().count();
        match self.pending.as_ref().map(|pending| &pending.change) {
            Some(Change::Create { ranges }) => ranges.len(),
            Some(Change::Step(Step::Split { .. })) => open + 1,
            Some(Change::Reshard { shards, .. }) => open.max(*shards),
            _ => open,
        }
    }
}

pub(crate) fn parse_mode(details: Option<StreamModeDetails>) -> Result<Mode, Refusal> {
    let Some(details) = details else { return Ok(Mode::Provisioned) };
    match details.stream_mode.as_deref() {
        Some("PROVISIONED") => Ok(Mode::Provisioned),
        Some("ON_DEMAND") => Ok(Mode::OnDemand),
        Some(other) => Err(Refusal::constraint(
            other,
            "streamModeDetails.streamMode",
            "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]",
        )),
        None => Err(Refusal::missing("streamModeDetails.streamMode")),
    }
}

fn shard_count(mode: Mode, asked: Option<i64>) -> Result<u32, Refusal> {
    match (mode, asked) {
        (Mode::OnDemand, None) => Ok(ON_DEMAND_SHARDS),
        (Mode::OnDemand, Some(_)) => {
            Err(Refusal::invalid_argument("ShardCount must not be provided when StreamMode is ON_DEMAND."))
        }
        (Mode::Provisioned, None) => {
            Err(Refusal::invalid_argument("ShardCount must be provided when StreamMode is PROVISIONED."))
        }
        (Mode::Provisioned, Some(n)) => match u32::try_from(n) {
            Ok(n @ 1..=MAX_SHARD_COUNT) => Ok(n),
            Ok(n) if n > MAX_SHARD_COUNT => Err(Refusal::constraint(
                n,
                "shardCount",
                &format!("Member must have value less than or equal to {MAX_SHARD_COUNT}"),
            )),
            _ => Err(Refusal::constraint(n, "shardCount", "Member must have value greater than or equal to 1")),
        },
    }
}

/// The largest ShardCount of the API's model.
const MAX_SHARD_COUNT: u32 = 100_000;
