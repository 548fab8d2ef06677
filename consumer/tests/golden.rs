//! C11 on tables that the real Java KCL left: 2.7.2, 3.1.3, 3.4.0 and 3.5.1 (`testdata/layouts`). A worker of the right stream is never
//! refused for its stream, and one of another stream never writes.
//!
//! The numbers in the tables are of a stream that is gone: each is replaced by a number of the stream at hand.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use kinesis_consumer::lease::PrepareError;
use kinesis_consumer::{Batch, BuildError, Consumer, ConsumerBuilder, StartAt};
use kinesis_testkit::{Cloud, Item, Stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::common::Ledger;

mod common;

const SECOND: Duration = Duration::from_secs(1);

/// What a table is good for today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Workers of ours join.
    Joined,
    /// Its layout or its version is one that they refuse, whatever the stream.
    Refused,
}

const TABLES: &[(&str, Use)] = &[
    ("golden-272-after-clean", Use::Refused),
    ("golden-272-beside-3x-rows", Use::Joined),
    ("golden-272-stopped", Use::Refused),
    ("golden-272", Use::Refused),
    ("golden-313-given-to-foreign", Use::Refused),
    ("golden-313-handoff-to-foreign", Use::Refused),
    ("golden-313-three-tables", Use::Refused),
    ("golden-313-with-foreign", Use::Refused),
    ("golden-340-three-tables", Use::Refused),
    ("golden-351-on-272", Use::Joined),
    ("golden-351-on-three-tables", Use::Refused),
    ("golden-351-phase2-pending", Use::Refused),
    ("golden-351-single-table", Use::Joined),
];

/// A cloud with the tables of that file, whose leases are of the stream `clicks`, and another stream of equal shape.
struct Golden {
    cloud: Cloud,
    stream: Stream,
    tables: Vec<String>,
}

impl Golden {
    async fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/layouts").join(format!("{name}.json"));
        let text = std::fs::read_to_string(path).expect("a readable file");
        let tables: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
        let is_lease = |item: &&Value| item["leaseKey"]["S"].as_str().is_some_and(|key| key.starts_with("shardId-"));
        let leases = tables["app"]["Items"].as_array().expect("items").iter().filter(is_lease).count();
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", i32::try_from(leases).expect("a few")).await;
        sleep(SECOND).await;
        cloud.create_stream("other", i32::try_from(leases).expect("a few")).await;
        for (n, shard) in stream.shards().into_iter().enumerate() {
            stream.put_with_hash_key("k", *shard.hash_keys.start(), format!("before {n}")).await;
        }
        for (table, content) in &tables {
            create(&cloud, table, content).await;
            for item in content["Items"].as_array().expect("items") {
                cloud.table(table).put(adapted(item, &stream));
            }
        }
        Self { cloud, stream, tables: tables.keys().cloned().collect() }
    }

    async fn builder(&self, worker: &str, stream: &str) -> ConsumerBuilder {
        let connection = self.cloud.connect(worker).await;
        Consumer::builder("app", stream)
            .kinesis(connection.kinesis)
            .dynamodb(connection.dynamodb)
            .start_at(StartAt::TrimHorizon)
            .worker_id(worker)
            .seed(1)
    }

    fn content(&self) -> Vec<Vec<Item>> {
        self.tables.iter().map(|table| self.cloud.table(table).items()).collect()
    }

    fn bound_to(&self) -> Option<String> {
        let row = self.cloud.table("app").item("Migration3.0").expect("a version row");
        row.get("boundToStream").map(|stream| stream.as_s().expect("a text").clone())
    }
}

async fn create(cloud: &Cloud, name: &str, content: &Value) {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let keys = |schema: &Value| -> Vec<KeySchemaElement> {
        let element = |key: &Value| {
            let kind = KeyType::from(key["KeyType"].as_str().expect("a text"));
            KeySchemaElement::builder().attribute_name(text(&key["AttributeName"])).key_type(kind).build()
        };
        schema.as_array().expect("a list").iter().map(|key| element(key).expect("complete")).collect()
    };
    let attribute = |attribute: &Value| {
        let kind = ScalarAttributeType::from(attribute["AttributeType"].as_str().expect("a text"));
        let name = text(&attribute["AttributeName"]);
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("complete")
    };
    let index = |index: &Value| {
        let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        GlobalSecondaryIndex::builder()
            .index_name(text(&index["IndexName"]))
            .set_key_schema(Some(keys(&index["KeySchema"])))
            .projection(projection)
            .build()
            .expect("complete")
    };
    let indexes: Vec<_> = content["GSI"].as_array().expect("a list").iter().map(index).collect();
    let attributes = content["AttributeDefinitions"].as_array().expect("a list").iter().map(attribute).collect();
    let create = cloud.outside().dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    create
        .set_key_schema(Some(keys(&content["KeySchema"])))
        .set_attribute_definitions(Some(attributes))
        .set_global_secondary_indexes((!indexes.is_empty()).then_some(indexes))
        .send()
        .await
        .expect("a table");
    sleep(SECOND).await;
}

/// The item with the ranges of the stream's shards, and numbers of its records.
fn adapted(item: &Value, stream: &Stream) -> Item {
    let mut item: Item = item.as_object().expect("an item").iter().map(|(k, v)| (k.clone(), value(v))).collect();
    let Some(key) = item.get("leaseKey").and_then(|key| key.as_s().ok()).cloned() else { return item };
    let Some(shard) = stream.shards().into_iter().find(|shard| shard.id == key) else { return item };
    let record = stream.records().into_iter().find(|record| record.shard_id == key).expect("each shard has one");
    let is_number = item["checkpoint"].as_s().is_ok_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let mut set = |name: &str, text: String| item.insert(name.to_owned(), AttributeValue::S(text));
    if is_number {
        set("checkpoint", record.sequence_number);
    }
    set("startingHashKey", shard.hash_keys.start().to_string());
    set("endingHashKey", shard.hash_keys.end().to_string());
    item
}

fn value(json: &Value) -> AttributeValue {
    let (kind, content) = json.as_object().and_then(|typed| typed.iter().next()).expect("a typed value");
    let text = || content.as_str().expect("a text").to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "SS" => AttributeValue::Ss(
            content.as_array().expect("a list").iter().map(|v| v.as_str().expect("a text").to_owned()).collect(),
        ),
        "L" => AttributeValue::L(content.as_array().expect("a list").iter().map(value).collect()),
        "M" => AttributeValue::M(
            content.as_object().expect("a map").iter().map(|(k, v)| (k.clone(), value(v))).collect::<HashMap<_, _>>(),
        ),
        other => panic!("a value of type {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn on_every_table_of_the_kcl_another_stream_s_worker_is_refused_without_a_write() {
    for (name, usable) in TABLES {
        let golden = Golden::load(name).await;
        let before = golden.content();
        let began = Instant::now();
        let error = golden.builder("b", "other").await.build().await.expect_err("another stream's");
        assert!(began.elapsed() <= 5 * SECOND, "{name}: {:?}", began.elapsed());
        match error {
            BuildError::OtherStream(other) => assert!(other.stream.contains("stream/other"), "{name}: {other}"),
            BuildError::LeaseTable(PrepareError::Refused { .. }) if *usable == Use::Refused => {}
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(golden.content(), before, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn on_every_table_of_the_kcl_the_right_worker_is_not_refused_for_its_stream() {
    for (name, usable) in TABLES {
        let golden = Golden::load(name).await;
        let before = golden.content();
        let built = golden.builder("a", "clicks").await.build().await;
        if *usable == Use::Refused {
            let error = built.map(drop).expect_err("not for this layout yet");
            assert!(matches!(error, BuildError::LeaseTable(PrepareError::Refused { .. })), "{name}: {error:?}");
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| (*error).source());
            let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            assert_eq!(text.matches("cannot be used").count(), 1, "{text}");
            assert_eq!(golden.content(), before, "{name}");
            continue;
        }
        let consumer = built.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(golden.bound_to().expect("a stored number proves it").contains("stream/clicks"), "{name}");
        let (ledger, handle) = (Ledger::of(&golden.cloud), consumer.handle());
        let noted = ledger.clone();
        let running = tokio::spawn(consumer.run(move |batch: Batch| {
            noted.note("a", &batch);
            async { Ok::<(), std::io::Error>(()) }
        }));
        let shards = golden.stream.shards();
        for (n, shard) in shards.iter().enumerate() {
            golden.stream.put_with_hash_key("k", *shard.hash_keys.start(), format!("after {n}")).await;
        }
        ledger.wait_for(shards.len()).await;
        // It goes on behind the KCL's checkpoints, and through the stream's own reshards.
        let read: BTreeSet<String> = ledger.data().into_iter().collect();
        assert_eq!(read, (0..shards.len()).map(|n| format!("after {n}")).collect(), "{name}");
        golden.stream.split(0).await;
        golden.stream.put("k", "of a child").await;
        ledger.wait_for(shards.len() + 1).await;
        assert_eq!(handle.other_stream(), None);
        handle.shutdown(5 * SECOND).await;
        running.await.expect("no panic").expect("shut down");
    }
}

/// A table that was restored from a backup, or copied, keeps its rows; the endpoint of a region gets another name.
#[tokio::test(start_paused = true)]
async fn a_restored_table_and_a_renamed_region_are_no_other_stream() {
    let golden = Golden::load("golden-351-single-table").await;
    let first = golden.builder("a", "clicks").await.build().await.expect("the right stream");
    first.handle().shutdown(SECOND).await;
    let bound = golden.bound_to().expect("bound");
    for other_name in
        [bound.replace("us-east-1", "us-east-2"), bound.replace("arn:aws:", "arn:aws-us-gov:"), bound.clone()]
    {
        let mut row = golden.cloud.table("app").item("Migration3.0").expect("a version row");
        row.insert("boundToStream".to_owned(), AttributeValue::S(other_name.clone()));
        golden.cloud.table("app").put(row);
        let again = golden.builder("a", "clicks").await.build().await.unwrap_or_else(|error| panic!("{error}"));
        again.handle().shutdown(SECOND).await;
        assert_eq!(golden.bound_to(), Some(other_name));
    }
    // By its ARN as by its name.
    let by_arn = golden.builder("c", &golden.stream.arn()).await.build().await;
    by_arn.unwrap_or_else(|error| panic!("{error}")).handle().shutdown(SECOND).await;
}
