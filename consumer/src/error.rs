//! What can go wrong before and while a consumer runs.

use crate::fetch::ReadError;
use crate::lease::table::belonging::EntryError;
use crate::lease::{OtherStream, PrepareError};
use crate::settings::SettingError;
use crate::shard::DiscoverError;

/// A consumer could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Something that it cannot do without was not given. Nothing was sent.
    #[error("no {what} was given: call `.{method}(..)`")]
    Missing {
        /// What.
        what: &'static str,
        /// The method of the builder that gives it.
        method: &'static str,
    },
    /// A setting is out of its limits. Nothing was sent.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The name of the application cannot be that of a table. Nothing was sent.
    #[error("the application {application:?} names the lease table, and must have 3 to 255 of a-z A-Z 0-9 _ . -")]
    ApplicationName {
        /// The name as given.
        application: String,
    },
    /// There is no such stream, or it cannot be read. Nothing was written.
    #[error("the stream cannot be read")]
    Stream(#[from] DiscoverError),
    /// The lease table cannot be used.
    #[error(transparent)]
    LeaseTable(#[from] PrepareError),
    /// The thread that keeps the leases could not be started. Nothing was sent.
    #[error("no thread could be started for the leases")]
    Thread(#[source] std::io::Error),
    /// The lease table belongs to another stream. Nothing was written.
    #[error(transparent)]
    OtherStream(#[from] OtherStream),
}

impl From<EntryError> for BuildError {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::Another(other) => other.into(),
            EntryError::Table(error) => error.into(),
            EntryError::Stream(error) => error.into(),
        }
    }
}

/// A running consumer came to its end without being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A shard cannot be read, and [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard) is set. The other shards
    /// were shut down in order before this was returned, and nothing was skipped.
    #[error("reading a shard failed for good")]
    Read(#[from] ReadError),
    /// What the call was given is out of its limits. Nothing was read.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The lease table is found to belong to another stream than this worker reads, or the stream was deleted and made again
    /// under its name. The shards were brought to a good end before this was returned, and nothing was skipped.
    #[error(transparent)]
    OtherStream(OtherStream),
    /// The lease table has not existed for 30 s: somebody has deleted it, and the checkpoints with it. It is not made anew beside a
    /// running fleet, since that would start over from the configured position. A worker that is started makes it anew.
    #[error("the lease table does not exist any more")]
    LeaseTableGone,
    /// The worker's own tasks have ended: a bug in this crate, or a runtime that is shutting down. Its leases run out.
    #[error("the worker's tasks have ended")]
    Stopped,
}
