//! A copy of all tables that sees each write some time later: what stale reads are answered from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::engine::Engine;
use super::request::Place;
use crate::clock::{Clock, Tick};
use crate::service_error::ServiceError;

/// Keeps the writes that it has not seen yet, and nothing of the past: as much as is written within the lag.
pub(crate) struct Replica {
    engine: Engine,
    /// By the time when they are seen, and in their order.
    pending: BTreeMap<(Tick, u64), (Place, Option<Value>)>,
    /// When the last pending write of an item is seen: an older image must not come after it.
    last: BTreeMap<String, Tick>,
    writes: u64,
}

impl Replica {
    /// A copy of all that `primary` holds now.
    pub(crate) fn of(primary: &Engine, clock: Clock) -> Result<Self, ServiceError> {
        let engine = Engine::new(clock, 0);
        let mut replica = Self { engine, pending: BTreeMap::new(), last: BTreeMap::new(), writes: 0 };
        for table in primary.table_names()? {
            replica.adopt(primary, &table)?;
        }
        Ok(replica)
    }

    /// Makes a table anew from its present state, or drops it when it is gone.
    pub(crate) fn adopt(&mut self, primary: &Engine, table: &str) -> Result<(), ServiceError> {
        self.pending.retain(|_, (place, _)| place.table != table);
        let kept: Vec<String> = self.pending.values().map(|(place, _)| label(place)).collect();
        self.last.retain(|label, _| kept.contains(label));
        if self.engine.has_table(table) {
            self.engine.ask("DeleteTable", &json!({ "TableName": table }))?;
        }
        let Some(description) = primary.describe(table)? else { return Ok(()) };
        self.engine.ask("CreateTable", &create_request(&description))?;
        for item in primary.items(table)? {
            self.engine.put(table, &item)?;
        }
        Ok(())
    }

    /// A write that is to be seen `lag` after `now`: the item as it is since then, `None` when it is gone.
    pub(crate) fn wrote(&mut self, place: Place, image: Option<Value>, lag: Duration, now: Tick) {
        let label = label(&place);
        let due = now.saturating_add(lag).max(self.last.get(&label).copied().unwrap_or_default());
        self.last.insert(label, due);
        self.writes += 1;
        self.pending.insert((due, self.writes), (place, image));
    }

    /// Sees what is due.
    pub(crate) fn catch_up(&mut self, now: Tick) -> Result<(), ServiceError> {
        while let Some(entry) = self.pending.first_entry() {
            let (due, _) = *entry.key();
            if now < due {
                break;
            }
            let (place, image) = entry.remove();
            let label = label(&place);
            if self.last.get(&label) == Some(&due) {
                self.last.remove(&label);
            }
            self.engine.restore(&place, image.as_ref())?;
        }
        Ok(())
    }

    /// Lets all writes of `table` be due.
    pub(crate) fn see_all(&mut self, table: &str) {
        let pending = std::mem::take(&mut self.pending);
        for ((due, number), (place, image)) in pending {
            let hit = place.table == table;
            if hit {
                self.last.remove(&label(&place));
            }
            self.pending.insert((if hit { Tick::ZERO } else { due }, number), (place, image));
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// The key of an item as text: its members are sorted.
fn label(place: &Place) -> String {
    format!("{} {}", place.table, place.key)
}

/// The CreateTable that makes an empty table of this description, without a throughput of its own.
fn create_request(description: &Value) -> Value {
    let mut request = json!({
        "TableName": description["TableName"],
        "AttributeDefinitions": description["AttributeDefinitions"],
        "KeySchema": description["KeySchema"],
        "BillingMode": "PAY_PER_REQUEST",
    });
    for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
        let indexes = description.get(kind).and_then(Value::as_array).filter(|indexes| !indexes.is_empty());
        if let Some(indexes) = indexes {
            let plain = indexes.iter().map(|index| {
                json!({
                    "IndexName": index["IndexName"],
                    "KeySchema": index["KeySchema"],
                    "Projection": index["Projection"],
                })
            });
            request[kind] = plain.collect();
        }
    }
    request
}
