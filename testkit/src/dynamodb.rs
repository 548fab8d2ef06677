//! DynamoDB: dynoxide, and around it what it lacks: time in CREATING, limited throughput, reads that lag, backups.

mod backups;
mod capacity;
mod engine;
mod guard;
mod replica;
mod request;
pub(crate) mod settings;
mod states;
mod tables;
mod units;
pub(crate) mod writes;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use self::backups::Backups;
use self::capacity::Capacity;
use self::engine::Engine;
use self::replica::Replica;
use self::request::Place;
pub(crate) use self::request::arn;
use self::settings::{Settings, TableSettings};
use self::states::{States, index_updates};
use self::writes::{Write, Writes};
use crate::clock::{Clock, Tick};
use crate::refusal::Refusal;
use crate::service_error::ServiceError;

pub(crate) struct DynamoDb {
    clock: Clock,
    /// One lock: a call and what it does to the copies happen at one point in time.
    inside: Mutex<Inside>,
}

struct Inside {
    clock: Clock,
    engine: Engine,
    backups: Backups,
    settings: Settings,
    states: States,
    capacity: Capacity,
    /// What index queries are answered from, while any index lags.
    indexes: Option<Replica>,
    /// What eventually consistent reads of tables are answered from, while any table lags.
    reads: Option<Replica>,
    writes: Writes,
    rng: fastrand::Rng,
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDb").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl DynamoDb {
    pub(crate) fn new(clock: Clock, seed: u64) -> Self {
        let inside = Inside {
            clock,
            engine: Engine::new(clock, seed),
            backups: Backups::default(),
            settings: Settings::default(),
            states: States::default(),
            capacity: Capacity::default(),
            indexes: None,
            reads: None,
            writes: Writes::default(),
            rng: fastrand::Rng::with_seed(seed),
        };
        Self { clock, inside: Mutex::new(inside) }
    }

    /// Answers one request, now and at once. `by` is the worker that sent it.
    pub(crate) fn call(&self, operation: &str, body: &[u8], by: Option<&Arc<str>>) -> Result<Vec<u8>, ServiceError> {
        let now = self.clock.tick();
        let mut inside = self.lock();
        inside.settle(now)?;
        inside.call(operation, body, by, now)
    }

    /// Keeps the newest writes of a table from now on, so many of them.
    pub(crate) fn keep_writes(&self, table: &str, most: usize) {
        self.lock().writes.keep(table, most);
    }

    /// The writes of a table that are kept.
    pub(crate) fn writes(&self, table: &str) -> Vec<Write> {
        self.lock().writes.of(table)
    }

    /// Changes the settings of one table, or of all that have none of their own.
    pub(crate) fn set(&self, table: Option<&str>, change: impl FnOnce(&mut TableSettings)) -> Result<(), ServiceError> {
        let now = self.clock.tick();
        let mut inside = self.lock();
        inside.settle(now)?;
        change(inside.settings.of(table));
        inside.apply_settings(table, now)
    }

    /// All items of a table in the order of their keys, whatever state, lag or limit it has.
    pub(crate) fn items(&self, table: &str) -> Result<Vec<Value>, ServiceError> {
        let mut inside = self.lock();
        inside.settle(self.clock.tick())?;
        let names = inside.engine.key_names(table);
        let mut items = inside.engine.items(table)?;
        items.sort_by_cached_key(|item| Place::of(table, item, &names).map(|place| place.key.to_string()));
        Ok(items)
    }

    /// What `change` does to a table from outside: seen by stale reads as late as any write.
    pub(crate) fn edit(&self, operation: &str, request: &Value) -> Result<Value, ServiceError> {
        let now = self.clock.tick();
        let mut inside = self.lock();
        inside.settle(now)?;
        let places = inside.places(request);
        let kept = inside.writes.places(&inside.engine, operation, request);
        let answer = inside.engine.ask(operation, request)?;
        let Inside { engine, writes, .. } = &mut *inside;
        writes.note(engine, None, (operation, kept), &[], now)?;
        inside.tell_replicas(places, now)?;
        Ok(answer)
    }

    pub(crate) fn key_names(&self, table: &str) -> Vec<String> {
        self.lock().engine.key_names(table)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Lets happen what was to happen until now.
    fn settle(&mut self, now: Tick) -> Result<(), ServiceError> {
        for table in self.states.settle(now) {
            self.drop_table(&table)?;
        }
        for replica in [&mut self.indexes, &mut self.reads].into_iter().flatten() {
            replica.catch_up(now)?;
        }
        Ok(())
    }

    fn call(
        &mut self,
        operation: &str,
        body: &[u8],
        by: Option<&Arc<str>>,
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        let mut request: Value = match serde_json::from_slice(body) {
            Ok(request) => request,
            Err(error) if OWN.contains(&operation) => return Err(Refusal::serialization(error.to_string()).into()),
            Err(_) => return self.engine.call(operation, body),
        };
        let renamed = request::name_tables(&mut request).then(|| request.to_string());
        let body = renamed.as_ref().map_or(body, |text| text.as_bytes());
        self.states.check(operation, &request)?;
        match operation {
            "CreateTable" | "UpdateTable" | "DescribeTable" | "DeleteTable" => {
                self.call_table(operation, &request, body, now)
            }
            "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems" => {
                let places = if self.has_replicas() { self.places(&request) } else { Vec::new() };
                let kept = self.writes.places(&self.engine, operation, &request);
                let answer = self.guarded_write(operation, &request, body, now)?;
                self.writes.note(&self.engine, by, (operation, kept), &answer, now)?;
                self.tell_replicas(places, now)?;
                Ok(answer)
            }
            "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems" => {
                self.guarded_read(operation, &request, body, now)
            }
            "UpdateContinuousBackups" => {
                let Self { backups, engine, states, .. } = self;
                backups.update(&request, |table| engine.has_table(table), |table| states.is_creating(table), now)
            }
            "DescribeContinuousBackups" => self.backups.describe(&request, |table| self.engine.has_table(table), now),
            "DescribeLimits" => Ok(limits()),
            _ => self.engine.call(operation, body),
        }
    }

    fn call_table(
        &mut self,
        operation: &str,
        request: &Value,
        body: &[u8],
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        let name = request::table(request).unwrap_or_default().to_owned();
        if operation == "DeleteTable" {
            return self.delete_table(&name, body, now);
        }
        let answer = self.engine.call(operation, body)?;
        let mut answer: Value = serde_json::from_slice(&answer).expect("answers are JSON");
        match operation {
            "CreateTable" => {
                let creating = self.settings.creating(&name);
                if !creating.is_zero() {
                    self.states.created(&name, now.saturating_add(creating));
                }
                self.changed_table(&name)?;
            }
            "UpdateTable" => {
                let creating = self.settings.index_creating(&name);
                if !creating.is_zero() {
                    self.states.updated(request, now.saturating_add(creating));
                }
                let indexes = ["Create", "Delete"].into_iter().flat_map(|kind| index_updates(request, kind)).count();
                if indexes > 0 {
                    self.changed_table(&name)?;
                } else if let Some(description) = self.engine.describe(&name)? {
                    self.capacity.describe(&description);
                }
            }
            _ => {}
        }
        for member in ["Table", "TableDescription"] {
            if let Some(description) = answer.get_mut(member) {
                self.states.describe(description);
            }
        }
        Ok(answer.to_string().into_bytes())
    }

    fn delete_table(&mut self, table: &str, body: &[u8], now: Tick) -> Result<Vec<u8>, ServiceError> {
        let deleting = self.settings.deleting(table);
        let description = self.engine.describe(table)?;
        let protected = description.as_ref().is_some_and(|own| own["DeletionProtectionEnabled"] == json!(true));
        match description {
            Some(mut description) if !deleting.is_zero() && !protected => {
                if !self.states.is_deleting(table) {
                    self.states.deleted(table, now.saturating_add(deleting));
                }
                self.states.describe(&mut description);
                Ok(json!({ "TableDescription": description }).to_string().into_bytes())
            }
            _ => {
                let answer = self.engine.call("DeleteTable", body)?;
                self.forget_table(table)?;
                Ok(answer)
            }
        }
    }

    fn drop_table(&mut self, table: &str) -> Result<(), ServiceError> {
        self.engine.ask("DeleteTable", &json!({ "TableName": table }))?;
        self.forget_table(table)
    }

    fn forget_table(&mut self, table: &str) -> Result<(), ServiceError> {
        self.backups.forget(table);
        self.capacity.forget(table);
        self.adopt(table)
    }

    /// A table is new or has other indexes.
    fn changed_table(&mut self, table: &str) -> Result<(), ServiceError> {
        if let Some(description) = self.engine.describe(table)? {
            self.capacity.describe(&description);
        }
        self.adopt(table)
    }

    fn adopt(&mut self, table: &str) -> Result<(), ServiceError> {
        let Self { engine, indexes, reads, .. } = self;
        [indexes, reads].into_iter().flatten().try_for_each(|replica| replica.adopt(engine, table))
    }

    fn apply_settings(&mut self, table: Option<&str>, now: Tick) -> Result<(), ServiceError> {
        self.capacity.refill(table);
        let wanted =
            [self.settings.any_lag(|settings| settings.index_lag), self.settings.any_lag(|settings| settings.read_lag)];
        let Self { engine, indexes, reads, clock, settings, .. } = self;
        for (wanted, replica) in wanted.into_iter().zip([&mut *indexes, &mut *reads]) {
            match (wanted, &replica) {
                (true, None) => *replica = Some(Replica::of(engine, *clock)?),
                (false, _) => *replica = None,
                (true, Some(_)) => {}
            }
        }
        // What no longer lags has seen everything.
        for name in engine.table_names()?.iter().filter(|name| table.is_none_or(|table| table == name.as_str())) {
            let lags = [settings.index_lag(name), settings.read_lag(name)];
            for (lag, replica) in lags.into_iter().zip([&mut *indexes, &mut *reads]) {
                if let (settings::Lag::None, Some(replica)) = (lag, replica) {
                    replica.see_all(name);
                    replica.catch_up(now)?;
                }
            }
        }
        Ok(())
    }

    const fn has_replicas(&self) -> bool {
        self.indexes.is_some() || self.reads.is_some()
    }

    fn places(&self, request: &Value) -> Vec<Place> {
        request::places(request, |table| self.engine.key_names(table))
    }

    /// The copies hear what the items at these places are now.
    fn tell_replicas(&mut self, places: Vec<Place>, now: Tick) -> Result<(), ServiceError> {
        if !self.has_replicas() {
            return Ok(());
        }
        for place in places {
            let image = self.engine.item(&place)?;
            let lags = [self.settings.index_lag(&place.table), self.settings.read_lag(&place.table)];
            for (lag, replica) in lags.into_iter().zip([&mut self.indexes, &mut self.reads]) {
                if let Some(replica) = replica {
                    replica.wrote(place.clone(), image.clone(), lag.draw(&mut self.rng), now);
                }
            }
        }
        for replica in [&mut self.indexes, &mut self.reads].into_iter().flatten() {
            replica.catch_up(now)?;
        }
        Ok(())
    }
}

/// Operations that dynoxide does not know.
pub(crate) const OWN: [&str; 3] = ["UpdateContinuousBackups", "DescribeContinuousBackups", "DescribeLimits"];

/// DescribeLimits: the quotas that an account starts with.
fn limits() -> Vec<u8> {
    let answer = json!({
        "AccountMaxReadCapacityUnits": 80_000,
        "AccountMaxWriteCapacityUnits": 80_000,
        "TableMaxReadCapacityUnits": 40_000,
        "TableMaxWriteCapacityUnits": 40_000,
    });
    answer.to_string().into_bytes()
}
