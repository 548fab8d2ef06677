//! DynamoDB: dynoxide (SQLite in memory) through its typed API, and the few calls that it does not know.

mod backups;
mod tables;

use std::fmt;
use std::sync::Arc;

use dynoxide::actions::delete_table::DeleteTableRequest;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::backups::Backups;
use self::tables::Tables;
use crate::clock::Clock;
use crate::refusal::Refusal;
use crate::service::ServiceError;

pub(crate) struct DynamoDb {
    database: Database,
    backups: Backups,
    tables: Tables,
}

impl fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDb").field("backups", &self.backups).finish_non_exhaustive()
    }
}

impl DynamoDb {
    pub(crate) fn new(clock: Clock, seed: u64) -> Self {
        let database = Database::memory_with_clock(Arc::new(clock)).expect("SQLite opens a database in memory");
        Self { database, backups: Backups::default(), tables: Tables::new(clock, seed) }
    }

    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let db = &self.database;
        let call = Typed { operation, body, tables: &self.tables };
        match operation {
            "BatchGetItem" => call.with(|request| db.batch_get_item(request)),
            "BatchWriteItem" => call.with(|request| db.batch_write_item(request)),
            "CreateTable" => call.with(|request| db.create_table(request)),
            "DeleteItem" => call.with(|request| db.delete_item(request)),
            "DeleteTable" => call.with(|request: DeleteTableRequest| {
                let table = request.table_name.clone();
                db.delete_table(request).inspect(|_| self.backups.forget(&table))
            }),
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
            "UpdateContinuousBackups" => self.backups.update(body, |table| self.has_table(table)),
            "DescribeContinuousBackups" => self.backups.describe(body, |table| self.has_table(table)),
            _ => Err(Refusal::unknown_operation(operation).into()),
        }
    }

    fn has_table(&self, name: &str) -> bool {
        matches!(self.database.get_table_metadata(name), Ok(Some(_)))
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
        ServiceError { status: error.status_code(), code, body: error.to_json().into_bytes() }
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
