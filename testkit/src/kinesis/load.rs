//! What an on-demand stream observes of a shard.

use crate::limits::Limits;

/// What a shard has taken in the present window of observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    bytes: u64,
    records: u64,
}

impl Load {
    pub(crate) fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.records = self.records.saturating_add(1);
    }

    /// Whether this load in one window is more than a shard should have.
    pub(crate) fn is_high(self, limits: &Limits) -> bool {
        let millis = limits.on_demand_window.as_millis();
        let above = |count: u64, per_second: u64| u128::from(count) * 1000 > u128::from(per_second) * millis;
        above(self.bytes, limits.on_demand_split_bytes_per_second)
            || above(self.records, limits.on_demand_split_records_per_second)
    }
}
