//! A table as the checks see it, and short words for attribute values.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
};

use crate::conformance::probe::Probe;

/// A table whose key is `key`, a string.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) db: Client,
    pub(super) name: String,
}

pub(super) type Item = HashMap<String, AttributeValue>;

/// The name of the index on `owner`.
pub(super) const BY_OWNER: &str = "by-owner";

impl Table {
    /// A new table, on demand and ACTIVE.
    pub(super) async fn new(probe: &Probe) -> Result<Self> {
        Self::made(probe, |create| create).await
    }

    /// The same with an index on `owner`, of everything.
    pub(super) async fn with_index(probe: &Probe) -> Result<Self> {
        Self::made(probe, |create| create.attribute_definitions(string("owner")).global_secondary_indexes(by_owner()))
            .await
    }

    /// The same with what `change` adds.
    pub(super) async fn made(
        probe: &Probe,
        change: impl FnOnce(CreateTableFluentBuilder) -> CreateTableFluentBuilder,
    ) -> Result<Self> {
        let table = Self { db: probe.dynamodb.clone(), name: probe.name("") };
        change(table.create()).send().await.context("creating the table")?;
        table.active().await?;
        Ok(table)
    }

    /// The request that would make it.
    pub(super) fn create(&self) -> CreateTableFluentBuilder {
        self.db
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(string("key"))
            .key_schema(hash("key"))
    }

    pub(super) async fn describe(&self) -> Result<TableDescription> {
        self.db.describe_table().table_name(&self.name).send().await?.table.context("no description")
    }

    /// Waits until the table and its indexes are ACTIVE.
    pub(super) async fn active(&self) -> Result<()> {
        for _ in 0..600 {
            let table = self.describe().await?;
            let ready = |status: Option<&IndexStatus>| status == Some(&IndexStatus::Active);
            let indexes = table.global_secondary_indexes();
            if table.table_status == Some(TableStatus::Active) && indexes.iter().all(|i| ready(i.index_status())) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("not ACTIVE after a minute")
    }

    pub(super) async fn put(&self, item: Item) -> Result<()> {
        self.db.put_item().table_name(&self.name).set_item(Some(item)).send().await?;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Item>> {
        let get = self.db.get_item().table_name(&self.name).key("key", s(key)).consistent_read(true);
        Ok(get.send().await?.item)
    }
}

pub(super) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// An item with this key and these attributes.
pub(super) fn item<const N: usize>(key: &str, attributes: [(&str, AttributeValue); N]) -> Item {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    attributes.chain([("key".to_owned(), s(key))]).collect()
}

pub(super) fn string(name: &str) -> AttributeDefinition {
    let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    attribute.build().expect("name and type are all that it needs")
}

pub(super) fn hash(name: &str) -> KeySchemaElement {
    key_element(name, KeyType::Hash)
}

pub(super) fn key_element(name: &str, kind: KeyType) -> KeySchemaElement {
    let element = KeySchemaElement::builder().attribute_name(name).key_type(kind);
    element.build().expect("name and type are all that it needs")
}

pub(super) fn by_owner() -> GlobalSecondaryIndex {
    let all = Projection::builder().projection_type(ProjectionType::All).build();
    let index = GlobalSecondaryIndex::builder().index_name(BY_OWNER).key_schema(hash("owner")).projection(all);
    index.build().expect("name and key are all that it needs")
}
