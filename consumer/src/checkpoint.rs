//! How far: which records are done, and when that is written.

pub(crate) mod commit;
pub(crate) mod tracker;
