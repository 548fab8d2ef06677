//! DynamoDB's tables as a test handles them, from outside: how they behave, and what is in them.

mod item;
mod settings;
pub(crate) mod writes;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use self::item::{attributes, item};
use crate::dynamodb::settings::{TableSettings, Throughput};
use crate::refusal::{Refused, panics};
use crate::service_error::ServiceError;
use crate::services::Services;

pub use self::item::Item;

/// How all tables behave that have no settings of their own. What is set holds from now on.
#[derive(Debug, Clone)]
#[must_use = "does nothing until one of its methods is called"]
pub struct DynamoDb {
    services: Arc<Services>,
}

/// A table of the cloud, which need not exist yet. Clones are handles of the same table.
///
/// Its methods act on the table directly: no fault, no latency, no throughput touches them, and its items are seen as
/// they are, whatever lags. They panic with the service's own words when they are asked for what is not possible, as an
/// assertion would; their `try_` twins return the [`Refused`] instead.
#[derive(Debug, Clone)]
pub struct Table {
    services: Arc<Services>,
    name: String,
}

/// The key of an item: a text for the partition key, two for partition and sort key, or attributes by their names.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Key {
    /// Values of the key attributes in their order, as strings.
    Texts(Vec<String>),
    /// Key attributes by name.
    Attributes(Item),
}

impl DynamoDb {
    pub(crate) const fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    fn set(&self, change: impl FnOnce(&mut TableSettings)) {
        self.services.dynamodb.set(None, change).map_err(|error| error.of_table("")).unwrap_or_else(panics);
    }
}

impl Table {
    pub(crate) fn new(services: Arc<Services>, name: &str) -> Self {
        Self { services, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        crate::dynamodb::arn(&self.name)
    }

    /// All its items in the order of their keys.
    ///
    /// # Panics
    ///
    /// When there is no such table.
    pub fn items(&self) -> Vec<Item> {
        self.try_items().unwrap_or_else(panics)
    }

    /// As [`items`](Self::items).
    ///
    /// # Errors
    ///
    /// When there is no such table.
    pub fn try_items(&self) -> Result<Vec<Item>, Refused> {
        let items = self.services.dynamodb.items(&self.name).map_err(|error| self.refused(error))?;
        Ok(items.iter().map(item).collect())
    }

    /// The item with this key.
    ///
    /// # Panics
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn item(&self, key: impl Into<Key>) -> Option<Item> {
        self.try_item(key).unwrap_or_else(panics)
    }

    /// As [`item`](Self::item).
    ///
    /// # Errors
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn try_item(&self, key: impl Into<Key>) -> Result<Option<Item>, Refused> {
        let key = self.key(key.into());
        let answer = self.edit("GetItem", &json!({ "TableName": self.name, "Key": key, "ConsistentRead": true }))?;
        Ok(answer.get("Item").map(item))
    }

    /// Puts an item, in place of the one that has its key.
    ///
    /// # Panics
    ///
    /// When there is no such table, or the item lacks its key.
    pub fn put(&self, item: Item) {
        self.try_put(item).unwrap_or_else(panics);
    }

    /// As [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// When there is no such table, or the item lacks its key.
    pub fn try_put(&self, item: Item) -> Result<(), Refused> {
        self.edit("PutItem", &json!({ "TableName": self.name, "Item": attributes(item) })).map(drop)
    }

    /// Deletes the item with this key, as an operator would. Whether there was one.
    ///
    /// # Panics
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn delete(&self, key: impl Into<Key>) -> bool {
        self.try_delete(key).unwrap_or_else(panics)
    }

    /// As [`delete`](Self::delete).
    ///
    /// # Errors
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn try_delete(&self, key: impl Into<Key>) -> Result<bool, Refused> {
        let key = self.key(key.into());
        let answer =
            self.edit("DeleteItem", &json!({ "TableName": self.name, "Key": key, "ReturnValues": "ALL_OLD" }))?;
        Ok(answer.get("Attributes").is_some())
    }

    /// Its index `index` takes and gives so much. A write that the index cannot take is refused as a whole.
    pub fn index_throughput(&self, index: &str, throughput: Throughput) {
        self.set(|settings| _ = settings.index_throughput.insert(index.to_owned(), throughput));
    }

    fn set(&self, change: impl FnOnce(&mut TableSettings)) {
        let set = self.services.dynamodb.set(Some(&self.name), change);
        set.map_err(|error| self.refused(error)).unwrap_or_else(panics);
    }

    fn edit(&self, operation: &str, request: &Value) -> Result<Value, Refused> {
        self.services.dynamodb.edit(operation, request).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: ServiceError) -> Refused {
        error.of_table(&self.name)
    }

    fn key(&self, key: Key) -> Value {
        match key {
            Key::Attributes(key) => attributes(key),
            Key::Texts(texts) => {
                let names = self.services.dynamodb.key_names(&self.name);
                names.into_iter().zip(texts.into_iter().map(|text| json!({ "S": text }))).collect::<Map<_, _>>().into()
            }
        }
    }
}

impl From<&str> for Key {
    fn from(partition: &str) -> Self {
        Self::Texts(vec![partition.to_owned()])
    }
}

impl From<(&str, &str)> for Key {
    fn from((partition, sort): (&str, &str)) -> Self {
        Self::Texts(vec![partition.to_owned(), sort.to_owned()])
    }
}

impl From<Item> for Key {
    fn from(key: Item) -> Self {
        Self::Attributes(key)
    }
}
