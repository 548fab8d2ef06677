//! On-demand streams split by themselves.
//!
//! The rule is that of the service's developer guide ("Choose the right mode to stream in"): when the incoming traffic
//! of a shard exceeds 500 KB/s, the shard is split evenly within 15 minutes. Half of what a shard takes is the mark, so
//! the stream always has room for double its traffic, as the guide promises for the peak. That the number of records
//! counts in the same way, from 500 a second, is our conclusion from the quota of a new stream, 4 MB/s and 4000 records a
//! second. What grows faster than that is refused by the shards' own rates, as the guide says it may be.
//!
//! Streams do not shrink: the service keeps room for double the peak of 30 days, and does not say how it gives it back.

use super::load::Load;
use super::shard::Shard;
use super::stream::{Mode, Pending, Status, Stream};
use crate::clock::Tick;
use crate::limits::Limits;

impl Stream {
    /// Looks at the traffic when the window of observation is over, and begins to split the shards that have too much.
    /// While the stream is changing already, it looks again at the end of the next window. Returns whether a change began.
    pub(crate) fn watch_demand(&mut self, now: Tick, limits: &Limits) -> bool {
        let end = self.demand_since.saturating_add(limits.on_demand_window);
        if self.mode != Mode::OnDemand || now < end {
            return false;
        }
        // Windows without traffic in between need no look.
        let windows = (now - self.demand_since).as_nanos() / limits.on_demand_window.as_nanos().max(1);
        let passed = limits.on_demand_window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX));
        self.demand_since = self.demand_since.saturating_add(passed);
        let mut began = false;
        if self.status == Status::Active {
            let targets = self.halves_of_the_hot(limits);
            began = targets.len() > self.open_shards().count();
            if began {
                self.status = Status::Updating;
                let change = self.reshard_to(&targets);
                self.pending = Some(Pending { due: end + limits.updating, change });
            }
        }
        for shard in &mut self.shards {
            shard.load = Load::default();
        }
        began
    }

    /// The ranges of the open shards, those under high load as two.
    fn halves_of_the_hot(&self, limits: &Limits) -> Vec<(u128, u128)> {
        let mut open: Vec<&Shard> = self.open_shards().collect();
        open.sort_unstable_by_key(|shard| shard.range);
        let halves = |shard: &Shard| {
            let (first, last) = shard.range;
            if last == first || !shard.load.is_high(limits) {
                return vec![shard.range];
            }
            let middle = first + (last - first).div_ceil(2);
            vec![(first, middle - 1), (middle, last)]
        };
        open.into_iter().flat_map(halves).collect()
    }
}
