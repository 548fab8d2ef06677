//! Records that were lost unnoticed.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use crate::outcome::DeliveryErrorKind;

/// Records that failed and whose deliveries were dropped: nobody but a log tells of them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    state: Mutex<Lost>,
}

/// All there were, and what is known of the latest.
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
