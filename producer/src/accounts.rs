//! What a batch is charged to when it is opened, until it is settled: memory, the barrier for flushes, pooled buffers.

pub(crate) mod barrier;
pub(crate) mod budget;
pub(crate) mod pool;

use std::sync::Arc;

use self::barrier::PendingBatches;
use self::budget::Budget;
use self::pool::AggregatorPool;
use crate::error::Origin;
use crate::settings::Settings;
use crate::watch::losses::Losses;

/// The accounts of one producer.
pub(crate) struct Accounts {
    pub(crate) budget: Budget,
    pub(crate) pending: PendingBatches,
    pub(crate) pool: AggregatorPool,
    pub(crate) losses: Arc<Losses>,
    pub(crate) origin: Arc<Origin>,
}

impl Accounts {
    pub(crate) fn new(settings: &Settings, stream: String) -> Arc<Self> {
        let budget = Budget::new(settings.max_buffered_bytes);
        let origin = Arc::new(Origin { stream, record_ttl: settings.record_ttl });
        let pool = AggregatorPool::new(budget.spare_bytes());
        Arc::new(Self { budget, pending: PendingBatches::default(), pool, losses: Arc::default(), origin })
    }
}
