//! The state of the findings: which are kept, and which are to be logged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::findings::{Finding, FindingKind, Report};
use crate::clock::Tick;

/// All findings of a worker, and those resolved a short time ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Book {
    entries: BTreeMap<(FindingKind, String), Entry>,
    said_full: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    report: Report,
    since: Tick,
    /// When it was last reported.
    seen: Tick,
    /// When it was last logged.
    said: Tick,
    /// When it was resolved. Such an entry is kept for a while, so that a finding that comes and goes is not logged each time.
    mended: Option<Tick>,
}

/// A line to log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Say {
    /// A finding is new.
    Appeared(Report),
    /// A finding has stayed for long.
    Stays(Report, Duration),
    /// A finding is resolved.
    Mended { kind: FindingKind, subject: String, lasted: Duration },
    /// A denied action is not tried any more, so it is not known whether it is still denied.
    Untried { kind: FindingKind, subject: String, lasted: Duration },
    /// The list is full.
    Full,
}

impl Book {
    pub(super) fn report(&mut self, now: Tick, report: Report) -> Vec<Say> {
        self.forget(now);
        let key = (report.kind, report.subject.clone());
        if let Some(entry) = self.entries.get_mut(&key) {
            if entry.mended.take().is_some() {
                entry.since = now;
            }
            (entry.report, entry.seen) = (report, now);
            return Vec::new();
        }
        if self.entries.len() >= MOST && !report.kind.is_of_the_whole_table() {
            return if std::mem::replace(&mut self.said_full, true) { Vec::new() } else { vec![Say::Full] };
        }
        self.entries.insert(key, Entry { report: report.clone(), since: now, seen: now, said: now, mended: None });
        vec![Say::Appeared(report)]
    }

    pub(super) fn mended(&mut self, now: Tick, kind: FindingKind, subject: &str) -> Vec<Say> {
        let key = (kind, subject.to_owned());
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.mended.is_none()) else { return Vec::new() };
        entry.mended = Some(now);
        let (kind, subject) = key;
        vec![Say::Mended { kind, subject, lasted: now.since(entry.since) }]
    }

    pub(super) fn replace(&mut self, now: Tick, kind: FindingKind, reports: Vec<Report>) -> Vec<Say> {
        let subjects: BTreeSet<&str> = reports.iter().map(|report| report.subject.as_str()).collect();
        let there = self.entries.iter().filter(|((of, _), entry)| *of == kind && entry.mended.is_none());
        let gone: Vec<String> = there
            .filter(|((_, subject), _)| !subjects.contains(subject.as_str()))
            .map(|((_, s), _)| s.clone())
            .collect();
        let mut said: Vec<Say> = gone.iter().flat_map(|subject| self.mended(now, kind, subject)).collect();
        said.extend(reports.into_iter().flat_map(|report| self.report(now, report)));
        said
    }

    pub(super) fn remind(&mut self, now: Tick) -> Vec<Say> {
        self.forget(now);
        let mut said = Vec::new();
        for ((kind, subject), entry) in self.entries.iter_mut().filter(|(_, entry)| entry.mended.is_none()) {
            if *kind == FindingKind::ActionDenied && now.since(entry.seen) >= UNTRIED {
                entry.mended = Some(now);
                let (kind, subject, lasted) = (*kind, subject.clone(), entry.seen.since(entry.since));
                said.push(Say::Untried { kind, subject, lasted });
                continue;
            }
            if now.since(entry.said) >= SAY_AGAIN {
                entry.said = now;
                said.push(Say::Stays(entry.report.clone(), now.since(entry.since)));
            }
        }
        said
    }

    pub(super) fn list(&self, now: Tick) -> Vec<Finding> {
        let there = self.entries.values().filter(|entry| entry.mended.is_none());
        let finding = |Entry { report, since, .. }: &Entry| Finding {
            kind: report.kind,
            subject: report.subject.clone(),
            seen: report.seen.clone(),
            next: report.next.clone(),
            age: now.since(*since),
            next_try: report.next_try.map(|at| at.since(now)),
        };
        there.map(finding).collect()
    }

    fn forget(&mut self, now: Tick) {
        self.entries.retain(|_, entry| entry.mended.is_none_or(|mended| now.since(mended) < SAY_AGAIN));
        self.said_full &= self.entries.len() >= MOST;
    }
}

/// The most findings that are kept of single leases and shards. A table of thousands of bad rows has one cause, and a thousand
/// examples show it.
const MOST: usize = 1000;

/// How often a finding that stays is logged, and for how long one that comes back is not logged again.
const SAY_AGAIN: Duration = Duration::from_secs(10 * 60);

/// How long a denied action may go unreported before it counts as not tried any more: a worker that has stopped leading lists
/// no shards. A leader looks at the stream every 30 s; everything else is tried more often.
const UNTRIED: Duration = Duration::from_secs(2 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::new(Duration::from_secs(seconds))
    }

    fn odd(row: &str) -> Report {
        Report::new(FindingKind::RowUnusable, row, "no counter", "left alone")
    }

    #[test]
    fn what_concerns_the_whole_table_always_has_room() {
        let mut book = Book::default();
        (0..=MOST).for_each(|row| drop(book.report(at(0), odd(&row.to_string()))));
        assert_eq!(book.list(at(0)).len(), MOST);
        let gone = Report::new(FindingKind::TableGone, "app", "gone", "looked for");
        assert_eq!(book.report(at(1), gone.clone()), [Say::Appeared(gone)]);
        assert_eq!(book.list(at(1)).len(), MOST + 1);
    }

    #[test]
    fn a_finding_is_said_once_and_again_every_ten_minutes() {
        let mut book = Book::default();
        assert_eq!(book.report(at(0), odd("a")), [Say::Appeared(odd("a"))]);
        assert_eq!(book.report(at(5), odd("a")), []);
        assert_eq!(book.remind(at(599)), []);
        assert_eq!(book.remind(at(600)), [Say::Stays(odd("a"), Duration::from_secs(600))]);
        assert_eq!(book.remind(at(601)), []);
        assert_eq!(book.list(at(601)).len(), 1);
    }

    #[test]
    fn a_mended_finding_leaves_the_list_and_is_not_said_again_while_it_comes_and_goes() {
        let mut book = Book::default();
        book.report(at(0), odd("a"));
        let lasted = Duration::from_secs(7);
        let mended = Say::Mended { kind: FindingKind::RowUnusable, subject: "a".to_owned(), lasted };
        assert_eq!(book.mended(at(7), FindingKind::RowUnusable, "a"), [mended]);
        assert_eq!(book.mended(at(8), FindingKind::RowUnusable, "a"), []);
        assert_eq!(book.list(at(8)), []);
        assert_eq!(book.report(at(9), odd("a")), []);
        let age = book.list(at(10))[0].age;
        assert_eq!(age, Duration::from_secs(1));
        book.mended(at(20), FindingKind::RowUnusable, "a");
        assert_eq!(book.report(at(620), odd("a")), [Say::Appeared(odd("a"))]);
    }

    #[test]
    fn a_denied_action_that_is_not_tried_any_more_leaves_the_list() {
        let mut book = Book::default();
        let denied = || Report::new(FindingKind::ActionDenied, "kinesis:ListShards", "denied", "tried on");
        book.report(at(0), denied());
        book.report(at(0), odd("a"));
        book.report(at(30), denied());
        assert_eq!(book.remind(at(149)), []);
        let (kind, lasted) = (FindingKind::ActionDenied, Duration::from_secs(30));
        let untried = Say::Untried { kind, subject: "kinesis:ListShards".to_owned(), lasted };
        assert_eq!(book.remind(at(150)), [untried]);
        assert_eq!(book.list(at(150)).len(), 1, "a finding of another kind stays");
        assert_eq!(book.remind(at(151)), []);
    }

    #[test]
    fn replacing_a_kind_mends_what_is_not_seen_any_more_and_leaves_other_kinds_alone() {
        let mut book = Book::default();
        book.report(at(0), Report::new(FindingKind::NoRoom, "b", "full", "more workers"));
        book.replace(at(0), FindingKind::RowUnusable, vec![odd("a"), odd("b")]);
        let said = book.replace(at(5), FindingKind::RowUnusable, vec![odd("b"), odd("c")]);
        assert!(
            matches!(&said[..], [Say::Mended { subject, .. }, Say::Appeared(new)] if subject == "a" && *new == odd("c"))
        );
        let subjects: Vec<_> = book.list(at(5)).into_iter().map(|finding| (finding.kind, finding.subject)).collect();
        let expected = [(FindingKind::RowUnusable, "b"), (FindingKind::RowUnusable, "c"), (FindingKind::NoRoom, "b")];
        assert_eq!(subjects, expected.map(|(kind, subject)| (kind, subject.to_owned())));
    }

    #[test]
    fn the_list_is_bounded_and_says_once_that_it_is_full() {
        let mut book = Book::default();
        let said: Vec<_> = (0..MOST + 5).flat_map(|row| book.report(at(0), odd(&row.to_string()))).collect();
        assert_eq!(said.iter().filter(|say| **say == Say::Full).count(), 1);
        assert_eq!(book.list(at(0)).len(), MOST);
    }
}
