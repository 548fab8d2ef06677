//! DynamoDB's tables as a test handles them, from outside: how they behave, and what is in them.

mod item;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

use self::item::{attributes, item};
use crate::cloud::Cloud;
use crate::dynamodb::settings::{Lag, TableSettings, Throughput};
use crate::refusal::Refused;
use crate::service::ServiceError;
use crate::stream::panics;

/// An item: its attributes by name.
pub type Item = HashMap<String, AttributeValue>;

/// How all tables behave that have no settings of their own. What is set holds from now on.
#[derive(Debug, Clone)]
#[must_use = "does nothing until one of its methods is called"]
pub struct DynamoDb {
    cloud: Cloud,
}

/// A table of the cloud, which need not exist yet. Clones are handles of the same table.
///
/// Its methods act on the table directly: no fault, no latency, no throughput touches them, and its items are seen as
/// they are, whatever lags. They panic with the service's own words when they are asked for what is not possible, as an
/// assertion would; their `try_` twins return the [`Refused`] instead.
#[derive(Debug, Clone)]
pub struct Table {
    cloud: Cloud,
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
    pub(crate) const fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// How long CreateTable leaves a table in CREATING; not at all by default. Until then it can be described and nothing
    /// else.
    pub fn creating(&self, time: Duration) {
        self.set(|settings| settings.creating = Some(time));
    }

    /// How long DeleteTable leaves a table in DELETING; not at all by default.
    pub fn deleting(&self, time: Duration) {
        self.set(|settings| settings.deleting = Some(time));
    }

    /// How long an index that UpdateTable creates is CREATING and backfilling; not at all by default. Until then it
    /// cannot be queried.
    pub fn index_creating(&self, time: Duration) {
        self.set(|settings| settings.index_creating = Some(time));
    }

    /// Indexes see each write that much later; at once by default.
    pub fn index_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.set(|settings| settings.index_lag = Some(lag));
    }

    /// Eventually consistent reads of tables see each write that much later; at once by default. Consistent reads are
    /// never late.
    pub fn read_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.set(|settings| settings.read_lag = Some(lag));
    }

    /// Each table takes and gives so much. By default a table gives what it provisioned, without limit when it is on
    /// demand.
    pub fn throughput(&self, throughput: Throughput) {
        self.set(|settings| settings.throughput = Some(Some(throughput)));
    }

    /// No table is throttled, whatever it provisioned.
    pub fn without_throughput(&self) {
        self.set(|settings| {
            settings.throughput = Some(None);
            settings.index_throughput.clear();
        });
    }

    fn set(&self, change: impl FnOnce(&mut TableSettings)) {
        self.cloud
            .services
            .dynamodb
            .set(None, change)
            .map_err(|error| Refused::of_table("", error))
            .unwrap_or_else(panics);
    }
}

impl Table {
    pub(crate) fn new(cloud: Cloud, name: &str) -> Self {
        Self { cloud, name: name.to_owned() }
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
        let items = self.cloud.services.dynamodb.items(&self.name).map_err(|error| self.refused(error))?;
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

    /// How long CreateTable leaves it in CREATING.
    pub fn creating(&self, time: Duration) {
        self.set(|settings| settings.creating = Some(time));
    }

    /// How long DeleteTable leaves it in DELETING.
    pub fn deleting(&self, time: Duration) {
        self.set(|settings| settings.deleting = Some(time));
    }

    /// How long an index that UpdateTable creates is CREATING and backfilling.
    pub fn index_creating(&self, time: Duration) {
        self.set(|settings| settings.index_creating = Some(time));
    }

    /// Its indexes see each write that much later.
    pub fn index_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.set(|settings| settings.index_lag = Some(lag));
    }

    /// Eventually consistent reads see each write that much later; consistent ones do not.
    pub fn read_lag(&self, lag: impl Into<Lag>) {
        let lag = lag.into();
        self.set(|settings| settings.read_lag = Some(lag));
    }

    /// It takes and gives so much; what is more is throttled. It begins with a full burst.
    pub fn throughput(&self, throughput: Throughput) {
        self.set(|settings| settings.throughput = Some(Some(throughput)));
    }

    /// Its index `index` takes and gives so much. A write that the index cannot take is refused as a whole.
    pub fn index_throughput(&self, index: &str, throughput: Throughput) {
        self.set(|settings| _ = settings.index_throughput.insert(index.to_owned(), throughput));
    }

    /// Neither it nor its indexes are throttled, whatever they provisioned.
    pub fn without_throughput(&self) {
        self.set(|settings| {
            settings.throughput = Some(None);
            settings.index_throughput.clear();
        });
    }

    fn set(&self, change: impl FnOnce(&mut TableSettings)) {
        let set = self.cloud.services.dynamodb.set(Some(&self.name), change);
        set.map_err(|error| self.refused(error)).unwrap_or_else(panics);
    }

    fn edit(&self, operation: &str, request: &Value) -> Result<Value, Refused> {
        self.cloud.services.dynamodb.edit(operation, request).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: ServiceError) -> Refused {
        Refused::of_table(&self.name, error)
    }

    fn key(&self, key: Key) -> Value {
        match key {
            Key::Attributes(key) => attributes(key),
            Key::Texts(texts) => {
                let names = self.cloud.services.dynamodb.key_names(&self.name);
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
