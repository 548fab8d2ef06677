//! Detects user code that blocks its thread, from the thread of the leases.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::{Clock, Tick};
use crate::shard::ShardId;

/// The shards whose tasks are watched. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<Mutex<Shards>>);

#[derive(Debug, Default)]
struct Shards {
    /// How many tasks have been watched so far: the next task's number.
    next: u64,
    shards: BTreeMap<u64, Weak<Polls>>,
}

/// The polls of the task of one shard.
#[derive(Debug)]
struct Polls {
    shard: ShardId,
    /// Grows by one when a poll begins and when it ends: odd while user code can run.
    count: AtomicU64,
}

/// The task of a shard, with its polls counted.
struct Counted<F> {
    polls: Arc<Polls>,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.count.fetch_add(1, Ordering::Relaxed);
        let polled = self.task.as_mut().poll(context);
        self.polls.count.fetch_add(1, Ordering::Relaxed);
        polled
    }
}

impl Watched {
    /// Returns the task of a shard, watched as long as it exists.
    pub(crate) fn task<F: Future>(&self, shard: ShardId, task: F) -> impl Future<Output = F::Output> + use<F> {
        let polls = Arc::new(Polls { shard, count: AtomicU64::new(0) });
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards.shards.retain(|_, polls| polls.strong_count() > 0);
        let number = shards.next;
        shards.next += 1;
        shards.shards.insert(number, Arc::downgrade(&polls));
        Counted { polls, task: Box::pin(task) }
    }

    /// Logs each poll that takes `limit` or longer once: user code blocks its thread. Meanwhile keeps the rest of its runtime,
    /// `caller`, running. Never returns; runs on another thread than the tasks.
    pub(crate) async fn watch(self, caller: Handle, clock: Arc<Clock>, limit: Duration) {
        let mut blocked = Blocked::new(limit);
        loop {
            tokio::time::sleep(LOOK).await;
            let Found { long, any } = blocked.look(clock.now(), self.polls());
            // The blocked thread can be the one that served the timers and sockets of its runtime. No other thread takes them
            // over before it is woken and goes to sleep again (tokio #4730).
            if any {
                drop(caller.spawn(async {}));
            }
            for (shard, lasts) in long {
                tracing::warn!(
                    %shard, seconds = format_args!("{:.1}", lasts.as_secs_f64()),
                    "processing blocks its thread: blocking code belongs into tokio::task::spawn_blocking. The lease is renewed meanwhile"
                );
            }
        }
    }

    /// Returns the tasks that are being polled, by task number and poll number.
    fn polls(&self) -> BTreeMap<(u64, u64), Arc<Polls>> {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut polled = BTreeMap::new();
        shards.shards.retain(|number, polls| {
            let Some(polls) = polls.upgrade() else { return false };
            let count = polls.count.load(Ordering::Relaxed);
            if count % 2 == 1 {
                polled.insert((*number, count), polls);
            }
            true
        });
        polled
    }
}

/// The state of the watch: which polls take long.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blocked {
    limit: Duration,
    /// Running polls by task and poll number: since when, and `true` once logged.
    under_way: BTreeMap<(u64, u64), (Tick, bool)>,
}

/// The result of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Polls that have reached the limit and have not been logged.
    long: Vec<(ShardId, Duration)>,
    /// `true` if any poll was running at the previous look already.
    any: bool,
}

impl Blocked {
    const fn new(limit: Duration) -> Self {
        Self { limit, under_way: BTreeMap::new() }
    }

    fn look(&mut self, now: Tick, polls: BTreeMap<(u64, u64), Arc<Polls>>) -> Found {
        self.under_way.retain(|poll, _| polls.contains_key(poll));
        let mut found = Found { any: !self.under_way.is_empty(), ..Found::default() };
        for (poll, polls) in polls {
            let (since, said) = self.under_way.entry(poll).or_insert((now, false));
            let lasts = now.since(*since);
            if lasts >= self.limit && !std::mem::replace(said, lasts >= self.limit) {
                found.long.push((polls.shard.clone(), lasts));
            }
        }
        found
    }
}

/// How often a worker looks. A runtime that is blocked by user code loses little more than this.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::new(Duration::from_millis(millis))
    }

    fn polls(tasks: &[(u64, u64)]) -> BTreeMap<(u64, u64), Arc<Polls>> {
        let shard = |number| ShardId::from(format!("shardId-{number:012}").as_str());
        tasks
            .iter()
            .map(|(task, poll)| {
                let polls = Polls { shard: shard(*task), count: AtomicU64::new(*poll) };
                ((*task, *poll), Arc::new(polls))
            })
            .collect()
    }

    #[test]
    fn a_poll_that_lasts_is_said_once_with_its_shard_and_how_long_it_lasts() {
        let mut blocked = Blocked::new(Duration::from_secs(1));
        let found = |any, long: Option<(u64, u64)>| Found {
            any,
            long: long
                .map(|(task, ms)| (polls(&[(task, 1)])[&(task, 1)].shard.clone(), Duration::from_millis(ms)))
                .into_iter()
                .collect(),
        };
        assert_eq!(blocked.look(at(0), polls(&[])), found(false, None));
        assert_eq!(blocked.look(at(500), polls(&[(3, 1)])), found(false, None));
        // Short polls of another task are not reported.
        assert_eq!(blocked.look(at(1400), polls(&[(3, 1), (4, 7)])), found(true, None));
        assert_eq!(blocked.look(at(1600), polls(&[(3, 1), (4, 9)])), found(true, Some((3, 1100))));
        assert_eq!(blocked.look(at(9000), polls(&[(3, 1)])), found(true, None));
        // The next poll of the same task counts anew.
        assert_eq!(blocked.look(at(9100), polls(&[(3, 3)])), found(false, None));
        assert_eq!(blocked.look(at(10_100), polls(&[(3, 3)])), found(true, Some((3, 1000))));
        assert_eq!(blocked.look(at(10_200), polls(&[])), found(false, None));
        assert_eq!(blocked, Blocked::new(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_task_counts_while_it_is_polled_and_is_forgotten_when_it_is_gone() {
        let watched = Watched::default();
        let inner = watched.clone();
        let task = watched.task(ShardId::from("shardId-000000000000"), async move {
            assert_eq!(inner.polls().len(), 1);
            tokio::task::yield_now().await;
            assert_eq!(inner.polls().len(), 1);
        });
        assert_eq!(watched.polls().len(), 0);
        task.await;
        assert_eq!(watched.polls().len(), 0);
        assert!(watched.0.lock().expect("no panic").shards.is_empty());
    }
}
