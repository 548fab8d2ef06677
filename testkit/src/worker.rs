//! One worker's side of the network: its faults, its connections, its call log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::calls::{CallLog, Calls, Outcome};
use crate::clock::Off;
use crate::exchange::Digest;
use crate::faults::{Fault, Plan, Script};
use crate::freeze::Freezing;
use crate::service::{Service, Target};

#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) name: Arc<str>,
    script: Mutex<Script>,
    log: Mutex<CallLog>,
    pub(crate) freezing: Freezing,
    /// Somebody has connected under this name.
    connected: AtomicBool,
    /// How far its date is off.
    off: Mutex<Off>,
    /// How long its credentials last; none when for ever.
    credentials_last: Mutex<Option<Duration>>,
    /// Connections that are open and not in use, per service.
    idle: [AtomicU64; 2],
}

impl Worker {
    /// A worker whose chance comes from the cloud's seed and its name alone: no other worker's calls change it.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self { name: name.into(), script: Mutex::new(Script::of(seed, name)), ..Self::default() }
    }

    pub(crate) fn connect(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// What was asked for and has happened to no call, a line each.
    pub(crate) fn unused_faults(&self) -> Vec<String> {
        let who = match self.has_connected() {
            true => format!("worker {}", self.name),
            false => format!("worker {}, under whose name nobody has connected", self.name),
        };
        let frozen = !self.has_connected() && self.freezing.ever();
        let mut unused: Vec<_> = frozen.then(|| format!("{who}: freeze")).into_iter().collect();
        self.script(|script| unused.extend(script.unused().map(|injection| format!("{who}: {injection}"))));
        unused
    }

    pub(crate) fn set_clock(&self, off: Off) {
        *lock(&self.off) = off;
    }

    pub(crate) fn clock_is_off(&self) -> Off {
        *lock(&self.off)
    }

    pub(crate) fn set_credentials_last(&self, time: Option<Duration>) {
        *lock(&self.credentials_last) = time;
    }

    pub(crate) fn credentials_last(&self) -> Option<Duration> {
        *lock(&self.credentials_last)
    }

    pub(crate) fn script<T>(&self, f: impl FnOnce(&mut Script) -> T) -> T {
        f(&mut lock(&self.script))
    }

    /// What happens to a call that is made `now`, counted from the making of the cloud.
    pub(crate) fn plan(&self, target: &Target, now: Duration) -> Plan {
        self.script(|script| script.plan(target.service, &target.operation, now))
    }

    /// What befalls the worker when it asks for its credentials `now`, counted from the making of the cloud.
    pub(crate) fn credentials_fault(&self, now: Duration) -> Option<Fault> {
        self.script(|script| script.credentials(now))
    }

    /// Whether an answer that arrives now is lost for good; if so, that has happened.
    pub(crate) fn swallows_answers(&self, target: &Target, now: Duration) -> bool {
        self.script(|script| script.swallows_answers(target.service, &target.operation, now))
    }

    pub(crate) fn begin(&self, at: Duration, order: u64, target: &Target) -> u64 {
        lock(&self.log).begin(at, order, target.service, &target.operation)
    }

    pub(crate) fn end(&self, number: u64, outcome: Outcome, answer: Option<Digest>) {
        lock(&self.log).end(number, outcome, answer);
    }

    pub(crate) fn broke_off(&self, number: u64, outcome: Outcome) {
        lock(&self.log).broke_off(number, outcome);
    }

    pub(crate) fn heard(&self, number: u64, bytes: &[u8]) {
        lock(&self.log).heard(number, bytes);
    }

    pub(crate) fn calls(&self) -> Calls {
        lock(&self.log).snapshot()
    }

    pub(crate) fn clear_calls(&self) {
        lock(&self.log).clear();
    }

    /// Takes an idle connection, if there is one.
    pub(crate) fn take_connection(&self, service: Service) -> bool {
        let less = |n: u64| n.checked_sub(1);
        self.idle[service as usize].fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Closes the idle connections; there is none then.
    pub(crate) fn lose_connections(&self, service: Service) -> bool {
        self.idle[service as usize].store(0, Ordering::Relaxed);
        false
    }

    pub(crate) fn return_connection(&self, service: Service) {
        self.idle[service as usize].fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
