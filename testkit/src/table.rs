//! DynamoDB's tables as a test handles them, from outside: how they behave, and what is in them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

use crate::cloud::Cloud;
use crate::dynamodb::settings::{Lag, TableSettings, Throughput};
use crate::service::ServiceError;

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
/// they are, whatever lags. They panic with the service's own words when they are asked for what is not possible.
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
        self.cloud.services.dynamodb.set(None, change).unwrap_or_else(|error| panic!("{}", words("", &error)));
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
        self.expect(self.cloud.services.dynamodb.items(&self.name)).iter().map(item).collect()
    }

    /// The item with this key.
    ///
    /// # Panics
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn item(&self, key: impl Into<Key>) -> Option<Item> {
        let request = json!({ "TableName": self.name, "Key": self.key(key.into()), "ConsistentRead": true });
        self.expect(self.cloud.services.dynamodb.edit("GetItem", &request)).get("Item").map(item)
    }

    /// Puts an item, in place of the one that has its key.
    ///
    /// # Panics
    ///
    /// When there is no such table, or the item lacks its key.
    pub fn put(&self, item: Item) {
        let request = json!({ "TableName": self.name, "Item": attributes(item) });
        self.expect(self.cloud.services.dynamodb.edit("PutItem", &request));
    }

    /// Deletes the item with this key, as an operator would. Whether there was one.
    ///
    /// # Panics
    ///
    /// When there is no such table, or its key has other attributes.
    pub fn delete(&self, key: impl Into<Key>) -> bool {
        let key = self.key(key.into());
        let request = json!({ "TableName": self.name, "Key": key, "ReturnValues": "ALL_OLD" });
        self.expect(self.cloud.services.dynamodb.edit("DeleteItem", &request)).get("Attributes").is_some()
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
        self.expect(self.cloud.services.dynamodb.set(Some(&self.name), change));
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

    fn expect<T>(&self, result: Result<T, ServiceError>) -> T {
        result.unwrap_or_else(|error| panic!("{}", words(&self.name, &error)))
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

fn words(table: &str, error: &ServiceError) -> String {
    format!("table {table}: {}: {}", error.code, String::from_utf8_lossy(&error.body))
}

fn item(value: &Value) -> Item {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// An attribute from the API's JSON, which DynamoDB has checked.
fn attribute(value: &Value) -> AttributeValue {
    let Some((kind, value)) = value.as_object().and_then(|members| members.iter().next()) else {
        return AttributeValue::Null(true);
    };
    let text = || value.as_str().unwrap_or_default().to_owned();
    let texts = || value.as_array().into_iter().flatten().filter_map(Value::as_str);
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap_or_default()),
        "B" => AttributeValue::B(decode(&text())),
        "SS" => AttributeValue::Ss(texts().map(str::to_owned).collect()),
        "NS" => AttributeValue::Ns(texts().map(str::to_owned).collect()),
        "BS" => AttributeValue::Bs(texts().map(decode).collect()),
        "L" => AttributeValue::L(value.as_array().into_iter().flatten().map(attribute).collect()),
        "M" => AttributeValue::M(item(value)),
        _ => AttributeValue::Null(true),
    }
}

fn attributes(item: Item) -> Value {
    let sorted: BTreeMap<String, AttributeValue> = item.into_iter().collect();
    sorted.into_iter().map(|(name, value)| (name, written(value))).collect::<Map<_, _>>().into()
}

fn written(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::B(bytes) => json!({ "B": encode(&bytes) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.iter().map(encode).collect::<Vec<_>>() }),
        AttributeValue::L(list) => json!({ "L": list.into_iter().map(written).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": attributes(map) }),
        _ => json!({ "NULL": true }),
    }
}

fn decode(text: &str) -> Blob {
    Blob::new(aws_smithy_types::base64::decode(text).unwrap_or_default())
}

fn encode(bytes: &Blob) -> String {
    aws_smithy_types::base64::encode(bytes)
}
