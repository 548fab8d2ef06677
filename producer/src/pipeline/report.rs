//! The way out: what became of a batch reaches its deliveries, and whoever waits for all of them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::{Attempt, Outcome};

/// What was tried with a batch and did not succeed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    attempts: Vec<Attempt>,
    count: u32,
    ambiguous: bool,
}

impl History {
    pub(crate) fn add(&mut self, attempt: Attempt) {
        self.count += 1;
        self.ambiguous |= attempt.outcome == Outcome::Unknown;
        if self.attempts.len() == MAX_ATTEMPTS_KEPT {
            // The first says how it began and the latest how it is now; those in between are the least missed.
            self.attempts.remove(1);
        }
        self.attempts.push(attempt);
    }

    /// How many attempts failed.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Whether one of them can have written the records.
    pub(crate) const fn outcome(&self) -> Outcome {
        if self.ambiguous { Outcome::Unknown } else { Outcome::NotWritten }
    }

    pub(crate) fn into_attempts(self) -> Vec<Attempt> {
        self.attempts
    }
}

/// Counts the batches that are not settled, by generation: a flush ends one generation and waits for all up to it, not for those that
/// come later.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    generations: Mutex<Generations>,
    ended: Notify,
}

#[derive(Debug)]
struct Generations {
    oldest: u64,
    /// Batches not settled, by generation from the oldest on; the last one is the current one.
    open: VecDeque<usize>,
}

impl Default for Generations {
    fn default() -> Self {
        Self { oldest: 0, open: VecDeque::from([0]) }
    }
}

impl Ledger {
    /// Counts a new batch and tells its generation.
    pub(crate) fn enter(&self) -> u64 {
        let mut generations = self.generations();
        *generations.open.back_mut().expect("there is always a current generation") += 1;
        generations.oldest + generations.open.len() as u64 - 1
    }

    /// Counts a batch that takes over records of an unsettled batch of this generation.
    pub(crate) fn join(&self, generation: u64) {
        *self.generations().of(generation) += 1;
    }

    /// The batch has told all its deliveries, or others will.
    pub(crate) fn settle(&self, generation: u64) {
        let mut generations = self.generations();
        *generations.of(generation) -= 1;
        if generations.retire() || generations.is_empty() {
            drop(generations);
            self.ended.notify_waiters();
        }
    }

    /// Begins a new generation and returns the one before.
    pub(crate) fn cut(&self) -> u64 {
        let mut generations = self.generations();
        let last = generations.oldest + generations.open.len() as u64 - 1;
        generations.open.push_back(0);
        generations.retire();
        last
    }

    /// Waits until every batch up to this generation is settled.
    pub(crate) async fn settled(&self, generation: u64) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before looking: a batch settled in between is not missed.
            ended.as_mut().enable();
            if self.generations().oldest > generation {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.generations().is_empty()
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn of(&mut self, generation: u64) -> &mut usize {
        let index = generation - self.oldest;
        self.open.get_mut(index as usize).expect("a generation stays until its last batch is settled")
    }

    /// Drops old generations that are done; the current one stays.
    fn retire(&mut self) -> bool {
        let before = self.oldest;
        while self.open.len() > 1 && self.open[0] == 0 {
            self.open.pop_front();
            self.oldest += 1;
        }
        self.oldest > before
    }

    fn is_empty(&self) -> bool {
        self.open.iter().all(|count| *count == 0)
    }
}

/// With the default time to live and back-off there are some twenty attempts; what matters is that there is a bound.
const MAX_ATTEMPTS_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn attempt(n: u32, outcome: Outcome) -> Attempt {
        let after = Duration::from_secs(u64::from(n));
        Attempt { after, took: Duration::ZERO, code: "X".into(), message: "".into(), outcome }
    }

    #[test]
    fn history_keeps_the_first_and_the_latest_attempts_and_counts_all() {
        let mut history = History::default();
        for n in 0..100 {
            history.add(attempt(n, Outcome::NotWritten));
        }
        assert_eq!((history.count(), history.outcome()), (100, Outcome::NotWritten));
        let after: Vec<u64> = history.into_attempts().iter().map(|attempt| attempt.after.as_secs()).collect();
        assert_eq!(after, [0].into_iter().chain(69..100).collect::<Vec<_>>());
    }

    #[test]
    fn one_ambiguous_attempt_makes_the_outcome_unknown_for_good() {
        let mut history = History::default();
        for n in 0..100 {
            history.add(attempt(n, if n == 1 { Outcome::Unknown } else { Outcome::NotWritten }));
        }
        assert_eq!(history.outcome(), Outcome::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_what_was_before_it_only() {
        let ledger = Arc::new(Ledger::default());
        let before = ledger.enter();
        let cut = ledger.cut();
        let after = ledger.enter();
        assert!(after > before);
        ledger.join(before);
        let waiting = tokio::spawn({
            let ledger = Arc::clone(&ledger);
            async move { ledger.settled(cut).await }
        });
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!waiting.is_finished());
            ledger.settle(before);
        }
        waiting.await.expect("no panic");
        assert!(!ledger.is_empty());
        ledger.settle(after);
        assert!(ledger.is_empty());
        ledger.settled(ledger.cut()).await;
    }
}
