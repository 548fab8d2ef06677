//! What a DynamoDB request speaks of: tables, an index, items.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::service::{ACCOUNT_ID, REGION};

/// An item named by its table and its key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) table: String,
    /// Key attributes, as the API writes them.
    pub(crate) key: Value,
}

impl Place {
    /// The place of `item` by the names of its table's key attributes. `None` when it lacks one.
    pub(crate) fn of(table: &str, item: &Value, names: &[String]) -> Option<Self> {
        let key: Option<Map<String, Value>> =
            names.iter().map(|name| Some((name.clone(), item.get(name)?.clone()))).collect();
        Some(Self { table: table.to_owned(), key: Value::Object(key?) })
    }
}

/// The table that a request names itself, and not for one of its parts.
pub(crate) fn table(request: &Value) -> Option<&str> {
    request.get("TableName")?.as_str()
}

/// All tables that a request speaks of, each once.
pub(crate) fn tables(request: &Value) -> Vec<String> {
    let mut names: Vec<String> = table(request).map(str::to_owned).into_iter().collect();
    if let Some(items) = request.get("RequestItems").and_then(Value::as_object) {
        names.extend(items.keys().cloned());
    }
    names.extend(actions(request).filter_map(|action| Some(action.get("TableName")?.as_str()?.to_owned())));
    names.sort();
    names.dedup();
    names
}

/// The actions of a transaction, without the names of their kinds.
pub(crate) fn actions(request: &Value) -> impl Iterator<Item = &Value> {
    let items = request.get("TransactItems").and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| item.as_object()?.values().find(|action| action.is_object()))
}

/// The items that a write may change. `names` gives the key attributes of a table.
pub(crate) fn places(request: &Value, names: impl Fn(&str) -> Vec<String>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |table: Option<&str>, item: Option<&Value>| {
        if let (Some(table), Some(item)) = (table, item) {
            places.extend(Place::of(table, item, &names(table)));
        }
    };
    let target = |action: &'_ Value| action.get("Item").or_else(|| action.get("Key")).cloned();
    add(table(request), target(request).as_ref());
    for (table, entry) in entries(request) {
        add(Some(&table), entry.as_object().and_then(|kind| kind.values().find_map(target)).as_ref());
    }
    for action in actions(request) {
        add(action.get("TableName").and_then(Value::as_str), target(action).as_ref());
    }
    places
}

/// The entries of a BatchWriteItem, each with its table.
pub(crate) fn entries(request: &Value) -> Vec<(String, Value)> {
    let tables = request.get("RequestItems").and_then(Value::as_object);
    let each = tables.into_iter().flatten().filter_map(|(table, entries)| Some((table, entries.as_array()?)));
    each.flat_map(|(table, entries)| entries.iter().map(|entry| (table.clone(), entry.clone()))).collect()
}

/// The keys of a BatchGetItem, each as a request of its own for one key of one table.
pub(crate) fn single_gets(request: &Value) -> Vec<(String, Value)> {
    let tables = request.get("RequestItems").and_then(Value::as_object);
    let mut singles = Vec::new();
    for (table, wish) in tables.into_iter().flatten() {
        for key in wish.get("Keys").and_then(Value::as_array).into_iter().flatten() {
            let mut single = wish.clone();
            single["Keys"] = json!([key]);
            singles.push((table.clone(), single));
        }
    }
    singles
}

/// Puts names where the request has ARNs of tables of this cloud. Whether it had one.
pub(crate) fn name_tables(request: &mut Value) -> bool {
    let mut changed = rename(request);
    if let Some(Value::Object(items)) = request.get_mut("RequestItems") {
        let arns: Vec<String> = items.keys().filter(|key| key.starts_with(&arn(""))).cloned().collect();
        for key in arns {
            if let Some(wish) = items.remove(&key) {
                items.insert(key[arn("").len()..].to_owned(), wish);
                changed = true;
            }
        }
    }
    if let Some(Value::Array(actions)) = request.get_mut("TransactItems") {
        for action in actions.iter_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
            changed |= rename(action);
        }
    }
    changed
}

fn rename(request: &mut Value) -> bool {
    let Some(Value::String(name)) = request.get_mut("TableName") else { return false };
    let Some(short) = name.strip_prefix(&arn("")) else { return false };
    *name = short.to_owned();
    true
}

/// The ARN of a table or, as `table/index/name`, of an index.
pub(crate) fn arn(table: &str) -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{table}")
}

/// Entries by their tables again, as `RequestItems` and `UnprocessedItems` have them.
pub(crate) fn by_table(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut tables: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (table, entry) in entries {
        tables.entry(table).or_default().push(entry);
    }
    json!(tables)
}
