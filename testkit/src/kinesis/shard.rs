//! One shard: its place in the tree, its records, its rates.

use std::collections::VecDeque;

use bytes::Bytes;

use super::bucket::Bucket;
use super::load::Load;
use super::sequence::SequenceNumber;
use crate::clock::Tick;
use crate::limits::Limits;

#[derive(Debug, Clone)]
pub(crate) struct Shard {
    pub(crate) index: u32,
    pub(crate) parent: Option<u32>,
    /// The second parent of a merge.
    pub(crate) adjacent_parent: Option<u32>,
    /// First and last hash key.
    pub(crate) range: (u128, u128),
    /// Its first sequence number; no record has it.
    pub(crate) starting: SequenceNumber,
    pub(crate) opened: Tick,
    pub(crate) closed: Option<Closed>,
    /// Oldest first; trimmed at the front.
    pub(crate) records: VecDeque<Stored>,
    /// Counter of the last record; the starting number's when there was none.
    pub(crate) last_counter: u64,
    pub(crate) rates: Rates,
    pub(crate) load: Load,
}

#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) at: Tick,
    pub(crate) ending: SequenceNumber,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: SequenceNumber,
    pub(crate) arrival: Tick,
    /// Empty when it was put without one.
    pub(crate) partition_key: String,
    pub(crate) explicit_hash_key: Option<String>,
    pub(crate) data: Bytes,
    /// `NONE` or `KMS`: what the stream had when it was written.
    pub(crate) encryption_type: &'static str,
}

impl Stored {
    /// What the limits count.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Rates {
    pub(crate) write_bytes: Bucket,
    pub(crate) write_records: Bucket,
    pub(crate) read_bytes: Bucket,
    pub(crate) get_records: Bucket,
    pub(crate) get_shard_iterator: Bucket,
    /// After an answer that was more than the shard may give: no reads before this.
    pub(crate) read_locked_until: Tick,
}

impl Rates {
    pub(crate) fn may_write(&mut self, bytes: u64, now: Tick) -> bool {
        self.write_bytes.holds(bytes, now) && self.write_records.holds(1, now)
    }
}

impl Shard {
    pub(crate) fn new(starting: SequenceNumber, range: (u128, u128), now: Tick, limits: &Limits) -> Self {
        Self {
            index: starting.shard,
            parent: None,
            adjacent_parent: None,
            range,
            starting,
            opened: now,
            closed: None,
            records: VecDeque::new(),
            last_counter: starting.counter,
            rates: Rates {
                write_bytes: Bucket::full(limits.write_bytes_per_second, now),
                write_records: Bucket::full(limits.write_records_per_second, now),
                read_bytes: Bucket::full(limits.read_bytes_per_second, now),
                get_records: Bucket::full(limits.get_records_per_second, now),
                get_shard_iterator: Bucket::full(limits.get_shard_iterator_per_second, now),
                read_locked_until: Tick::ZERO,
            },
            load: Load::default(),
        }
    }

    pub(crate) fn id(&self) -> String {
        shard_id(self.index)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// How it was closed, if it was at `at`.
    pub(crate) fn closed_at(&self, at: Tick) -> Option<&Closed> {
        self.closed.as_ref().filter(|closed| closed.at <= at)
    }

    pub(crate) fn holds(&self, hash: u128) -> bool {
        (self.range.0..=self.range.1).contains(&hash)
    }

    /// The service leaves gaps between the numbers of a shard; so do we, so that nobody counts on the next number.
    pub(crate) fn next_sequence(&mut self, rng: &mut fastrand::Rng) -> SequenceNumber {
        self.last_counter += 1 + rng.u64(0..MAX_GAP);
        SequenceNumber { counter: self.last_counter, ..self.starting }
    }

    pub(crate) fn close(&mut self, now: Tick, rng: &mut fastrand::Rng) {
        let ending = self.next_sequence(rng);
        self.closed = Some(Closed { at: now, ending });
    }

    /// Index of the first stored record whose counter is at least `counter`.
    pub(crate) fn position(&self, counter: u64) -> usize {
        self.records.partition_point(|record| record.sequence.counter < counter)
    }

    /// Forgets the records that arrived before `horizon`.
    pub(crate) fn trim(&mut self, horizon: Tick) {
        while self.records.front().is_some_and(|oldest| oldest.arrival < horizon) {
            self.records.pop_front();
        }
    }

    /// A closed shard is gone when the last record it could hold has been trimmed.
    pub(crate) fn is_gone(&self, horizon: Tick) -> bool {
        self.closed.as_ref().is_some_and(|closed| closed.at < horizon)
    }
}

pub(crate) fn shard_id(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// `None` when `id` has not the form of a shard id.
pub(crate) fn parse_shard_id(id: &str) -> Option<u32> {
    let digits = id.strip_prefix("shardId-")?;
    if digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

const MAX_GAP: u64 = 1000;
