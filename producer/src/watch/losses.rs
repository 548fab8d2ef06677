//! Records that were lost after their deliveries were dropped.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use crate::outcome::DeliveryErrorKind;

/// Counts failed records whose deliveries were dropped. Only the log and the counts report them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    state: Mutex<Lost>,
}

/// All such records, and the reason of the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) records: u64,
    pub(crate) kind: Option<DeliveryErrorKind>,
    pub(crate) code: Option<Cow<'static, str>>,
}

impl Losses {
    pub(crate) fn add(&self, records: u64, kind: DeliveryErrorKind, code: Option<&Cow<'static, str>>) {
        if records == 0 {
            return;
        }
        let mut lost = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        lost.records += records;
        lost.kind = Some(kind);
        lost.code = code.cloned();
    }

    pub(crate) fn so_far(&self) -> Lost {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
