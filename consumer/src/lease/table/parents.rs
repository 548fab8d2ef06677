//! What a parent means for its child: one rule for all who ask (rule `parents` in `docs/rules.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Tick;
use crate::lease::table::lease::{Checkpoint, Lease};
use crate::shard::ShardId;

/// A parent, by its lease and by the listing of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It has a lease, and is not finished.
    Reading,
    Finished,
    /// It is listed and has no lease: one of its own ancestors is being read, or it was done with long ago.
    Unleased,
    /// It is listed, and an operator has deleted its lease ([`missing_of`]): the leader makes another one.
    Missing,
    /// Neither the table nor the listing knows it: it has expired, or was done with long ago.
    Gone,
}

impl Parent {
    pub(crate) fn of(lease: Option<&Lease>, is_listed: bool) -> Self {
        match lease {
            Some(lease) if lease.checkpoint.is_shard_end() => Self::Finished,
            Some(_) => Self::Reading,
            None if is_listed => Self::Unleased,
            None => Self::Gone,
        }
    }

    /// Whether a lease may be made for a child that has none. With a parent to come, it would start too early (C4).
    pub(crate) const fn lets_child_be_made(self) -> bool {
        !matches!(self, Self::Unleased | Self::Missing)
    }

    /// Whether a child that has a lease may be read.
    pub(crate) const fn lets_child_start(self) -> bool {
        !matches!(self, Self::Reading | Self::Missing)
    }
}

/// Returns the parents of a child, with what each means for it. `leases` are those of its parents.
pub(crate) fn parents_of<'a>(
    child: &'a Lease,
    leases: &BTreeMap<ShardId, Lease>,
    is_listed: impl Fn(&ShardId) -> bool,
) -> Vec<(&'a ShardId, Parent)> {
    let missing: Vec<&ShardId> = missing_of(child, |parent| leases.contains_key(parent)).collect();
    let judge = |parent| match Parent::of(leases.get(parent), is_listed(parent)) {
        Parent::Unleased if missing.contains(&parent) => Parent::Missing,
        other => other,
    };
    child.parents.iter().map(|parent| (parent, judge(parent))).collect()
}

/// Returns the parents of a merged child whose leases have been deleted by hand.
///
/// The finished lease of a parent is deleted in order only when all its children have begun, by us and by the KCL. A child
/// that has not begun, and that has a lease because one of its parents had one, therefore shows that the lease of the other
/// parent is missing. (Without the lease of any parent it is the first of its line, where reading began.)
pub(crate) fn missing_of(child: &Lease, has_row: impl Fn(&ShardId) -> bool) -> impl Iterator<Item = &ShardId> {
    let own = child.key.shard();
    let (with, without): (Vec<_>, Vec<_>) =
        child.parents.iter().filter(|parent| **parent != own).partition(|parent| has_row(parent));
    let follows_a_parent = child.checkpoint == Checkpoint::TrimHorizon && !with.is_empty();
    without.into_iter().filter(move |_| follows_a_parent)
}

/// For how long a child has waited for parents whose leases are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    missed: Option<Tick>,
}

/// Whether a child may be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    Now,
    NotYet,
    /// Not yet, and it has just been seen that the leases of these parents are missing.
    Missed(Vec<ShardId>),
    /// Now, though the leases of these parents are missing: nobody has made them for so long. The KCL's leader never does.
    Without(Vec<ShardId>),
}

impl Waiting {
    /// Judges a child by its parents as they are at `now`. `patience`: how long it waits for leases that are missing.
    pub(crate) fn judge(&mut self, now: Tick, parents: &[(&ShardId, Parent)], patience: Duration) -> Start {
        let missing = || {
            let missing = parents.iter().filter(|(_, parent)| *parent == Parent::Missing);
            missing.map(|(id, _)| (*id).clone()).collect::<Vec<_>>()
        };
        if parents.iter().all(|(_, parent)| parent.lets_child_start()) {
            return Start::Now;
        }
        if parents.iter().any(|(_, parent)| *parent == Parent::Reading) {
            self.missed = None;
            return Start::NotYet;
        }
        match self.missed {
            None => {
                self.missed = Some(now);
                Start::Missed(missing())
            }
            Some(since) if now.since(since) >= patience => Start::Without(missing()),
            Some(_) => Start::NotYet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::LeaseKey;
    use crate::record::Position;

    fn id(number: u32) -> ShardId {
        ShardId::from(format!("shardId-{number:012}"))
    }

    fn lease(number: u32, checkpoint: Checkpoint) -> Lease {
        Lease::new(LeaseKey::of(&id(number)), checkpoint)
    }

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    #[test]
    fn who_is_read_or_to_come_holds_a_child_up_and_who_is_gone_does_not() {
        let (reading, finished) = (lease(1, Checkpoint::TrimHorizon), lease(1, Checkpoint::ShardEnd));
        for (lease, is_listed, parent, made, starts) in [
            (Some(&reading), true, Parent::Reading, true, false),
            (Some(&reading), false, Parent::Reading, true, false),
            (Some(&finished), true, Parent::Finished, true, true),
            (Some(&finished), false, Parent::Finished, true, true),
            (None, true, Parent::Unleased, false, true),
            (None, false, Parent::Gone, true, true),
        ] {
            let found = Parent::of(lease, is_listed);
            assert_eq!((found, found.lets_child_be_made(), found.lets_child_start()), (parent, made, starts));
        }
        assert!(!Parent::Missing.lets_child_be_made() && !Parent::Missing.lets_child_start());
    }

    /// Rule `parents`: shard 2 is merged from 0 and 1. Each row: its checkpoint, the leases of 0 and 1, whether they are listed, and
    /// what 1 means for it.
    #[test]
    fn a_merged_child_that_has_not_begun_misses_the_lease_of_its_other_parent() {
        let sequence_number = "5".parse().expect("a number");
        let begun = Checkpoint::At(Position { sequence_number, sub_sequence: 0, shard: id(2) });
        let (end, trim) = (Some(Checkpoint::ShardEnd), Some(Checkpoint::TrimHorizon));
        for (checkpoint, zero, one, is_listed, expected) in [
            (Checkpoint::TrimHorizon, end.clone(), None, true, Parent::Missing),
            (Checkpoint::TrimHorizon, trim.clone(), None, true, Parent::Missing),
            (Checkpoint::TrimHorizon, end.clone(), None, false, Parent::Gone),
            (Checkpoint::TrimHorizon, end.clone(), trim, true, Parent::Reading),
            (Checkpoint::TrimHorizon, end.clone(), end.clone(), true, Parent::Finished),
            // The first of its line: the start lies after its parents.
            (Checkpoint::TrimHorizon, None, None, true, Parent::Unleased),
            (Checkpoint::AtTimestamp, end.clone(), None, true, Parent::Unleased),
            (Checkpoint::Latest, end.clone(), None, true, Parent::Unleased),
            // It has begun, so its parents were finished, and are cleaned up one after the other.
            (begun, end, None, true, Parent::Unleased),
        ] {
            let mut child = lease(2, checkpoint);
            child.parents = vec![id(0), id(1)];
            let leases = [(0, zero), (1, one)].into_iter();
            let leases = leases.filter_map(|(number, checkpoint)| Some((id(number), lease(number, checkpoint?))));
            let leases: BTreeMap<ShardId, Lease> = leases.collect();
            let parents = parents_of(&child, &leases, |_| is_listed);
            assert_eq!(parents[1], (&child.parents[1], expected), "{child:?} {leases:?}");
        }
    }

    #[test]
    fn a_child_waits_for_a_missing_lease_for_a_while_and_for_one_that_is_read_for_ever() {
        let (zero, one) = (id(0), id(1));
        let patience = Duration::from_secs(60);
        let missing = [(&zero, Parent::Finished), (&one, Parent::Missing)];
        let reading = [(&zero, Parent::Finished), (&one, Parent::Reading)];
        let done = [(&zero, Parent::Finished), (&one, Parent::Gone)];
        let mut waiting = Waiting::default();
        assert_eq!(waiting.judge(at(0), &reading, patience), Start::NotYet);
        assert_eq!(waiting.judge(at(500), &missing, patience), Start::Missed(vec![id(1)]));
        assert_eq!(waiting.judge(at(559), &missing, patience), Start::NotYet);
        let mut made = waiting.clone();
        assert_eq!(waiting.judge(at(560), &missing, patience), Start::Without(vec![id(1)]));
        assert_eq!(made.judge(at(560), &reading, patience), Start::NotYet);
        assert_eq!(made.judge(at(5600), &missing, patience), Start::Missed(vec![id(1)]));
        assert_eq!(made.judge(at(5601), &done, patience), Start::Now);
    }
}
