//! Creates the planned leases.

use futures::StreamExt;

use crate::backoff::Pauses;
use crate::lease::table::store::LeaseStore;
use crate::lease::{Lease, LeaseKey, StoreError, Written};

/// The result of creating leases.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// Leases in the table now, created by this worker or by a faster one.
    pub(crate) leases: Vec<Lease>,
    /// Leases that may not be in the table.
    pub(crate) failed: Vec<(LeaseKey, StoreError)>,
}

/// Creates leases, each independently: a failure delays no other. Takes the pauses between attempts from `pauses`.
pub(crate) async fn create(
    store: &dyn LeaseStore,
    leases: impl IntoIterator<Item = Lease> + Send,
    mut pauses: impl FnMut() -> Pauses + Send,
) -> Created {
    let leases: Vec<(Lease, Pauses)> = leases.into_iter().map(|lease| (lease, pauses())).collect();
    let mut attempts =
        futures::stream::iter(leases).map(|(lease, pauses)| create_one(store, lease, pauses)).buffered(CONCURRENCY);
    let mut created = Created::default();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(lease) => created.leases.push(lease),
            Err(failed) => created.failed.push(failed),
        }
    }
    created
}

async fn create_one(store: &dyn LeaseStore, lease: Lease, mut pauses: Pauses) -> Result<Lease, (LeaseKey, StoreError)> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match store.create(&lease).await {
            Ok(Written::Accepted(row) | Written::Refused(row)) => return Ok(row.map_or(lease, |row| *row)),
            // Retried also when there was no response: if the lease was written, the next attempt is refused.
            Err(error) if error.is_retryable() && tries > 0 => tokio::time::sleep(pauses.draw()).await,
            Err(error) => return Err((lease.key, error)),
        }
    }
}

/// At 10 ms a write this creates a thousand leases in a second, within the limit of a new on-demand table (4000 writes a
/// second).
const CONCURRENCY: usize = 10;
/// With pauses that double from 50 ms, about three seconds; the next round tries again.
const TRIES: u32 = 6;
