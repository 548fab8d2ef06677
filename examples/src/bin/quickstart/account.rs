//! What became of every line: where it was written, and how often it was delivered from there.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The books of one run. A line is known by the place where the stream keeps it, not by its text: lines may repeat.
#[derive(Debug, Default)]
pub(crate) struct Account {
    kinesis_records: HashMap<(String, String), Vec<Line>>,
    lines_written: u64,
    /// Lines both written and delivered.
    settled: u64,
    deliveries: u64,
    /// Deliveries in an epoch that did not come after the one before.
    out_of_order: u64,
    last_in_epoch: HashMap<(String, u64), (usize, String, u64)>,
    per_shard: BTreeMap<String, u64>,
    per_worker: BTreeMap<String, u64>,
}

/// One user record of a Kinesis record.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    written: Option<u64>,
    delivered: u32,
    /// The hash of what was delivered.
    content: u64,
}

/// A delivery, as a worker saw it.
#[derive(Debug)]
pub(crate) struct Delivered<'a> {
    pub(crate) worker: &'a str,
    pub(crate) shard: &'a str,
    pub(crate) epoch: u64,
    pub(crate) sequence_number: &'a str,
    pub(crate) sub_sequence: u64,
    pub(crate) data: &'a [u8],
}

/// The balance.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    pub(crate) lines_written: u64,
    pub(crate) deliveries: u64,
    pub(crate) kinesis_records: u64,
    /// Lines never delivered.
    pub(crate) lost: u64,
    /// Lines delivered with other content than was written.
    pub(crate) altered: u64,
    /// Deliveries beyond the first of each line, copies that the producer had to write twice included.
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
}

impl Account {
    /// A line is in the stream at this place.
    pub(crate) fn written(&mut self, shard: &str, sequence_number: &str, sub_sequence: u64, data_hash: u64) {
        self.lines_written += 1;
        let line = self.line(shard, sequence_number, sub_sequence);
        line.written = Some(data_hash);
        let settled = line.delivered > 0;
        self.settled += u64::from(settled);
    }

    /// A worker's processor was given a line.
    pub(crate) fn delivered(&mut self, delivery: &Delivered<'_>) {
        let Delivered { worker, shard, epoch, sequence_number, sub_sequence, data } = *delivery;
        self.deliveries += 1;
        count(&mut self.per_shard, shard);
        count(&mut self.per_worker, worker);
        let content = hash(data);
        let line = self.line(shard, sequence_number, sub_sequence);
        line.delivered += 1;
        line.content = content;
        let settled = line.delivered == 1 && line.written.is_some();
        self.settled += u64::from(settled);
        // Sequence numbers are decimal: the longer one is the larger.
        let place = (sequence_number.len(), sequence_number.to_owned(), sub_sequence);
        let last = self.last_in_epoch.insert((shard.to_owned(), epoch), place.clone());
        if last.is_some_and(|last| last >= place) {
            self.out_of_order += 1;
        }
    }

    /// How many lines known to be in the stream have not been delivered yet.
    pub(crate) const fn missing(&self) -> u64 {
        self.lines_written - self.settled
    }

    pub(crate) const fn deliveries(&self) -> u64 {
        self.deliveries
    }

    pub(crate) fn balance(&self) -> Balance {
        let mut balance = Balance {
            lines_written: self.lines_written,
            deliveries: self.deliveries,
            kinesis_records: self.kinesis_records.len() as u64,
            lost: self.missing(),
            out_of_order: self.out_of_order,
            ..Balance::default()
        };
        let different = |line: &&Line| line.delivered > 0 && line.written.is_some_and(|hash| hash != line.content);
        balance.altered = self.lines().filter(different).count() as u64;
        balance.duplicates = balance.deliveries - (balance.lines_written - balance.lost);
        balance
    }

    pub(crate) const fn per_shard(&self) -> &BTreeMap<String, u64> {
        &self.per_shard
    }

    pub(crate) const fn per_worker(&self) -> &BTreeMap<String, u64> {
        &self.per_worker
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.kinesis_records.values().flatten()
    }

    fn line(&mut self, shard: &str, sequence_number: &str, sub_sequence: u64) -> &mut Line {
        let key = (shard.to_owned(), sequence_number.to_owned());
        let lines = self.kinesis_records.entry(key).or_default();
        let index = usize::try_from(sub_sequence).expect("an index within one record fits");
        if lines.len() <= index {
            lines.resize(index + 1, Line::default());
        }
        &mut lines[index]
    }
}

impl Balance {
    pub(crate) const fn is_right(&self) -> bool {
        self.lost == 0 && self.altered == 0 && self.out_of_order == 0
    }
}

/// What two equal lines share, within this run.
pub(crate) fn hash(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(worker: &'static str, epoch: u64, number: &'static str, sub: u64) -> Delivered<'static> {
        Delivered { worker, shard: "s", epoch, sequence_number: number, sub_sequence: sub, data: b"x" }
    }

    #[test]
    fn a_balance_finds_what_is_lost_doubled_altered_and_out_of_order() {
        let mut account = Account::default();
        for (number, sub) in [("9", 0), ("9", 1), ("10", 0), ("11", 0)] {
            account.written("s", number, sub, hash(b"x"));
        }
        account.written("s", "12", 0, hash(b"another"));
        for (worker, epoch, number, sub) in [
            ("a", 1, "9", 0),
            ("a", 1, "9", 1),
            ("a", 1, "10", 0),
            ("b", 2, "10", 0),
            ("b", 2, "12", 0),
            ("b", 2, "12", 0),
        ] {
            account.delivered(&delivery(worker, epoch, number, sub));
        }
        let expected = Balance {
            lines_written: 5,
            deliveries: 6,
            kinesis_records: 4,
            lost: 1,
            altered: 1,
            duplicates: 2,
            out_of_order: 1,
        };
        assert_eq!(account.balance(), expected);
        assert!(!expected.is_right());
        assert_eq!(account.per_worker(), &BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 3)]));
    }
}
