//! A model of Kinesis Data Streams: one file an operation family, with time, limits and randomness as inputs.

pub(crate) mod account;
mod bucket;
mod commitment;
mod consumer;
mod consumers;
mod control;
pub(crate) mod create;
mod demand;
mod describe;
pub(crate) mod dispatch;
mod distribution;
mod dry_run;
mod encryption;
pub(crate) mod entry;
mod event_stream;
pub(crate) mod hash_key;
mod iterator;
mod lags;
mod list;
mod load;
mod mode;
mod monitoring;
pub(crate) mod names;
mod policy;
mod position;
pub(crate) mod put;
mod read;
mod record_size;
mod register;
pub(crate) mod reshard;
mod resource;
mod retention;
mod rolling;
mod seat;
mod sequence;
mod settings;
pub(crate) mod shard;
pub(crate) mod shard_count;
mod strategy;
pub(crate) mod stream;
mod subscribe;
mod subscription;
mod tagging;
mod tags;
mod token;
mod warm;

use std::sync::{Mutex, MutexGuard, PoisonError};

use self::account::Account;
use crate::clock::{Clock, Tick};
use crate::limits::Limits;

#[derive(Debug)]
pub(crate) struct Kinesis {
    clock: Clock,
    account: Mutex<Account>,
}

impl Kinesis {
    pub(crate) fn new(clock: Clock, limits: Limits, seed: u64) -> Self {
        Self { clock, account: Mutex::new(Account::new(limits, seed)) }
    }

    /// Runs `f` on the account as it is now.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Account, Tick) -> T) -> T {
        let now = self.clock.tick();
        let mut account = self.lock();
        account.settle(now);
        let answer = f(&mut account, now);
        account.ring();
        answer
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn now(&self) -> Tick {
        self.clock.tick()
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
