//! DescribeStream, DescribeStreamSummary, ListStreams.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::list::{ShardDescription, page_size};
use super::stream::{Metrics, Mode, Stream};
use super::warm::WarmThroughput;
use crate::clock::Tick;
use crate::faults::ModelFaults;
use crate::refusal::Refusal;
use crate::wire::Timestamp;

/// A request that names a stream and nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamRef {
    pub(crate) stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub(crate) stream_arn: Option<String>,
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
    pub(crate) fn describe_stream(
        &mut self,
        request: DescribeStream,
        faults: &ModelFaults,
        now: Tick,
    ) -> Result<impl Serialize, Refusal> {
        let limit = page_size("limit", request.limit, 100)?;
        let name = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?.name.clone();
        let at = self.listed_at(&name, faults, now);
        let stream = self.stream(Some(&name), None)?;
        let after = request.exclusive_start_shard_id.unwrap_or_default();
        let mut rest = stream.shards_listed_at(at, faults, now).filter(|shard| shard.id() > after);
        let shards = rest.by_ref().take(limit).map(|shard| ShardDescription::of(shard, at)).collect();
        Ok(DescribeStreamAnswer {
            stream_description: StreamDescription {
                stream_name: &stream.name,
                stream_arn: &stream.arn,
                stream_status: stream.status.as_str(),
                stream_mode_details: ModeAnswer { stream_mode: stream.mode.as_str() },
                shards,
                has_more_shards: rest.next().is_some(),
                retention_period_hours: stream.retention_hours(),
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: [MetricsAnswer { shard_level_metrics: &stream.metrics }],
                encryption_type: stream.encryption_type(),
                key_id: stream.encryption.key.as_deref(),
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
                retention_period_hours: stream.retention_hours(),
                stream_creation_timestamp: Timestamp(stream.created),
                enhanced_monitoring: [MetricsAnswer { shard_level_metrics: &stream.metrics }],
                encryption_type: stream.encryption_type(),
                key_id: stream.encryption.key.as_deref(),
                open_shard_count: stream.open_shards().count(),
                consumer_count: stream.consumers.by_name.len(),
                max_record_size_kib: stream.max_record_size_kib,
                record_distribution_strategy: (stream.mode == Mode::OnDemand)
                    .then_some(stream.distribution.strategy.as_str()),
                warm_throughput: stream.warm_throughput(),
            },
        })
    }

    pub(crate) fn list_streams(&mut self, request: ListStreams) -> Result<impl Serialize, Refusal> {
        let limit = page_size("limit", request.limit, 100)?;
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
    enhanced_monitoring: [MetricsAnswer<'a>; 1],
    encryption_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
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
    enhanced_monitoring: [MetricsAnswer<'a>; 1],
    encryption_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    open_shard_count: usize,
    consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_kib: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_distribution_strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmThroughput>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ModeAnswer {
    stream_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricsAnswer<'a> {
    shard_level_metrics: &'a Metrics,
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
