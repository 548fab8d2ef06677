//! DynamoDB, as far as a lease table needs it.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue as Value, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection, ProjectionType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus, Tag,
};
use kinesis_testkit::{Cloud, Fault};

use crate::code;

pub(crate) fn attribute(name: &str) -> AttributeDefinition {
    let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    definition.build().unwrap()
}

pub(crate) fn hash_key(name: &str) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap()
}

/// A lease table with its index.
pub(crate) async fn create_leases(client: &Client) {
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index =
        GlobalSecondaryIndex::builder().index_name("byOwner").key_schema(hash_key("leaseOwner")).projection(projection);
    client
        .create_table()
        .table_name("leases")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("leaseKey"))
        .attribute_definitions(attribute("leaseOwner"))
        .key_schema(hash_key("leaseKey"))
        .global_secondary_indexes(index.build().unwrap())
        .send()
        .await
        .unwrap();
}

pub(crate) async fn leases() -> (Cloud, Client) {
    let cloud = Cloud::new();
    let a = cloud.connect("a").await;
    create_leases(&a.dynamodb).await;
    let client = Client::from_conf(a.dynamodb_config().retry_config(RetryConfig::disabled()).build());
    (cloud, client)
}

pub(crate) fn text(value: &str) -> Value {
    Value::S(value.to_owned())
}

pub(crate) fn number(value: u64) -> Value {
    Value::N(value.to_string())
}

pub(crate) async fn put(client: &Client, key: &str, owner: &str) {
    let item = client.put_item().table_name("leases").item("leaseKey", text(key)).item("leaseOwner", text(owner));
    item.item("leaseCounter", number(1)).condition_expression("attribute_not_exists(leaseKey)").send().await.unwrap();
}

pub(crate) fn renew(
    client: &Client,
    key: &str,
    from: u64,
) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
    let update = client.update_item().table_name("leases").key("leaseKey", text(key));
    let update = update.update_expression("SET leaseCounter = :next").condition_expression("leaseCounter = :last");
    let update = update.expression_attribute_values(":last", number(from));
    update.expression_attribute_values(":next", number(from + 1)).return_values(ReturnValue::AllNew)
}

#[tokio::test(start_paused = true)]
async fn conditional_writes_and_what_they_return() {
    let (_cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    let renewed = renew(&client, "shard-1", 1).send().await.unwrap();
    assert_eq!(renewed.attributes.unwrap()["leaseCounter"], number(2));
    let stale = renew(&client, "shard-1", 1);
    let stale = stale.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = stale.send().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(failed) = error
    else {
        panic!("{error}")
    };
    assert_eq!(failed.item.unwrap()["leaseCounter"], number(2));
    let twice = client.put_item().table_name("leases").item("leaseKey", text("shard-1"));
    let twice = twice.condition_expression("attribute_not_exists(leaseKey)").send().await;
    assert_eq!(code(twice), "ConditionalCheckFailedException");

    let item = client.get_item().table_name("leases").key("leaseKey", text("shard-1")).consistent_read(true);
    assert_eq!(item.send().await.unwrap().item.unwrap()["leaseOwner"], text("a"));
}

#[tokio::test(start_paused = true)]
async fn the_index_and_scans_find_leases() {
    let (_cloud, client) = leases().await;
    for n in 0..30 {
        put(&client, &format!("shard-{n:02}"), if n % 3 == 0 { "a" } else { "b" }).await;
    }
    let query = client.query().table_name("leases").index_name("byOwner").key_condition_expression("leaseOwner = :me");
    let found = query.expression_attribute_values(":me", text("a")).send().await.unwrap();
    assert_eq!(found.count, 10);
    let first = client.scan().table_name("leases").limit(20).send().await.unwrap();
    let rest =
        client.scan().table_name("leases").set_exclusive_start_key(first.last_evaluated_key).send().await.unwrap();
    assert_eq!((first.count, rest.count, rest.last_evaluated_key), (20, 10, None));
}

#[tokio::test(start_paused = true)]
async fn a_table_describes_itself_in_the_cloud_s_terms() {
    let cloud = Cloud::new();
    let client = cloud.outside().dynamodb;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    create_leases(&client).await;
    let table = client.describe_table().table_name("leases").send().await.unwrap().table.unwrap();
    assert_eq!(table.table_status, Some(TableStatus::Active));
    assert_eq!(table.creation_date_time.unwrap().to_millis().unwrap(), 1_767_225_601_500);
    let arn = table.table_arn.unwrap();
    assert_eq!(arn, "arn:aws:dynamodb:us-east-1:123456789012:table/leases");

    let tag = Tag::builder().key("owner").value("test").build().unwrap();
    client.tag_resource().resource_arn(&arn).tags(tag.clone()).send().await.unwrap();
    assert_eq!(client.list_tags_of_resource().resource_arn(&arn).send().await.unwrap().tags.unwrap(), [tag]);

    let first = table.table_id;
    client.delete_table().table_name("leases").send().await.unwrap();
    create_leases(&client).await;
    let again = client.describe_table().table_name("leases").send().await.unwrap().table.unwrap();
    assert_ne!(again.table_id, first);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_holds_an_arn_keeps_it() {
    let (_cloud, client) = leases().await;
    for arn in ["arn:aws:dynamodb:dynoxide:000000000000:table/x", "arn:aws:dynamodb:us-east-1:123456789012:table/x"] {
        put(&client, arn, "a").await;
        let got = client.get_item().table_name("leases").key("leaseKey", text(arn)).send().await.unwrap();
        assert_eq!(got.item.unwrap()["leaseKey"], text(arn));
    }
}

#[tokio::test(start_paused = true)]
async fn continuous_backups_are_switched_and_remembered() {
    let (_cloud, client) = leases().await;
    let status = async || {
        let answer = client.describe_continuous_backups().table_name("leases").send().await.unwrap();
        let recovery = answer.continuous_backups_description.unwrap().point_in_time_recovery_description.unwrap();
        recovery.point_in_time_recovery_status.unwrap()
    };
    assert_eq!(status().await, PointInTimeRecoveryStatus::Disabled);
    for (enabled, expected) in
        [(true, PointInTimeRecoveryStatus::Enabled), (false, PointInTimeRecoveryStatus::Disabled)]
    {
        let wish = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(enabled).build().unwrap();
        let update = client.update_continuous_backups().table_name("leases").point_in_time_recovery_specification(wish);
        update.send().await.unwrap();
        assert_eq!(status().await, expected);
    }
    let wish = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().unwrap();
    let update = client.update_continuous_backups().table_name("leases").point_in_time_recovery_specification(wish);
    update.send().await.unwrap();
    client.delete_table().table_name("leases").send().await.unwrap();
    create_leases(&client).await;
    assert_eq!(status().await, PointInTimeRecoveryStatus::Disabled, "a new table knows nothing of the old one");
    let missing = client.describe_continuous_backups().table_name("nobody").send().await;
    assert_eq!(code(missing), "TableNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_leaves_the_write_behind() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.faults("a").dynamodb().next("UpdateItem", Fault::LoseResponse);
    renew(&client, "shard-1", 1).send().await.unwrap_err();
    assert_eq!(code(renew(&client, "shard-1", 1).send().await), "ConditionalCheckFailedException");
    renew(&client, "shard-1", 2).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn throttling_and_failures_have_dynamodb_s_codes() {
    let (cloud, client) = leases().await;
    let faults = cloud.faults("a").dynamodb();
    let get = || client.get_item().table_name("leases").key("leaseKey", text("x")).send();
    faults.next("GetItem", Fault::Throttle);
    assert!(get().await.unwrap_err().into_service_error().is_provisioned_throughput_exceeded_exception());
    faults.next("GetItem", Fault::ServerError);
    assert!(get().await.unwrap_err().into_service_error().is_internal_server_error());
    for operation in ["DescribeTable", "DescribeTimeToLive"] {
        faults.next(operation, Fault::Throttle);
    }
    let describe = client.describe_table().table_name("leases").send().await;
    assert_eq!(code(describe), "ThrottlingException");
    let time_to_live = client.describe_time_to_live().table_name("leases").send().await;
    assert_eq!(code(time_to_live), "ThrottlingException");
    assert!(get().await.unwrap().item.is_none());
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_as_such() {
    let (_cloud, client) = leases().await;
    let missing = client.get_item().table_name("nobody").key("leaseKey", text("x")).send().await;
    assert_eq!(code(missing), "ResourceNotFoundException");
    let no_key = client.put_item().table_name("leases").item("other", text("x")).send().await;
    assert_eq!(code(no_key), "ValidationException");
    let syntax = renew(&client, "x", 1).update_expression("SET SET").send().await;
    assert_eq!(code(syntax), "ValidationException");
    let unknown = client.list_global_tables().send().await;
    assert_eq!(code(unknown), "UnknownOperationException");
}
