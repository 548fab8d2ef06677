//! What can go wrong with a call to the lease table.

use std::time::Duration;

use kinesis_service_errors::Kind;

use crate::failed_call::FailedCall;
use crate::lease::LeaseKey;

/// A call to the lease table that gave no answer about its condition.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The table's capacity or rate limit was exceeded. Nothing was written.
    #[error("the lease table is throttled")]
    Throttled(#[source] BoxError),
    /// The request was refused, or never left. Nothing was written.
    #[error("the lease table refused {operation}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// What the table said.
        #[source]
        source: BoxError,
    },
    /// Refused for want of permission, credentials, a key or the right time, or with a code that nobody knows: the same call can succeed
    /// when somebody acts. Nothing was written.
    #[error("the lease table does not allow {operation}")]
    Denied {
        /// The operation.
        operation: &'static str,
        /// What the table said.
        #[source]
        source: BoxError,
    },
    /// The table does not exist (any more). Nothing was written.
    #[error("the lease table does not exist")]
    NoTable(#[source] BoxError),
    /// The table has no index of leases by their owners (any more), or the index cannot be read yet.
    #[error("the lease table has no index of leases by their owners")]
    NoIndex(#[source] BoxError),
    /// The row cannot be read as what it should be. Nothing was written.
    #[error("a row of the lease table cannot be read: {problem}")]
    Unreadable {
        /// The attribute, and what is wrong with it.
        problem: String,
    },
    /// No answer came, or one that does not tell: the write may have happened.
    #[error("{operation} on the lease table ended without an answer")]
    Unknown {
        /// The operation.
        operation: &'static str,
        /// What happened.
        #[source]
        source: BoxError,
    },
}

impl StoreError {
    /// Whether the write may have happened.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether a start goes on trying.
    pub(crate) const fn may_pass(&self) -> bool {
        self.is_retryable() || matches!(self, Self::Denied { .. })
    }

    /// The service's code, where it gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        self.answered().map(|answered| answered.code.as_str())
    }

    /// What the service's answer means, where it gave one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.answered().map(|answered| answered.kind)
    }

    fn answered(&self) -> Option<&Answered> {
        match self {
            Self::Throttled(source) | Self::NoTable(source) | Self::NoIndex(source) => source.downcast_ref(),
            Self::Refused { source, .. } | Self::Denied { source, .. } | Self::Unknown { source, .. } => {
                source.downcast_ref()
            }
            Self::Unreadable { .. } => None,
        }
    }

    /// Whether the action is not allowed, so that it passes when somebody acts. A worker that runs has it among its findings.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. }) && self.kind() != Some(Kind::Clock)
    }

    /// Logs that a worker that runs could not do something and goes on. What is denied is among its findings already.
    pub(crate) fn log(&self, what: &'static str) {
        let error = self as &dyn std::error::Error;
        match self.is_denied() {
            true => tracing::debug!(error, "{what} failed"),
            false => tracing::warn!(error, "{what} failed"),
        }
    }

    /// The same about one lease. A row that cannot be read is among the findings too, of the leader and of the worker that it names.
    pub(crate) fn log_for(&self, lease: &LeaseKey, what: &'static str) {
        let error = self as &dyn std::error::Error;
        match self.is_denied() || matches!(self, Self::Unreadable { .. }) {
            true => tracing::debug!(%lease, error, "{what} failed"),
            false => tracing::warn!(%lease, error, "{what} failed"),
        }
    }

    /// The call, where the error says which.
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Refused { operation, .. } | Self::Denied { operation, .. } | Self::Unknown { operation, .. } => {
                operation
            }
            Self::Unreadable { .. } => "read",
            Self::Throttled(_) | Self::NoTable(_) => "a call",
            Self::NoIndex(_) => "owned_by",
        }
    }

    /// Whether the same call can succeed later without anybody changing settings or permissions.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unknown { .. })
    }
}

/// What a service answered, with the code that it gave.
#[derive(Debug, thiserror::Error)]
#[error("{code}")]
pub(crate) struct Answered {
    pub(crate) code: String,
    pub(crate) kind: Kind,
    #[source]
    pub(crate) source: BoxError,
}

/// A table could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The table is not ours to write to, and was left as it is.
    #[error("the lease table {table} cannot be used: {reason}")]
    Refused {
        /// The table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The table did not become active in time.
    #[error("the lease table {table} is still {status} after {waited:?}")]
    NotActive {
        /// The table.
        table: String,
        /// Its status, or its index's.
        status: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A call failed for half a minute.
    #[error("{call}")]
    Unavailable {
        /// Which call, and how often it was tried.
        call: Box<FailedCall>,
        /// The last failure.
        #[source]
        source: StoreError,
    },
    /// A call failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The source of an error of any kind of store.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
