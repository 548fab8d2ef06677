//! One stream: its state, its shards, and the change it is going through.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::bucket::{Bucket, Buckets};
use super::consumer::Consumers;
use super::rolling::RollingDay;
use super::sequence::SequenceNumber;
use super::shard::Shard;
use super::strategy::Distribution;
use super::tags::Tags;
use crate::clock::Tick;
use crate::dynamodb::settings::Lag;
use crate::limits::Limits;

#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) created: Tick,
    pub(crate) status: Status,
    /// What happens when the current state ends; `None` while ACTIVE.
    pub(crate) pending: Option<Pending>,
    /// By shard number, closed and trimmed ones included.
    pub(crate) shards: Vec<Shard>,
    pub(crate) mode: Mode,
    pub(crate) retention: Duration,
    /// What arrived before this had expired when the retention period was changed last.
    pub(crate) expired: Tick,
    pub(crate) max_record_size_kib: u32,
    pub(crate) shard_count_updates: RollingDay,
    pub(crate) mode_switches: RollingDay,
    pub(crate) distribution: Distribution,
    /// When the present window of observing an on-demand stream began.
    pub(crate) demand_since: Tick,
    /// When the expired records of all shards were last dropped.
    pub(crate) trimmed: Tick,
    /// Warm throughput, when it has been set.
    pub(crate) warm_mib_per_second: Option<u32>,
    /// Calls of the control plane that are counted stream by stream.
    pub(crate) control: Buckets,
    pub(crate) dry_runs: Bucket,
    pub(crate) consumers: Consumers,
    pub(crate) tags: Tags,
    pub(crate) encryption: Encryption,
    pub(crate) metrics: Metrics,
    pub(crate) lags: Lags,
    /// As JSON.
    pub(crate) policy: Option<String>,
}

/// A stream's server-side encryption.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encryption {
    /// As it was given; `None` without encryption.
    pub(crate) key: Option<String>,
    pub(crate) starts: RollingDay,
    pub(crate) stops: RollingDay,
}

/// The shard-level metrics that are switched on.
pub(crate) type Metrics = BTreeSet<&'static str>;

/// How far what is said of a stream lags behind what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lags {
    /// Of ListShards and DescribeStream.
    pub(crate) listing: Lag,
    /// From the birth of a shard until it can be read.
    pub(crate) birth: Lag,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Made, takes nothing yet.
    Creating,
    Active,
    /// Resharding; reads and writes go on.
    Updating,
    /// On its way out, takes nothing any more.
    Deleting,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Provisioned,
    OnDemand,
}

impl Mode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) due: Tick,
    pub(crate) change: Change,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create {
        ranges: Vec<(u128, u128)>,
    },
    Step(Step),
    /// Splits and merges, one after the other; then `shards` are open.
    Reshard {
        steps: VecDeque<Step>,
        shards: usize,
    },
    /// And then the shards that `warm` MiB a second need.
    Mode {
        mode: Mode,
        warm: Option<u32>,
    },
    Encryption {
        key: Option<String>,
    },
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// `at` is the first hash key of the second child.
    Split {
        parent: u32,
        at: u128,
    },
    Merge {
        parent: u32,
        adjacent: u32,
    },
}

impl Stream {
    /// Nobody may ever look at a shard again whose records have expired.
    fn trim_all(&mut self, now: Tick) {
        if now < self.trimmed.saturating_add(TRIM_PERIOD) {
            return;
        }
        self.trimmed = now;
        let horizon = self.trim_horizon(now);
        self.shards.iter_mut().for_each(|shard| shard.trim(horizon));
    }

    /// Makes the pending changes whose time has come. `opened` gives each new generation of shards its mark, see
    /// [`SequenceNumber`].
    pub(crate) fn settle(&mut self, now: Tick, opened: &mut u64, limits: &Limits, rng: &mut fastrand::Rng) -> Settled {
        self.consumers.settle(now);
        self.trim_all(now);
        loop {
            while let Some(pending) = self.pending.take_if(|pending| pending.due <= now) {
                let at = pending.due;
                match pending.change {
                    Change::Delete => return Settled::Gone,
                    Change::Reshard { mut steps, shards } => {
                        if let Some(step) = steps.pop_front() {
                            self.take_step(step, at, opened, limits, rng);
                        }
                        if !steps.is_empty() {
                            let due = at.saturating_add(limits.updating);
                            self.pending = Some(Pending { due, change: Change::Reshard { steps, shards } });
                            continue;
                        }
                    }
                    Change::Mode { mode, warm } => {
                        self.switch_mode(mode, warm, at);
                        if let Some(warm) = warm {
                            let change = self.reshard_to(&self.uniform_targets(shards_for(warm)));
                            self.pending = Some(Pending { due: at.saturating_add(limits.updating), change });
                            continue;
                        }
                    }
                    change => self.make(change, at, opened, limits, rng),
                }
                self.status = Status::Active;
            }
            if !self.watch_demand(now, limits) {
                return Settled::Stays;
            }
        }
    }

    fn make(&mut self, change: Change, at: Tick, opened: &mut u64, limits: &Limits, rng: &mut fastrand::Rng) {
        match change {
            Change::Create { ranges } => {
                // The shards are as old as the stream: its trim horizon begins when it was asked for.
                for range in ranges {
                    self.open(range, self.created, opened, limits);
                }
            }
            Change::Step(step) => self.take_step(step, at, opened, limits, rng),
            Change::Encryption { key } => self.encryption.key = key,
            Change::Mode { .. } | Change::Reshard { .. } | Change::Delete => {}
        }
    }

    fn take_step(&mut self, step: Step, at: Tick, opened: &mut u64, limits: &Limits, rng: &mut fastrand::Rng) {
        match step {
            Step::Split { parent, at: second } => {
                let (first, last) = self.close(parent, at, rng);
                for range in [(first, second - 1), (second, last)] {
                    self.open(range, at, opened, limits).parent = Some(parent);
                }
            }
            Step::Merge { parent, adjacent } => {
                let (a, b) = (self.close(parent, at, rng), self.close(adjacent, at, rng));
                let child = self.open((a.0, b.1), at, opened, limits);
                child.parent = Some(parent);
                child.adjacent_parent = Some(adjacent);
            }
        }
    }

    /// A split or merge of `index` must be in range here: requests were checked when they came, and no other change
    /// comes between.
    fn close(&mut self, index: u32, at: Tick, rng: &mut fastrand::Rng) -> (u128, u128) {
        let shard = &mut self.shards[index as usize];
        shard.close(at, rng);
        shard.range
    }

    fn open(&mut self, range: (u128, u128), at: Tick, opened: &mut u64, limits: &Limits) -> &mut Shard {
        *opened = (*opened + 1).max(at.as_millis() as u64);
        let starting = SequenceNumber { opened: *opened, counter: 0, shard: self.shards.len() as u32 };
        self.shards.push(Shard::new(starting, range, at, limits));
        self.shards.last_mut().expect("a shard was just pushed")
    }

    pub(crate) fn open_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.is_open())
    }

    /// Shards that still exist for a reader: open, or closed within the retention period.
    pub(crate) fn listed_shards(&self, now: Tick) -> impl Iterator<Item = &Shard> {
        let horizon = self.trim_horizon(now);
        self.shards.iter().filter(move |shard| !shard.is_gone(horizon))
    }

    pub(crate) fn children(&self, parent: u32) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |s| s.parent == Some(parent) || s.adjacent_parent == Some(parent))
    }

    /// The open shard that takes `hash`. Open shards cover all hash keys while the stream takes records.
    pub(crate) fn shard_for(&mut self, hash: u128) -> Option<&mut Shard> {
        self.shards.iter_mut().rev().find(|shard| shard.is_open() && shard.holds(hash))
    }

    pub(crate) fn takes_calls(&self) -> bool {
        matches!(self.status, Status::Active | Status::Updating)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Stays,
    Gone,
}

/// Between two rounds of dropping what has expired.
const TRIM_PERIOD: Duration = Duration::from_secs(60);

pub(crate) fn shards_for(mib_per_second: u32) -> u32 {
    mib_per_second.max(ON_DEMAND_SHARDS)
}

/// A new on-demand stream takes 4 MB/s: four shards.
pub(crate) const ON_DEMAND_SHARDS: u32 = 4;
