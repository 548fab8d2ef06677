//! What can go wrong, by what became of the record.

mod build;
mod call;
mod delivery;
mod put;

pub use build::{BuildError, ShardMapError, Sought};
pub use call::CallError;
pub use delivery::DeliveryError;
pub(crate) use delivery::{Failure, Origin};
pub(crate) use put::Closed;
pub use put::{FailedRecord, PutError, Refusal, ReserveError, TryPutError};
