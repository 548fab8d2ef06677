//! Aggregators that are used again.

use std::sync::{Mutex, PoisonError};

use kinesis_aggregation::Aggregator;

use super::budget::Budget;

/// Keeps aggregators whose buffers have grown. A busy producer then allocates per aggregate only the bytes that are
/// sent.
#[derive(Debug)]
pub(crate) struct AggregatorPool {
    kept: Mutex<Kept>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    #[expect(clippy::vec_box, reason = "the boxes are what moves from batch to batch")]
    aggregators: Vec<Box<Aggregator>>,
    bytes: usize,
}

impl AggregatorPool {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { kept: Mutex::default(), max_bytes }
    }

    /// Returns an empty aggregator. A pooled one is used if there is room for its buffers, which are charged whole.
    pub(crate) fn take(&self, budget: &Budget, max_aggregate_bytes: usize) -> Box<Aggregator> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.aggregators.last().is_some_and(|spare| budget.has_room(spare.capacity_bytes()))
            && let Some(mut spare) = kept.aggregators.pop()
        {
            kept.bytes -= spare.capacity_bytes();
            drop(kept);
            spare.set_max_bytes(max_aggregate_bytes);
            return spare;
        }
        Box::new(Aggregator::new(max_aggregate_bytes))
    }

    pub(crate) fn put(&self, aggregator: Box<Aggregator>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.bytes + aggregator.capacity_bytes();
        if bytes <= self.max_bytes {
            kept.bytes = bytes;
            kept.aggregators.push(aggregator);
        }
    }
}

#[cfg(test)]
impl AggregatorPool {
    pub(crate) fn kept(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).aggregators.len()
    }
}
