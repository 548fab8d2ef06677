//! What operators see: counts of records, losses that no delivery reports, and the log.
//!
//! Plain data at the bottom of the import order, to which every task reports.

pub(crate) mod log_limiter;
pub(crate) mod losses;
pub(crate) mod operator_log;
pub(crate) mod tally;
