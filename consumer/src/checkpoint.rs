//! Progress: which records are done, and when a checkpoint is written.

pub(crate) mod commit;
pub(crate) mod tracker;
