//! What a worker does about problems with one shard, one row or the table, by the rules of `docs/rules.md`.

use std::sync::atomic::Ordering;

use super::hold::Ended;
use super::table_watch::Seen;
use super::{Keeper, Slot};
use crate::lease::{LeaseKey, LostReason, StoreError};
use crate::watch::{FindingKind, Report};

impl Keeper {
    /// Records how a shard was left that this worker no longer holds.
    pub(super) fn note_left(&self, ended: &Ended) {
        let at_its_end =
            matches!(self.held.get(&ended.key), Some(Slot::Busy { finished }) if finished.load(Ordering::Relaxed));
        let leaves = self.shutdown.deadline().is_some() && !at_its_end;
        let released = ended.lost == LostReason::Released;
        // A shard that failed is already reported.
        self.left.note(&ended.key.shard(), leaves, released, released && ended.failed.why().is_none());
    }

    /// Reports a shard that this worker could not go on with, by the rule *one shard that cannot begin*.
    pub(super) fn parked(&mut self, key: &LeaseKey, why: &str) {
        let until = self.discoverer.refused(self.hold.clock.now(), key.clone());
        let next = "its lease is released for other workers; this one takes it again after the cool-down";
        self.hold.findings.report(Report::new(FindingKind::ShardParked, key, why, next).again_at(until));
    }

    /// Reports a table that does not exist any more, and ends the worker if it stays so.
    pub(super) fn watch_table<T>(&mut self, answer: &Result<T, StoreError>) {
        let now = self.hold.clock.now();
        let table = self.hold.belonging.table();
        let gone =
            |next: &str| Report::new(FindingKind::TableGone, table, "the lease table does not exist any more", next);
        match self.table.looked(now, answer) {
            Seen::Nothing => {}
            Seen::Back => self.hold.findings.mended(FindingKind::TableGone, table),
            Seen::Gone { until } => {
                let next =
                    "looked for every 2 s; this worker ends if it stays away for 30 s, for a new one would start over";
                self.hold.findings.report(gone(next).again_at(until));
            }
            Seen::Lost => {
                self.hold.findings.report(gone("this worker ends; when it is started again, it makes the table anew"));
                self.lost_table.store(true, Ordering::Relaxed);
                self.shutdown.begin(now);
            }
        }
    }

    /// Reports a row that names this worker and cannot be used, by the rule *one row*.
    pub(super) fn left_alone(&mut self, key: LeaseKey, problem: &str) {
        let next = "not adopted until somebody corrects or deletes the row; looked at every 2 s";
        self.hold.findings.report(Report::new(FindingKind::RowUnusable, &key, problem, next));
        self.lookout.forget(|other| *other != key);
        self.odd.insert(key);
    }

    /// Reports leases that name this worker and whose lost shards the program still keeps, by the rule *one shard that is
    /// kept*.
    pub(super) fn note_kept(&self, named: &[LeaseKey]) {
        let (findings, long_ago) = (&self.hold.findings, self.hold.clock.now() - 2 * self.hold.duration);
        for (key, slot) in &self.held {
            let Slot::Leaving { since, .. } = slot else { continue };
            if !named.contains(key) {
                findings.mended(FindingKind::ShardKept, key);
            } else if *since <= long_ago {
                let seen = "the lease was lost, and user code still runs, or keeps the shard without asking for its next event";
                let next =
                    "not read by this worker until then; when the lease has run out, it may go to another worker";
                findings.report(Report::new(FindingKind::ShardKept, key, seen, next));
            }
        }
    }

    /// Removes lost shards that the program has dropped.
    pub(super) fn forget_kept(&mut self) {
        let findings = &self.hold.findings;
        self.held.retain(|key, slot| {
            let let_go = matches!(slot, Slot::Leaving { reader, .. } if reader.strong_count() == 0);
            if let_go {
                findings.mended(FindingKind::ShardKept, key);
            }
            !let_go
        });
    }

    /// Removes state and findings of leases that do not name this worker any more.
    pub(super) fn note_named(&mut self, named: &[LeaseKey]) {
        self.discoverer.named(named);
        self.forget_odd(|key| named.contains(key));
        self.lookout.forget(|key| named.contains(key));
    }

    /// Removes the findings of unusable rows for which `still` is `false`: they do not name this worker any more.
    pub(super) fn forget_odd(&mut self, still: impl Fn(&LeaseKey) -> bool) {
        let findings = &self.hold.findings;
        self.odd.retain(|key| {
            let stays = still(key);
            if !stays {
                findings.mended(FindingKind::RowUnusable, key);
            }
            stays
        });
    }
}
