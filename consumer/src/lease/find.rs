//! Which of the leases that the table names as ours are to be made ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lease::{Lease, LeaseKey, WorkerId};
use super::renew::LostReason;
use crate::clock::Tick;

/// Judges the leases that the table names as this worker's. "Ours" means held and renewed, not named in the table: a
/// worker restarted under its old name finds the leases of its former life there, and so does a second process that
/// was given the same name by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Finder {
    me: WorkerId,
    duration: Duration,
    /// Leases that we held, lost, and may find under our name still.
    left: BTreeMap<LeaseKey, Left>,
}

/// A lease that is to be left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Left {
    why: Why,
    counter: u64,
    /// Since when the counter has stood at `counter`.
    since: Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Why {
    /// Our own program has no reader for it. A leader that assigns it anew moves the counter.
    Dropped,
    /// Somebody renewed it under our own name.
    Twin,
}

/// What to do with a lease that may be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Find {
    /// Renew it under condition, and hold it if that succeeds.
    Adopt,
    /// Named as ours, but not yet, or not now.
    Wait,
    /// Somebody else's.
    NotOurs,
}

impl Finder {
    pub(crate) const fn new(me: WorkerId, duration: Duration) -> Self {
        Self { me, duration, left: BTreeMap::new() }
    }

    /// Takes in that a lease is held no more, and what its counter was when it was last ours.
    pub(crate) fn lost(&mut self, now: Tick, key: LeaseKey, reason: &LostReason, counter: u64) {
        let why = match reason {
            LostReason::Taken { by: Some(by) } if *by == self.me => Why::Twin,
            LostReason::Dropped => Why::Dropped,
            // After a blip of the network, or a deliberate release, the table alone says whose it is.
            _ => return,
        };
        self.left.insert(key, Left { why, counter, since: now });
    }

    /// Takes in which leases the index names as ours. Another worker has had one that it does not name, so that whoever renewed
    /// it under our id does so no more, and should it come back to us it is ours.
    pub(crate) fn named(&mut self, named: &[LeaseKey]) {
        if !self.left.is_empty() {
            let named: BTreeSet<&LeaseKey> = named.iter().collect();
            self.left.retain(|key, _| named.contains(key));
        }
    }

    /// Judges a lease as a consistent read showed it.
    pub(crate) fn judge(&mut self, now: Tick, lease: &Lease) -> Find {
        if lease.owner.as_ref() != Some(&self.me) {
            self.left.remove(&lease.key);
            return Find::NotOurs;
        }
        if lease.in_handoff() {
            // The old owner still reads; its transfer makes it ours.
            return Find::Wait;
        }
        let Some(left) = self.left.get_mut(&lease.key) else { return Find::Adopt };
        let moved = lease.counter != left.counter;
        if moved {
            left.counter = lease.counter;
            left.since = now;
        }
        let stood_still = now.since(left.since) >= self.duration;
        if stood_still || (moved && left.why == Why::Dropped) {
            self.left.remove(&lease.key);
            return Find::Adopt;
        }
        Find::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Checkpoint;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    fn key() -> LeaseKey {
        LeaseKey::from("shardId-000000000000")
    }

    fn row(owner: &str, counter: u64) -> Lease {
        let mut row = Lease::new(key(), Checkpoint::TrimHorizon);
        row.owner = Some(WorkerId::from(owner));
        row.counter = counter;
        row
    }

    fn finder() -> Finder {
        Finder::new(WorkerId::from("me"), Duration::from_secs(10))
    }

    #[test]
    fn adopts_what_is_named_as_ours_and_not_in_hand_off() {
        let mut finder = finder();
        assert_eq!(finder.judge(at(0), &row("me", 4)), Find::Adopt);
        assert_eq!(finder.judge(at(0), &row("other", 4)), Find::NotOurs);
        let mut handing_over = row("me", 4);
        handing_over.checkpoint_owner = Some(WorkerId::from("other"));
        assert_eq!(finder.judge(at(0), &handing_over), Find::Wait);
    }

    #[test]
    fn leaves_a_lease_to_a_second_process_under_our_name_while_that_one_renews() {
        let mut finder = finder();
        finder.lost(at(0), key(), &LostReason::Taken { by: Some(WorkerId::from("me")) }, 4);
        for second in (3..60).step_by(3) {
            assert_eq!(finder.judge(at(second), &row("me", second)), Find::Wait);
        }
        assert_eq!(finder.judge(at(66), &row("me", 57)), Find::Wait);
        assert_eq!(finder.judge(at(67), &row("me", 57)), Find::Adopt);
    }

    #[test]
    fn takes_what_a_second_process_had_and_another_worker_after_it() {
        let mut finder = finder();
        finder.lost(at(0), key(), &LostReason::Taken { by: Some(WorkerId::from("me")) }, 4);
        finder.named(&[key()]);
        assert_eq!(finder.judge(at(2), &row("me", 5)), Find::Wait);
        finder.named(&[LeaseKey::from("shardId-000000000001")]);
        assert_eq!(finder.judge(at(4), &row("me", 6)), Find::Adopt);
    }

    #[test]
    fn takes_a_dropped_lease_again_when_the_leader_gives_it_anew_or_after_a_lease_duration() {
        let mut finder = finder();
        finder.lost(at(0), key(), &LostReason::Dropped, 4);
        assert_eq!(finder.judge(at(2), &row("me", 4)), Find::Wait);
        assert_eq!(finder.judge(at(4), &row("me", 5)), Find::Adopt);
        finder.lost(at(5), key(), &LostReason::Dropped, 6);
        assert_eq!(finder.judge(at(14), &row("me", 6)), Find::Wait);
        assert_eq!(finder.judge(at(15), &row("me", 6)), Find::Adopt);
    }

    #[test]
    fn takes_back_at_once_what_only_ran_out() {
        let mut finder = finder();
        finder.lost(at(0), key(), &LostReason::Expired, 4);
        assert_eq!(finder.judge(at(1), &row("me", 4)), Find::Adopt);
    }
}
