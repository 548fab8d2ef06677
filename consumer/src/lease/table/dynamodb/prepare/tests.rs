use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_smithy_types::body::SdkBody;
use kinesis_testkit::{Cloud, Fault};

use super::*;
use crate::lease::{Checkpoint, Lease, LeaseKey, LeaseStore, TableOptions, UnixSeconds, WorkerId, Written};

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

fn me() -> WorkerId {
    WorkerId::from("me")
}

async fn store(cloud: &Cloud) -> DynamoDbLeaseStore {
    DynamoDbLeaseStore::new(cloud.connect("me").await.dynamodb, "app")
}

/// A table with one string key and no index, as the KCL makes it before it enters 3.x.
async fn bare_table(client: &Client, name: &str, key: &str) {
    let definition = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S).build();
    let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build();
    client
        .create_table()
        .table_name(name)
        .attribute_definitions(definition.expect("name and type are given"))
        .key_schema(schema.expect("name and kind are given"))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("the table is new");
}

async fn put(client: &Client, table: &str, attributes: &[(&str, AttributeValue)]) {
    let item = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    client.put_item().table_name(table).set_item(Some(item)).send().await.expect("the table is there");
}

fn a_lease() -> [(&'static str, AttributeValue); 4] {
    [
        ("leaseKey", s("shardId-000000000000")),
        ("leaseCounter", n(3)),
        ("ownerSwitchesSinceCheckpoint", n(0)),
        ("checkpoint", s("TRIM_HORIZON")),
    ]
}

fn version(cv: &str) -> [(&str, AttributeValue); 4] {
    [("leaseKey", s(VERSION_KEY)), ("entityType", s("CLIENT_VERSION_MIGRATION")), ("cv", s(cv)), ("mb", s("java"))]
}

async fn rows(client: &Client, table: &str) -> Vec<Item> {
    client.scan().table_name(table).send().await.expect("the table is there").items.unwrap_or_default()
}

/// Expects a refusal that left the table as it was, and returns its reason.
async fn refusal(cloud: &Cloud, store: &DynamoDbLeaseStore) -> String {
    let client = cloud.outside().dynamodb;
    let tables =
        || async { client.list_tables().send().await.expect("tables can be listed").table_names.unwrap_or_default() };
    let before =
        (tables().await, if tables().await.contains(&"app".to_owned()) { rows(&client, "app").await } else { vec![] });
    cloud.clear_calls("me");
    let outcome = store.prepare(Entry::of(&me(), NOW)).await;
    for write in ["CreateTable", "UpdateTable", "PutItem", "UpdateItem", "DeleteItem"] {
        assert_eq!(cloud.calls("me").count(write), 0, "{write}");
    }
    let after =
        (tables().await, if tables().await.contains(&"app".to_owned()) { rows(&client, "app").await } else { vec![] });
    assert_eq!(before, after);
    match outcome {
        Err(PrepareError::Refused { table, reason }) if table == "app" => reason,
        other => panic!("{other:?}"),
    }
}

/// C8: the table must not cost a fresh application more than some answers of the engine.
#[tokio::test(start_paused = true)]
async fn a_new_application_gets_table_index_and_version_in_one_go() {
    let cloud = Cloud::new();
    let store = store(&cloud).await;
    let start = Instant::now();
    store.prepare(Entry::of(&me(), NOW)).await.expect("nothing is in the way");
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    assert_eq!(cloud.calls("me").count("CreateTable"), 1);
    assert_eq!(cloud.calls("me").count("UpdateTable"), 0);

    let client = cloud.outside().dynamodb;
    let [row] = &rows(&client, "app").await[..] else { panic!("one row") };
    // As Java writes it, with a history of one entry.
    let before = [("cv", s("CLIENT_VERSION_INIT")), ("mb", s("me")), ("mts", n(1_700_000_000_000_u64))];
    let before = before.map(|(name, value)| (name.to_owned(), value)).into();
    let expected: Item = [
        ("leaseKey", s("Migration3.0")),
        ("entityType", s("CLIENT_VERSION_MIGRATION")),
        ("cv", s("CLIENT_VERSION_3X")),
        ("mb", s("me")),
        ("mts", n(1_700_000_000_000_u64)),
        ("h", AttributeValue::L(vec![AttributeValue::M(before)])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(*row, expected);

    let described =
        client.describe_table().table_name("app").send().await.expect("it is there").table.expect("a table");
    let [index] = described.global_secondary_indexes() else { panic!("one index") };
    let projection = index.projection().and_then(|projection| projection.projection_type());
    assert_eq!(projection, Some(&aws_sdk_dynamodb::types::ProjectionType::KeysOnly));
    let billing = described.billing_mode_summary().and_then(|summary| summary.billing_mode());
    assert_eq!(billing, Some(&BillingMode::PayPerRequest));

    // A second start, and a second worker, find everything there; the writes that they try change nothing.
    let before = rows(&client, "app").await;
    cloud.clear_calls("me");
    store.prepare(Entry::of(&WorkerId::from("another"), NOW)).await.expect("it is ours");
    assert_eq!(cloud.calls("me").count("CreateTable"), 0);
    assert_eq!(rows(&client, "app").await, before);
}

#[tokio::test(start_paused = true)]
async fn workers_that_start_together_on_a_new_application_all_succeed() {
    let cloud = Cloud::new();
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..5 {
        let name = format!("worker-{number}");
        let store = DynamoDbLeaseStore::new(cloud.connect(&name).await.dynamodb, "app");
        starts.spawn(async move {
            store.prepare(Entry::of(&WorkerId::from(name.as_str()), NOW)).await.expect("all of one kind");
            // The first one makes leases while others still look.
            let lease = Lease::new(LeaseKey::from("shardId-000000000000"), Checkpoint::TrimHorizon);
            assert!(matches!(store.create(&lease).await, Ok(Written::Accepted(_) | Written::Refused(_))));
        });
    }
    starts.join_all().await;
    assert_eq!(rows(&cloud.outside().dynamodb, "app").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn options_apply_to_a_new_table() {
    let cloud = Cloud::new();
    let options = TableOptions::default().provisioned(7, 8).deletion_protection().tag("team", "data");
    store(&cloud).await.table_options(options).prepare(Entry::of(&me(), NOW)).await.expect("nothing is in the way");
    let client = cloud.outside().dynamodb;
    let described =
        client.describe_table().table_name("app").send().await.expect("it is there").table.expect("a table");
    assert_eq!(described.deletion_protection_enabled(), Some(true));
    let capacity = |t: Option<&aws_sdk_dynamodb::types::ProvisionedThroughputDescription>| {
        t.and_then(|t| Some((t.read_capacity_units()?, t.write_capacity_units()?)))
    };
    assert_eq!(capacity(described.provisioned_throughput()), Some((7, 8)));
    assert_eq!(capacity(described.global_secondary_indexes()[0].provisioned_throughput()), Some((7, 8)));
    let arn = described.table_arn().expect("a table has an ARN");
    let tags = client.list_tags_of_resource().resource_arn(arn).send().await.expect("tags can be listed");
    assert_eq!(tags.tags()[0].value(), "data");
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_schema_is_refused_and_left_alone() {
    let cloud = Cloud::new();
    let client = cloud.outside().dynamodb;
    bare_table(&client, "app", "ShardID").await;
    put(&client, "app", &[("ShardID", s("shardId-000000000003")), ("AssignedTo", s("worker-1"))]).await;
    let reason = refusal(&cloud, &store(&cloud).await).await;
    assert!(reason.contains("ShardID"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_kcl_2_table_is_refused_and_gets_no_index() {
    let cloud = Cloud::new();
    let client = cloud.outside().dynamodb;
    bare_table(&client, "app", "leaseKey").await;
    put(&client, "app", &a_lease()).await;
    let reason = refusal(&cloud, &store(&cloud).await).await;
    assert!(reason.contains("2.x"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_of_another_version_is_refused() {
    for (cv, hint) in [
        ("CLIENT_VERSION_UPGRADE_FROM_2X", "complete the move"),
        ("CLIENT_VERSION_2X", "complete the move"),
        ("CLIENT_VERSION_3X_WITH_ROLLBACK", "rolled back"),
        ("CLIENT_VERSION_4X", "no version that is known"),
    ] {
        let cloud = Cloud::new();
        let client = cloud.outside().dynamodb;
        bare_table(&client, "app", "leaseKey").await;
        put(&client, "app", &a_lease()).await;
        put(&client, "app", &version(cv)).await;
        let reason = refusal(&cloud, &store(&cloud).await).await;
        assert!(reason.contains(hint), "{cv}: {reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_three_table_layout_is_refused_until_it_has_been_left() {
    let cloud = Cloud::new();
    let client = cloud.outside().dynamodb;
    bare_table(&client, "app-CoordinatorState", "key").await;
    let store = store(&cloud).await;
    let reason = refusal(&cloud, &store).await;
    assert!(reason.contains("app-CoordinatorState"), "{reason}");

    bare_table(&client, "app", "leaseKey").await;
    put(&client, "app", &version(VERSION_3)).await;
    refusal(&cloud, &store).await;
    let moving = |tm: &str| [("leaseKey", s("TableMigration3.5")), ("entityType", s("TABLE_MIGRATION")), ("tm", s(tm))];
    put(&client, "app", &moving("TABLE_MIGRATION_STATUS_PENDING")).await;
    refusal(&cloud, &store).await;
    put(&client, "app", &moving("TABLE_MIGRATION_STATUS_COMPLETE")).await;
    store.prepare(Entry::of(&me(), NOW)).await.expect("the old tables stay behind when the move is done");
}

#[tokio::test(start_paused = true)]
async fn a_kcl_3_table_that_lacks_its_index_gets_it() {
    let cloud = Cloud::new();
    let client = cloud.outside().dynamodb;
    bare_table(&client, "app", "leaseKey").await;
    put(&client, "app", &version(VERSION_3)).await;
    let mut owned = a_lease().to_vec();
    owned.push(("leaseOwner", s("me")));
    put(&client, "app", &owned).await;
    let store = store(&cloud).await;
    store.prepare(Entry::of(&me(), NOW)).await.expect("the fleet is of version 3");
    assert_eq!(store.owned_by(&me()).await.expect("the index is there"), [LeaseKey::from("shardId-000000000000")]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_kcl_table_is_a_new_application() {
    let cloud = Cloud::new();
    bare_table(&cloud.outside().dynamodb, "app", "leaseKey").await;
    store(&cloud).await.prepare(Entry::of(&me(), NOW)).await.expect("nobody works on it");
    assert_eq!(rows(&cloud.outside().dynamodb, "app").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_cannot_be_named_like_a_row_of_the_protocol() {
    let cloud = Cloud::new();
    for name in ["Leader", "Migration3.0", "TableMigration3.5", ""] {
        match store(&cloud).await.prepare(Entry::of(&WorkerId::from(name), NOW)).await {
            Err(PrepareError::Refused { reason, .. }) => assert!(reason.contains(name), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(cloud.calls("me").is_empty());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_cost_time_only() {
    let cloud = Cloud::new();
    let store = store(&cloud).await;
    for operation in ["DescribeTable", "CreateTable", "GetItem", "Scan", "PutItem"] {
        cloud.faults("me").dynamodb().next(operation, Fault::LoseResponse);
    }
    store.prepare(Entry::of(&me(), NOW)).await.expect("each step can be repeated");
    assert_eq!(rows(&cloud.outside().dynamodb, "app").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_out_of_reach_is_given_up_with_the_reason() {
    let cloud = Cloud::new();
    let store = store(&cloud).await;
    cloud.faults("me").black_hole();
    let start = Instant::now();
    match store.prepare(Entry::of(&me(), NOW)).await {
        Err(PrepareError::Unavailable { call, source: StoreError::Unknown { .. } }) => {
            let text = call.to_string();
            assert!(text.starts_with("describe_table of the lease table app in us-east-1"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert!((20..=33).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_table_is_waited_for_while_it_is_being_made() {
    let cloud = Cloud::new();
    let connection = cloud.connect("me").await;
    let table = r#"{"TableName":"app"}"#;
    let slow = Instead::of(table, 5, 200, r#"{"Table":{"TableName":"app","TableStatus":"CREATING"}}"#);
    let config = connection.dynamodb_config().interceptor(slow).build();
    let start = Instant::now();
    DynamoDbLeaseStore::new(Client::from_conf(config), "app")
        .prepare(Entry::of(&me(), NOW))
        .await
        .expect("it becomes active");
    assert!(start.elapsed() > Duration::from_millis(100), "{:?}", start.elapsed());
}

/// A policy for one table only: the warning says what to allow, and the table itself decides.
#[tokio::test(start_paused = true)]
async fn not_being_allowed_to_look_for_the_other_layout_is_no_refusal_by_itself() {
    let cloud = Cloud::new();
    let connection = cloud.connect("me").await;
    let denied = Instead::of(
        r#"{"TableName":"app-CoordinatorState"}"#,
        usize::MAX,
        400,
        r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}"#,
    );
    let config = connection.dynamodb_config().interceptor(denied).build();
    let store = DynamoDbLeaseStore::new(Client::from_conf(config), "app");
    store.prepare(Entry::of(&me(), NOW)).await.expect("the application is new");
    // Leases without a version row: of either older kind, and the reason says why it cannot be told which.
    let client = cloud.outside().dynamodb;
    client.delete_item().table_name("app").key("leaseKey", s(VERSION_KEY)).send().await.expect("it is there");
    put(&client, "app", &a_lease()).await;
    let reason = refusal(&cloud, &store).await;
    assert!(reason.contains("allow dynamodb:DescribeTable"), "{reason}");
}

/// Answers the first requests of one body in the table's stead.
#[derive(Debug)]
struct Instead {
    request: &'static str,
    left: AtomicUsize,
    status: u16,
    answer: &'static str,
    /// The body of the last request: tests send one at a time.
    asked: Mutex<String>,
}

impl Instead {
    fn of(request: &'static str, times: usize, status: u16, answer: &'static str) -> Self {
        Self { request, left: AtomicUsize::new(times), status, answer, asked: Mutex::default() }
    }
}

impl Intercept for Instead {
    fn name(&self) -> &'static str {
        "Instead"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        *self.asked.lock().expect("not poisoned") = String::from_utf8_lossy(body).into_owned();
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        let asked = *self.asked.lock().expect("not poisoned") == self.request;
        if asked && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            *context.response_mut() = HttpResponse::new(self.status.try_into()?, SdkBody::from(self.answer));
        }
        Ok(())
    }
}
