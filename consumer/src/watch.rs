//! What operators see: plain data at the bottom of the import order, so that every part of a worker can report to it.

mod book;
mod denials;
mod findings;

pub(crate) use self::denials::Denials;
pub(crate) use self::findings::{Findings, Report};

pub use self::findings::{Finding, FindingKind, Severity};
