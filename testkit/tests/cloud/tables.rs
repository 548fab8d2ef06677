//! Tables that take their time, and what is in them.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    CreateGlobalSecondaryIndexAction, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexDescription,
    GlobalSecondaryIndexUpdate, IndexStatus, PointInTimeRecoverySpecification, Projection, ProjectionType,
    TableDescription, TableStatus,
};
use kinesis_testkit::{Cloud, Key};

use crate::dynamodb::{attribute, create_leases, hash_key, leases, number, put, renew, text};
use crate::{code, refusal, sleep, without_retries_of_dynamodb};

async fn describe(client: &Client) -> TableDescription {
    client.describe_table().table_name("leases").send().await.unwrap().table.unwrap()
}

fn index<'a>(table: &'a TableDescription, name: &str) -> &'a GlobalSecondaryIndexDescription {
    table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_table_takes_its_time_to_come() {
    let cloud = Cloud::new();
    cloud.dynamodb().creating(Duration::from_secs(10));
    let client = without_retries_of_dynamodb(&cloud.connect("a").await);
    create_leases(&client).await;
    let table = describe(&client).await;
    assert_eq!(table.table_status, Some(TableStatus::Creating));
    assert_eq!(index(&table, "byOwner").index_status, Some(IndexStatus::Creating));
    assert_eq!(client.list_tables().send().await.unwrap().table_names(), ["leases"]);

    let get = async || client.get_item().table_name("leases").key("leaseKey", text("x")).send().await;
    assert_eq!(
        refusal(get().await),
        ("ResourceNotFoundException".to_owned(), "Requested resource not found".to_owned())
    );
    assert_eq!(code(renew(&client, "x", 1).send().await), "ResourceNotFoundException");
    assert_eq!(code(client.scan().table_name("leases").send().await), "ResourceNotFoundException");
    assert_eq!(code(client.delete_table().table_name("leases").send().await), "ResourceInUseException");
    let wish = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().unwrap();
    let backups = async || {
        let update = client.update_continuous_backups().table_name("leases");
        update.point_in_time_recovery_specification(wish.clone()).send().await
    };
    assert_eq!(code(backups().await), "ContinuousBackupsUnavailableException");

    sleep(10_000).await;
    assert_eq!(describe(&client).await.table_status, Some(TableStatus::Active));
    assert!(get().await.is_ok());
    backups().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_table_takes_its_time_to_go() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.table("leases").deleting(Duration::from_secs(5));
    let deleted = client.delete_table().table_name("leases").send().await.unwrap();
    assert_eq!(deleted.table_description.unwrap().table_status, Some(TableStatus::Deleting));
    assert_eq!(describe(&client).await.table_status, Some(TableStatus::Deleting));
    assert_eq!(code(client.scan().table_name("leases").send().await), "ResourceNotFoundException");
    client.delete_table().table_name("leases").send().await.expect("deleting it again is no error");
    let create = client.create_table().table_name("leases").attribute_definitions(attribute("leaseKey"));
    let create = create.key_schema(hash_key("leaseKey"));
    let create = create.billing_mode(aws_sdk_dynamodb::types::BillingMode::PayPerRequest);
    assert_eq!(code(create.clone().send().await), "ResourceInUseException");
    sleep(5000).await;
    assert_eq!(code(client.describe_table().table_name("leases").send().await), "ResourceNotFoundException");
    create.send().await.unwrap();
    assert!(cloud.table("leases").items().is_empty());
}

fn create_index(name: &str) -> GlobalSecondaryIndexUpdate {
    let create = CreateGlobalSecondaryIndexAction::builder().index_name(name).key_schema(hash_key("leaseOwner"));
    let create = create.projection(Projection::builder().projection_type(ProjectionType::All).build());
    GlobalSecondaryIndexUpdate::builder().create(create.build().unwrap()).build()
}

#[tokio::test(start_paused = true)]
async fn an_index_is_backfilled_before_it_can_be_read() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.dynamodb().index_creating(Duration::from_secs(30));
    let update = async |update: GlobalSecondaryIndexUpdate| {
        let call = client.update_table().table_name("leases").attribute_definitions(attribute("leaseOwner"));
        call.global_secondary_index_updates(update).send().await
    };
    update(create_index("second")).await.unwrap();
    let table = describe(&client).await;
    assert_eq!(table.table_status, Some(TableStatus::Updating));
    let new = index(&table, "second");
    assert_eq!((new.index_status.clone(), new.backfilling), (Some(IndexStatus::Creating), Some(true)));
    assert_eq!(index(&table, "byOwner").index_status, Some(IndexStatus::Active));
    let query = async |index: &str| {
        let query = client.query().table_name("leases").index_name(index);
        query.key_condition_expression("leaseOwner = :me").expression_attribute_values(":me", text("a")).send().await
    };
    let expected = "Cannot read from backfilling global secondary index: second";
    assert_eq!(refusal(query("second").await), ("ValidationException".to_owned(), expected.to_owned()));
    assert_eq!(query("byOwner").await.unwrap().count, 1, "other indexes go on");
    put(&client, "shard-2", "a").await;
    assert_eq!(code(update(create_index("third")).await), "ResourceInUseException");
    assert_eq!(code(client.delete_table().table_name("leases").send().await), "ResourceInUseException");
    sleep(30_000).await;
    assert_eq!(query("second").await.unwrap().count, 2);
    assert_eq!(describe(&client).await.table_status, Some(TableStatus::Active));

    update(create_index("third")).await.unwrap();
    let delete = DeleteGlobalSecondaryIndexAction::builder().index_name("third").build().unwrap();
    let delete = GlobalSecondaryIndexUpdate::builder().delete(delete).build();
    update(delete).await.expect("an index can be deleted while it is backfilled");
    assert_eq!(describe(&client).await.table_status, Some(TableStatus::Active));
}

#[tokio::test(start_paused = true)]
async fn items_are_looked_at_and_deleted_from_outside() {
    let (cloud, client) = leases().await;
    for key in ["b", "a", "c"] {
        put(&client, key, "worker").await;
    }
    cloud.dynamodb().index_lag(Duration::from_secs(1));
    cloud.table("leases").throughput(kinesis_testkit::Throughput::new(0, 0));
    let table = cloud.table("leases");
    let keys = || table.items().iter().map(|item| item["leaseKey"].as_s().unwrap().clone()).collect::<Vec<_>>();
    assert_eq!(keys(), ["a", "b", "c"]);
    assert_eq!(table.item("b").unwrap()["leaseCounter"], number(1));
    assert!(table.delete("b"), "an operator deletes a lease");
    assert!(!table.delete("b"));
    let by_name = kinesis_testkit::Item::from([("leaseKey".to_owned(), text("a"))]);
    assert!(table.delete(Key::from(by_name)));
    assert_eq!((keys(), table.item("b")), (vec!["c".to_owned()], None));
    let mut lease = table.item("c").unwrap();
    lease.insert("leaseOwner".to_owned(), text("other"));
    lease.insert("ids".to_owned(), aws_sdk_dynamodb::types::AttributeValue::Ss(vec!["x".to_owned(), "y".to_owned()]));
    table.put(lease.clone());
    assert_eq!(table.items(), [lease]);
    assert_eq!(cloud.calls("a").count("DeleteItem"), 0);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "table nobody: ResourceNotFoundException")]
async fn a_table_that_is_not_there_is_named() {
    Cloud::new().table("nobody").items();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_an_error_too() {
    let cloud = Cloud::new();
    let refused = cloud.table("nobody").try_items().unwrap_err();
    assert_eq!(refused.code(), "ResourceNotFoundException");
    assert!(refused.to_string().starts_with("table nobody: ResourceNotFoundException: Requested resource not found"));
    let (cloud, _client) = leases().await;
    let table = cloud.table("leases");
    let other = kinesis_testkit::Item::from([("other".to_owned(), text("x"))]);
    assert_eq!(table.try_item(Key::from(other.clone())).unwrap_err().code(), "ValidationException");
    assert_eq!(table.try_delete(Key::from(other.clone())).unwrap_err().code(), "ValidationException");
    assert_eq!(table.try_put(other).unwrap_err().code(), "ValidationException");
    assert_eq!((table.try_item("x"), table.try_delete("x")), (Ok(None), Ok(false)));
}

#[tokio::test(start_paused = true)]
async fn a_table_can_be_named_by_its_arn() {
    let (cloud, client) = leases().await;
    let arn = cloud.table("leases").arn();
    assert_eq!(arn, describe(&client).await.table_arn.unwrap());
    let item = client.put_item().table_name(&arn).item("leaseKey", text("x"));
    item.send().await.unwrap();
    let get = client.get_item().table_name(&arn).key("leaseKey", text("x")).send().await.unwrap();
    assert!(get.item.is_some());
    let table = client.describe_table().table_name(&arn).send().await.unwrap().table.unwrap();
    assert_eq!(table.table_name(), Some("leases"));
}

#[tokio::test(start_paused = true)]
async fn the_account_has_limits() {
    let limits = Cloud::new().outside().dynamodb.describe_limits().send().await.unwrap();
    assert_eq!(limits.table_max_write_capacity_units, Some(40_000));
}
