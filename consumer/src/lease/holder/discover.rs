//! Which of the leases that the table names as ours are to be made ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::holder::renew::LostReason;
use crate::lease::table::lease::{Lease, LeaseKey, WorkerId};

/// Judges the leases that the table names as this worker's. "Ours" means held and renewed, not named in the table: a
/// worker restarted under its old name finds the leases of its former life there, and so does a second process that
/// was given the same name by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeaseDiscoverer {
    me: WorkerId,
    duration: Duration,
    /// Leases that we held, lost, and may find under our name still.
    avoided: BTreeMap<LeaseKey, Avoided>,
    /// Leases that we could not go on with.
    refused: BTreeMap<LeaseKey, Refused>,
}

/// A lease that this worker released because it could not go on with its shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    /// How often in a row.
    times: u32,
    /// Until when it is not taken again.
    until: Tick,
    /// Since when we hold it again.
    held_since: Option<Tick>,
}

/// A lease that is to be avoided alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Avoided {
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
    DuplicateWorkerId,
}

/// What to do with a lease that may be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Discovered {
    /// Renew it under condition, and hold it if that succeeds.
    Adopt,
    /// Named as ours, but not yet, or not now.
    Wait,
    /// Named as ours, and we could not go on with it a moment ago: release it.
    GiveBack,
    /// Somebody else's.
    NotOurs,
}

impl LeaseDiscoverer {
    pub(crate) const fn new(me: WorkerId, duration: Duration) -> Self {
        Self { me, duration, avoided: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Records that we could not go on with a lease and have released it. Returns when we would take it again.
    pub(crate) fn refused(&mut self, now: Tick, key: LeaseKey) -> Tick {
        let times = self.refused.get(&key).map_or(0, |refused| refused.times).saturating_add(1);
        let until = now + cool_down(times);
        self.refused.insert(key, Refused { times, until, held_since: None });
        until
    }

    /// Forgets refusals that are overcome, and returns their leases: held for a while, or not given to us for long after the
    /// cool-down, so that another worker reads the shard.
    pub(crate) fn overcome(&mut self, now: Tick) -> Vec<LeaseKey> {
        let is_over = |refused: &Refused| match refused.held_since {
            Some(since) => now.since(since) >= KEPT,
            None => now.since(refused.until) >= LONGEST_COOL_DOWN,
        };
        let over: Vec<LeaseKey> =
            self.refused.iter().filter(|(_, refused)| is_over(refused)).map(|(key, _)| key.clone()).collect();
        for key in &over {
            self.refused.remove(key);
        }
        over
    }

    /// Records that a lease is no longer held, and the counter that it had when it was last ours.
    pub(crate) fn lost(&mut self, now: Tick, key: LeaseKey, reason: &LostReason, counter: u64) {
        let why = match reason {
            LostReason::Taken { by: Some(by) } if *by == self.me => Why::DuplicateWorkerId,
            LostReason::Dropped => Why::Dropped,
            // After a blip of the network, or a deliberate release, the table alone says whose it is.
            _ => return,
        };
        self.avoided.insert(key, Avoided { why, counter, since: now });
    }

    /// Records which leases the index names as ours. Another worker has had a lease that it does not name, so a second process under
    /// our ID no longer renews that lease. If it comes back to us, it is ours.
    pub(crate) fn named(&mut self, named: &[LeaseKey]) {
        if !self.avoided.is_empty() {
            let named: BTreeSet<&LeaseKey> = named.iter().collect();
            self.avoided.retain(|key, _| named.contains(key));
        }
    }

    /// Judges a lease as a consistent read showed it.
    pub(crate) fn judge(&mut self, now: Tick, lease: &Lease) -> Discovered {
        if lease.owner.as_ref() != Some(&self.me) {
            self.avoided.remove(&lease.key);
            return Discovered::NotOurs;
        }
        if lease.in_handoff() {
            // The old owner still reads; its transfer makes it ours.
            return Discovered::Wait;
        }
        if let Some(refused) = self.refused.get_mut(&lease.key) {
            if now < refused.until {
                return Discovered::GiveBack;
            }
            refused.held_since = Some(now);
        }
        let Some(avoided) = self.avoided.get_mut(&lease.key) else { return Discovered::Adopt };
        let moved = lease.counter != avoided.counter;
        if moved {
            avoided.counter = lease.counter;
            avoided.since = now;
        }
        let stood_still = now.since(avoided.since) >= self.duration;
        if stood_still || (moved && avoided.why == Why::Dropped) {
            self.avoided.remove(&lease.key);
            return Discovered::Adopt;
        }
        Discovered::Wait
    }
}

/// How long a lease is avoided alone that we have released so often in a row.
fn cool_down(times: u32) -> Duration {
    FIRST_COOL_DOWN.saturating_mul(1 << times.saturating_sub(1).min(8)).min(LONGEST_COOL_DOWN)
}

/// Long enough for another worker to be given the lease and to begin with it.
const FIRST_COOL_DOWN: Duration = Duration::from_secs(10);
/// A shard that could be read again after somebody has acted waits for this long at most.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(5 * 60);
/// A lease that is held for so long after a refusal can be read.
const KEPT: Duration = Duration::from_secs(30);

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

    fn discoverer() -> LeaseDiscoverer {
        LeaseDiscoverer::new(WorkerId::from("me"), Duration::from_secs(10))
    }

    #[test]
    fn adopts_what_is_named_as_ours_and_not_in_hand_off() {
        let mut discoverer = discoverer();
        assert_eq!(discoverer.judge(at(0), &row("me", 4)), Discovered::Adopt);
        assert_eq!(discoverer.judge(at(0), &row("other", 4)), Discovered::NotOurs);
        let mut handing_over = row("me", 4);
        handing_over.checkpoint_owner = Some(WorkerId::from("other"));
        assert_eq!(discoverer.judge(at(0), &handing_over), Discovered::Wait);
    }

    #[test]
    fn leaves_a_lease_to_a_second_process_under_our_name_while_that_one_renews() {
        let mut discoverer = discoverer();
        discoverer.lost(at(0), key(), &LostReason::Taken { by: Some(WorkerId::from("me")) }, 4);
        for second in (3..60).step_by(3) {
            assert_eq!(discoverer.judge(at(second), &row("me", second)), Discovered::Wait);
        }
        assert_eq!(discoverer.judge(at(66), &row("me", 57)), Discovered::Wait);
        assert_eq!(discoverer.judge(at(67), &row("me", 57)), Discovered::Adopt);
    }

    #[test]
    fn takes_what_a_second_process_had_and_another_worker_after_it() {
        let mut discoverer = discoverer();
        discoverer.lost(at(0), key(), &LostReason::Taken { by: Some(WorkerId::from("me")) }, 4);
        discoverer.named(&[key()]);
        assert_eq!(discoverer.judge(at(2), &row("me", 5)), Discovered::Wait);
        discoverer.named(&[LeaseKey::from("shardId-000000000001")]);
        assert_eq!(discoverer.judge(at(4), &row("me", 6)), Discovered::Adopt);
    }

    #[test]
    fn takes_a_dropped_lease_again_when_the_leader_gives_it_anew_or_after_a_lease_duration() {
        let mut discoverer = discoverer();
        discoverer.lost(at(0), key(), &LostReason::Dropped, 4);
        assert_eq!(discoverer.judge(at(2), &row("me", 4)), Discovered::Wait);
        assert_eq!(discoverer.judge(at(4), &row("me", 5)), Discovered::Adopt);
        discoverer.lost(at(5), key(), &LostReason::Dropped, 6);
        assert_eq!(discoverer.judge(at(14), &row("me", 6)), Discovered::Wait);
        assert_eq!(discoverer.judge(at(15), &row("me", 6)), Discovered::Adopt);
    }

    #[test]
    fn a_lease_that_could_not_be_begun_is_given_back_for_a_time_that_doubles() {
        let mut discoverer = discoverer();
        assert_eq!(discoverer.refused(at(0), key()), at(10));
        assert_eq!(discoverer.judge(at(9), &row("me", 4)), Discovered::GiveBack);
        assert_eq!(discoverer.judge(at(10), &row("me", 4)), Discovered::Adopt);
        assert_eq!(discoverer.refused(at(12), key()), at(32));
        for _ in 0..20 {
            discoverer.refused(at(40), key());
        }
        assert_eq!(discoverer.refused(at(40), key()), at(340));
        assert_eq!(discoverer.judge(at(339), &row("me", 6)), Discovered::GiveBack);
        // Held for half a minute it is overcome, and begins anew should it fail again.
        assert_eq!(discoverer.judge(at(340), &row("me", 6)), Discovered::Adopt);
        assert_eq!(discoverer.overcome(at(369)), []);
        assert_eq!(discoverer.overcome(at(370)), [key()]);
        assert_eq!(discoverer.refused(at(400), key()), at(410));
        // So it is when it does not come back.
        assert_eq!(discoverer.overcome(at(709)), []);
        assert_eq!(discoverer.overcome(at(710)), [key()]);
    }

    #[test]
    fn takes_back_at_once_what_only_ran_out() {
        let mut discoverer = discoverer();
        discoverer.lost(at(0), key(), &LostReason::Expired, 4);
        assert_eq!(discoverer.judge(at(1), &row("me", 4)), Discovered::Adopt);
    }
}
