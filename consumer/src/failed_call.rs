//! A failed call with what is needed to find its cause: its target, its endpoint, and how long it was tried.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kinesis_service_errors::{Address, Foreign};

/// A call that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedCall {
    /// The API's name of the operation.
    pub operation: String,
    /// The target: `the stream clicks`, `the lease table app`.
    pub of: String,
    /// Region and endpoint: `us-east-1 at https://kinesis.us-east-1.amazonaws.com`.
    pub place: String,
    /// The number of attempts since the last success.
    pub attempts: u32,
    /// The time that these attempts took.
    pub spent: Duration,
    /// The service's code, if it answered: `AccessDeniedException`.
    pub code: Option<String>,
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, of, place, attempts, spent, code } = self;
        write!(f, "{operation} of {of} in {place} failed")?;
        if *attempts > 1 {
            write!(f, " {attempts} times in {:.1} s", spent.as_secs_f64())?;
        }
        match code {
            Some(code) => write!(f, " with {}", Foreign(code)),
            None => f.write_str(" without an answer"),
        }
    }
}

/// The address that a client sends its calls to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    region: Option<Arc<str>>,
    address: Address,
}

impl Place {
    pub(crate) fn of(region: Option<&str>) -> Self {
        Self { region: region.map(Arc::from), address: Address::new() }
    }

    /// Returns the interceptor that the client needs to record the address.
    pub(crate) fn interceptor(&self) -> Address {
        self.address.clone()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = self.region.as_deref().unwrap_or("no region");
        match self.address.seen() {
            Some(endpoint) => write!(f, "{region} at {}", Foreign(&endpoint)),
            None => f.write_str(region),
        }
    }
}
