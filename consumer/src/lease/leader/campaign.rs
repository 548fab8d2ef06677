//! The loop around the leader's lock: read, take, hold, release.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};

use crate::clock::{Clock, Tick};
use crate::lease::StoreError;
use crate::lease::holder::held::HoldContext;
use crate::lease::leader::lock::{LeaderRole, Leadership, Look, Outcome};
use crate::lease::table::store::LeaseStore;

pub(super) struct Campaign {
    store: Arc<dyn LeaseStore>,
    clock: Arc<Clock>,
    lock: Leadership,
    role: watch::Sender<LeaderRole>,
    /// Notified when this worker cannot do a leader's work.
    resign: Arc<Notify>,
    rng: fastrand::Rng,
}

impl Campaign {
    pub(super) fn new(hold: &HoldContext) -> Self {
        Self {
            store: Arc::clone(&hold.store),
            clock: Arc::clone(&hold.clock),
            lock: Leadership::new(hold.me.clone(), LOCK_DURATION),
            role: watch::channel(LeaderRole::Following).0,
            resign: Arc::default(),
            rng: fastrand::Rng::with_seed(hold.seed ^ SEED),
        }
    }

    pub(super) fn role(&self) -> watch::Receiver<LeaderRole> {
        self.role.subscribe()
    }

    pub(super) fn resign(&self) -> Arc<Notify> {
        Arc::clone(&self.resign)
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut next, resign) = (self.clock.now(), Arc::clone(&self.resign));
        loop {
            // The stop first: a heartbeat after it would make the next leader wait.
            let resigns = tokio::select! { biased;
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                () = resign.notified() => true,
                () = sleep_until(self.clock.instant(next)) => false,
            };
            if resigns {
                self.release().await;
                self.lock.forget();
                next = self.clock.now() + AWAY;
                continue;
            }
            next = self.step().await;
            self.publish();
        }
        self.release().await;
    }

    /// Sends a heartbeat or reads the lock; returns when the next step is due.
    async fn step(&mut self) -> Tick {
        let sent = self.clock.now();
        let mut rng = self.rng.clone();
        if let Some((held, next)) = self.lock.next_heartbeat(sent, || version(&mut rng)) {
            self.rng = rng;
            let outcome = self.write("renewing the leader's lock", self.store.renew_leadership(&held, &next)).await;
            if !self.lock.beat(sent, next, outcome) {
                let due = self.lock.next_heartbeat_at().unwrap_or(sent);
                return due.max(self.clock.now() + RETRY);
            }
        }
        let failed = self.look().await;
        let now = self.clock.now();
        if failed {
            return now + RETRY;
        }
        if let (LeaderRole::Leading { .. }, Some(heartbeat)) = (self.lock.role(now), self.lock.next_heartbeat_at()) {
            return heartbeat.max(now + RETRY);
        }
        let look = now + LOOK.mul_f64(0.9 + 0.2 * self.rng.f64());
        self.lock.runs_out().filter(|out| *out > now).map_or(look, |out| look.min(out))
    }

    /// Reads the lock, and takes it if it can be taken. Returns `true` if that failed for now.
    async fn look(&mut self) -> bool {
        let found = match timeout(CALL, self.store.leader()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                error.log("looking at the leader's lock");
                return false;
            }
            Err(_) => {
                tracing::warn!("looking at the leader's lock got no answer");
                return false;
            }
        };
        let Look::Take { seen } = self.lock.looked(self.clock.now(), found) else { return false };
        let mut rng = self.rng.clone();
        let lock = self.lock.next_take(|| version(&mut rng));
        self.rng = rng;
        let sent = self.clock.now();
        let outcome = self.write("taking the leader's lock", self.store.take_leadership(&lock, seen.as_ref())).await;
        self.lock.took(sent, lock, outcome);
        matches!(outcome, Outcome::NotWritten | Outcome::Unknown)
    }

    async fn write(&self, what: &'static str, write: impl Future<Output = Result<bool, StoreError>> + Send) -> Outcome {
        match timeout(CALL, write).await {
            Ok(Ok(true)) => Outcome::Accepted,
            Ok(Ok(false)) => Outcome::Refused,
            Ok(Err(error)) => {
                error.log(what);
                if error.is_unknown() { Outcome::Unknown } else { Outcome::NotWritten }
            }
            Err(_) => Outcome::Unknown,
        }
    }

    fn publish(&self) {
        let role = self.lock.role(self.clock.now());
        self.role.send_if_modified(|before| {
            if std::mem::discriminant(before) != std::mem::discriminant(&role) {
                tracing::info!(?role, "role towards the leader's lock");
            }
            let changed = *before != role;
            *before = role;
            changed
        });
    }

    /// Deletes the lock, so that the next worker to read it leads.
    async fn release(&self) {
        self.role.send_replace(LeaderRole::Following);
        for lock in self.lock.ours() {
            match timeout(CALL, self.store.release_leadership(lock)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => error.log("releasing the leader's lock"),
                Err(_) => tracing::warn!("releasing the leader's lock got no answer"),
            }
        }
    }
}

/// Returns a random UUID, in the format of the KCL's lock client.
fn version(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..);
    let [time_low, time_mid, time_high, clock, node] =
        [(96, 32), (80, 16), (64, 16), (48, 16), (0, 48)].map(|(shift, width)| (bits >> shift) & ((1 << width) - 1));
    format!("{time_low:08x}-{time_mid:04x}-4{:03x}-{:04x}-{node:012x}", time_high & 0xfff, 0x8000 | (clock & 0x3fff))
}

/// A crashed leader is replaced after this and two reads. In the KCL this takes 120 s, which its users suffer from most.
pub(super) const LOCK_DURATION: Duration = Duration::from_secs(10);
/// How often a candidate reads the lock, plus or minus a tenth, so that candidates that started together do not read together.
const LOOK: Duration = Duration::from_secs(2);
/// A worker that could not lead leaves the lock to others for two of their reads. If there are no others, it tries again.
const AWAY: Duration = Duration::from_secs(5);
/// A heartbeat without a response is repeated after this: three fit into a lock's duration.
const CALL: Duration = Duration::from_secs(2);
/// The pause after a heartbeat or a take that failed.
const RETRY: Duration = Duration::from_millis(200);
/// Separates the random numbers here from those of the worker's other tasks.
const SEED: u64 = 0x6c65_6164;
