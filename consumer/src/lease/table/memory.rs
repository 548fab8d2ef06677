//! A lease table in memory: for one process, for tests, and as the port's plainest reading.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::lease::table::lease::{Checkpoint, Lease, LeaseKey, Owners, Seen, WorkerId};
use crate::lease::table::store::{
    Binding, Claim, Entry, LeaderLock, LeaseStore, PrepareError, Renewal, Rows, StoreError, UnixSeconds, WorkerReport,
    WorkerRow, Written,
};
use crate::shard::ShardId;

/// A lease table that lives as long as its last clone: workers that hold clones of one store share their leases.
///
/// Nothing survives the process, so an application that needs its checkpoints tomorrow wants another store.
#[derive(Clone, Debug, Default)]
pub struct MemoryLeaseStore {
    /// A std mutex: held for one verb, never across an await.
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    leases: BTreeMap<LeaseKey, Lease>,
    workers: BTreeMap<WorkerId, WorkerRow>,
    leader: Option<LeaderLock>,
    /// Once it is prepared: the stream that it belongs to, if it is bound.
    binding: Option<Option<String>>,
}

impl MemoryLeaseStore {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the lease if `holds` says so.
    fn update(
        &self,
        key: &LeaseKey,
        holds: impl FnOnce(&Lease) -> bool,
        change: impl FnOnce(&mut Lease),
    ) -> Result<Written, StoreError> {
        let mut table = self.table();
        let Some(lease) = table.leases.get_mut(key) else { return Ok(Written::Refused(None)) };
        if !holds(lease) {
            return Ok(Written::Refused(Some(Box::new(lease.clone()))));
        }
        change(lease);
        Ok(Written::Accepted(Some(Box::new(lease.clone()))))
    }
}

#[async_trait]
impl LeaseStore for MemoryLeaseStore {
    async fn prepare(&self, entry: Entry<'_>) -> Result<(), PrepareError> {
        let mut table = self.table();
        table.binding.get_or_insert_with(|| entry.stream.map(str::to_owned));
        Ok(())
    }

    async fn binding(&self) -> Result<Binding, StoreError> {
        Ok(match &self.table().binding {
            None => Binding::New,
            Some(None) => Binding::Unbound,
            Some(Some(stream)) => Binding::To(stream.clone()),
        })
    }

    async fn bind(&self, claim: Claim<'_>) -> Result<bool, StoreError> {
        let mut table = self.table();
        let holds = table.binding.as_ref().and_then(Option::as_deref) == claim.in_place_of;
        if holds {
            table.binding = Some(Some(claim.stream.to_owned()));
        }
        Ok(holds)
    }

    async fn delete_foreign(&self, key: &LeaseKey, stream: &str) -> Result<Written, StoreError> {
        let mut table = self.table();
        match table.leases.get(key) {
            Some(lease) if lease.bound_to.as_deref() == Some(stream) => {
                Ok(Written::Refused(Some(Box::new(lease.clone()))))
            }
            _ => {
                table.leases.remove(key);
                Ok(Written::Accepted(None))
            }
        }
    }

    async fn scan(&self) -> Result<Rows, StoreError> {
        let table = self.table();
        Ok(Rows {
            leases: table.leases.values().cloned().collect(),
            workers: table.workers.values().cloned().collect(),
            unreadable: Vec::new(),
        })
    }

    async fn owned_by(&self, worker: &WorkerId) -> Result<Vec<LeaseKey>, StoreError> {
        let table = self.table();
        Ok(table
            .leases
            .values()
            .filter(|lease| lease.owner.as_ref() == Some(worker))
            .map(|lease| lease.key.clone())
            .collect())
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        Ok(self.table().leases.get(key).cloned())
    }

    async fn create(&self, lease: &Lease) -> Result<Written, StoreError> {
        let mut table = self.table();
        if let Some(existing) = table.leases.get(&lease.key) {
            return Ok(Written::Refused(Some(Box::new(existing.clone()))));
        }
        table.leases.insert(lease.key.clone(), lease.clone());
        Ok(Written::Accepted(Some(Box::new(lease.clone()))))
    }

    async fn renew(&self, renewal: Renewal<'_>) -> Result<Written, StoreError> {
        let holds = |lease: &Lease| is_held_by(lease, renewal) && (renewal.in_handoff || !lease.in_handoff());
        self.update(renewal.key, holds, |lease| renew(lease, renewal))
    }

    async fn checkpoint(&self, renewal: Renewal<'_>, checkpoint: &Checkpoint) -> Result<Written, StoreError> {
        if *checkpoint == Checkpoint::Missing {
            return Err(StoreError::Refused {
                operation: "checkpoint",
                source: "there is no position to store".into(),
            });
        }
        self.update(
            renewal.key,
            |lease| is_held_by(lease, renewal),
            |lease| {
                renew(lease, renewal);
                lease.checkpoint = checkpoint.clone();
                lease.owner_switches = 0;
                lease.pending = None;
            },
        )
    }

    async fn assign(&self, key: &LeaseKey, seen: &Seen, to: &WorkerId) -> Result<Written, StoreError> {
        self.update(
            key,
            |lease| is_as_seen(lease, seen),
            |lease| {
                let from_another = lease.owner.as_ref().is_some_and(|owner| owner != to);
                let back_again = lease.checkpoint_owner.as_ref() == Some(to);
                lease.owner_switches += u64::from(from_another || back_again);
                lease.owner = Some(to.clone());
                lease.checkpoint_owner = None;
                lease.counter += 1;
            },
        )
    }

    async fn start_handoff(&self, key: &LeaseKey, from: &WorkerId, to: &WorkerId) -> Result<Written, StoreError> {
        let seen = Owners { owner: Some(from.clone()), checkpoint_owner: None };
        self.update(
            key,
            |lease| lease.owners() == seen,
            |lease| {
                lease.checkpoint_owner = lease.owner.replace(to.clone());
            },
        )
    }

    async fn evict(&self, key: &LeaseKey, seen: &Seen) -> Result<Written, StoreError> {
        self.update(
            key,
            |lease| is_as_seen(lease, seen),
            |lease| {
                if lease.checkpoint_owner.take().is_none() {
                    lease.owner = None;
                }
                lease.counter += 1;
            },
        )
    }

    async fn set_children(
        &self,
        key: &LeaseKey,
        holder: &WorkerId,
        children: &[ShardId],
    ) -> Result<Written, StoreError> {
        self.update(
            key,
            |lease| lease.actual_owner() == Some(holder),
            |lease| {
                if !children.is_empty() {
                    lease.children = children.to_vec();
                    lease.children.sort();
                    lease.children.dedup();
                }
            },
        )
    }

    async fn delete_finished(&self, key: &LeaseKey) -> Result<Written, StoreError> {
        let mut table = self.table();
        match table.leases.get(key) {
            Some(lease) if !lease.checkpoint.is_shard_end() => Ok(Written::Refused(Some(Box::new(lease.clone())))),
            _ => {
                table.leases.remove(key);
                Ok(Written::Accepted(None))
            }
        }
    }

    async fn report(&self, report: &WorkerReport) -> Result<(), StoreError> {
        let WorkerReport { worker, now, heartbeat_interval, handoff_time } = report.clone();
        let heartbeat_interval = Some(heartbeat_interval);
        let row = WorkerRow { heartbeat_interval, handoff_time, ..WorkerRow::new(worker.clone(), now) };
        self.table().workers.insert(worker, row);
        Ok(())
    }

    async fn withdraw(&self, worker: &WorkerId, last_update: Option<UnixSeconds>) -> Result<(), StoreError> {
        let mut table = self.table();
        let unchanged = table.workers.get(worker).is_some_and(|row| row.last_update == last_update);
        if last_update.is_none() || unchanged {
            table.workers.remove(worker);
        }
        Ok(())
    }

    async fn leader(&self) -> Result<Option<LeaderLock>, StoreError> {
        Ok(self.table().leader.clone())
    }

    async fn take_leadership(&self, lock: &LeaderLock, seen: Option<&LeaderLock>) -> Result<bool, StoreError> {
        let mut table = self.table();
        let free = table.leader.as_ref().map(|lock| &lock.version) == seen.map(|lock| &lock.version);
        if free {
            table.leader = Some(lock.clone());
        }
        Ok(free)
    }

    async fn renew_leadership(&self, held: &LeaderLock, next: &LeaderLock) -> Result<bool, StoreError> {
        let mut table = self.table();
        let Some(lock) = table.leader.as_mut().filter(|lock| is_held(lock, held)) else { return Ok(false) };
        lock.version.clone_from(&next.version);
        lock.duration = next.duration;
        Ok(true)
    }

    async fn release_leadership(&self, held: &LeaderLock) -> Result<bool, StoreError> {
        let mut table = self.table();
        let ours = table.leader.as_ref().is_some_and(|lock| is_held(lock, held));
        if ours {
            table.leader = None;
        }
        Ok(ours)
    }
}

fn is_held_by(lease: &Lease, renewal: Renewal<'_>) -> bool {
    lease.counter == renewal.counter && lease.actual_owner() == Some(renewal.holder)
}

fn renew(lease: &mut Lease, renewal: Renewal<'_>) {
    lease.counter = renewal.next;
    if renewal.throughput_kib_per_s.is_some() {
        lease.throughput_kib_per_s = renewal.throughput_kib_per_s;
    }
}

fn is_as_seen(lease: &Lease, seen: &Seen) -> bool {
    lease.owners() == seen.owners && seen.counter.is_none_or(|counter| lease.counter == counter)
}

fn is_held(lock: &LeaderLock, held: &LeaderLock) -> bool {
    lock.version == held.version && lock.owner == held.owner
}
