use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;

use super::call::CallError;
use crate::settings::SettingError;

/// A producer could not be made. Nothing was started and nothing written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// There is no stream of this name or ARN in the account and region of the client.
    #[error("there is no stream {stream} ({sought})")]
    StreamNotFound {
        /// The stream as it was given.
        stream: String,
        /// Where, and for how long.
        sought: Box<Sought>,
        /// What the service answered.
        #[source]
        source: CallError<DescribeStreamSummaryError>,
    },
    /// The service could not be asked: no credentials, or none that it takes, no connection, no time.
    #[error("stream {stream} cannot be reached ({sought})")]
    Unreachable {
        /// The stream as it was given.
        stream: String,
        /// Where, and for how long.
        sought: Box<Sought>,
        /// What was in the way.
        #[source]
        source: CallError<DescribeStreamSummaryError>,
    },
    /// Where the stream's shards lie could not be learned, so no record could be routed.
    #[error("the shards of stream {stream} cannot be listed ({sought})")]
    Shards {
        /// The stream as it was given.
        stream: String,
        /// Where, and for how long.
        sought: Box<Sought>,
        /// Why not.
        source: ShardMapError,
    },
    /// The stream was being made, and was not there after five minutes.
    #[error("stream {stream} is still being made ({sought})")]
    StillCreating {
        /// The stream as it was given.
        stream: String,
        /// Where, and for how long.
        sought: Box<Sought>,
    },
}

/// Where a stream was looked for, for how long, and what came of it last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sought {
    /// The client's region.
    pub region: Option<String>,
    /// Scheme and host of the latest request. `None`: there was none that could be sent, for want of credentials or a region.
    pub endpoint: Option<String>,
    /// From the beginning of the build to its end.
    pub spent: Duration,
    /// The service's latest error code, one of those that an [`Attempt`](crate::Attempt) has, or `NoRegion`, `TornListing`,
    /// `UnreadableListing` or `CREATING`.
    pub code: Cow<'static, str>,
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, endpoint, spent, code } = self;
        write!(f, "{}", region.as_deref().unwrap_or("no region"))?;
        match endpoint {
            Some(endpoint) => write!(f, ", {endpoint}")?,
            None => f.write_str(", no request was sent")?,
        }
        write!(f, ", {code} after {:.1} s", spent.as_secs_f64())
    }
}

/// A listing of shards failed, or says nothing to rely on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardMapError {
    /// ListShards failed.
    #[error("ListShards failed")]
    ListShards(#[source] CallError<ListShardsError>),
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
    /// The pages do not end: a page names itself as the next, names nothing, or there are more than a stream can have.
    #[error("the listing of shards does not end after {pages} pages")]
    Endless {
        /// How many pages there were.
        pages: usize,
    },
}
