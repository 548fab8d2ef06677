use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;

use crate::settings::SettingError;

/// A producer could not be made. Nothing was started and nothing written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// There is no stream of this name or ARN in the account and region of the client.
    #[error("there is no stream {stream}")]
    StreamNotFound {
        /// The stream as it was given.
        stream: String,
        /// What the service answered.
        #[source]
        source: Box<SdkError<DescribeStreamSummaryError, HttpResponse>>,
    },
    /// The service could not be asked: no credentials, no connection, no time.
    #[error("stream {stream} cannot be reached")]
    Unreachable {
        /// The stream as it was given.
        stream: String,
        /// What was in the way.
        #[source]
        source: Box<SdkError<DescribeStreamSummaryError, HttpResponse>>,
    },
    /// Where the stream's shards lie could not be learned, so no record could be routed.
    #[error("the shards of stream {stream} cannot be listed")]
    Shards {
        /// The stream as it was given.
        stream: String,
        /// Why not.
        source: ShardMapError,
    },
}

/// A listing of shards failed, or says nothing to rely on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardMapError {
    /// ListShards failed.
    #[error("ListShards failed")]
    ListShards(#[source] Box<SdkError<ListShardsError, HttpResponse>>),
    /// A shard's hash-key range cannot be read.
    #[error("shard {shard} is listed with hash keys {start:?}..={end:?}")]
    Unreadable {
        /// The shard.
        shard: String,
        /// The lower end, as listed.
        start: String,
        /// The upper end, as listed.
        end: String,
    },
    /// The open shards leave a hole in the hash-key space, or overlap: the stream is being made or resharded, or the pages of the
    /// listing are of different age.
    #[error("the {open} open shards do not cover the hash-key space once and whole")]
    Torn {
        /// How many open shards were listed.
        open: usize,
    },
}
