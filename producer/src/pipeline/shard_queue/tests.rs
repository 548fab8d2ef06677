use std::iter;

use super::*;
use crate::outcome::{DeliveryErrorKind, Outcome};
use crate::pipeline::fixture::{accounts, at, queue, rules};
use crate::pipeline::judge::{Class, Failed};

/// One shard's queue, and the accounts to put with.
struct Bench {
    queue: Arc<ShardQueue>,
    accounts: Arc<Accounts>,
}

impl Bench {
    fn new(rules: QueueRules) -> Self {
        let queue = ShardQueue::new(0, Some("shard-0".into()), HashKeyRange::FULL, rules, Access::Open, 7);
        Self { queue, accounts: accounts() }
    }

    fn put(&self, now: u64, len: usize) -> Put {
        let data = vec![0; len];
        self.queue.state().put(&Record::new("k", &data), &Route::keyed("k", None), || at(now), &self.accounts, true)
    }

    /// Returns the sizes of the batches that can be sent now.
    fn fill(&self, now: u64) -> Vec<usize> {
        assert!(self.queue.state().advance(at(now)).is_empty());
        iter::from_fn(|| self.pop(now)).map(|batch| batch.wire_len()).collect()
    }

    /// Removes the next batch that can be sent now, as if it were sent and answered at once.
    fn pop(&self, now: u64) -> Option<Batch> {
        let mut state = self.queue.state();
        let batch = state.pop_ready(at(now), |_| true)?;
        state.answered();
        Some(batch)
    }
}

fn plain() -> QueueRules {
    QueueRules { max_aggregate_bytes: None, ..rules() }
}

fn failed(outcome: Outcome) -> Failed {
    Failed { class: Class::Transient, code: "X".into(), message: "".into(), outcome }
}

#[test]
fn a_queue_enters_the_wake_list_once_until_it_is_refreshed() {
    let bench = Bench::new(rules());
    assert!(bench.put(0, 10).wake, "a new aggregate needs an alarm");
    assert!(!bench.put(0, 10).wake);
    bench.queue.state().in_wake_list = false;
    assert!(!bench.put(0, 10).wake, "nothing has changed for the dispatcher");
    assert!(bench.put(0, 49_990).wake, "one is full and another open");
    assert!(!bench.put(0, 49_990).wake, "not looked yet");
}

#[test]
fn an_alarm_is_set_for_the_close_then_for_tokens_or_expiry() {
    let bench = Bench::new(rules());
    let wake_at = |now| bench.queue.state().wake_at(at(now));
    assert_eq!(wake_at(0), None, "idle");
    bench.put(5, 10);
    assert_eq!(wake_at(5), Some(at(5)), "a lone record leaves at once");
    assert!(bench.queue.state().advance(at(5)).is_empty());
    assert!(bench.queue.state().is_ready(at(5)));
    assert_eq!(wake_at(5), Some(at(30_005)), "ready: only its expiry is left to wait for");
    bench.put(6, 10);
    assert_eq!(wake_at(6), Some(at(125)), "a linger after the last close");
}

#[test]
fn batches_leave_at_the_rate_of_the_shard_oldest_first() {
    let bench = Bench::new(plain());
    for len in [600 << 10, 400 << 10, 500 << 10] {
        drop(bench.put(0, len).delivery);
    }
    assert_eq!(bench.fill(0), [(600 << 10) + 1, (400 << 10) + 1]);
    assert!(!bench.queue.state().is_ready(at(400)));
    let tokens = bench.queue.state().wake_at(at(0)).expect("one waits");
    assert!(tokens > at(460) && tokens < at(470), "{tokens:?}: 476 KiB are missing, at 1 MiB a second");
    assert_eq!(bench.fill(470), [(500 << 10) + 1]);
}

#[test]
fn a_retry_waits_its_backoff_and_then_goes_before_younger_ones() {
    let bench = Bench::new(plain());
    drop(bench.put(0, 1).delivery);
    let mut batch = bench.pop(0).expect("one");
    batch.sent(at(0));
    batch.attempted(at(3), failed(Outcome::NotWritten));
    bench.queue.state().retry(at(3), batch);
    let back = bench.queue.state().wake_at(at(3)).expect("a retry waits");
    assert!(back > at(3) && back <= at(103), "{back:?}");
    assert!(!bench.queue.state().is_ready(at(3)));
    drop(bench.put(50, 2).delivery);
    assert_eq!(bench.fill(200), [2, 3], "the retry of one byte, then the other");
}

#[test]
fn expired_batches_are_removed_queued_or_retrying() {
    let bench = Bench::new(plain());
    drop(bench.put(0, 1).delivery);
    let mut batch = bench.pop(0).expect("one");
    drop(bench.put(10, 2).delivery);
    for _ in 0..10 {
        batch.sent(at(29_000));
        batch.attempted(at(29_999), failed(Outcome::Unknown));
    }
    bench.queue.state().retry(at(29_999), batch);
    let expired = |now: u64| {
        let expired = bench.queue.state().advance(at(now));
        expired.into_iter().map(|batch| batch.failed(DeliveryErrorKind::Expired).outcome).collect::<Vec<_>>()
    };
    assert_eq!(bench.queue.state().wake_at(at(29_999)), Some(at(30_000)), "no retry is put off beyond the expiry");
    assert_eq!(expired(30_000), [Outcome::Unknown]);
    assert_eq!(expired(30_009), []);
    assert_eq!(expired(30_010), [Outcome::NotWritten]);
    assert_eq!(bench.accounts.budget.held(), 0);
    assert!(bench.accounts.pending.is_empty());
}

#[test]
fn a_moved_batch_takes_its_place_by_age() {
    let bench = Bench::new(plain());
    let other = Bench { queue: queue(1, 0, 5), accounts: Arc::clone(&bench.accounts) };
    for (now, len) in [(0, 1), (20, 3)] {
        drop(bench.put(now, len).delivery);
    }
    drop(other.put(10, 2).delivery);
    for (_, batch) in other.queue.state().retire(Access::Retired) {
        bench.queue.state().enqueue(batch);
    }
    assert_eq!(bench.fill(30), [2, 3, 4]);
    assert_eq!(other.queue.state().access(), Access::Retired);
}

#[test]
fn keyless_records_have_an_aggregate_of_their_own() {
    let bench = Bench::new(rules());
    let keyless = |now| {
        let record = Record::keyless("data");
        bench.queue.state().put(&record, &Route::keyless(HashKeyRange::FULL.start), || at(now), &bench.accounts, true)
    };
    assert!(bench.put(0, 4).wake);
    bench.queue.state().in_wake_list = false;
    assert!(keyless(0).wake);
    assert_eq!(bench.fill(0).len(), 2);
}

#[test]
fn a_batch_is_popped_only_when_it_fits_and_its_tokens_are_spent_only_then() {
    let bench = Bench::new(plain());
    drop(bench.put(0, 1 << 20).delivery);
    let mut state = bench.queue.state();
    let before = state.limiter();
    assert!(state.pop_ready(at(0), |_| false).is_none());
    assert_eq!((state.limiter(), state.in_flight), (before.clone(), 0));
    assert!(state.pop_ready(at(0), |batch| batch.wire_len() == (1 << 20) + 1).is_some());
    assert_eq!(state.in_flight, 1);
    assert_ne!(state.limiter(), before);
    state.answered();
    assert_eq!(state.in_flight, 0);
}
