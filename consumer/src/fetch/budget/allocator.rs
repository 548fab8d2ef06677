//! The order in which shards get bytes.

use std::collections::{BTreeMap, BTreeSet};

/// The accounts of the budget, and its rules:
///
/// - A shard that holds nothing is served in order of arrival, as soon as its bytes fit. A large request leaves the last
///   [`KEPT_BACK`] of the budget to small ones.
/// - A request that has waited for long (it is [urgent](Allocator::make_urgent)) gets what is free, in quarters, down to the
///   least that it can use. So shards with stalled user code cannot keep the others from reading (the rule *the budget*).
/// - A shard that holds something reads ahead only while half of the budget would stay free afterwards, and holds at most
///   [`HELD_MAX`] responses. So shards with slow user code cannot take all bytes from the others.
/// - When nothing is in use, any request is granted, whatever its size.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Allocator {
    capacity: u64,
    used: u64,
    shares: BTreeMap<ShareId, ShareState>,
    /// Requests of shards that hold nothing, in order of arrival.
    needed: BTreeSet<(Ticket, ShareId)>,
    /// Those of `needed` that have waited for long.
    urgent: BTreeSet<(Ticket, ShareId)>,
    /// Requests of shards that hold something and may hold more.
    ahead: BTreeSet<(Ticket, ShareId)>,
    next_ticket: Ticket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ShareId(pub(super) u64);

type Ticket = u64;

/// A share that holds permits or requests one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct ShareState {
    held: usize,
    ask: Option<Ask>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ask {
    ticket: Ticket,
    /// The smallest useful grant.
    least: u64,
    /// The largest useful grant.
    want: u64,
    urgent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) share: ShareId,
    pub(super) bytes: u64,
}

impl Allocator {
    pub(super) const fn new(capacity: u64) -> Self {
        Self {
            capacity,
            used: 0,
            shares: BTreeMap::new(),
            needed: BTreeSet::new(),
            urgent: BTreeSet::new(),
            ahead: BTreeSet::new(),
            next_ticket: 0,
        }
    }

    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Records that a share requests `want` bytes, or at least `least` should it wait for long. Replaces its previous request.
    pub(super) fn ask(&mut self, share: ShareId, least: u64, want: u64) {
        let (least, want) = (least.min(self.capacity), want.min(self.capacity));
        let ask = Ask { ticket: self.next_ticket, least: least.min(want), want, urgent: false };
        self.next_ticket += 1;
        self.change(share, |standing| standing.ask = Some(ask));
    }

    /// Records that the share's request has waited for long: a part of it will do.
    pub(super) fn make_urgent(&mut self, share: ShareId) {
        self.change(share, |standing| {
            if let Some(ask) = &mut standing.ask {
                ask.urgent = true;
            }
        });
    }

    pub(super) fn withdraw(&mut self, share: ShareId) {
        self.change(share, |standing| standing.ask = None);
    }

    pub(super) const fn settle(&mut self, from: u64, to: u64) {
        self.used = self.used - from + to;
    }

    pub(super) fn release(&mut self, share: ShareId, bytes: u64) {
        self.used -= bytes;
        self.change(share, |standing| standing.held -= 1);
    }

    /// Grants the next request that may be granted now.
    pub(super) fn next_grant(&mut self) -> Option<Grant> {
        let need = |(share, ask): (ShareId, Ask)| Some((share, self.share_of(ask)?));
        let (share, bytes) = match self.first(&self.needed) {
            Some(first) => need(first).or_else(|| self.first(&self.urgent).and_then(need))?,
            None => {
                let fits = |ask: Ask| self.used == 0 || self.used + ask.want <= self.capacity / 2;
                self.first(&self.ahead).filter(|(_, ask)| fits(*ask)).map(|(share, ask)| (share, ask.want))?
            }
        };
        self.used += bytes;
        self.change(share, |standing| {
            standing.ask = None;
            standing.held += 1;
        });
        Some(Grant { share, bytes })
    }

    /// Returns what a share that holds nothing may have now.
    fn share_of(&self, ask: Ask) -> Option<u64> {
        let free = self.capacity.saturating_sub(self.used);
        let kept_back = if ask.want > ask.least { self.capacity / KEPT_BACK } else { 0 };
        if self.used == 0 || ask.want + kept_back <= free {
            return Some(ask.want);
        }
        (ask.urgent && ask.least <= free).then(|| ask.want.min(ask.least.max(free / 4)))
    }

    fn first(&self, queue: &BTreeSet<(Ticket, ShareId)>) -> Option<(ShareId, Ask)> {
        let (_, share) = *queue.first()?;
        Some((share, self.shares.get(&share)?.ask?))
    }

    /// Changes a share's state and requeues its request accordingly.
    fn change(&mut self, share: ShareId, change: impl FnOnce(&mut ShareState)) {
        let standing = self.shares.entry(share).or_default();
        if let Some(ask) = standing.ask {
            self.needed.remove(&(ask.ticket, share));
            self.urgent.remove(&(ask.ticket, share));
            self.ahead.remove(&(ask.ticket, share));
        }
        change(standing);
        match (standing.held, standing.ask) {
            (0, None) => drop(self.shares.remove(&share)),
            (0, Some(ask)) => {
                self.needed.insert((ask.ticket, share));
                if ask.urgent {
                    self.urgent.insert((ask.ticket, share));
                }
            }
            (1..HELD_MAX, Some(ask)) => drop(self.ahead.insert((ask.ticket, share))),
            // Enough is waiting for this shard's user code; its request rests until some of it is done.
            _ => {}
        }
    }
}

/// One response in processing, one ready, one being read: enough that neither side waits for the other.
const HELD_MAX: usize = 3;

/// The part of the budget that is kept for small requests: an eighth, which is six reads of one record of the default 128 MiB.
const KEPT_BACK: u64 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granted(allocator: &mut Allocator) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| allocator.next_grant()).map(|grant| (grant.share.0, grant.bytes)).collect()
    }

    #[test]
    fn shards_without_anything_come_first_and_in_order() {
        let mut allocator = Allocator::new(100);
        allocator.ask(ShareId(1), 40, 40);
        assert_eq!(granted(&mut allocator), [(1, 40)]);
        // A shard that holds something wants to read ahead; two shards hold nothing.
        allocator.ask(ShareId(1), 5, 5);
        allocator.ask(ShareId(2), 70, 70);
        allocator.ask(ShareId(3), 10, 10);
        // The larger request came first, and no other may pass it.
        assert_eq!(granted(&mut allocator), []);
        // With its response processed, the first shard holds nothing again, and has its old place in the queue.
        allocator.release(ShareId(1), 40);
        assert_eq!(granted(&mut allocator), [(1, 5), (2, 70), (3, 10)]);
    }

    #[test]
    fn reading_ahead_leaves_half_of_the_budget_to_others() {
        let mut allocator = Allocator::new(100);
        allocator.ask(ShareId(1), 30, 30);
        assert_eq!(granted(&mut allocator), [(1, 30)]);
        allocator.ask(ShareId(1), 20, 20);
        assert_eq!(granted(&mut allocator), [(1, 20)]);
        allocator.ask(ShareId(1), 1, 1);
        assert_eq!(granted(&mut allocator), []);
        allocator.ask(ShareId(2), 50, 50);
        assert_eq!(granted(&mut allocator), [(2, 50)]);
    }

    #[test]
    fn a_shard_holds_no_more_than_a_few_answers() {
        let mut allocator = Allocator::new(1000);
        for _ in 0..HELD_MAX {
            allocator.ask(ShareId(1), 1, 1);
            assert_eq!(granted(&mut allocator), [(1, 1)]);
        }
        allocator.ask(ShareId(1), 1, 1);
        assert_eq!(granted(&mut allocator), []);
        allocator.release(ShareId(1), 1);
        assert_eq!(granted(&mut allocator), [(1, 1)]);
    }

    /// Q13: stalled shards hold nearly all bytes.
    #[test]
    fn an_ask_that_waits_for_long_is_given_a_part() {
        let mut allocator = Allocator::new(128);
        allocator.ask(ShareId(0), 108, 108);
        assert_eq!(granted(&mut allocator), [(0, 108)]);
        allocator.ask(ShareId(1), 2, 24);
        allocator.ask(ShareId(2), 2, 24);
        allocator.ask(ShareId(3), 4, 4);
        assert_eq!(granted(&mut allocator), [], "the first waits, and nobody passes it");
        allocator.make_urgent(ShareId(2));
        assert_eq!(granted(&mut allocator), [(2, 5)]);
        allocator.make_urgent(ShareId(1));
        assert_eq!(granted(&mut allocator), [(1, 3), (3, 4)]);
        // Never more than the budget is granted.
        for share in 4..20 {
            allocator.ask(ShareId(share), 2, 24);
            allocator.make_urgent(ShareId(share));
        }
        assert_eq!(granted(&mut allocator).iter().map(|(_, bytes)| bytes).sum::<u64>(), 8);
        assert_eq!(allocator.used(), 128);
    }

    #[test]
    fn a_large_ask_leaves_the_last_part_to_small_ones() {
        let mut allocator = Allocator::new(128);
        allocator.ask(ShareId(0), 2, 100);
        allocator.ask(ShareId(1), 2, 20);
        assert_eq!(granted(&mut allocator), [(0, 100)]);
        allocator.withdraw(ShareId(1));
        allocator.ask(ShareId(2), 20, 20);
        assert_eq!(granted(&mut allocator), [(2, 20)]);
    }

    #[test]
    fn an_ask_larger_than_the_budget_is_granted_when_nothing_is_taken() {
        let mut allocator = Allocator::new(100);
        allocator.ask(ShareId(1), 1000, 1000);
        assert_eq!(granted(&mut allocator), [(1, 100)]);
        // The response was even larger.
        allocator.settle(100, 700);
        allocator.ask(ShareId(2), 1, 1);
        assert_eq!(granted(&mut allocator), []);
        allocator.release(ShareId(1), 700);
        assert_eq!(granted(&mut allocator), [(2, 1)]);
        allocator.release(ShareId(2), 1);
        assert_eq!(allocator, Allocator { next_ticket: 2, ..Allocator::new(100) });
    }

    proptest! {
        /// Random requests, grants and releases. The budget holds while responses are as large as expected. Every request is
        /// granted once the other shards release theirs. In the end nothing is in use.
        #[test]
        fn never_over_the_budget_and_nobody_starves(
            steps in proptest::collection::vec((0_u64..6, 0_u64..130, any::<bool>(), any::<bool>()), 1..200)
        ) {
            let mut allocator = Allocator::new(100);
            let mut held: Vec<(u64, u64)> = Vec::new();
            let mut asking = BTreeSet::new();
            for (share, bytes, release, urgent) in steps {
                if release && let Some(at) = held.iter().position(|(holder, _)| *holder == share) {
                    let (_, bytes) = held.remove(at);
                    allocator.release(ShareId(share), bytes);
                } else if asking.insert(share) {
                    allocator.ask(ShareId(share), bytes / 10, bytes);
                }
                if urgent {
                    allocator.make_urgent(ShareId(share));
                }
                for (share, bytes) in granted(&mut allocator) {
                    prop_assert!(asking.remove(&share));
                    held.push((share, bytes));
                }
                prop_assert!(allocator.used <= 100);
                prop_assert_eq!(allocator.used, held.iter().map(|(_, bytes)| bytes).sum::<u64>());
            }
            while let Some((share, bytes)) = held.pop() {
                allocator.release(ShareId(share), bytes);
                for (share, bytes) in granted(&mut allocator) {
                    prop_assert!(asking.remove(&share));
                    held.insert(0, (share, bytes));
                }
            }
            prop_assert!(asking.is_empty());
            let next_ticket = allocator.next_ticket;
            prop_assert_eq!(allocator, Allocator { next_ticket, ..Allocator::new(100) });
        }
    }
}
