//! Which of the delivered records are done, in any order.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::record::Position;

/// Records that are delivered together, in order.
pub(crate) trait Delivery {
    /// Returns the number of records, at least one.
    fn len(&self) -> u64;

    /// Returns the position of the record at that index.
    fn position(&self, index: u64) -> Position;
}

/// Follows the records of one shard from delivery to done. They are numbered in the order of delivery, from 0 on.
///
/// The checkpoint is the last record before the first unfinished one (C2). With records processed in any order, everything
/// behind a gap is delivered again after a crash, and nothing before it is lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tracker<D> {
    /// Deliveries with records that are not done, and the number of the first record of each.
    deliveries: VecDeque<(u64, D)>,
    /// The number of the next record to be delivered.
    next: u64,
    /// All records before this one are done.
    done_before: u64,
    /// Ranges of done records beyond `done_before`, by their start; they neither touch nor overlap.
    done_beyond: BTreeMap<u64, u64>,
}

impl<D> Default for Tracker<D> {
    fn default() -> Self {
        Self { deliveries: VecDeque::new(), next: 0, done_before: 0, done_beyond: BTreeMap::new() }
    }
}

impl<D: Delivery> Tracker<D> {
    /// Records a delivery; returns the numbers of its records.
    pub(crate) fn deliver(&mut self, delivery: D) -> Range<u64> {
        let first = self.next;
        self.next += delivery.len();
        self.deliveries.push_back((first, delivery));
        first..self.next
    }

    /// Records that these are done. Returns the position of the last record of the contiguous prefix, if the prefix has grown.
    pub(crate) fn done(&mut self, numbers: Range<u64>) -> Option<Position> {
        debug_assert!(numbers.end <= self.next, "only what is delivered can be done");
        self.insert(numbers);
        let end = self.done_beyond.remove(&self.done_before)?;
        let position = self.position(end - 1);
        self.done_before = end;
        // A delivery is dropped as soon as it is done, and its bytes with it.
        while self.deliveries.front().is_some_and(|(first, delivery)| first + delivery.len() <= end) {
            self.deliveries.pop_front();
        }
        position
    }

    /// Returns `true` if every delivered record is done.
    pub(crate) fn is_done(&self) -> bool {
        self.done_before == self.next
    }

    /// Returns the position of the first unfinished record and the number of unfinished records; `None` if all are done.
    pub(crate) fn unfinished(&self) -> Option<(Position, u64)> {
        let first = self.position(self.done_before)?;
        let done: u64 = self.done_beyond.iter().map(|(start, end)| end - start).sum();
        Some((first, self.next - self.done_before - done))
    }

    fn insert(&mut self, numbers: Range<u64>) {
        let (mut start, mut end) = (numbers.start.max(self.done_before), numbers.end);
        if start >= end {
            return;
        }
        if let Some((&before, &before_end)) = self.done_beyond.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&after, &after_end)) = self.done_beyond.range(start..=end).next() {
            end = end.max(after_end);
            self.done_beyond.remove(&after);
        }
        self.done_beyond.insert(start, end);
    }

    fn position(&self, number: u64) -> Option<Position> {
        let after = self.deliveries.partition_point(|(first, _)| *first <= number);
        let (first, delivery) = self.deliveries.get(after.checked_sub(1)?)?;
        Some(delivery.position(number - first))
    }
}

#[cfg(test)]
mod tests;
