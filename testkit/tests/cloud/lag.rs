//! Reads that see the past.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue as Value, DeleteRequest, Put, TransactWriteItem, WriteRequest};
use kinesis_testkit::{Cloud, Lag};

use crate::dynamodb::{leases, number, put, renew, text};
use crate::sleep;

/// What `owner` holds according to the index.
async fn held(client: &Client, owner: &str) -> Vec<String> {
    let query = client.query().table_name("leases").index_name("byOwner").key_condition_expression("leaseOwner = :me");
    let found = query.expression_attribute_values(":me", text(owner)).send().await.unwrap();
    found.items().iter().map(|item| item["leaseKey"].as_s().unwrap().clone()).collect()
}

async fn hand_over(client: &Client, key: &str, owner: &str) {
    let update = client.update_item().table_name("leases").key("leaseKey", text(key));
    let update = update.update_expression("SET leaseOwner = :o").expression_attribute_values(":o", text(owner));
    update.send().await.unwrap();
}

async fn counter(client: &Client, key: &str, consistent: bool) -> Option<Value> {
    let get = client.get_item().table_name("leases").key("leaseKey", text(key)).consistent_read(consistent);
    get.send().await.unwrap().item.map(|item| item["leaseCounter"].clone())
}

#[tokio::test(start_paused = true)]
async fn an_index_answers_with_the_state_of_some_moments_ago() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.table("leases").index_lag(Duration::from_secs(2));
    assert_eq!(held(&client, "a").await, ["shard-1"], "what was there before is seen");
    put(&client, "shard-2", "a").await;
    hand_over(&client, "shard-1", "b").await;
    sleep(1900).await;
    assert_eq!(held(&client, "a").await, ["shard-1"]);
    assert!(held(&client, "b").await.is_empty());
    assert!(counter(&client, "shard-2", false).await.is_some(), "the table itself does not lag");
    sleep(200).await;
    assert_eq!(held(&client, "a").await, ["shard-2"]);
    assert_eq!(held(&client, "b").await, ["shard-1"]);
    client.delete_item().table_name("leases").key("leaseKey", text("shard-1")).send().await.unwrap();
    assert_eq!(held(&client, "b").await, ["shard-1"], "an index shows what is gone");
    cloud.table("leases").index_lag(Lag::None);
    assert!(held(&client, "b").await.is_empty(), "without lag it has seen everything");
}

#[tokio::test(start_paused = true)]
async fn eventually_consistent_reads_lag_and_consistent_ones_do_not() {
    let (cloud, client) = leases().await;
    cloud.dynamodb().read_lag(Duration::from_secs(1));
    put(&client, "shard-1", "a").await;
    assert_eq!(counter(&client, "shard-1", false).await, None);
    assert_eq!(counter(&client, "shard-1", true).await, Some(number(1)));
    let scan =
        async |consistent| client.scan().table_name("leases").consistent_read(consistent).send().await.unwrap().count;
    assert_eq!((scan(false).await, scan(true).await), (0, 1));
    assert_eq!(held(&client, "a").await, ["shard-1"], "the index has its own lag");
    sleep(1000).await;
    assert_eq!(counter(&client, "shard-1", false).await, Some(number(1)));
    renew(&client, "shard-1", 1).send().await.expect("conditions look at the present");
    renew(&client, "shard-1", 2).send().await.expect("conditions look at the present");
    assert_eq!(counter(&client, "shard-1", false).await, Some(number(1)));
    sleep(1000).await;
    assert_eq!((scan(false).await, counter(&client, "shard-1", false).await), (1, Some(number(3))));
}

#[tokio::test(start_paused = true)]
async fn batches_and_transactions_are_seen_late_too() {
    let (cloud, client) = leases().await;
    cloud.table("leases").index_lag(Duration::from_secs(1));
    let item = HashMap::from([("leaseKey".to_owned(), text("shard-1")), ("leaseOwner".to_owned(), text("a"))]);
    let create = Put::builder().table_name("leases").set_item(Some(item)).build().unwrap();
    let create = TransactWriteItem::builder().put(create).build();
    client.transact_write_items().transact_items(create).send().await.unwrap();
    assert!(held(&client, "a").await.is_empty());
    sleep(1000).await;
    assert_eq!(held(&client, "a").await, ["shard-1"]);
    let delete = DeleteRequest::builder().key("leaseKey", text("shard-1")).build().unwrap();
    let delete = WriteRequest::builder().delete_request(delete).build();
    client.batch_write_item().request_items("leases", vec![delete]).send().await.unwrap();
    assert_eq!(held(&client, "a").await, ["shard-1"]);
    sleep(1000).await;
    assert!(held(&client, "a").await.is_empty());
}

/// When each of twenty leases came to be seen, in steps of 100 ms after they were written.
async fn seen(seed: u64) -> Vec<usize> {
    let cloud = Cloud::builder().seed(seed).build();
    let client = cloud.connect("a").await.dynamodb;
    crate::dynamodb::create_leases(&client).await;
    cloud.dynamodb().index_lag(Lag::UpTo(Duration::from_secs(1)));
    for n in 0..20 {
        put(&client, &format!("shard-{n:02}"), "a").await;
    }
    let mut counts = Vec::new();
    for _ in 0..11 {
        counts.push(held(&client, "a").await.len());
        sleep(100).await;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_lag_can_be_drawn_from_the_seed() {
    let counts = seen(1).await;
    assert!(counts[0] < 8 && (5..=15).contains(&counts[5]), "{counts:?}");
    assert_eq!(counts[10], 20, "all within the bound");
    assert_eq!(counts, seen(1).await);
    assert_ne!(counts, seen(2).await);
}

#[tokio::test(start_paused = true)]
async fn writes_of_one_item_are_seen_in_their_order() {
    let (cloud, client) = leases().await;
    cloud.dynamodb().read_lag(Lag::UpTo(Duration::from_secs(1)));
    put(&client, "shard-1", "a").await;
    let mut last = 0;
    for n in 1..200 {
        renew(&client, "shard-1", n).send().await.unwrap();
        if let Some(counter) = counter(&client, "shard-1", false).await {
            let seen: u64 = counter.as_n().unwrap().parse().unwrap();
            assert!(last <= seen && seen <= n + 1, "{seen} after {last}");
            last = seen;
        }
        sleep(20).await;
    }
    assert!((1..200).contains(&last), "{last}");
    sleep(1000).await;
    assert_eq!(counter(&client, "shard-1", false).await, Some(number(200)));
}

#[tokio::test(start_paused = true)]
async fn tables_come_and_go_while_others_lag() {
    let (cloud, client) = leases().await;
    cloud.dynamodb().index_lag(Duration::from_secs(1));
    put(&client, "shard-1", "a").await;
    client.delete_table().table_name("leases").send().await.unwrap();
    crate::dynamodb::create_leases(&client).await;
    put(&client, "shard-2", "a").await;
    sleep(1000).await;
    assert_eq!(held(&client, "a").await, ["shard-2"], "nothing of the old table comes back");
}
