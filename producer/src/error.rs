//! What can go wrong, by what became of the record.

mod build;
mod delivery;
mod put;

use std::error::Error;
use std::fmt;

pub use build::{BuildError, ShardMapError};
pub use delivery::{Attempt, DeliveryError, DeliveryErrorKind, Outcome};
pub(crate) use delivery::{Failure, code};
pub(crate) use put::Closed;
pub use put::{FailedRecord, PutError, Refusal, ReserveError, TryPutError};

/// An error and its causes, one after the other. The SDK's own `DisplayErrorContext` adds each once more as Rust shows it to its developers.
pub(crate) struct Causes<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
