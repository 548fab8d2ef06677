//! The one worker that leads: it creates leases for new shards, assigns owners, and deletes finished leases.
//!
//! Every worker runs this. One holds the lock ([`lock`], a state; [`campaign`], its loop) and does the [`rounds`]. The others
//! watch the lock, and read the table as soon as a heartbeat is missed.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::lease::holder::held::HoldContext;
use crate::lease::table::lease::Checkpoint;
use crate::lease::table::store::UnixSeconds;
use crate::shard::discover::{Discover, ListFilter};

use self::campaign::Campaign;
use self::rounds::Rounds;

pub(in crate::lease) mod assign;
mod campaign;
mod cleanup;
mod lock;
mod rounds;
mod shards;
mod sync;

/// What a worker needs to lead.
pub(crate) struct LeaderContext {
    pub(crate) hold: HoldContext,
    /// How many leases a worker may have. A leader applies its own limit to all workers.
    pub(crate) max_leases: usize,
    /// Where shards without a lease start: one of the three sentinels.
    pub(crate) start: Checkpoint,
    /// The shards to list for an empty table: those that contain the start position.
    pub(crate) first_listing: ListFilter,
    pub(crate) discover: Arc<Discover>,
    /// Our wall clock.
    pub(crate) wall_clock: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
    /// Triggers a round now rather than in some seconds. Without effect while another worker leads.
    pub(crate) wake: Arc<Notify>,
}

/// Leads whenever this worker holds the lock, until `stop` is `true` or its sender is dropped; then releases the lock. If this
/// future is dropped earlier, the lock expires.
pub(crate) async fn run(context: LeaderContext, stop: watch::Receiver<bool>) {
    let campaign = Campaign::new(&context.hold);
    let rounds = Rounds::new(context, campaign.role(), campaign.resign());
    // Both run in one task: a heartbeat is never later than one step of a round. The rounds end with the campaign.
    futures::join!(campaign.run(stop), rounds.run());
}

impl fmt::Debug for LeaderContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderContext")
            .field("hold", &self.hold)
            .field("max_leases", &self.max_leases)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
