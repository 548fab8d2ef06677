//! The errors, one enum per call of the API.

mod build;
mod call;
mod delivery;
mod put;

pub use self::build::{BuildError, ShardMapError, Sought};
pub use self::call::CallError;
pub use self::delivery::DeliveryError;
pub(crate) use self::delivery::{Failure, Origin};
pub(crate) use self::put::Closed;
pub use self::put::{FailedRecord, PutError, Refusal, ReserveError, TryPutError};
