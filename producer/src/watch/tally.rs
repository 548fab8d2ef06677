//! How many records ended in which way.

use std::ops::{Add, Sub};

use crate::outcome::Outcome;

/// Numbers of records, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tally {
    pub(crate) written: u64,
    pub(crate) not_written: u64,
    pub(crate) unknown: u64,
}

impl Tally {
    pub(crate) fn failed(outcome: Outcome, records: u64) -> Self {
        match outcome {
            Outcome::NotWritten => Self { not_written: records, ..Self::default() },
            Outcome::Unknown => Self { unknown: records, ..Self::default() },
        }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            written: self.written + more.written,
            not_written: self.not_written + more.not_written,
            unknown: self.unknown + more.unknown,
        }
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self {
            written: self.written - less.written,
            not_written: self.not_written - less.not_written,
            unknown: self.unknown - less.unknown,
        }
    }
}
