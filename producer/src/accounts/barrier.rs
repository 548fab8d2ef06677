//! A barrier for flushes: counts the batches that are not settled.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::foreign::guarded;
use crate::watch::tally::Tally;

/// Counts the batches that are not settled, by generation. A flush ends a generation and waits for all generations up
/// to it, but not for later ones.
#[derive(Debug, Default)]
pub(crate) struct PendingBatches {
    generations: Mutex<Generations>,
    ended: Notify,
}

#[derive(Debug)]
struct Generations {
    oldest: u64,
    /// Unsettled batches by generation, from the oldest on. The last generation is the current one.
    open: VecDeque<Generation>,
    /// The results of the records in all generations before the oldest.
    retired: Tally,
    /// The part of `retired` that a flush has reported.
    reported: Tally,
    /// The results of all settled records.
    ended: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    unsettled: usize,
    ended: Tally,
}

/// The end of a generation, to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushPoint {
    generation: u64,
    /// The results that flushes had reported before.
    reported: Tally,
}

impl Default for Generations {
    fn default() -> Self {
        let open = VecDeque::from([Generation::default()]);
        Self { oldest: 0, open, retired: Tally::default(), reported: Tally::default(), ended: Tally::default() }
    }
}

impl PendingBatches {
    /// Counts a new batch. Returns its generation.
    pub(crate) fn enter(&self) -> u64 {
        let mut generations = self.generations();
        generations.open.back_mut().expect("there is always a current generation").unsettled += 1;
        generations.oldest + generations.open.len() as u64 - 1
    }

    /// Counts a batch that receives records from an unsettled batch of this generation.
    pub(crate) fn join(&self, generation: u64) {
        self.generations().of(generation).unsettled += 1;
    }

    /// Counts a batch as settled. Its deliveries have resolved, or were forwarded.
    pub(crate) fn settle(&self, generation: u64, tally: Tally) {
        let mut generations = self.generations();
        generations.ended = generations.ended + tally;
        let of = generations.of(generation);
        of.unsettled -= 1;
        of.ended = of.ended + tally;
        if generations.retire() || generations.is_empty() {
            drop(generations);
            self.ended.notify_waiters();
        }
    }

    /// Ends the current generation and begins a new one.
    pub(crate) fn begin_flush(&self) -> FlushPoint {
        let mut generations = self.generations();
        let generation = generations.oldest + generations.open.len() as u64 - 1;
        generations.open.push_back(Generation::default());
        generations.retire();
        FlushPoint { generation, reported: generations.reported }
    }

    /// Waits until every batch up to the point is settled. Returns the results that no earlier flush has reported.
    ///
    /// Each record is in at least one tally. Where flushes overlap, a record that was admitted after the point may be in
    /// it, too.
    pub(crate) async fn settled(&self, point: FlushPoint) -> Tally {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // The waiter is registered before the check, so a batch that is settled in between is not missed.
            ended.as_mut().enable();
            if let Some(tally) = self.report(point) {
                return tally;
            }
            guarded(ended).await;
        }
    }

    fn report(&self, point: FlushPoint) -> Option<Tally> {
        let mut generations = self.generations();
        (generations.oldest > point.generation).then(|| {
            generations.reported = generations.retired;
            generations.retired - point.reported
        })
    }

    /// Returns the results of all settled records.
    pub(crate) fn ended(&self) -> Tally {
        self.generations().ended
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.generations().is_empty()
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn of(&mut self, generation: u64) -> &mut Generation {
        let index = generation - self.oldest;
        self.open.get_mut(index as usize).expect("a generation stays until its last batch is settled")
    }

    /// Drops old generations without unsettled batches. The current one stays.
    fn retire(&mut self) -> bool {
        let before = self.oldest;
        while self.open.len() > 1 && self.open[0].unsettled == 0 {
            self.retired = self.retired + self.open[0].ended;
            self.open.pop_front();
            self.oldest += 1;
        }
        self.oldest > before
    }

    fn is_empty(&self) -> bool {
        self.open.iter().all(|generation| generation.unsettled == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_what_was_before_it_only() {
        let pending = Arc::new(PendingBatches::default());
        let before = pending.enter();
        let point = pending.begin_flush();
        let after = pending.enter();
        assert!(after > before);
        pending.join(before);
        let waiting = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move { pending.settled(point).await }
        });
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!waiting.is_finished());
            pending.settle(before, tally(3, 1, 0));
        }
        assert_eq!(waiting.await.expect("no panic"), tally(6, 2, 0));
        assert!(!pending.is_empty());
        pending.settle(after, tally(0, 0, 5));
        assert!(pending.is_empty());
        assert_eq!(
            pending.settled(pending.begin_flush()).await,
            tally(0, 0, 5),
            "what one flush told, the next does not"
        );
        assert_eq!(pending.ended(), tally(6, 2, 5));
    }

    fn tally(written: u64, not_written: u64, unknown: u64) -> Tally {
        Tally { written, not_written, unknown }
    }

    /// Two tasks flush at once. Each gets the results of the records that it has put.
    #[tokio::test(start_paused = true)]
    async fn overlapping_flushes_report_all_earlier_records() {
        let pending = PendingBatches::default();
        let first = pending.enter();
        let one = pending.begin_flush();
        let second = pending.enter();
        let two = pending.begin_flush();
        pending.settle(second, tally(0, 2, 0));
        pending.settle(first, tally(0, 1, 0));
        assert_eq!(pending.settled(two).await, tally(0, 3, 0));
        assert!(pending.settled(one).await.not_written >= 1);
        assert_eq!(pending.settled(pending.begin_flush()).await, Tally::default());
    }
}
