//! The writes of tables that keep them, in their order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::Engine;
use super::request::{self, Place};
use crate::clock::Tick;
use crate::service_error::ServiceError;

/// An accepted write to one item.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) at: Tick,
    pub(crate) worker: Option<Arc<str>>,
    pub(crate) operation: String,
    pub(crate) key: Value,
    pub(crate) item: Option<Value>,
}

/// By table the newest writes, and how many are kept.
#[derive(Debug, Default)]
pub(super) struct Writes(BTreeMap<String, (usize, VecDeque<Write>)>);

impl Writes {
    /// Keeps that many from now on; of those that were kept, the newest.
    pub(super) fn keep(&mut self, table: &str, most: usize) {
        let (limit, writes) = self.0.entry(table.to_owned()).or_default();
        *limit = most;
        writes.drain(..writes.len().saturating_sub(most));
    }

    pub(super) fn of(&self, table: &str) -> Vec<Write> {
        self.0.get(table).map(|(_, writes)| writes.iter().cloned().collect()).unwrap_or_default()
    }

    /// The items of the request whose writes are kept.
    pub(super) fn places(&self, engine: &Engine, operation: &str, request: &Value) -> Vec<Place> {
        if self.0.is_empty() || !WRITES.contains(&operation) {
            return Vec::new();
        }
        let mut request = request.clone();
        // A check in a transaction names an item and does not write it.
        if let Some(actions) = request.get_mut("TransactItems").and_then(Value::as_array_mut) {
            actions.retain(|action| action.get("ConditionCheck").is_none());
        }
        let mut places = request::places(&request, |table| engine.key_names(table));
        places.retain(|place| self.0.contains_key(&place.table));
        places
    }

    /// Takes in what an accepted request has made of its items. `answer` names those of a batch that it left out.
    pub(super) fn note(
        &mut self,
        engine: &Engine,
        by: Option<&Arc<str>>,
        (operation, places): (&str, Vec<Place>),
        answer: &[u8],
        at: Tick,
    ) -> Result<(), ServiceError> {
        if places.is_empty() {
            return Ok(());
        }
        let left_out = match operation {
            "BatchWriteItem" => {
                let answer: Value = serde_json::from_slice(answer).expect("answers are JSON");
                request::places(&json!({ "RequestItems": answer["UnprocessedItems"] }), |table| engine.key_names(table))
            }
            _ => Vec::new(),
        };
        for place in places.into_iter().filter(|place| !left_out.contains(place)) {
            let item = engine.item(&place)?;
            let Some((most, writes)) = self.0.get_mut(&place.table) else { continue };
            writes.push_back(Write { at, worker: by.cloned(), operation: operation.to_owned(), key: place.key, item });
            writes.drain(..writes.len().saturating_sub(*most));
        }
        Ok(())
    }
}

/// Operations that change items.
const WRITES: [&str; 5] = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"];
