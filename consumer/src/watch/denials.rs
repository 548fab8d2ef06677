//! Actions that the services do not allow this worker: one finding for each action, whichever call used it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::findings::{FindingKind, Findings, Report};

/// The actions that were refused when they were last tried. Clones share them.
///
/// Reports nothing before the worker runs; until then `build` logs what it waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    findings: OnceLock<Findings>,
    /// The subject of the finding of each action. A std mutex: held for one operation on a map, never across an await.
    denied: Mutex<BTreeMap<&'static str, String>>,
}

impl Denials {
    /// Reports denied actions from now on.
    pub(crate) fn report_to(&self, findings: &Findings) {
        // Set once, when the worker begins to run.
        let _ = self.shared.findings.set(findings.clone());
    }

    /// Reports a call of `action` that was refused. `subject` is the action's full name; `seen` names the target and the code.
    pub(crate) fn denied(&self, action: &'static str, subject: String, seen: impl fmt::Display) {
        let Some(findings) = self.shared.findings.get() else { return };
        let next = "tried on as if it could pass; the policy, the credentials or the key must be mended";
        let before = self.actions().insert(action, subject.clone());
        if let Some(other) = before.filter(|before| *before != subject) {
            findings.mended(FindingKind::ActionDenied, other);
        }
        findings.report(Report::new(FindingKind::ActionDenied, subject, seen, next));
    }

    /// Removes the finding: a call of `action` succeeded.
    pub(crate) fn allowed(&self, action: &'static str) {
        let denied = self.actions().remove(action);
        if let (Some(findings), Some(subject)) = (self.shared.findings.get(), denied) {
            findings.mended(FindingKind::ActionDenied, subject);
        }
    }

    fn actions(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.shared.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
