use std::iter::FusedIterator;

use bytes::Bytes;

use super::{Aggregate, tables::Tables, texts::Texts};
use crate::UserRecord;

/// The user records of one Kinesis record in order. Their data and keys are slices of it.
#[derive(Clone, Debug)]
pub struct UserRecords {
    source: Source,
    /// The sub-sequence number of the next one.
    next: u64,
    len: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Plain(Bytes),
    Aggregate { aggregate: Aggregate, position: usize, texts: Texts },
}

impl UserRecords {
    pub(super) fn plain(data: Bytes) -> Self {
        Self { source: Source::Plain(data), next: 0, len: 1 }
    }

    pub(super) fn of(aggregate: Aggregate) -> Self {
        let len = aggregate.len() as u64;
        Self { source: Source::Aggregate { aggregate, position: 0, texts: Texts::default() }, next: 0, len }
    }
}

impl Iterator for UserRecords {
    type Item = UserRecord;

    fn next(&mut self) -> Option<UserRecord> {
        if self.next == self.len {
            return None;
        }
        let sub_sequence_number = self.next;
        self.next += 1;
        match &mut self.source {
            Source::Plain(data) => Some(UserRecord {
                partition_key: None,
                explicit_hash_key: None,
                data: std::mem::take(data),
                sub_sequence_number,
            }),
            Source::Aggregate { aggregate, position, texts } => {
                let record = aggregate.record_from(position)?;
                let (body, tables) = (aggregate.body(), aggregate.tables());
                let hash_key = record.explicit_hash_key_index.map(|index| tables.explicit_hash_key(index));
                let partition_key = Tables::partition_key(record.partition_key_index);
                Some(UserRecord {
                    partition_key: Some(texts.get(body, tables, partition_key)),
                    explicit_hash_key: hash_key.map(|hash_key| texts.get(body, tables, hash_key)),
                    data: body.slice_ref(record.data),
                    sub_sequence_number,
                })
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.len - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for UserRecords {}
impl FusedIterator for UserRecords {}
