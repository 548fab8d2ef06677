//! When a checkpoint is written, and which one may be.

use std::time::Duration;

use crate::clock::Tick;
use crate::record::Position;

/// Decides when what is done is written: as soon as there is something new and the last write is long enough ago.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commit {
    every: Duration,
    /// The furthest that is done.
    done: Option<Position>,
    /// The furthest that was given to be written.
    written: Option<Position>,
    /// When the last write may have begun at the earliest.
    last: Tick,
}

impl Commit {
    pub(crate) const fn starting(every: Duration, now: Tick) -> Self {
        Self { every, done: None, written: None, last: now }
    }

    /// Everything up to here is done. Going back has no effect.
    pub(crate) fn done(&mut self, position: Position) {
        if self.done.as_ref().is_none_or(|done| *done < position) {
            self.done = Some(position);
        }
    }

    /// When to write, if there is anything to write.
    pub(crate) fn due(&self) -> Option<Tick> {
        self.is_behind().then(|| self.last + self.every)
    }

    /// What to write now, whether it is due or not: at ends everything goes out. Counts as written.
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

/// What of a shard may be checkpointed: nothing beyond what was delivered (C2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Permitted {
    delivered: Option<Position>,
}

impl Permitted {
    pub(crate) fn delivered(&mut self, up_to: &Position) {
        if self.delivered.as_ref().is_none_or(|delivered| delivered < up_to) {
            self.delivered = Some(up_to.clone());
        }
    }

    /// Why the position may not be checkpointed, in words.
    pub(crate) fn check(&self, position: &Position) -> Result<(), String> {
        match &self.delivered {
            Some(delivered) if position <= delivered => Ok(()),
            Some(delivered) => Err(format!("only records up to {delivered} have been delivered")),
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
        Position { sequence_number: number.to_string().parse().expect("a number"), sub_sequence }
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

    #[test]
    fn only_what_was_delivered_may_be_checkpointed() {
        let mut permitted = Permitted::default();
        assert_eq!(permitted.check(&position(0, 0)), Err("no record has been delivered".to_owned()));
        permitted.delivered(&position(10, 3));
        permitted.delivered(&position(9, 9));
        assert_eq!(permitted.check(&position(10, 3)), Ok(()));
        assert_eq!(permitted.check(&position(9, 100)), Ok(()));
        assert_eq!(permitted.check(&position(10, 4)), Err("only records up to 10/3 have been delivered".to_owned()));
        assert_eq!(permitted.check(&position(11, 0)), Err("only records up to 10/3 have been delivered".to_owned()));
    }
}
