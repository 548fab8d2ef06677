//! The task of one lease.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use tokio::sync::OwnedSemaphorePermit;

use crate::clock::Tick;
use crate::lease::holder::held::{Failed, HeldLease, HoldContext};
use crate::lease::holder::renewer::adopt;
use crate::lease::holder::shutdown::Shutdown;
use crate::lease::{Lease, LeaseKey, LostReason};

/// How the task of one lease ended.
pub(super) struct Ended {
    pub(super) key: LeaseKey,
    /// Set if this worker could not go on with the shard.
    pub(super) failed: Failed,
    pub(super) reader: Option<Weak<Lease>>,
    pub(super) lost: LostReason,
    /// The counter when this worker last owned the lease.
    pub(super) counter: u64,
}

/// Holds one lease from adoption to loss. Passes it to the program that requested it.
pub(super) async fn hold(
    context: HoldContext,
    lease: Lease,
    place: Option<(OwnedSemaphorePermit, impl FnOnce(Tick, HeldLease) + Send)>,
    shutdown: Shutdown,
    finished: Arc<AtomicBool>,
    rng: fastrand::Rng,
) -> Ended {
    let (key, counter) = (lease.key.clone(), lease.counter);
    let clock = Arc::clone(&context.clock);
    match adopt(context, lease, shutdown, finished, rng).await {
        Ok((held, renewer)) => {
            let (reader, failed) = (held.alive(), held.failed());
            tracing::info!(lease = %key, epoch = held.epoch().0, "lease held");
            match place {
                Some((permit, offer)) => {
                    permit.forget();
                    offer(clock.now(), held);
                }
                None => drop(held),
            }
            let (lost, counter) = renewer.run().await;
            Ended { key, failed, reader: Some(reader), lost, counter }
        }
        Err(lost) => Ended { key, failed: Failed::default(), reader: None, lost, counter },
    }
}
