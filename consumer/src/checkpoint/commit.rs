//! When a checkpoint is written, and which positions are permitted.

use std::time::Duration;

use crate::clock::Tick;
use crate::record::{Position, ShardId};

/// Decides when progress is written: as soon as there is something new and the last write is long enough ago.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commit {
    every: Duration,
    /// The furthest position that is done.
    done: Option<Position>,
    /// The furthest position that was passed on for writing.
    written: Option<Position>,
    /// The earliest time at which the last write may have begun.
    last: Tick,
}

impl Commit {
    pub(crate) const fn starting(every: Duration, now: Tick) -> Self {
        Self { every, done: None, written: None, last: now }
    }

    /// Records that everything up to here is done. An earlier position has no effect.
    pub(crate) fn done(&mut self, position: Position) {
        if self.done.as_ref().is_none_or(|done| *done < position) {
            self.done = Some(position);
        }
    }

    /// Returns when to write, if there is anything to write.
    pub(crate) fn due(&self) -> Option<Tick> {
        self.is_behind().then(|| self.last + self.every)
    }

    /// Returns the position to write now, due or not: at the end of a lease everything is written. The position counts as
    /// written.
    pub(crate) fn take(&mut self, now: Tick) -> Option<Position> {
        if !self.is_behind() {
            return None;
        }
        self.last = now;
        self.written.clone_from(&self.done);
        self.done.clone()
    }

    fn is_behind(&self) -> bool {
        self.done > self.written
    }
}

/// The positions of a shard that may be checkpointed: from the first to the last that was delivered in this epoch (C2).
///
/// A lower number of the same shard belongs to a record that was done before. A position that was never delivered belongs to
/// something else; if it were stored, the next owner would start at it (rule `own-positions`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Permitted {
    shard: ShardId,
    delivered: Option<(Position, Position)>,
}

impl Permitted {
    pub(crate) const fn of(shard: ShardId) -> Self {
        Self { shard, delivered: None }
    }

    pub(crate) fn delivered(&mut self, from: &Position, up_to: &Position) {
        match &mut self.delivered {
            Some((_, last)) if *last < *up_to => last.clone_from(up_to),
            Some(_) => {}
            None => self.delivered = Some((from.clone(), up_to.clone())),
        }
    }

    /// Returns an error that says why the position may not be checkpointed.
    pub(crate) fn check(&self, position: &Position) -> Result<(), String> {
        if position.shard != self.shard {
            return Err(format!("it is a position of {}", position.shard));
        }
        match &self.delivered {
            Some((first, _)) if position < first => {
                Err(format!("what lies before {first} was done before, and has not been delivered again"))
            }
            Some((_, last)) if position > last => Err(format!("only records up to {last} have been delivered")),
            Some(_) => Ok(()),
            None => Err("no record has been delivered".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    fn position(number: u64, sub_sequence: u64) -> Position {
        Position {
            sequence_number: number.to_string().parse().expect("a number"),
            sub_sequence,
            shard: "shardId-000000000000".into(),
        }
    }

    #[test]
    fn writes_what_is_new_and_not_more_often_than_told() {
        let mut commit = Commit::starting(Duration::from_secs(5), at(10));
        assert_eq!(commit.due(), None);
        assert_eq!(commit.take(at(11)), None);
        commit.done(position(3, 1));
        assert_eq!(commit.due(), Some(at(15)));
        commit.done(position(4, 0));
        assert_eq!(commit.take(at(15)), Some(position(4, 0)));
        assert_eq!(
            commit,
            Commit {
                every: Duration::from_secs(5),
                done: Some(position(4, 0)),
                written: Some(position(4, 0)),
                last: at(15)
            }
        );
        assert_eq!(commit.due(), None);
        commit.done(position(4, 1));
        assert_eq!(commit.due(), Some(at(20)));
    }

    #[test]
    fn what_is_done_never_goes_back() {
        let mut commit = Commit::starting(Duration::from_secs(1), at(0));
        commit.done(position(9, 0));
        commit.done(position(10, 2));
        commit.done(position(10, 1));
        commit.done(position(9, 7));
        assert_eq!(commit.take(at(1)), Some(position(10, 2)));
        commit.done(position(10, 2));
        assert_eq!(commit.due(), None);
    }

    /// Rule `own-positions`.
    #[test]
    fn only_what_was_delivered_of_this_shard_may_be_checkpointed() {
        let mut permitted = Permitted::of(position(0, 0).shard);
        assert_eq!(permitted.check(&position(0, 0)), Err("no record has been delivered".to_owned()));
        permitted.delivered(&position(9, 2), &position(10, 3));
        permitted.delivered(&position(9, 7), &position(9, 9));
        assert_eq!(permitted.check(&position(9, 2)), Ok(()));
        assert_eq!(permitted.check(&position(10, 3)), Ok(()));
        assert_eq!(permitted.check(&position(9, 100)), Ok(()));
        assert_eq!(permitted.check(&position(10, 4)), Err("only records up to 10/3 have been delivered".to_owned()));
        assert_eq!(permitted.check(&position(11, 0)), Err("only records up to 10/3 have been delivered".to_owned()));
        let before = "what lies before 9/2 was done before, and has not been delivered again";
        assert_eq!(permitted.check(&position(9, 1)), Err(before.to_owned()));
        let elsewhere = Position { shard: "shardId-000000000001".into(), ..position(10, 0) };
        assert_eq!(permitted.check(&elsewhere), Err("it is a position of shardId-000000000001".to_owned()));
    }
}
