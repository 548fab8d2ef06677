use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// So many records, numbered from `first` on, each a Kinesis record of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Numbers {
    first: u64,
    len: u64,
}

impl Delivery for Numbers {
    fn len(&self) -> u64 {
        self.len
    }

    fn position(&self, index: u64) -> Position {
        position(self.first + index)
    }
}

fn position(number: u64) -> Position {
    Position {
        sequence_number: number.to_string().parse().expect("a number"),
        sub_sequence: 0,
        shard: "shardId-000000000000".into(),
    }
}

/// Returns a tracker with deliveries of these lengths; the records have the positions 100, 101, and so on.
fn tracker(lengths: &[u64]) -> Tracker<Numbers> {
    let mut tracker = Tracker::default();
    for len in lengths {
        let first = 100 + tracker.next;
        tracker.deliver(Numbers { first, len: *len });
    }
    tracker
}

#[test]
fn a_gap_holds_the_position_back_until_it_is_filled() {
    // S151: of two batches, the second is done first.
    let mut tracker = tracker(&[3, 2]);
    assert_eq!(tracker.done(3..5), None);
    assert!(!tracker.is_done());
    assert_eq!(tracker.done(0..3), Some(position(104)));
    assert!(tracker.is_done());
}

#[test]
fn lets_go_of_what_is_done() {
    let mut tracker = tracker(&[3, 2]);
    assert_eq!(tracker.done(1..2), None);
    assert_eq!(tracker.done(0..1), Some(position(101)));
    assert_eq!(
        tracker,
        Tracker {
            deliveries: VecDeque::from([(0, Numbers { first: 100, len: 3 }), (3, Numbers { first: 103, len: 2 })]),
            next: 5,
            done_before: 2,
            done_beyond: BTreeMap::new(),
        }
    );
    assert_eq!(tracker.done(4..5), None);
    assert_eq!(tracker.done(2..3), Some(position(102)));
    assert_eq!(
        tracker,
        Tracker {
            deliveries: VecDeque::from([(3, Numbers { first: 103, len: 2 })]),
            next: 5,
            done_before: 3,
            done_beyond: BTreeMap::from([(4, 5)]),
        }
    );
}

#[test]
fn what_is_done_twice_counts_once() {
    let mut tracker = tracker(&[4]);
    assert_eq!(tracker.done(0..2), Some(position(101)));
    assert_eq!(tracker.done(0..2), None);
    assert_eq!(tracker.done(1..3), Some(position(102)));
    assert_eq!(tracker.done(3..4), Some(position(103)));
    assert!(tracker.is_done());
}

#[test]
fn nothing_delivered_is_nothing_undone() {
    // S91: a shard without a record ends like any other.
    assert!(tracker(&[]).is_done());
}

proptest! {
    /// Records become done in any order, in ranges that may overlap: the position is that of the last record before the first
    /// unfinished one (C2), and no delivery is kept longer than needed.
    #[test]
    fn follows_the_contiguous_prefix(
        lengths in proptest::collection::vec(1_u64..6, 1..8),
        ranges in proptest::collection::vec((0_u64..40, 1_u64..5), 0..60),
    ) {
        let mut tracker = tracker(&lengths);
        let all: u64 = lengths.iter().sum();
        let mut done = BTreeSet::new();
        let mut told = None;
        for (start, len) in ranges {
            let range = start.min(all - 1)..(start + len).min(all);
            done.extend(range.clone());
            told = tracker.done(range).or(told);
            let prefix = (0..all).take_while(|number| done.contains(number)).count() as u64;
            prop_assert_eq!(&told, &prefix.checked_sub(1).map(|last| position(100 + last)));
            prop_assert_eq!(tracker.is_done(), prefix == all);
            let unfinished = lengths.iter().scan(0, |end, len| { *end += len; Some(*end) }).filter(|end| *end > prefix).count();
            prop_assert_eq!(tracker.deliveries.len(), unfinished);
            prop_assert_eq!(tracker.done_beyond.values().zip(tracker.done_beyond.keys().skip(1)).filter(|(end, next)| end >= next).count(), 0);
        }
    }
}
