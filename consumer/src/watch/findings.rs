//! The registry of findings: lists what is wrong now, logs it once, and removes it when it is resolved.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::book::{Book, Say};
use crate::clock::{Clock, Tick};
use crate::text::escaped;

/// Something that is wrong now. It stays in the list of [`ConsumerHandle::findings`](crate::ConsumerHandle::findings) until it
/// is resolved; unaffected work continues. `docs/rules.md` says what each kind stops, and what resolves it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The kind of problem.
    pub kind: FindingKind,
    /// The shard, the row's key, the table's name, or the action that it concerns.
    pub subject: String,
    /// The last observation.
    pub seen: String,
    /// What will be done about it, and by which part.
    pub next: String,
    /// How long ago it appeared.
    pub age: Duration,
    /// How long until the next attempt; `None` if nothing is tried until an operator acts.
    pub next_try: Option<Duration>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// The lease table does not exist any more.
    TableGone,
    /// The lease table belongs to another stream than this worker reads. The worker ends.
    OtherStream,
    /// The table had leases and has none any more.
    LeasesGone,
    /// The index of the lease table, by which workers find their leases, does not exist any more.
    IndexGone,
    /// An action that a worker needs, such as `dynamodb:UpdateItem`, is refused: permission, credentials or a key are missing.
    ActionDenied,
    /// A row of the lease table cannot be used. It is not changed.
    RowUnusable,
    /// A lease says that its shard is finished, but the stream lists the shard as open: its records are not read.
    EndedOpen,
    /// A lease contradicts the stream's listing. It is not changed.
    LeaseMismatch,
    /// This worker cannot begin to read a shard. It has released the lease.
    ShardParked,
    /// This worker is assigned a shard that it has lost before, and its program still keeps the lost [`Shard`](crate::Shard):
    /// it has neither dropped it nor asked it for its next event. A shard is not read twice in one process.
    ShardKept,
    /// The stream refuses calls for a shard that this worker holds.
    ShardRefused,
    /// Calls for a shard that this worker holds are throttled or unanswered, again and again.
    ShardFailing,
    /// Every worker that was assigned a lease has released it without progress.
    LeaseRefused,
    /// No worker has room for a lease, so its shard is not read.
    NoRoom,
}

/// The level at which a finding is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Part of the work has stopped or may stop soon.
    Warning,
    /// Records are not read until an operator acts.
    Error,
}

impl FindingKind {
    /// Returns `true` if there is at most one finding of this kind and everything else depends on it.
    pub(super) const fn is_of_the_whole_table(self) -> bool {
        matches!(self, Self::TableGone | Self::OtherStream | Self::LeasesGone | Self::IndexGone)
    }

    /// Returns the level at which findings of this kind are logged.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::TableGone
            | Self::OtherStream
            | Self::LeasesGone
            | Self::IndexGone
            | Self::ActionDenied
            | Self::EndedOpen
            | Self::LeaseMismatch
            | Self::ShardParked
            | Self::ShardRefused => Severity::Error,
            Self::RowUnusable | Self::ShardKept | Self::ShardFailing | Self::LeaseRefused | Self::NoRoom => {
                Severity::Warning
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::TableGone => "the lease table is gone",
            Self::OtherStream => "the lease table is another stream's",
            Self::EndedOpen => "a finished shard is open",
            Self::LeasesGone => "the lease table has lost its leases",
            Self::IndexGone => "the index of the lease table is gone",
            Self::ActionDenied => "an action is not allowed",
            Self::RowUnusable => "a row of the lease table is left alone",
            Self::LeaseMismatch => "a lease does not fit the stream",
            Self::ShardParked => "a shard cannot be read by this worker",
            Self::ShardKept => "the program keeps a shard that was lost",
            Self::ShardRefused => "calls for a shard are refused",
            Self::ShardFailing => "calls for a shard fail",
            Self::LeaseRefused => "no worker keeps a lease",
            Self::NoRoom => "no worker has room for a lease",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A finding as a part of the worker reports it. Reporting it again updates the observation; it is logged once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Report {
    pub(super) kind: FindingKind,
    pub(super) subject: String,
    pub(super) seen: String,
    pub(super) next: String,
    pub(super) next_try: Option<Tick>,
}

impl Report {
    /// Creates a report. `seen` and `next` are single lines; foreign text is escaped and cut here.
    pub(crate) fn new(
        kind: FindingKind,
        subject: impl fmt::Display,
        seen: impl fmt::Display,
        next: impl Into<String>,
    ) -> Self {
        let line = |text: String| escaped(&text).to_string();
        Self {
            kind,
            subject: line(subject.to_string()),
            seen: line(seen.to_string()),
            next: next.into(),
            next_try: None,
        }
    }

    /// Adds the time of the next attempt.
    pub(crate) const fn again_at(mut self, at: Tick) -> Self {
        self.next_try = Some(at);
        self
    }
}

/// The findings of one worker. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    worker: String,
    /// A std mutex: held for a few operations on a map, never across an await.
    book: Mutex<Book>,
}

impl Findings {
    pub(crate) fn new(clock: Arc<Clock>, worker: impl fmt::Display) -> Self {
        let worker = escaped(&worker.to_string()).to_string();
        Self { shared: Arc::new(Shared { clock, worker, book: Mutex::default() }) }
    }

    /// Adds a finding, or updates it.
    pub(crate) fn report(&self, report: Report) {
        let said = self.book().report(self.now(), report);
        self.say(said);
    }

    /// Removes a finding if it exists: it is resolved.
    pub(crate) fn mended(&self, kind: FindingKind, subject: impl fmt::Display) {
        let subject = escaped(&subject.to_string()).to_string();
        let said = self.book().mended(self.now(), kind, &subject);
        self.say(said);
    }

    /// Replaces all findings of one kind: those not in `reports` are resolved.
    pub(crate) fn replace(&self, kind: FindingKind, reports: impl IntoIterator<Item = Report>) {
        let said = self.book().replace(self.now(), kind, reports.into_iter().collect());
        self.say(said);
    }

    /// Logs findings again that have stayed for long. Called every few seconds.
    pub(crate) fn remind(&self) {
        let said = self.book().remind(self.now());
        self.say(said);
    }

    /// Returns the current findings, by kind and subject.
    pub(crate) fn list(&self) -> Vec<Finding> {
        self.book().list(self.now())
    }

    fn now(&self) -> Tick {
        self.shared.clock.now()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, said: Vec<Say>) {
        let worker = &self.shared.worker;
        for say in said {
            match say {
                Say::Appeared(Report { kind, subject, seen, next, .. }) => match kind.severity() {
                    Severity::Warning => tracing::warn!(%worker, %subject, %seen, %next, "{kind}"),
                    Severity::Error => tracing::error!(%worker, %subject, %seen, %next, "{kind}"),
                },
                Say::Stays(Report { kind, subject, seen, next, .. }, age) => match kind.severity() {
                    Severity::Warning => tracing::warn!(%worker, %subject, %seen, %next, ?age, "{kind}, still"),
                    Severity::Error => tracing::error!(%worker, %subject, %seen, %next, ?age, "{kind}, still"),
                },
                Say::Untried { kind, subject, lasted } => {
                    tracing::info!(%worker, %subject, ?lasted, "not seen any more, for it is not tried any more: {kind}");
                }
                Say::Mended { kind, subject, lasted } => tracing::info!(%worker, %subject, ?lasted, "mended: {kind}"),
                Say::Full => tracing::error!(%worker, "too many findings: more of them are neither kept nor said"),
            }
        }
    }
}
