//! The table and its index: what they must look like, and how they are made.

use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex,
    GlobalSecondaryIndexUpdate, IndexStatus, KeySchemaElement, KeyType, Projection, ProjectionType,
    ProvisionedThroughput, ScalarAttributeType, TableDescription, TableStatus, Tag,
};

use crate::lease::table::dynamodb::item::{KEY, OWNER};

/// How the lease table is created if it does not exist: on demand, without deletion protection and tags, like the KCL's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    provisioned: Option<(i64, i64)>,
    deletion_protection: bool,
    tags: Vec<(String, String)>,
}

impl TableOptions {
    /// Pays for capacity in advance instead of on demand: so many read and write units a second, for the table and for
    /// its index each.
    #[must_use]
    pub const fn provisioned(mut self, read_units: i64, write_units: i64) -> Self {
        self.provisioned = Some((read_units, write_units));
        self
    }

    /// Has DynamoDB refuse to delete the table.
    #[must_use]
    pub const fn deletion_protection(mut self) -> Self {
        self.deletion_protection = true;
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    pub(super) fn apply(&self, mut create: CreateTableFluentBuilder) -> CreateTableFluentBuilder {
        let throughput = self.provisioned.map(|(read, write)| throughput(read, write));
        let billing = if throughput.is_some() { BillingMode::Provisioned } else { BillingMode::PayPerRequest };
        create = create
            .attribute_definitions(string(KEY))
            .attribute_definitions(string(OWNER))
            .key_schema(key(KEY, KeyType::Hash))
            .billing_mode(billing)
            .set_provisioned_throughput(throughput.clone())
            .global_secondary_indexes(
                GlobalSecondaryIndex::builder()
                    .index_name(INDEX)
                    .key_schema(key(OWNER, KeyType::Hash))
                    .key_schema(key(KEY, KeyType::Range))
                    .projection(keys_only())
                    .set_provisioned_throughput(throughput)
                    .build()
                    .expect("the name, the key schema and the projection are given"),
            );
        if self.deletion_protection {
            create = create.deletion_protection_enabled(true);
        }
        for (key, value) in &self.tags {
            create = create.tags(Tag::builder().key(key).value(value).build().expect("key and value are given"));
        }
        create
    }
}

/// How far a table is from being of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It, or its index, is in this status and will change.
    Changing(String),
    /// It lacks the index: a KCL 2.x's, or one that a 3.x worker has only begun to make.
    WithoutIndex,
    Ready,
}

/// Judges a table. `Err` says why it is not a lease table.
pub(super) fn judge(table: &TableDescription) -> Result<State, String> {
    let status = table.table_status();
    match status {
        Some(TableStatus::Active | TableStatus::Updating) => {}
        Some(TableStatus::Creating | TableStatus::Deleting) | None => return Ok(changing("", status)),
        Some(other) => return Err(format!("its status is {other}")),
    }
    judge_schema("the table", table.key_schema(), &[(KEY, KeyType::Hash)])?;
    for definition in table.attribute_definitions() {
        let is_ours = [KEY, OWNER].contains(&definition.attribute_name());
        if is_ours && definition.attribute_type() != &ScalarAttributeType::S {
            let (name, kind) = (definition.attribute_name(), definition.attribute_type());
            return Err(format!("its key attribute {name} has type {kind}, a lease table's has type S"));
        }
    }
    let Some(index) = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX)) else {
        return Ok(State::WithoutIndex);
    };
    judge_schema(INDEX, index.key_schema(), &[(OWNER, KeyType::Hash), (KEY, KeyType::Range)])?;
    match index.index_status() {
        Some(IndexStatus::Active | IndexStatus::Updating) => Ok(State::Ready),
        other => Ok(changing("its index is ", other)),
    }
}

/// The request part that adds the index to a table that lacks it, with the table's own capacity if that is provisioned.
pub(super) fn index_update(table: &TableDescription) -> GlobalSecondaryIndexUpdate {
    let capacity = table.provisioned_throughput().and_then(|t| Some((t.read_capacity_units?, t.write_capacity_units?)));
    let throughput =
        capacity.filter(|(read, write)| *read > 0 && *write > 0).map(|(read, write)| throughput(read, write));
    let create = CreateGlobalSecondaryIndexAction::builder()
        .index_name(INDEX)
        .key_schema(key(OWNER, KeyType::Hash))
        .key_schema(key(KEY, KeyType::Range))
        .projection(keys_only())
        .set_provisioned_throughput(throughput)
        .build()
        .expect("the name, the key schema and the projection are given");
    GlobalSecondaryIndexUpdate::builder().create(create).build()
}

/// The definitions that go with [`index_update`].
pub(super) fn index_attributes() -> Vec<AttributeDefinition> {
    vec![string(KEY), string(OWNER)]
}

fn judge_schema(what: &str, found: &[KeySchemaElement], ours: &[(&str, KeyType)]) -> Result<(), String> {
    let is_ours = found.len() == ours.len()
        && found
            .iter()
            .zip(ours)
            .all(|(found, (name, kind))| found.attribute_name() == *name && found.key_type() == kind);
    if is_ours {
        return Ok(());
    }
    let names = |keys: &mut dyn Iterator<Item = &str>| keys.collect::<Vec<_>>().join(", ");
    let found = names(&mut found.iter().map(KeySchemaElement::attribute_name));
    let ours = names(&mut ours.iter().map(|(name, _)| *name));
    Err(format!("{what} is keyed by ({found}), a KCL lease table by ({ours}): it belongs to something else"))
}

fn changing(prefix: &str, status: Option<&impl ToString>) -> State {
    State::Changing(format!("{prefix}{}", status.map_or_else(|| "without a status".to_owned(), ToString::to_string)))
}

fn string(name: &str) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .expect("name and type are given")
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("name and kind are given")
}

fn keys_only() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

fn throughput(read: i64, write: i64) -> ProvisionedThroughput {
    ProvisionedThroughput::builder()
        .read_capacity_units(read)
        .write_capacity_units(write)
        .build()
        .expect("both units are given")
}

/// The KCL 3.x's index, by which a worker finds its leases.
pub(super) const INDEX: &str = "LeaseOwnerToLeaseKeyIndex";

#[cfg(test)]
mod tests;
