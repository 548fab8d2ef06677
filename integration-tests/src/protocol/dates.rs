//! Dates that jump, as when an operator or a time server sets a clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use kinesis_testkit::{Connection, WorkerClock};

#[derive(Debug, Clone, Copy)]
pub(super) enum Jump {
    Back(Duration),
    Ahead(Duration),
}

/// By how much each worker's date is off. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates(Arc<Mutex<BTreeMap<String, Vec<Jump>>>>);

#[derive(Debug)]
struct Date {
    name: String,
    clock: WorkerClock,
    dates: Dates,
}

impl Dates {
    pub(super) fn jump(&self, name: &str, jump: Jump) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().push(jump);
    }

    /// What the worker's SDK clients are to take their date from.
    pub(super) fn of(&self, name: &str, connection: &Connection) -> SharedTimeSource {
        SharedTimeSource::new(Date { name: name.to_owned(), clock: connection.clock(), dates: self.clone() })
    }
}

impl TimeSource for Date {
    fn now(&self) -> SystemTime {
        let dates = self.dates.0.lock().unwrap_or_else(PoisonError::into_inner);
        let jumps = dates.get(&self.name).map_or(&[][..], Vec::as_slice);
        jumps.iter().fold(self.clock.now(), |now, jump| match jump {
            Jump::Back(time) => now - *time,
            Jump::Ahead(time) => now + *time,
        })
    }
}
