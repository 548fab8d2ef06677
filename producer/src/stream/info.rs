//! The kind of the stream, as far as puts depend on it.

use std::borrow::Cow;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::types::{RecordDistributionStrategy, StreamDescriptionSummary, StreamStatus};
use kinesis_service_errors::Address;

use super::Stream;
use crate::settings::{Aggregation, Settings};

/// What a producer must know about its stream. It can change while the producer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamInfo {
    pub(crate) max_record_bytes: usize,
    /// Whether partition keys decide the shard. If not, the service distributes the records itself and ignores the
    /// keys.
    pub(crate) routed_by_us: bool,
    pub(crate) takes_aggregates: bool,
    /// The creation time in nanoseconds since the Unix epoch. A stream of the same name with another time is another
    /// stream.
    pub(crate) made: Option<i128>,
}

impl Default for StreamInfo {
    /// Returns what was true of every stream before there was a choice.
    fn default() -> Self {
        Self { max_record_bytes: 1 << 20, routed_by_us: true, takes_aggregates: true, made: None }
    }
}

pub(crate) type SummaryError = SdkError<DescribeStreamSummaryError, HttpResponse>;

/// The answer of DescribeStreamSummary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) info: StreamInfo,
    /// The stream does not take records yet.
    pub(crate) is_creating: bool,
}

impl Summary {
    pub(crate) async fn ask(client: &Client, stream: &Stream, address: &Address) -> Result<Self, SummaryError> {
        let call = client.describe_stream_summary().set_stream_name(stream.name()).set_stream_arn(stream.arn());
        let answer = call.customize().interceptor(address.clone()).send().await?;
        // An answer without a summary only shows that the stream exists.
        let summary = answer.stream_description_summary.as_ref();
        Ok(summary.map_or_else(|| Self { info: StreamInfo::default(), is_creating: false }, Self::read))
    }

    fn read(summary: &StreamDescriptionSummary) -> Self {
        let kib = summary.max_record_size_in_kib().and_then(|kib| usize::try_from(kib).ok()).filter(|kib| *kib > 0);
        let by_key = summary
            .record_distribution_strategy()
            .is_none_or(|strategy| *strategy == RecordDistributionStrategy::UserPartitionKey);
        let info = StreamInfo {
            max_record_bytes: kib.map_or_else(|| StreamInfo::default().max_record_bytes, |kib| kib << 10),
            routed_by_us: by_key,
            takes_aggregates: summary.channel_count().is_none_or(|channels| channels <= 0),
            made: Some(summary.stream_creation_timestamp().as_nanos()),
        };
        Self { info, is_creating: *summary.stream_status() == StreamStatus::Creating }
    }
}

impl StreamInfo {
    /// Returns the largest aggregate, less its partition key. `None` means no aggregation.
    pub(crate) fn max_aggregate_bytes(&self, settings: &Settings) -> Option<usize> {
        let aggregates = settings.aggregation == Aggregation::On && self.takes_aggregates && self.routed_by_us;
        aggregates.then(|| settings.max_aggregate_bytes.min(self.max_record_bytes) - OUTER_KEY_LEN)
    }

    /// Returns a remark for operators about an unusual stream.
    pub(crate) fn remark(&self) -> Option<Cow<'static, str>> {
        if !self.routed_by_us {
            let text =
                "the service distributes the records of this stream: partition keys are ignored, nothing is aggregated";
            return Some(text.into());
        }
        (!self.takes_aggregates)
            .then(|| "channels read this stream and take no aggregates apart: nothing is aggregated".into())
    }
}

/// The partition key of an aggregate has one letter, which counts.
const OUTER_KEY_LEN: usize = 1;

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::DateTime;
    use aws_sdk_kinesis::types::builders::StreamDescriptionSummaryBuilder as SummaryBuilder;

    use super::*;

    fn read(more: impl FnOnce(SummaryBuilder) -> SummaryBuilder) -> (usize, bool, bool) {
        let summary = StreamDescriptionSummary::builder()
            .stream_name("s")
            .stream_arn("arn")
            .stream_status(StreamStatus::Active)
            .retention_period_hours(24)
            .stream_creation_timestamp(DateTime::from_secs(0))
            .set_enhanced_monitoring(Some(Vec::new()))
            .open_shard_count(1);
        let StreamInfo { max_record_bytes, routed_by_us, takes_aggregates, .. } =
            Summary::read(&more(summary).build().expect("all that is required")).info;
        (max_record_bytes, routed_by_us, takes_aggregates)
    }

    #[test]
    fn a_summary_without_a_field_means_the_old_default() {
        assert_eq!(read(|summary| summary), (1 << 20, true, true));
        assert_eq!(read(|summary| summary.max_record_size_in_kib(10_240)), (10 << 20, true, true));
        assert_eq!(read(|summary| summary.max_record_size_in_kib(0)), (1 << 20, true, true), "no limit one could keep");
        let strategy =
            |name| read(|summary| summary.record_distribution_strategy(RecordDistributionStrategy::from(name)));
        assert_eq!(strategy("USER_PARTITION_KEY"), (1 << 20, true, true));
        assert_eq!(strategy("AUTO"), (1 << 20, false, true));
        assert_eq!(strategy("SOMETHING_NEW"), (1 << 20, false, true), "then no aggregate can be misunderstood");
        assert_eq!(read(|summary| summary.channel_count(0)), (1 << 20, true, true));
        assert_eq!(read(|summary| summary.channel_count(1)), (1 << 20, true, false));
    }
}
