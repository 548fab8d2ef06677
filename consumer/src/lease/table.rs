//! The rows of the lease table: what they say, and how they are read and written.

pub(crate) mod lease;
pub(crate) mod store;

pub(crate) mod dynamodb;
pub(crate) mod memory;
pub(crate) mod starting;
pub(crate) mod watched;

pub(crate) mod belonging;
pub(crate) mod mismatch;
pub(crate) mod odd;
pub(crate) mod parents;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
