//! What a parent means for its child: one rule for all who ask (rule `parents` in `docs/rules.md`).

use super::lease::Lease;

/// A parent, by its lease and by the listing of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It has a lease, and is not finished.
    Reading,
    Finished,
    /// It is listed and has no lease: one of its own ancestors is being read, or it was done with long ago.
    Unleased,
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
        !matches!(self, Self::Unleased)
    }

    /// Whether a child that has a lease may be read.
    pub(crate) const fn lets_child_start(self) -> bool {
        !matches!(self, Self::Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{Checkpoint, LeaseKey};

    #[test]
    fn who_is_read_or_to_come_holds_a_child_up_and_who_is_gone_does_not() {
        let lease = |checkpoint| Lease::new(LeaseKey::from("shardId-000000000001"), checkpoint);
        let (reading, finished) = (lease(Checkpoint::TrimHorizon), lease(Checkpoint::ShardEnd));
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
    }
}
