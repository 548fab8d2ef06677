use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;

use super::call::CallError;
use crate::settings::SettingError;

/// A producer could not be built. Nothing was started and nothing written.
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
        /// Region, endpoint, time and code.
        sought: Box<Sought>,
        /// The service's answer.
        #[source]
        source: CallError<DescribeStreamSummaryError>,
    },
    /// The service could not be asked: no valid credentials, no connection, or no answer in time.
    #[error("stream {stream} cannot be reached ({sought})")]
    Unreachable {
        /// The stream as it was given.
        stream: String,
        /// Region, endpoint, time and code.
        sought: Box<Sought>,
        /// The cause.
        #[source]
        source: CallError<DescribeStreamSummaryError>,
    },
    /// The stream's shards could not be listed, so no record could be routed.
    #[error("the shards of stream {stream} cannot be listed ({sought})")]
    Shards {
        /// The stream as it was given.
        stream: String,
        /// Region, endpoint, time and code.
        sought: Box<Sought>,
        /// The cause.
        source: ShardMapError,
    },
    /// The stream was in CREATING for five minutes.
    #[error("stream {stream} is still being created ({sought})")]
    StillCreating {
        /// The stream as it was given.
        stream: String,
        /// Region, endpoint, time and code.
        sought: Box<Sought>,
    },
}

/// Where the build looked for a stream, for how long, and its latest error code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sought {
    /// The client's region.
    pub region: Option<String>,
    /// Scheme and host of the latest request. `None` if no request could be sent, for lack of credentials or a region.
    pub endpoint: Option<String>,
    /// The time from the beginning of the build to its end.
    pub spent: Duration,
    /// The service's latest error code, one of the codes of an [`Attempt`](crate::Attempt), or `NoRegion`,
    /// `TornListing`, `UnreadableListing` or `CREATING`.
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

/// A listing of shards failed or is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardMapError {
    /// ListShards failed.
    #[error("ListShards failed")]
    ListShards(#[source] CallError<ListShardsError>),
    /// A shard's hash-key range is invalid.
    #[error("shard {shard} is listed with hash keys {start:?}..={end:?}")]
    Unreadable {
        /// The shard.
        shard: String,
        /// The lower end, as listed.
        start: String,
        /// The upper end, as listed.
        end: String,
    },
    /// The open shards leave a gap in the hash-key space, or overlap. The stream is being created or resharded, or the
    /// pages of the listing are of different age.
    #[error("the {open} open shards do not cover the hash-key space once and whole")]
    Torn {
        /// The number of open shards in the listing.
        open: usize,
    },
    /// The pages do not end: a page names itself as the next, names nothing, or there are more pages than a stream can
    /// have.
    #[error("the listing of shards does not end after {pages} pages")]
    Endless {
        /// The number of pages.
        pages: usize,
    },
}
