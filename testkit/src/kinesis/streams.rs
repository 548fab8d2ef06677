//! CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, ListStreams.

use serde::{Deserialize, Serialize};

use super::account::{ACCOUNT_ID, Account, check_stream_name, stream_arn};
use super::hash_key;
use super::json::Timestamp;
use super::list::ShardDescription;
use super::refusal::Refusal;
use super::stream::{Change, Mode, Pending, Status, Stream};
use crate::clock::Tick;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<i64>,
    stream_mode_details: Option<StreamModeDetails>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_kib: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamModeDetails {
    stream_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamRef {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStream {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    limit: Option<i64>,
    exclusive_start_shard_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListStreams {
    limit: Option<i64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

impl Account {
    pub(crate) fn create_stream(&mut self, request: CreateStream, now: Tick) -> Result<(), Refusal> {
        let name = request.stream_name.ok_or_else(|| Refusal::missing("streamName"))?;
        check_stream_name(&name)?;
        let mode = parse_mode(request.stream_mode_details)?;
        let shards = shard_count(mode, request.shard_count)?;
        let max_record_size_kib = match request.max_record_size_kib {
            None => self.limits.max_record_size_kib,
            Some(kib) => check_max_record_size(kib)?,
        };
        if self.streams.contains_key(&name) {
            return Err(Refusal::in_use(format!("Stream {name} under account {ACCOUNT_ID} already exists.")));
        }
        self.check_room_for(shards as usize)?;
        let stream = Stream {
            arn: stream_arn(&name),
            created: now,
            status: Status::Creating,
            pending: Some(Pending {
                due: now + self.limits.creating,
                change: Change::Create { ranges: hash_key::split_evenly(shards) },
            }),
            shards: Vec::new(),
            mode,
            retention: self.limits.retention,
            max_record_size_kib,
            name: name.clone(),
        };
        self.streams.insert(name, stream);
        Ok(())
    }

    /// Refuses `more` open shards when the account has not so many left.
    pub(crate) fn check_room_for(&self, more: usize) -> Result<(), Refusal> {
        let open: usize = self.streams.values().map(Stream::open_shard_count).sum();
        let limit = self.limits.open_shards;
        if open + more <= limit {
            return Ok(());
        }
        Err(Refusal::limit_exceeded(format!(
            "This request would exceed the shard limit for the account {ACCOUNT_ID} in this region. \
             Current shard count for the account: {open}. Limit: {limit}."
        )))
    }

    pub(crate) fn delete_stream(&mut self, request: StreamRef, now: Tick) -> Result<(), Refusal> {
        let deleting = self.limits.deleting;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.status = Status::Deleting;
        stream.pending = Some(Pending { due: now + deleting, change: Change::Delete });
        Ok(())
    }

    pub(crate) fn describe_stream(&mut self, request: DescribeStream, now: Tick) -> Result<impl Serialize, Refusal> {
        let limit = page_size("limit", request.limit, 100, 10_000)?;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        let after = request.exclusive_start_shard_id.unwrap_or_default();
        let mut rest = stream.listed_shards(now).filter(|shard| shard.id() > after);
        let shards = rest.by_ref().take(limit).map(ShardDescription::of).collect();
        Ok(DescribeStreamAnswer {
            stream_description: StreamDescription {
                stream_name: &stream.name,
                stream_arn: &stream.arn,
                stream_status: stream.status.as_str(),
                stream_mode_details: ModeAnswer { stream_mode: stream.mode.as_str() },
                shards,
                has_more_shards: rest.next().is_some(),
                retention_period_hours: stream.retention.as_secs() / 3600,
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: [Metrics { shard_level_metrics: [] }],
                encryption_type: "NONE",
            },
        })
    }

    pub(crate) fn describe_stream_summary(&mut self, request: StreamRef) -> Result<impl Serialize, Refusal> {
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        Ok(DescribeStreamSummaryAnswer {
            stream_description_summary: StreamDescriptionSummary {
                stream_name: &stream.name,
                stream_arn: &stream.arn,
                stream_status: stream.status.as_str(),
                stream_mode_details: ModeAnswer { stream_mode: stream.mode.as_str() },
                retention_period_hours: stream.retention.as_secs() / 3600,
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: [Metrics { shard_level_metrics: [] }],
                encryption_type: "NONE",
                open_shard_count: stream.open_shards().count(),
                consumer_count: 0,
                max_record_size_kib: stream.max_record_size_kib,
            },
        })
    }

    pub(crate) fn list_streams(&mut self, request: ListStreams) -> Result<impl Serialize, Refusal> {
        let limit = page_size("limit", request.limit, 100, 10_000)?;
        // The token is the name of the last stream shown.
        let after = request.exclusive_start_stream_name.or(request.next_token).unwrap_or_default();
        let mut rest = self.streams.values().filter(|stream| stream.name > after);
        let page: Vec<&Stream> = rest.by_ref().take(limit).collect();
        let has_more_streams = rest.next().is_some();
        Ok(ListStreamsAnswer {
            has_more_streams,
            next_token: page.last().filter(|_| has_more_streams).map(|stream| stream.name.clone()),
            stream_names: page.iter().map(|stream| stream.name.clone()).collect(),
            stream_summaries: page.iter().map(|stream| StreamSummary::of(stream)).collect(),
        })
    }
}

impl Stream {
    /// Those that a stream still in CREATING will have count as well.
    fn open_shard_count(&self) -> usize {
        match &self.pending {
            Some(Pending { change: Change::Create { ranges }, .. }) => ranges.len(),
            _ => self.open_shards().count(),
        }
    }
}

fn parse_mode(details: Option<StreamModeDetails>) -> Result<Mode, Refusal> {
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

fn check_max_record_size(kib: i64) -> Result<u32, Refusal> {
    match u32::try_from(kib) {
        Ok(n @ 1024..=10_240) => Ok(n),
        Ok(10_241..) => Err(Refusal::constraint(
            kib,
            "maxRecordSizeInKiB",
            "Member must have value less than or equal to 10240",
        )),
        _ => Err(Refusal::constraint(kib, "maxRecordSizeInKiB", "Member must have value greater than or equal to 1024")),
    }
}

/// `asked` when it is from 1 to `largest`, `default` when nothing was asked.
pub(crate) fn page_size(member: &str, asked: Option<i64>, default: usize, largest: usize) -> Result<usize, Refusal> {
    let Some(asked) = asked else { return Ok(default) };
    match usize::try_from(asked) {
        Ok(n) if n > largest => Err(Refusal::constraint(
            asked,
            member,
            &format!("Member must have value less than or equal to {largest}"),
        )),
        Ok(n @ 1..) => Ok(n),
        _ => Err(Refusal::constraint(asked, member, "Member must have value greater than or equal to 1")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamAnswer<'a> {
    stream_description: StreamDescription<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a str,
    stream_status: &'a str,
    stream_mode_details: ModeAnswer,
    shards: Vec<ShardDescription>,
    has_more_shards: bool,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [Metrics; 1],
    encryption_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamSummaryAnswer<'a> {
    stream_description_summary: StreamDescriptionSummary<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescriptionSummary<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: &'a str,
    stream_status: &'a str,
    stream_mode_details: ModeAnswer,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [Metrics; 1],
    encryption_type: &'a str,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_kib: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ModeAnswer {
    stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metrics {
    shard_level_metrics: [String; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreamsAnswer {
    stream_names: Vec<String>,
    stream_summaries: Vec<StreamSummary>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSummary {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: ModeAnswer,
    stream_creation_timestamp: Timestamp,
}

impl StreamSummary {
    fn of(stream: &Stream) -> Self {
        Self {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            stream_status: stream.status.as_str(),
            stream_mode_details: ModeAnswer { stream_mode: stream.mode.as_str() },
            stream_creation_timestamp: Timestamp(stream.created),
        }
    }
}

/// A new on-demand stream takes 4 MB/s: four shards.
const ON_DEMAND_SHARDS: u32 = 4;
/// The largest ShardCount of the API's model.
const MAX_SHARD_COUNT: u32 = 100_000;
