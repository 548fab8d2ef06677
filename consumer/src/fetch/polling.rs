//! Reading one shard with GetRecords, as a state: what to call next, when, and what its answer means.

use std::time::{Duration, SystemTime};

use super::start_position::StartPosition;
use crate::clock::Tick;
use crate::record::SequenceNumber;
use crate::shard::absence::{Absence, LookUp};
use crate::shard::failure::Failure;
use crate::shard::lineage::{are_whole, children_of};
use crate::shard::{ListedShard, ShardId};

/// The reading of one shard, from its start position to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Polling {
    /// Where to get an iterator while the shard has none: the start, then after the last record delivered.
    place: StartPosition,
    iterator: Option<String>,
    unconfirmed: Option<Unconfirmed>,
    /// The shard is at its end; everything of it has been read.
    end: Option<Vec<ListedShard>>,
    /// Nothing is called before.
    ready: Tick,
    /// How long to wait after the next answer without records.
    idle: Duration,
    max_idle: Duration,
    /// How large the next answer can be, if it is asked for as soon as that may be.
    expected: u64,
    /// The number to start at, once it was taken for expired: everything that is still there must be newer.
    expired: Option<SequenceNumber>,
    /// How often the listing was asked about the children of this closed shard and did not know all.
    incomplete: u32,
    /// How often the service has ended this shard while the listing had it open.
    opens: u32,
    /// Listings that lack this shard.
    absence: Absence,
    /// When the service refused what it had given: perhaps the stream is not the one any more. Until that is confirmed to be so,
    /// nothing is asked of the shard.
    unsure: Option<Tick>,
    /// Whether the service said that the number to start at is of another stream.
    is_foreign: bool,
}

/// What the listing has to settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unconfirmed {
    /// No next iterator: the end, or a mistake? The children in the answer settle nothing, for it may be another shard's.
    End,
    /// The service refused the number to start at: expired, or of another stream?
    StartPosition,
    /// The service does not know the shard: gone, or not known everywhere yet?
    Existence,
}

/// What to call next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    GetIterator(StartPosition),
    /// Ask whether the stream is still the one that it was, with an answer no older than this.
    Confirm(Tick),
    GetRecords {
        iterator: String,
        /// How large the answer may be, in bytes of data.
        expected: u64,
    },
    List,
    /// Nothing: the shard is read to its end, and these are its children.
    End(Vec<ListedShard>),
}

/// What an answer of GetRecords said, besides its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answered {
    /// The number of the first Kinesis record in it.
    pub(crate) first: Option<SequenceNumber>,
    /// The number of the last Kinesis record in it.
    pub(crate) last: Option<SequenceNumber>,
    /// How far its end lies behind the newest record, if the service says so.
    pub(crate) behind_latest: Option<Duration>,
    pub(crate) next: Option<String>,
}

/// What the listing showed that the reading cannot get over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Foreign {
    pub(crate) place: SequenceNumber,
    /// Where the numbers of the shard begin.
    pub(crate) starting: SequenceNumber,
}

impl Polling {
    pub(crate) fn starting(place: StartPosition, max_idle: Duration, now: Tick) -> Self {
        Self {
            place,
            iterator: None,
            unconfirmed: None,
            end: None,
            ready: now,
            idle: SPACING,
            max_idle,
            expected: LARGEST_ANSWER,
            expired: None,
            incomplete: 0,
            opens: 0,
            absence: Absence::default(),
            unsure: None,
            is_foreign: false,
        }
    }

    /// When to take the next step.
    pub(crate) const fn ready(&self) -> Tick {
        self.ready
    }

    pub(crate) fn step(&self) -> Step {
        match (&self.end, &self.unconfirmed, &self.iterator) {
            (Some(children), ..) => Step::End(children.clone()),
            (None, unconfirmed, iterator)
                if let Some(since) = self.unsure
                    && (unconfirmed.is_some() || iterator.is_none()) =>
            {
                Step::Confirm(since)
            }
            (None, Some(_), _) => Step::List,
            (None, None, Some(iterator)) => Step::GetRecords { iterator: iterator.clone(), expected: self.expected },
            (None, None, None) => Step::GetIterator(self.place.clone()),
        }
    }

    /// An iterator came for what was asked at `asked`.
    pub(crate) fn iterator(&mut self, iterator: String, asked: SystemTime) {
        self.iterator = Some(iterator);
        // Should this iterator expire before the first record: a new LATEST would skip what was put in between.
        if self.place == StartPosition::Latest {
            self.place = StartPosition::Since(asked);
        }
    }

    /// GetRecords, sent at `sent`, was answered.
    pub(crate) fn answered(&mut self, sent: Tick, now: Tick, answer: Answered) -> Result<(), Box<Foreign>> {
        let Answered { first, last, behind_latest, next } = answer;
        if let (Some(place), Some(first)) = (&self.expired, first)
            && first <= *place
        {
            return Err(Box::new(Foreign { place: place.clone(), starting: first }));
        }
        let empty = last.is_none();
        if let Some(last) = last {
            self.place = StartPosition::After(last);
            self.expired = None;
            self.idle = SPACING;
        }
        let caught_up = behind_latest.map_or(empty, |behind| behind.is_zero());
        let pause = match (caught_up, empty) {
            // There is more. Answers without records are normal where records are far apart in time.
            (false, _) => Duration::ZERO,
            (true, false) => SPACING,
            (true, true) => {
                let pause = self.idle;
                self.idle = (self.idle * 2).min(self.max_idle);
                pause
            }
        };
        self.ready = (now + pause).max(sent + SPACING);
        self.expected = behind_latest.map_or(LARGEST_ANSWER, |behind| {
            // And a second's burst.
            let written = written_in(behind.saturating_add(self.ready.since(sent)));
            written.saturating_add(A_SECOND_OF_WRITES).min(LARGEST_ANSWER)
        });
        self.iterator = next;
        if self.iterator.is_none() {
            self.ready = now;
            self.unconfirmed = Some(Unconfirmed::End);
        }
        Ok(())
    }

    /// GetShardIterator failed.
    ///
    /// `is_foreign`: because the number to start at is not of this stream, by the service's word.
    pub(crate) fn iterator_failed(&mut self, now: Tick, failure: Failure, is_foreign: bool, pause: Duration) {
        self.ready = now + pause;
        self.is_foreign = is_foreign;
        match failure {
            Failure::NotFound => self.unconfirmed = Some(Unconfirmed::Existence),
            Failure::InvalidArgument if self.place.number().is_some() => {
                self.unconfirmed = Some(Unconfirmed::StartPosition)
            }
            _ => return,
        }
        self.unsure = Some(now);
    }

    /// GetRecords failed.
    pub(crate) fn records_failed(&mut self, now: Tick, failure: Failure, pause: Duration) {
        self.ready = now + pause.max(SPACING);
        match failure {
            // What was delivered is delivered; a new iterator goes on behind it.
            Failure::Expired => {
                self.iterator = None;
                self.ready = now + pause;
            }
            Failure::InvalidArgument => {
                self.iterator = None;
                self.ready = now + pause;
                self.unsure = Some(now);
            }
            Failure::NotFound => {
                self.unconfirmed = Some(Unconfirmed::Existence);
                self.unsure = Some(now);
            }
            // The same iterator gives the same records again.
            Failure::Throttled | Failure::Transient | Failure::Unsent | Failure::Denied => {}
        }
    }

    /// The stream is the one that it was, or that cannot be told.
    pub(crate) fn confirmed(&mut self) {
        self.unsure = None;
    }

    /// The listing, or the question which stream this is, failed and says nothing. Also when the whole stream is gone: what
    /// ended then is not this shard.
    pub(crate) fn listing_failed(&mut self, now: Tick, pause: Duration) {
        self.ready = now + pause;
    }

    /// The stream lists these shards, asked for at `asked`. `is_ours`: it is the stream of the lease table.
    ///
    /// What the end of a shard may rest on is the table of cases `shard-end` in `docs/rules.md`.
    pub(crate) fn listed(
        &mut self,
        shard: &ShardId,
        listing: &[ListedShard],
        is_ours: bool,
        asked: Tick,
        pause: Duration,
    ) -> Result<(), Box<Foreign>> {
        self.ready = self.ready.max(asked + pause);
        let found = LookUp::of(shard, listing);
        let has_expired = self.absence.is_proven(asked, found);
        let own = match found {
            LookUp::Listed(own) => own,
            // It has expired behind its reader: the children alone are listed still.
            LookUp::Lacked if self.unconfirmed == Some(Unconfirmed::End) && are_whole(&children_of(shard, listing)) => {
                self.closed(shard, listing, asked);
                return Ok(());
            }
            LookUp::Lacked if has_expired && is_ours => {
                tracing::error!(%shard, "the stream has no such shard any more: what it held and nobody read has expired");
                self.end = Some(Vec::new());
                return Ok(());
            }
            LookUp::Lacked | LookUp::NotYet => {
                // The shard itself is asked again, and after that the listing.
                self.unconfirmed = None;
                self.iterator = None;
                return Ok(());
            }
        };
        match self.unconfirmed.take() {
            Some(Unconfirmed::End) if own.is_closed() => self.closed(shard, listing, asked),
            Some(Unconfirmed::End) => self.open(shard, asked),
            Some(Unconfirmed::StartPosition) => self.misplaced(own)?,
            Some(Unconfirmed::Existence) | None => self.iterator = None,
        }
        Ok(())
    }

    fn closed(&mut self, shard: &ShardId, listing: &[ListedShard], asked: Tick) {
        let children = children_of(shard, listing);
        if are_whole(&children) {
            self.end = Some(children);
            self.ready = asked;
        } else if self.incomplete < MAX_INCOMPLETE {
            self.incomplete += 1;
            self.unconfirmed = Some(Unconfirmed::End);
        } else {
            tracing::error!(%shard, known = children.len(), "closed, and not all of its children are listed; ending it with those known");
            self.end = Some(children);
        }
    }

    fn open(&mut self, shard: &ShardId, asked: Tick) {
        self.opens = self.opens.saturating_add(1);
        if self.opens == OPENS_TO_BE_SAID {
            tracing::warn!(%shard, "the service gives no next iterator for a shard that is open; going on after the last record");
        }
        self.iterator = None;
        // Most likely the listing lags behind a reshard: hundreds of shards may be asking it.
        self.ready = self.ready.max(asked + self.idle);
        self.idle = (self.idle * 2).min(self.max_idle);
    }

    fn misplaced(&mut self, own: &ListedShard) -> Result<(), Box<Foreign>> {
        match self.place.number() {
            Some(place) if self.is_foreign || *place < own.starting => {
                self.unconfirmed = Some(Unconfirmed::StartPosition);
                Err(Box::new(Foreign { place: place.clone(), starting: own.starting.clone() }))
            }
            place => {
                tracing::warn!(shard = %own.id, ?place, "the record to start at has expired; going on with the oldest");
                self.expired = self.place.number().cloned();
                self.place = StartPosition::TrimHorizon;
                Ok(())
            }
        }
    }
}

/// The bytes that can come into a shard in so long a time.
pub(crate) fn written_in(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis.saturating_mul(A_SECOND_OF_WRITES) / 1000
}

/// The service allows five GetRecords a second and shard. Also the shortest pause of a reader that has caught up.
pub(crate) const SPACING: Duration = Duration::from_millis(200);

/// GetRecords returns up to 10 MiB (API reference).
pub(crate) const LARGEST_ANSWER: u64 = 10 << 20;

/// A shard takes 1 MiB a second (API reference).
const A_SECOND_OF_WRITES: u64 = 1 << 20;

/// A listing that lags behind a reshard by seconds is in order. After ten, with pauses of up to a second, it is said.
const OPENS_TO_BE_SAID: u32 = 10;
/// A listing lags behind a reshard by seconds. After half a minute of pauses the children are left to shard sync, which
/// makes the leases of shards whose parents are finished.
const MAX_INCOMPLETE: u32 = 15;

#[cfg(test)]
mod tests;
