//! Tables: making, changing, describing and deleting them.

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::{
    BillingMode, ContinuousBackupsStatus, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection, ProjectionType, ProvisionedThroughput,
    Tag, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::table::{BY_OWNER, Table, hash, item, s, string};
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;

checks! {
    a_table_becomes_active: "CreateTable", "the table goes from CREATING to ACTIVE";
    a_table_is_described_as_it_was_made: "DescribeTable", "key schema, attribute definitions, billing mode, ARN";
    a_table_name_is_unique: "CreateTable", "ResourceInUseException: a table of this name is there";
    a_table_name_has_at_least_three_characters: "CreateTable", "TableName: length at least 3";
    a_key_has_to_be_defined: "CreateTable", "KeySchema: its attributes are in AttributeDefinitions; ValidationException";
    a_definition_has_to_be_used: "CreateTable", "AttributeDefinitions: only the attributes of keys and indexes; ValidationException";
    an_unknown_table_is_not_described: "DescribeTable", "ResourceNotFoundException";
    an_unknown_table_is_not_read: "GetItem", "ResourceNotFoundException";
    an_index_is_described: "DescribeTable", "GlobalSecondaryIndexes: name, key, projection, status";
    an_index_can_be_added_later: "UpdateTable", "GlobalSecondaryIndexUpdates Create: the index is filled from the table";
    a_billing_mode_can_be_changed: "UpdateTable", "BillingMode: PROVISIONED with a ProvisionedThroughput";
    a_protected_table_is_not_deleted: "DeleteTable", "DeletionProtectionEnabled: ValidationException while it is set";
    a_deleted_table_is_gone: "DeleteTable", "after it ResourceNotFoundException";
    an_unknown_table_is_not_deleted: "DeleteTable", "ResourceNotFoundException";
    a_table_can_be_made_with_tags: "CreateTable", "Tags: of the new table";
    tags_are_added_listed_and_removed: "TagResource", "TagResource, ListTagsOfResource, UntagResource by ARN";
    time_to_live_is_switched_on: "UpdateTimeToLive", "TimeToLiveStatus: ENABLING, then ENABLED, with the attribute's name";
    time_to_live_is_not_switched_on_twice: "UpdateTimeToLive", "ValidationException when it is enabled already";
    continuous_backups_are_described: "DescribeContinuousBackups", "ContinuousBackupsStatus ENABLED on every table, point-in-time recovery off at first";
    point_in_time_recovery_is_switched_on: "UpdateContinuousBackups", "PointInTimeRecoveryEnabled";
    tables_are_listed_page_by_page: "ListTables", "Limit and ExclusiveStartTableName; LastEvaluatedTableName while there are more";
}

async fn a_table_becomes_active(probe: Probe) -> Result<()> {
    Table::new(&probe).await?;
    Ok(())
}

async fn a_table_is_described_as_it_was_made(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let found = table.describe().await?;
    ensure!(found.table_name.as_ref() == Some(&table.name));
    ensure!(found.key_schema() == [hash("key")] && found.attribute_definitions() == [string("key")], "{found:?}");
    let mode = found.billing_mode_summary.and_then(|summary| summary.billing_mode);
    ensure!(mode == Some(BillingMode::PayPerRequest), "{mode:?}");
    let arn = found.table_arn.context("no ARN")?;
    ensure!(arn.starts_with("arn:aws:dynamodb:") && arn.ends_with(&format!(":table/{}", table.name)), "{arn}");
    Ok(())
}

async fn a_table_name_is_unique(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    refused(table.create().send().await, "ResourceInUseException")
}

async fn a_table_name_has_at_least_three_characters(probe: Probe) -> Result<()> {
    let table = Table { db: probe.dynamodb.clone(), name: "ab".into() };
    refused(table.create().send().await, "ValidationException")
}

async fn a_key_has_to_be_defined(probe: Probe) -> Result<()> {
    let table = Table { db: probe.dynamodb.clone(), name: probe.name("") };
    let create = table.create().set_attribute_definitions(Some(vec![string("another")]));
    refused(create.send().await, "ValidationException")
}

async fn a_definition_has_to_be_used(probe: Probe) -> Result<()> {
    let table = Table { db: probe.dynamodb.clone(), name: probe.name("") };
    refused(table.create().attribute_definitions(string("another")).send().await, "ValidationException")
}

async fn an_unknown_table_is_not_described(probe: Probe) -> Result<()> {
    refused(probe.dynamodb.describe_table().table_name(probe.name("")).send().await, "ResourceNotFoundException")
}

async fn an_unknown_table_is_not_read(probe: Probe) -> Result<()> {
    let get = probe.dynamodb.get_item().table_name(probe.name("")).key("key", s("a"));
    refused(get.send().await, "ResourceNotFoundException")
}

async fn an_index_is_described(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?.describe().await?;
    let index = table.global_secondary_indexes().first().context("no index")?;
    ensure!(index.index_name() == Some(BY_OWNER) && index.key_schema() == [hash("owner")], "{index:?}");
    let projection = index.projection().and_then(|projection| projection.projection_type());
    ensure!(projection == Some(&ProjectionType::All), "{projection:?}");
    Ok(())
}

async fn an_index_can_be_added_later(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [("owner", s("me"))])).await?;
    let all = Projection::builder().projection_type(ProjectionType::All).build();
    let index = CreateGlobalSecondaryIndexAction::builder().index_name(BY_OWNER).key_schema(hash("owner"));
    let update = GlobalSecondaryIndexUpdate::builder().create(index.projection(all).build()?).build();
    let update = table.db.update_table().table_name(&table.name).global_secondary_index_updates(update);
    update.attribute_definitions(string("key")).attribute_definitions(string("owner")).send().await?;
    table.active().await?;
    let query = table.db.query().table_name(&table.name).index_name(BY_OWNER);
    let query = query.key_condition_expression("#o = :o").expression_attribute_names("#o", "owner");
    let found = query.expression_attribute_values(":o", s("me")).send().await?;
    ensure!(found.count == 1, "{found:?}");
    Ok(())
}

async fn a_billing_mode_can_be_changed(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let five = ProvisionedThroughput::builder().read_capacity_units(5).write_capacity_units(6).build()?;
    let update = table.db.update_table().table_name(&table.name).billing_mode(BillingMode::Provisioned);
    update.provisioned_throughput(five).send().await?;
    table.active().await?;
    let found = table.describe().await?.provisioned_throughput.context("no throughput")?;
    ensure!(found.read_capacity_units == Some(5) && found.write_capacity_units == Some(6), "{found:?}");
    Ok(())
}

async fn a_protected_table_is_not_deleted(probe: Probe) -> Result<()> {
    let table = Table::made(&probe, |create| create.deletion_protection_enabled(true)).await?;
    let delete = table.db.delete_table().table_name(&table.name);
    refused(delete.clone().send().await, "ValidationException")?;
    table.db.update_table().table_name(&table.name).deletion_protection_enabled(false).send().await?;
    table.active().await?;
    delete.send().await?;
    Ok(())
}

async fn a_deleted_table_is_gone(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.db.delete_table().table_name(&table.name).send().await?;
    for _ in 0..100 {
        if table.describe().await.is_err() {
            break;
        }
        probe.pause(std::time::Duration::from_millis(100)).await;
    }
    refused(table.db.describe_table().table_name(&table.name).send().await, "ResourceNotFoundException")
}

async fn an_unknown_table_is_not_deleted(probe: Probe) -> Result<()> {
    refused(probe.dynamodb.delete_table().table_name(probe.name("")).send().await, "ResourceNotFoundException")
}

async fn a_table_can_be_made_with_tags(probe: Probe) -> Result<()> {
    let tag = Tag::builder().key("team").value("blue").build()?;
    let table = Table::made(&probe, |create| create.tags(tag.clone())).await?;
    ensure!(tags(&table).await? == [tag]);
    Ok(())
}

async fn tags_are_added_listed_and_removed(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let arn = table.describe().await?.table_arn.context("no ARN")?;
    let tag = |key: &str| Tag::builder().key(key).value("x").build();
    table.db.tag_resource().resource_arn(&arn).tags(tag("a")?).tags(tag("b")?).send().await?;
    let mut found = tags(&table).await?;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    ensure!(found == [tag("a")?, tag("b")?], "{found:?}");
    table.db.untag_resource().resource_arn(&arn).tag_keys("a").send().await?;
    ensure!(tags(&table).await? == [tag("b")?]);
    Ok(())
}

async fn time_to_live_is_switched_on(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    switch_time_to_live_on(&table).send().await?;
    let answer = table.db.describe_time_to_live().table_name(&table.name).send().await?;
    let found = answer.time_to_live_description.context("no description")?;
    ensure!(
        matches!(found.time_to_live_status, Some(TimeToLiveStatus::Enabling | TimeToLiveStatus::Enabled)),
        "{found:?}"
    );
    ensure!(found.attribute_name.as_deref() == Some("expires"), "{found:?}");
    Ok(())
}

async fn time_to_live_is_not_switched_on_twice(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    switch_time_to_live_on(&table).send().await?;
    refused(switch_time_to_live_on(&table).send().await, "ValidationException")
}

async fn continuous_backups_are_described(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let answer = table.db.describe_continuous_backups().table_name(&table.name).send().await?;
    let found = answer.continuous_backups_description.context("no description")?;
    ensure!(found.continuous_backups_status == ContinuousBackupsStatus::Enabled, "{found:?}");
    let recovery = found.point_in_time_recovery_description.and_then(|recovery| recovery.point_in_time_recovery_status);
    ensure!(recovery == Some(PointInTimeRecoveryStatus::Disabled), "{recovery:?}");
    Ok(())
}

async fn point_in_time_recovery_is_switched_on(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build()?;
    let update = table.db.update_continuous_backups().table_name(&table.name).point_in_time_recovery_specification(on);
    let found = update.send().await?.continuous_backups_description.context("no description")?;
    let recovery = found.point_in_time_recovery_description.and_then(|recovery| recovery.point_in_time_recovery_status);
    ensure!(recovery == Some(PointInTimeRecoveryStatus::Enabled), "{recovery:?}");
    Ok(())
}

async fn tables_are_listed_page_by_page(probe: Probe) -> Result<()> {
    let mut made = Vec::new();
    for suffix in ["1", "2", "3"] {
        let table = Table { db: probe.dynamodb.clone(), name: probe.name(suffix) };
        table.create().send().await?;
        table.active().await?;
        made.push(table.name);
    }
    let (mut listed, mut last) = (Vec::new(), None::<String>);
    loop {
        let answer = probe.dynamodb.list_tables().limit(2).set_exclusive_start_table_name(last.take()).send().await?;
        ensure!(answer.table_names().len() <= 2);
        listed.extend(answer.table_names().iter().filter(|name| made.contains(name)).cloned());
        last = answer.last_evaluated_table_name;
        if last.is_none() {
            break;
        }
    }
    listed.sort();
    ensure!(listed == made, "{listed:?}");
    Ok(())
}

async fn tags(table: &Table) -> Result<Vec<Tag>> {
    let arn = table.describe().await?.table_arn.context("no ARN")?;
    Ok(table.db.list_tags_of_resource().resource_arn(arn).send().await?.tags.unwrap_or_default())
}

fn switch_time_to_live_on(
    table: &Table,
) -> aws_sdk_dynamodb::operation::update_time_to_live::builders::UpdateTimeToLiveFluentBuilder {
    let on = TimeToLiveSpecification::builder().enabled(true).attribute_name("expires").build();
    let on = on.expect("both members are there");
    table.db.update_time_to_live().table_name(&table.name).time_to_live_specification(on)
}
