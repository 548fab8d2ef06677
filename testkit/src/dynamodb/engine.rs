//! dynoxide (SQLite in memory) through its typed API: one request in, one answer out.

use std::sync::Arc;

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::request::Place;
use super::tables::{self, Tables};
use crate::clock::Clock;
use crate::refusal::Refusal;
use crate::service_error::ServiceError;

pub(crate) struct Engine {
    database: Database,
    tables: Tables,
}

impl Engine {
    pub(crate) fn new(clock: Clock, seed: u64) -> Self {
        let database = Database::memory_with_clock(Arc::new(clock)).expect("SQLite opens a database in memory");
        Self { database, tables: Tables::new(clock, seed) }
    }

    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let db = &self.database;
        let call = Typed { operation, body, tables: &self.tables };
        match operation {
            "BatchGetItem" => call.with(|request| db.batch_get_item(request)),
            "BatchWriteItem" => call.with(|request| db.batch_write_item(request)),
            "CreateTable" => call.with(|request| db.create_table(request)),
            "DeleteItem" => call.with(|request| db.delete_item(request)),
            "DeleteTable" => call.with(|request| db.delete_table(request)),
            "DescribeTable" => call.with(|request| db.describe_table(request)),
            "DescribeTimeToLive" => call.with(|request| db.describe_time_to_live(request)),
            "GetItem" => call.with(|request| db.get_item(request)),
            "ListTables" => call.with(|request| db.list_tables(request)),
            "ListTagsOfResource" => call.with(|request| db.list_tags_of_resource(request)),
            "PutItem" => call.with(|request| db.put_item(request)),
            "Query" => call.with(|request| db.query(request)),
            "Scan" => call.with(|request| db.scan(request)),
            "TagResource" => call.with(|request| db.tag_resource(request)),
            "TransactGetItems" => call.with(|request| db.transact_get_items(request)),
            "TransactWriteItems" => call.with(|request| db.transact_write_items(request)),
            "UntagResource" => call.with(|request| db.untag_resource(request)),
            "UpdateItem" => call.with(|request| db.update_item(request)),
            "UpdateTable" => call.with(|request| db.update_table(request)),
            "UpdateTimeToLive" => call.with(|request| db.update_time_to_live(request)),
            _ => Err(Refusal::unknown_operation(operation).into()),
        }
    }

    /// The same from value to value.
    pub(crate) fn ask(&self, operation: &str, request: &Value) -> Result<Value, ServiceError> {
        let answer = self.call(operation, request.to_string().as_bytes())?;
        Ok(serde_json::from_slice(&answer).expect("answers are JSON"))
    }

    pub(crate) fn has_table(&self, name: &str) -> bool {
        matches!(self.database.get_table_metadata(name), Ok(Some(_)))
    }

    pub(crate) fn table_names(&self) -> Result<Vec<String>, ServiceError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let mut request = json!({});
            if let Some(last) = names.last() {
                request["ExclusiveStartTableName"] = last.as_str().into();
            }
            let answer = self.ask("ListTables", &request)?;
            let page = answer["TableNames"].as_array().into_iter().flatten();
            names.extend(page.filter_map(Value::as_str).map(str::to_owned));
            if answer.get("LastEvaluatedTableName").is_none() {
                return Ok(names);
            }
        }
    }

    /// The table's description as DescribeTable gives it, `None` when there is no such table.
    pub(crate) fn describe(&self, table: &str) -> Result<Option<Value>, ServiceError> {
        if !self.has_table(table) {
            return Ok(None);
        }
        let answer = self.ask("DescribeTable", &json!({ "TableName": table }))?;
        Ok(answer.get("Table").cloned())
    }

    /// The names of a table's key attributes, the partition key first; empty when there is no such table.
    pub(crate) fn key_names(&self, table: &str) -> Vec<String> {
        let Ok(Some(metadata)) = self.database.get_table_metadata(table) else { return Vec::new() };
        let schema: Vec<Value> = serde_json::from_str(&metadata.key_schema).unwrap_or_default();
        schema.iter().filter_map(|part| Some(part.get("AttributeName")?.as_str()?.to_owned())).collect()
    }

    /// All items of a table.
    pub(crate) fn items(&self, table: &str) -> Result<Vec<Value>, ServiceError> {
        let mut request = json!({ "TableName": table, "ConsistentRead": true });
        let mut items = Vec::new();
        loop {
            let mut answer = self.ask("Scan", &request)?;
            if let Some(Value::Array(page)) = answer.get_mut("Items") {
                items.append(page);
            }
            match answer.get("LastEvaluatedKey") {
                None => return Ok(items),
                Some(key) => request["ExclusiveStartKey"] = key.clone(),
            }
        }
    }

    /// The item at this place now.
    pub(crate) fn item(&self, place: &Place) -> Result<Option<Value>, ServiceError> {
        let request = json!({ "TableName": place.table, "Key": place.key, "ConsistentRead": true });
        Ok(self.ask("GetItem", &request)?.get("Item").cloned())
    }

    pub(crate) fn put(&self, table: &str, item: &Value) -> Result<(), ServiceError> {
        self.ask("PutItem", &json!({ "TableName": table, "Item": item })).map(drop)
    }

    /// Makes this place what `image` says: an item, or nothing.
    pub(crate) fn restore(&self, place: &Place, image: Option<&Value>) -> Result<(), ServiceError> {
        match image {
            Some(item) => self.put(&place.table, item),
            None => self.ask("DeleteItem", &json!({ "TableName": place.table, "Key": place.key })).map(drop),
        }
    }
}

/// One request on its way through the typed API.
struct Typed<'a> {
    operation: &'a str,
    body: &'a [u8],
    tables: &'a Tables,
}

impl Typed<'_> {
    fn with<Q, A>(&self, run: impl FnOnce(Q) -> Result<A, DynoxideError>) -> Result<Vec<u8>, ServiceError>
    where
        Q: DeserializeOwned,
        A: Serialize,
    {
        let body = tables::arns_inward(self.operation, self.body);
        let request = serde_json::from_slice(&body).map_err(|error| self.error(from_serde(&error.to_string())))?;
        let answer = run(request).map_err(|error| self.error(error))?;
        // Through a `Value`, whose members are sorted: an item's own map has a random order.
        let sorted = serde_json::to_value(&answer).and_then(|mut value: Value| {
            self.tables.identify(self.operation, &mut value);
            serde_json::to_vec(&value)
        });
        let sorted = sorted.map_err(|error| self.error(DynoxideError::InternalServerError(error.to_string())))?;
        Ok(tables::arns_outward(self.operation, sorted))
    }

    fn error(&self, error: DynoxideError) -> ServiceError {
        let error = match error {
            DynoxideError::EnvelopedValidation(message)
                if matches!(self.operation, "PutItem" | "UpdateItem" | "DeleteItem") =>
            {
                DynoxideError::ValidationException(format!("1 validation error detected: {message}"))
            }
            other => other,
        };
        let name = error.error_type();
        let code = name.rsplit('#').next().unwrap_or(name).to_owned();
        // Sorted as answers are: the error of a condition that does not hold may carry the item.
        let text = error.to_json();
        let body = serde_json::from_str(&text).map_or(text, |sorted: Value| sorted.to_string()).into_bytes();
        ServiceError { status: error.status_code(), code, body }
    }
}

/// dynoxide marks the class of a request that does not parse by a prefix of the message; the rest decides as the
/// service does: what is missing or unknown is invalid, a wrong JSON type is a matter of serialization.
fn from_serde(message: &str) -> DynoxideError {
    let message = message.rfind(" at line ").map_or(message, |at| &message[..at]);
    let marked = message.split_once(':').map(|(marker, rest)| (marker, rest.to_owned()));
    match marked {
        Some(("VALIDATION" | "VALIDATION_AS_READ", rest)) => DynoxideError::ValidationException(rest),
        Some(("VALIDATION_REQUEST", rest)) => DynoxideError::EnvelopedValidation(rest),
        Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", rest)) => DynoxideError::SerializationException(rest),
        _ if ["missing field", "unknown variant", "invalid type: null", "AttributeValue"]
            .iter()
            .any(|part| message.contains(part)) =>
        {
            DynoxideError::ValidationException(message.to_owned())
        }
        _ => DynoxideError::SerializationException(message.to_owned()),
    }
}
