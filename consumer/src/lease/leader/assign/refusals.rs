//! Workers that have released a lease without progress: the rule *one lease that nobody keeps*.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::WorkerId;

/// The releases of one lease since its checkpoint last moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Refusals {
    /// The workers that have released it, and when last.
    by: BTreeMap<WorkerId, Tick>,
    /// The last release.
    last: Tick,
    /// The total number of releases.
    times: u32,
    /// How many releases came from a worker that had done so before.
    repeated: u32,
}

impl Refusals {
    /// Records a release.
    pub(super) fn note(&mut self, now: Tick, worker: WorkerId) {
        self.last = now;
        self.times += 1;
        if self.by.insert(worker, now).is_some() {
            self.repeated += 1;
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// Returns when this worker last released it. `None` sorts first: such a worker is the first choice.
    pub(super) fn by(&self, worker: &WorkerId) -> Option<Tick> {
        self.by.get(worker).copied()
    }

    pub(super) const fn times(&self) -> u32 {
        self.times
    }

    /// Returns when it may be assigned again to a worker that has released it: at once, until one has done so twice. A release
    /// by an operator looks like one by its owner.
    pub(super) fn again_at(&self) -> Tick {
        match self.repeated.checked_sub(1) {
            None => self.last,
            Some(doublings) => self.last + FIRST_PAUSE.saturating_mul(1 << doublings.min(8)).min(LONGEST_PAUSE),
        }
    }
}

/// One round of the leader.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest wait of a lease that could be kept again after an operator has acted.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    #[test]
    fn the_pause_doubles_with_every_release_by_a_worker_that_has_released_it_before() {
        let mut refusals = Refusals::default();
        refusals.note(at(0), WorkerId::from("a"));
        refusals.note(at(5), WorkerId::from("b"));
        assert_eq!(refusals.again_at(), at(5));
        refusals.note(at(10), WorkerId::from("a"));
        assert_eq!(refusals.again_at(), at(15));
        refusals.note(at(15), WorkerId::from("b"));
        assert_eq!(refusals.again_at(), at(25));
        assert_eq!((refusals.by(&WorkerId::from("a")), refusals.by(&WorkerId::from("c"))), (Some(at(10)), None));
        for second in 100..200 {
            refusals.note(at(second), WorkerId::from("a"));
        }
        assert_eq!(refusals.again_at(), at(199 + 300));
        refusals.forget();
        assert!(refusals.is_empty());
    }
}
