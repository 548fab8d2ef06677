//! Where the reading of a shard starts, and restarts.

use std::time::SystemTime;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;

use crate::lease::Checkpoint;
use crate::record::{Position, SequenceNumber};

/// Where an iterator starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StartPosition {
    /// At the oldest record.
    TrimHorizon,
    /// After the newest record.
    Latest,
    /// At the first record that arrived at this time or later.
    Since(SystemTime),
    /// At the record with this number. Its user records that are done are then dropped.
    At(SequenceNumber),
    /// After the record with this number.
    After(SequenceNumber),
}

impl StartPosition {
    /// Returns where reading from a checkpoint starts.
    ///
    /// The record of the checkpoint is read again, because some of its user records may not be done. The record may have
    /// expired meanwhile; `After` would fail then too.
    pub(crate) fn of(checkpoint: &Checkpoint, start_at: Option<SystemTime>) -> Result<Self, NoStartPosition> {
        Ok(match checkpoint {
            Checkpoint::Missing => return Err(NoStartPosition::NoCheckpoint),
            Checkpoint::AtTimestamp => Self::Since(start_at.ok_or(NoStartPosition::NoStartTime)?),
            Checkpoint::TrimHorizon => Self::TrimHorizon,
            // A finished shard has nothing to read. A reader behind its newest record finds only its end.
            Checkpoint::Latest | Checkpoint::ShardEnd => Self::Latest,
            Checkpoint::At(position) => Self::At(position.sequence_number.clone()),
        })
    }

    pub(crate) const fn kind(&self) -> ShardIteratorType {
        match self {
            Self::TrimHorizon => ShardIteratorType::TrimHorizon,
            Self::Latest => ShardIteratorType::Latest,
            Self::Since(_) => ShardIteratorType::AtTimestamp,
            Self::At(_) => ShardIteratorType::AtSequenceNumber,
            Self::After(_) => ShardIteratorType::AfterSequenceNumber,
        }
    }

    pub(crate) const fn number(&self) -> Option<&SequenceNumber> {
        match self {
            Self::At(number) | Self::After(number) => Some(number),
            Self::TrimHorizon | Self::Latest | Self::Since(_) => None,
        }
    }

    pub(crate) fn time(&self) -> Option<DateTime> {
        match self {
            Self::Since(time) => Some(DateTime::from(*time)),
            _ => None,
        }
    }
}

/// Why reading cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NoStartPosition {
    /// The lease starts at a time, and none is configured.
    NoStartTime,
    /// The lease has no checkpoint.
    NoCheckpoint,
}

/// Returns the last position that is done according to a checkpoint; records up to it are not delivered again.
pub(crate) fn done_before(checkpoint: &Checkpoint) -> Option<Position> {
    match checkpoint {
        Checkpoint::At(position) => Some(position.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(number: &str, sub_sequence: u64) -> Checkpoint {
        Checkpoint::At(Position {
            sequence_number: number.parse().expect("a number"),
            sub_sequence,
            shard: "shardId-000000000000".into(),
        })
    }

    #[test]
    fn a_number_wins_over_the_configured_start_and_is_read_again() {
        let time = SystemTime::UNIX_EPOCH;
        assert_eq!(
            StartPosition::of(&checkpoint("77", 3), Some(time)),
            Ok(StartPosition::At("77".parse().expect("a number")))
        );
        assert_eq!(done_before(&checkpoint("77", 3)).map(|done| done.to_string()), Some("77/3".to_owned()));
        assert_eq!(done_before(&Checkpoint::AtTimestamp), None);
    }

    #[test]
    fn a_start_at_a_time_needs_one() {
        let time = SystemTime::UNIX_EPOCH;
        assert_eq!(StartPosition::of(&Checkpoint::AtTimestamp, Some(time)), Ok(StartPosition::Since(time)));
        assert_eq!(StartPosition::of(&Checkpoint::AtTimestamp, None), Err(NoStartPosition::NoStartTime));
        assert_eq!(StartPosition::of(&Checkpoint::Missing, Some(time)), Err(NoStartPosition::NoCheckpoint));
    }
}
