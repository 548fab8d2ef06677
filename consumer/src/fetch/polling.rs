//! Reading one shard with GetRecords, as a state: which call is next, when it is due, and what its response means.

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
    /// Where to get an iterator while the shard has none: the start position, then after the last record delivered.
    place: StartPosition,
    iterator: Option<String>,
    unconfirmed: Option<Unconfirmed>,
    /// Set when the shard has been read to its end: its children.
    end: Option<Vec<ListedShard>>,
    /// No call is made before this.
    ready: Tick,
    /// How long to wait after the next response without records.
    idle: Duration,
    max_idle: Duration,
    /// How large the next response can be, if it is requested as soon as allowed.
    expected: u64,
    /// The start position's number, once it was judged expired: all records still stored must be newer.
    expired: Option<SequenceNumber>,
    /// How often the listing did not show all children of this closed shard.
    incomplete: u32,
    /// How often the service ended this shard while the listing showed it open.
    opens: u32,
    /// Listings without this shard.
    absence: Absence,
    /// When the service refused its own iterator or number, or did not know the shard. Until the stream is confirmed, the shard
    /// is not read.
    unsure: Option<Tick>,
    /// `true` if the service said that the start position's number is of another stream.
    is_foreign: bool,
}

/// A question that the listing must settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unconfirmed {
    /// There is no next iterator: the end, or a mistake? The children in the response settle nothing, for they may be another
    /// shard's.
    End,
    /// The service refused the start position's number: is it expired, or of another stream?
    StartPosition,
    /// The service does not know the shard: does it not exist any more, or is it not known everywhere yet?
    Existence,
}

/// The next call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    GetIterator(StartPosition),
    /// Confirm that the stream is still the same, with a response no older than this.
    Confirm(Tick),
    GetRecords {
        iterator: String,
        /// How large the response may be, in bytes of data.
        expected: u64,
    },
    List,
    /// No call: the shard has been read to its end, and these are its children.
    End(Vec<ListedShard>),
}

/// A response of GetRecords, without its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answered {
    /// The sequence number of its first Kinesis record.
    pub(crate) first: Option<SequenceNumber>,
    /// The sequence number of its last Kinesis record.
    pub(crate) last: Option<SequenceNumber>,
    /// How far its end is behind the newest record, if the service says so.
    pub(crate) behind_latest: Option<Duration>,
    pub(crate) next: Option<String>,
}

/// The listing shows that the start position is not in this shard, so it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Foreign {
    pub(crate) place: SequenceNumber,
    /// The lowest sequence number of the shard.
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

    /// Returns when to take the next step.
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

    /// Records an iterator; its request was sent at `asked`.
    pub(crate) fn iterator(&mut self, iterator: String, asked: SystemTime) {
        self.iterator = Some(iterator);
        // If this iterator expires before the first record, a new LATEST would skip the records put in between.
        if self.place == StartPosition::Latest {
            self.place = StartPosition::Since(asked);
        }
    }

    /// Applies a response of GetRecords; its request was sent at `sent`.
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
            // There is more. Responses without records are normal where records are far apart in time.
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
            // Plus the burst of one second.
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

    /// Applies a failure of GetShardIterator.
    ///
    /// `is_foreign`: the service said that the start position's number is not of this stream.
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

    /// Applies a failure of GetRecords.
    pub(crate) fn records_failed(&mut self, now: Tick, failure: Failure, pause: Duration) {
        self.ready = now + pause.max(SPACING);
        match failure {
            // Delivered records stay delivered; a new iterator continues after them.
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
            // The same iterator returns the same records again.
            Failure::Throttled | Failure::Transient | Failure::Unsent | Failure::Denied => {}
        }
    }

    /// Records that the stream is still the same, or that this cannot be told.
    pub(crate) fn confirmed(&mut self) {
        self.unsure = None;
    }

    /// Records that the listing, or the confirmation of the stream, failed: it settles nothing. This holds also when the whole
    /// stream is gone: then the stream ended, not this shard.
    pub(crate) fn listing_failed(&mut self, now: Tick, pause: Duration) {
        self.ready = now + pause;
    }

    /// Applies the listing of the stream's shards, requested at `asked`. `is_ours`: it is the stream of the lease table.
    ///
    /// The table of cases `shard-end` in `docs/rules.md` says what the end of a shard may rest on.
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
            // The shard expired after it was read: only its children are still listed.
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
                // Try the shard itself again, and after that the listing.
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
        // Most likely the listing lags behind a reshard. Wait longer: hundreds of shards may be requesting it.
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

/// Returns how many bytes can be written to a shard in this time.
pub(crate) fn written_in(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    millis.saturating_mul(A_SECOND_OF_WRITES) / 1000
}

/// The service allows five GetRecords a second per shard. Also the shortest pause of a reader that has caught up.
pub(crate) const SPACING: Duration = Duration::from_millis(200);

/// GetRecords returns up to 10 MiB (API reference).
pub(crate) const LARGEST_ANSWER: u64 = 10 << 20;

/// A shard takes 1 MiB a second (API reference).
const A_SECOND_OF_WRITES: u64 = 1 << 20;

/// A listing that lags behind a reshard by seconds is normal. After ten such listings, with pauses of up to a second, it is
/// logged.
const OPENS_TO_BE_SAID: u32 = 10;
/// A listing lags behind a reshard by seconds. After half a minute of pauses the children are left to shard sync, which creates
/// the leases of shards whose parents are finished.
const MAX_INCOMPLETE: u32 = 15;

#[cfg(test)]
mod tests;
