//! Reads and writes under a throughput: what a call costs is known when it has run, so a write that was too much is
//! taken back.

use serde_json::{Value, json};

use super::Inside;
use super::capacity::{Cost, Resource, Way, add_up, consumed, reduce};
use super::engine::Engine;
use super::request::{self, Place};
use crate::clock::Tick;
use crate::service_error::ServiceError;

impl Inside {
    pub(super) fn guarded_write(
        &mut self,
        operation: &str,
        request: &Value,
        body: &[u8],
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        if !self.is_guarded(request) {
            return self.engine.call(operation, body);
        }
        let mut answer = match operation {
            "TransactWriteItems" => self.transact_write(request, now)?,
            "BatchWriteItem" => self.batch_write(request, now)?,
            _ => self.write_one(operation, request, now)?,
        };
        reduce(&mut answer, wish(request));
        Ok(answer.to_string().into_bytes())
    }

    pub(super) fn guarded_read(
        &mut self,
        operation: &str,
        request: &Value,
        body: &[u8],
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        if !self.is_guarded(request) {
            return self.reader(operation, request).call(operation, body);
        }
        let mut answer = self.reader(operation, request).ask(operation, &priced(request))?;
        let cost = consumed(&answer);
        if operation == "BatchGetItem" {
            if !self.capacity.take_whole(&cost, Way::Read, &self.settings, now) {
                answer = self.batch_get(request, now)?;
            }
        } else if let Err(short) = self.take(&cost, Way::Read, now) {
            return Err(match operation {
                "TransactGetItems" => self.capacity.cancellation(&short, request),
                _ => self.capacity.refusal(&short, Way::Read),
            });
        }
        reduce(&mut answer, wish(request));
        Ok(answer.to_string().into_bytes())
    }

    /// Whether a limit is set for any table of the request, and the request one that can be priced.
    fn is_guarded(&self, request: &Value) -> bool {
        let known = matches!(wish(request), None | Some("NONE" | "TOTAL" | "INDEXES"));
        known && request::tables(request).iter().any(|table| self.capacity.limits(table, &self.settings))
    }

    /// Who answers this read: the tables themselves, or a copy that lags.
    fn reader(&self, operation: &str, request: &Value) -> &Engine {
        if !self.has_replicas() {
            return &self.engine;
        }
        let index = request.get("IndexName").and_then(Value::as_str);
        let consistent = |part: &Value| part.get("ConsistentRead") == Some(&json!(true));
        let replica = match (operation, index) {
            ("Query" | "Scan", Some(index)) if self.is_global(request, index) => &self.indexes,
            ("GetItem" | "Query" | "Scan", _) if !consistent(request) => &self.reads,
            ("BatchGetItem", _) if !batch_parts(request).any(consistent) => &self.reads,
            _ => &None,
        };
        replica.as_ref().map_or(&self.engine, |replica| replica.engine())
    }

    fn is_global(&self, request: &Value, index: &str) -> bool {
        let description = request::table(request).map(|table| self.engine.describe(table));
        let Some(Ok(Some(description))) = description else { return false };
        let indexes = description.get("GlobalSecondaryIndexes").and_then(Value::as_array);
        indexes.into_iter().flatten().any(|own| own["IndexName"] == json!(index))
    }

    fn take(&mut self, cost: &Cost, way: Way, now: Tick) -> Result<(), Resource> {
        self.capacity.take(cost, way, &self.settings, now)
    }

    /// PutItem, UpdateItem or DeleteItem.
    fn write_one(&mut self, operation: &str, request: &Value, now: Tick) -> Result<Value, ServiceError> {
        let before = self.images(request);
        match self.engine.ask(operation, &priced(request)) {
            Ok(answer) => match self.take(&consumed(&answer), Way::Write, now) {
                Ok(()) => Ok(answer),
                Err(short) => {
                    self.undo(&before)?;
                    Err(self.capacity.refusal(&short, Way::Write))
                }
            },
            // A condition that does not hold costs what the item there costs.
            Err(error) if error.code == "ConditionalCheckFailedException" => {
                let cost = before.iter().map(|(place, image)| (table_of(place), write_units(image.as_ref()))).collect();
                match self.take(&cost, Way::Write, now) {
                    Ok(()) => Err(error),
                    Err(short) => Err(self.capacity.refusal(&short, Way::Write)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whole when it can be paid, or else entry by entry: what cannot be paid is left unprocessed.
    fn batch_write(&mut self, request: &Value, now: Tick) -> Result<Value, ServiceError> {
        let before = self.images(request);
        let answer = self.engine.ask("BatchWriteItem", &priced(request))?;
        if self.capacity.take_whole(&consumed(&answer), Way::Write, &self.settings, now) {
            return Ok(answer);
        }
        self.undo(&before)?;
        let mut whole = json!({ "UnprocessedItems": {}, "ConsumedCapacity": [] });
        let mut unprocessed = Vec::new();
        let mut refusal = None;
        let entries = request::entries(request);
        let all = entries.len();
        for (table, entry) in entries {
            let single = json!({ "RequestItems": request::by_table([(table.clone(), entry.clone())]) });
            let before = self.images(&single);
            let answer = self.engine.ask("BatchWriteItem", &priced(&single))?;
            match self.take(&consumed(&answer), Way::Write, now) {
                Ok(()) => add_up(&mut whole, &answer),
                Err(short) => {
                    self.undo(&before)?;
                    refusal = Some(self.capacity.refusal(&short, Way::Write));
                    unprocessed.push((table, entry));
                }
            }
        }
        match refusal {
            Some(refusal) if unprocessed.len() == all => Err(refusal),
            _ => {
                whole["UnprocessedItems"] = request::by_table(unprocessed);
                Ok(whole)
            }
        }
    }

    /// A transaction needs two units for each of its items to be let in, and then takes what it costs.
    fn transact_write(&mut self, request: &Value, now: Tick) -> Result<Value, ServiceError> {
        let mut least: Cost = Vec::new();
        for action in request::actions(request) {
            let Some(table) = action.get("TableName").and_then(Value::as_str) else { continue };
            match least.iter_mut().find(|(resource, _)| resource.table == table) {
                Some((_, units)) => *units += TRANSACTION,
                None => least.push((Resource { table: table.to_owned(), index: None }, TRANSACTION)),
            }
        }
        if let Err(short) = self.capacity.check(&least, Way::Write, &self.settings, now) {
            return Err(self.capacity.cancellation(&short, request));
        }
        let answer = self.engine.ask("TransactWriteItems", &priced(request))?;
        self.capacity.charge(&consumed(&answer), Way::Write, &self.settings, now);
        Ok(answer)
    }

    /// Key by key: what cannot be paid is left unprocessed.
    fn batch_get(&mut self, request: &Value, now: Tick) -> Result<Value, ServiceError> {
        let mut whole = json!({ "Responses": {}, "UnprocessedKeys": {}, "ConsumedCapacity": [] });
        let mut refusal = None;
        let mut processed = false;
        for (table, wish) in request::single_gets(request) {
            let single = json!({ "RequestItems": { table.as_str(): wish } });
            let answer = self.reader("BatchGetItem", &single).ask("BatchGetItem", &priced(&single))?;
            match self.take(&consumed(&answer), Way::Read, now) {
                Ok(()) => {
                    processed = true;
                    add_up(&mut whole, &answer);
                    let found = answer.pointer("/Responses").and_then(|all| all.get(&table)).and_then(Value::as_array);
                    append(&mut whole["Responses"][&table], found.cloned().unwrap_or_default());
                }
                Err(short) => {
                    refusal = Some(self.capacity.refusal(&short, Way::Read));
                    let left = &mut whole["UnprocessedKeys"][&table];
                    let keys = wish["Keys"].as_array().cloned().unwrap_or_default();
                    let mut all = left.get("Keys").and_then(Value::as_array).cloned().unwrap_or_default();
                    all.extend(keys);
                    *left = wish;
                    left["Keys"] = all.into();
                }
            }
        }
        refusal.filter(|_| !processed).map_or(Ok(whole), Err)
    }

    /// What the items that a write may change are now. A key that is none is left out: the write itself is refused.
    fn images(&self, request: &Value) -> Vec<(Place, Option<Value>)> {
        let places = self.places(request).into_iter();
        places.filter_map(|place| self.engine.item(&place).ok().map(|image| (place, image))).collect()
    }

    fn undo(&self, before: &[(Place, Option<Value>)]) -> Result<(), ServiceError> {
        before.iter().try_for_each(|(place, image)| self.engine.restore(place, image.as_ref()))
    }
}

/// The request with the wish to hear all that it cost.
fn priced(request: &Value) -> Value {
    let mut request = request.clone();
    request["ReturnConsumedCapacity"] = "INDEXES".into();
    request
}

fn wish(request: &Value) -> Option<&str> {
    request.get("ReturnConsumedCapacity").and_then(Value::as_str)
}

fn batch_parts(request: &Value) -> impl Iterator<Item = &Value> {
    request.get("RequestItems").and_then(Value::as_object).into_iter().flat_map(|parts| parts.values())
}

fn table_of(place: &Place) -> Resource {
    Resource { table: place.table.clone(), index: None }
}

/// One for each 1 KB, and one at least.
fn write_units(image: Option<&Value>) -> f64 {
    let item = image.and_then(|image| serde_json::from_value(image.clone()).ok());
    dynoxide::types::write_capacity_units(item.as_ref().map_or(0, dynoxide::types::item_size))
}

fn append(list: &mut Value, more: Vec<Value>) {
    match list {
        Value::Array(list) => list.extend(more),
        other => *other = more.into(),
    }
}

/// Write units of the smallest action of a transaction: it is prepared and committed.
const TRANSACTION: f64 = 2.0;
