//! How a worker finds the leases that name it: by the table's index, or by reading the whole table while the index does not
//! exist.

use std::time::Duration;

use super::Keeper;
use crate::clock::Tick;
use crate::lease::{LeaseKey, StoreError};
use crate::watch::{FindingKind, Report};

impl Keeper {
    /// Returns the leases that name this worker; `None` if the index does not exist and the table was read a moment ago.
    pub(super) async fn owned(&mut self) -> Result<Option<Vec<LeaseKey>>, StoreError> {
        let (store, table) = (&self.hold.store, self.hold.belonging.table());
        match store.owned_by(&self.hold.me).await {
            Err(StoreError::NoIndex(_)) => {}
            Ok(owned) => {
                self.read_whole = None;
                self.hold.findings.mended(FindingKind::IndexGone, table);
                return Ok(Some(owned));
            }
            Err(error) => return Err(error),
        }
        let seen = "the index by which workers find their leases does not exist, or cannot be read yet";
        self.hold.findings.report(Report::new(FindingKind::IndexGone, table, seen, NEXT));
        let now = self.hold.clock.now();
        // A worker that is leaving has only this call.
        if !self.leaving && self.read_whole.is_some_and(|at: Tick| now.since(at) < READ_WHOLE_EVERY) {
            return Ok(None);
        }
        let rows = store.scan().await?;
        self.read_whole = Some(now);
        let ours = rows.leases.into_iter().filter(|lease| lease.owner.as_ref() == Some(&self.hold.me));
        // The owner in an unreadable row is not known, so a row already reported stays among the findings.
        let unreadable = rows.unreadable.into_iter().map(|(key, _)| LeaseKey::from(key));
        let odd = unreadable.filter(|key| self.odd.contains(key));
        Ok(Some(ours.map(|lease| lease.key).chain(odd).collect()))
    }
}

const NEXT: &str = "until it is back, leases are found by reading the whole table every 10 s: make it anew, or start a worker, which does so";

/// How often the KCL looks for leases. Each worker reads the whole table then.
const READ_WHOLE_EVERY: Duration = Duration::from_secs(10);
