//! Errors of building and of running a consumer.

use crate::fetch::ReadError;
use crate::lease::table::belonging::EntryError;
use crate::lease::{OtherStream, PrepareError};
use crate::settings::SettingError;
use crate::shard::DiscoverError;

/// A consumer could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A required part was not set. Nothing was sent.
    #[error("no {what} was given: call `.{method}(..)`")]
    Missing {
        /// The missing part.
        what: &'static str,
        /// The builder method that sets it.
        method: &'static str,
    },
    /// A setting is out of its limits. Nothing was sent.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The application's name is not a valid table name. Nothing was sent.
    #[error("the application {application:?} names the lease table, and must have 3 to 255 of a-z A-Z 0-9 _ . -")]
    ApplicationName {
        /// The invalid name.
        application: String,
    },
    /// The stream does not exist or cannot be read. Nothing was written.
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

/// A running consumer ended without a shutdown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A shard cannot be read, and [`end_at_unreadable_shard`](crate::Settings::end_at_unreadable_shard) is set. The other
    /// shards were shut down in order before this was returned, and nothing was skipped.
    #[error("reading a shard failed for good")]
    Read(#[from] ReadError),
    /// A parameter of the call is out of its limits. Nothing was read.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The lease table belongs to another stream than this worker reads, or the stream was deleted and created again under its
    /// name. The shards were shut down in order before this was returned, and nothing was skipped.
    #[error(transparent)]
    OtherStream(OtherStream),
    /// The lease table has not existed for 30 s: it was deleted, and the checkpoints with it. A running fleet does not create
    /// it again, since that would start over from the configured position. A worker that is started creates it.
    #[error("the lease table does not exist any more")]
    LeaseTableGone,
    /// The worker's own tasks have ended: a bug in this crate, or a runtime that is shutting down. Its leases expire.
    #[error("the worker's tasks have ended")]
    Stopped,
}
