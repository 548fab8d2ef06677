//! One worker of the fleet: reports its heartbeat, finds its leases, holds them, and releases them.

mod control;
mod handle;
mod hold;
mod index;
mod lookout;
mod offers;
mod report;
mod table_watch;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

pub(crate) use self::control::WorkerControl;
pub(crate) use self::handle::WorkerHandle;
use self::hold::{Ended, hold};
use self::lookout::Lookout;
use self::offers::Offers;
use self::report::report;
use self::table_watch::TableWatch;

use crate::clock::Tick;
use crate::lease::holder::discover::{Discovered, LeaseDiscoverer};
use crate::lease::holder::held::HoldContext;
use crate::lease::holder::shutdown::Shutdown;
use crate::lease::leader::{self, LeaderContext};
use crate::lease::table::belonging::Fit;
use crate::lease::table::odd;
use crate::lease::{Lease, LeaseKey, LostReason, StoreError};
use crate::process::left::Left;
use crate::thread::{AbortOnDrop, LeaseThread};
use crate::watch::FindingKind;

/// The parts of a worker.
pub(crate) struct WorkerContext {
    pub(crate) hold: HoldContext,
    pub(crate) leader: LeaderContext,
    pub(crate) max_leases: usize,
}

/// Starts the worker's tasks, on the given thread if there is one. The lease table has been prepared.
pub(crate) fn start(context: WorkerContext, thread: Option<LeaseThread>) -> WorkerHandle {
    let WorkerContext { hold, leader, max_leases } = context;
    let wall_clock = Arc::clone(&leader.wall_clock);
    let shutdown = Shutdown::default();
    let lost_table = Arc::new(AtomicBool::new(false));
    let (stopped, has_stopped) = watch::channel(false);
    let (stop_leading, stop) = watch::channel(false);
    // A program that has not asked for a shard receives none: a lease without a reader must not be renewed.
    let wanted = Arc::new(Semaphore::new(0));
    let offers = Offers::default();
    let left = Left::default();
    let leases = offers.taker();

    let ended = thread.as_ref().map(LeaseThread::ended);
    let home = &hold.home;
    let leading = AbortOnDrop(home.spawn(leader::run(leader, stop)));
    let reporting = AbortOnDrop(home.spawn(report(hold.clone(), wall_clock, shutdown.clone())));
    let keeper = Keeper {
        discoverer: LeaseDiscoverer::new(hold.me.clone(), hold.duration),
        held: BTreeMap::new(),
        tasks: JoinSet::new(),
        keys: HashMap::new(),
        leaving: false,
        rng: fastrand::Rng::with_seed(hold.seed),
        offers: Some(offers),
        wanted: Arc::clone(&wanted),
        unwanted: BTreeSet::new(),
        lookout: Lookout::new(hold.clone()),
        odd: BTreeSet::new(),
        read_whole: None,
        table: TableWatch::default(),
        lost_table: Arc::clone(&lost_table),
        hold: hold.clone(),
        max_leases,
        shutdown: shutdown.clone(),
        left: left.clone(),
    };
    let keeping = AbortOnDrop(home.spawn(async move {
        // The thread ends with this task, or when the task is aborted.
        let _thread = thread;
        keeper.run().await;
        // The lock is released last: the next leader finds the leases free already.
        stop_leading.send_replace(true);
        let mut leading = leading;
        leading.join().await;
        let mut reporting = reporting;
        reporting.join().await;
        stopped.send_replace(true);
    }));
    let control = WorkerControl { hold, shutdown, lost_table, stopped: has_stopped, thread: ended, left };
    WorkerHandle::new(leases, wanted, control, keeping)
}

/// The task that finds leases and owns the tasks of the held ones.
struct Keeper {
    hold: HoldContext,
    discoverer: LeaseDiscoverer,
    /// Leases that are held or being adopted, and lost leases that a reader in this process still uses.
    held: BTreeMap<LeaseKey, Slot>,
    tasks: JoinSet<Ended>,
    /// The lease of each task, in case the task panics.
    keys: HashMap<tokio::task::Id, LeaseKey>,
    /// `true` while the worker is leaving: leases that still name it as owner are then adopted only to be released.
    leaving: bool,
    /// Where held leases go; `None` once the worker is leaving.
    offers: Option<Offers>,
    wanted: Arc<Semaphore>,
    /// Leases that name this worker while the program has not asked for them.
    unwanted: BTreeSet<LeaseKey>,
    lookout: Lookout,
    /// Rows that name this worker and cannot be used.
    odd: BTreeSet<LeaseKey>,
    /// When the whole table was last read, while its index does not exist.
    read_whole: Option<Tick>,
    table: TableWatch,
    lost_table: Arc<AtomicBool>,
    max_leases: usize,
    shutdown: Shutdown,
    /// The unfinished records of each shard.
    left: Left,
    rng: fastrand::Rng,
}

#[derive(Debug)]
enum Slot {
    /// A task holds the lease, or is adopting it. A finished one does not count against the limit: it has no reader.
    Busy { finished: Arc<AtomicBool> },
    /// The lease is lost, but the reader's task still runs: a shard is not read twice in one process (C7).
    Leaving { reader: Weak<Lease>, since: Tick },
}

impl Keeper {
    async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let mut look = interval_at(Instant::now(), FIND_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hints = Arc::clone(&self.hold.hints);
        let mut with_index = false;
        loop {
            // Ended leases first: a lease that is lost and found again must be known to be lost. Then the shutdown, then new
            // work.
            tokio::select! { biased;
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.ended(ended);
                    continue;
                }
                () = shutdown.begun() => break,
                unsure = self.lookout.looked() => {
                    hints.look_at(unsure);
                    continue;
                }
                () = hints.hinted() => {}
                () = is_wanted(&self.wanted), if !self.unwanted.is_empty() => {
                    hints.look_at(self.unwanted.pop_first());
                    continue;
                }
                _ = look.tick() => {
                    self.withdraw_offers();
                    self.hold.findings.remind();
                    with_index = true;
                }
            }
            // Finding leases can take long if the table is slow; a shutdown does not wait for it.
            tokio::select! { biased;
                () = shutdown.begun() => break,
                () = self.find(with_index) => with_index = false,
            }
        }
        self.leave().await;
    }

    /// Waits until each held lease is released by its reader, or by its renewer at the deadline. Then releases leases that
    /// still name this worker: a child that was just created in its name, or a lease assigned meanwhile.
    async fn leave(&mut self) {
        self.leaving = true;
        // Leases that no reader has taken are dropped now.
        self.offers = None;
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
        if timeout(self.hold.duration / 3, self.find(true)).await.is_err() {
            tracing::warn!(worker = %self.hold.me, "no time to look for leases that are still named as ours");
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Withdraws offers that have not been taken for a lease duration: the caller that asked was cancelled.
    fn withdraw_offers(&self) {
        let before = self.hold.clock.now() - self.hold.duration;
        let withdrawn = self.offers.as_ref().map_or(0, |offers| offers.withdraw_before(before));
        if withdrawn > 0 {
            tracing::warn!(worker = %self.hold.me, leases = withdrawn, "let go of leases that the program asked for and did not take");
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) {
        let ended = match ended {
            Ok((id, ended)) => {
                self.keys.remove(&id);
                ended
            }
            // Its renewals have ended; it expires like any dropped lease.
            Err(error) => {
                tracing::error!(%error, "the task of a lease panicked");
                if let Some(key) = self.keys.remove(&error.id()) {
                    self.held.remove(&key);
                }
                return;
            }
        };
        // A lease that could not be adopted was never read.
        if ended.reader.is_some() {
            self.note_left(&ended);
        }
        match ended.reader.filter(|reader| reader.strong_count() > 0) {
            Some(reader) => {
                let since = self.hold.clock.now();
                self.held.insert(ended.key.clone(), Slot::Leaving { reader, since })
            }
            None => self.held.remove(&ended.key),
        };
        if matches!(&ended.lost, LostReason::Taken { by: Some(by) } if *by == self.hold.me) {
            tracing::error!(
                lease = %ended.key, worker = %self.hold.me,
                "somebody else renews this lease under our worker ID: two processes that run share one, or a former life's last \
                 write has come late. Give each process a worker id of its own"
            );
        }
        tracing::info!(lease = %ended.key, worker = %self.hold.me, reason = ?ended.lost, "lease not held any more");
        if let Some(why) = ended.failed.why() {
            self.parked(&ended.key, why);
        }
        self.discoverer.lost(self.hold.clock.now(), ended.key, &ended.lost, ended.counter);
    }

    /// Reads the leases that may have become ours: those hinted at, and all that the index names.
    async fn find(&mut self, with_index: bool) {
        let mut keys = self.hold.hints.take();
        if with_index {
            let owned = self.owned().await;
            self.watch_table(&owned);
            match owned {
                Ok(Some(owned)) => {
                    self.note_named(&owned);
                    self.note_kept(&owned);
                    keys.extend(owned);
                }
                Ok(None) | Err(StoreError::NoTable(_)) => {}
                Err(error) => error.log("looking for our leases"),
            }
        }
        self.forget_kept();
        keys.retain(|key| !self.held.contains_key(key) && !self.unwanted.contains(key));
        let store = Arc::clone(&self.hold.store);
        let mut rows = stream::iter(keys)
            .map(|key| {
                let store = Arc::clone(&store);
                async move {
                    let row = store.read(&key).await;
                    (key, row)
                }
            })
            .buffered(READS_AT_A_TIME);
        let mut give_back = Vec::new();
        while let Some((key, row)) = rows.next().await {
            match row {
                Ok(Some(lease)) => match (self.discoverer.judge(self.hold.clock.now(), &lease), odd::oddity(&lease)) {
                    (Discovered::Wait | Discovered::NotOurs, _) => {}
                    (_, Some(problem)) => self.left_alone(key, &problem),
                    // A lease adopted only for its release needs no proof that it is our stream's: the row stays as it was
                    // found.
                    (Discovered::Adopt, None) if self.leaving => {
                        if !matches!(self.hold.belonging.judge_lease(&lease), Fit::Foreign(_)) {
                            give_back.push(lease);
                        }
                    }
                    (Discovered::Adopt, None) if self.lookout.admits(&lease) => self.consider(lease),
                    (Discovered::Adopt, None) => {}
                    (Discovered::GiveBack, None) => give_back.push(lease),
                },
                Ok(None) => {}
                Err(StoreError::Unreadable { problem }) => self.left_alone(key, &problem),
                Err(error) => error.log("reading a lease"),
            }
        }
        drop(rows);
        for lease in give_back {
            // A leader sees by this that we do not want the lease. If the write fails, the next call tries again.
            if let Err(error) = self.hold.store.evict(&lease.key, &lease.seen()).await {
                error.log("releasing a lease that this worker does not read");
            }
        }
        for key in self.discoverer.overcome(self.hold.clock.now()) {
            self.hold.findings.mended(FindingKind::ShardParked, &key);
        }
    }

    fn consider(&mut self, lease: Lease) {
        self.forget_odd(|key| *key != lease.key);
        // A finished lease needs no reader: it is only renewed until clean-up. Nor does a lease that is released at once.
        let finished = lease.checkpoint.is_shard_end();
        let place = match &self.offers {
            Some(offers) if !finished && !self.leaving => {
                if self.reading() >= self.max_leases {
                    tracing::warn!(lease = %lease.key, max_leases = self.max_leases, "not taking a lease beyond the limit");
                    return;
                }
                let Ok(permit) = Arc::clone(&self.wanted).try_acquire_owned() else {
                    tracing::info!(lease = %lease.key, "not taking a lease: the program has not asked for another shard");
                    self.unwanted.insert(lease.key);
                    return;
                };
                Some((permit, offers.offering()))
            }
            _ => None,
        };
        let finished = Arc::new(AtomicBool::new(finished));
        let rng = self.rng.fork();
        let key = lease.key.clone();
        self.held.insert(key.clone(), Slot::Busy { finished: Arc::clone(&finished) });
        let task = self.tasks.spawn(hold(self.hold.clone(), lease, place, self.shutdown.clone(), finished, rng));
        self.keys.insert(task.id(), key);
    }

    /// Returns how many leases are being read, or about to be.
    fn reading(&self) -> usize {
        let reads = |slot: &&Slot| !matches!(slot, Slot::Busy { finished } if finished.load(Ordering::Relaxed));
        self.held.values().filter(reads).count()
    }
}

/// Resolves when the program has asked for a lease and not yet received it. Cancel safe.
async fn is_wanted(wanted: &Semaphore) {
    match wanted.acquire().await {
        Ok(permit) => drop(permit),
        // The semaphore is never closed.
        Err(_) => std::future::pending().await,
    }
}

/// How often a worker looks for its leases. It cannot tell which worker leads, and a Java leader sends no hint. So it queries
/// the index every two seconds; the KCL does so every ten.
const FIND_EVERY: Duration = Duration::from_secs(2);

/// Enough for a worker of a thousand shards to start in seconds, without exceeding the throughput of a small table.
const READS_AT_A_TIME: usize = 16;
