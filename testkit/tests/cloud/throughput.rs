//! Tables and indexes that give only so much.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue as Value, DeleteRequest, KeysAndAttributes, ProvisionedThroughput, Put, PutRequest,
    ReturnConsumedCapacity, TransactWriteItem, WriteRequest,
};
use kinesis_testkit::{Cloud, Throughput};

use crate::dynamodb::{leases, number, put, renew, text};
use crate::{code, refusal, sleep};

fn item(key: &str, bytes: usize) -> HashMap<String, Value> {
    HashMap::from([("leaseKey".to_owned(), text(key)), ("data".to_owned(), text(&"x".repeat(bytes)))])
}

/// The code of a refused write, nothing when it was taken.
async fn write(client: &Client, key: &str, bytes: usize) -> Option<String> {
    let put = client.put_item().table_name("leases").set_item(Some(item(key, bytes))).send().await;
    put.is_err().then(|| code(put))
}

async fn read(client: &Client, key: &str, consistent: bool) -> bool {
    client.get_item().table_name("leases").key("leaseKey", text(key)).consistent_read(consistent).send().await.is_ok()
}

fn keys(cloud: &Cloud) -> Vec<String> {
    let items = cloud.table("leases").items();
    items.iter().map(|item| item["leaseKey"].as_s().unwrap().clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn writes_are_throttled_at_their_rate_and_have_no_effect() {
    let (cloud, client) = leases().await;
    cloud.table("leases").throughput(Throughput::new(1000, 5));
    for n in 0..5 {
        assert_eq!(write(&client, &n.to_string(), 1).await, None);
    }
    let put = client.put_item().table_name("leases").set_item(Some(item("6", 1))).send().await;
    let error = put.unwrap_err().into_service_error();
    let PutItemError::ThrottlingException(throttled) = error else { panic!("{error:?}") };
    let reason = &throttled.throttling_reasons()[0];
    assert_eq!(reason.reason(), Some("TableWriteMaxOnDemandThroughputExceeded"));
    assert_eq!(reason.resource(), Some("arn:aws:dynamodb:us-east-1:123456789012:table/leases"));
    assert_eq!(keys(&cloud), ["0", "1", "2", "3", "4"]);

    // A minute later a second's worth is there again, and then one each 200 ms.
    sleep(60_000).await;
    let mut taken = 0;
    for n in 0..50 {
        taken += usize::from(write(&client, &format!("late-{n}"), 1).await.is_none());
        sleep(39).await;
    }
    assert!((13..=15).contains(&taken), "5 at once and 5 a second for two seconds, not {taken}");

    cloud.table("leases").without_throughput();
    for n in 0..50 {
        assert_eq!(write(&client, &n.to_string(), 1).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn units_are_counted_by_size_and_consistency() {
    let (cloud, client) = leases().await;
    write(&client, "nine", 9000).await;
    // 9 KB: nine units to write, three to read, half of them when eventually consistent.
    for (throughput, consistent, expected) in
        [(Throughput::new(6, 1), true, 2), (Throughput::new(6, 1), false, 4), (Throughput::new(3, 1), false, 2)]
    {
        cloud.table("leases").throughput(throughput);
        let mut taken = 0;
        while read(&client, "nine", consistent).await {
            taken += 1;
        }
        assert_eq!(taken, expected, "{throughput:?} {consistent}");
    }
    cloud.table("leases").throughput(Throughput::new(1, 17));
    assert_eq!(write(&client, "a", 8000).await, None);
    assert_eq!(write(&client, "b", 9000).await, None);
    assert!(write(&client, "c", 1).await.is_some(), "8 + 9 units are 17");
}

#[tokio::test(start_paused = true)]
async fn a_burst_saves_up_for_its_time() {
    let (cloud, client) = leases().await;
    cloud.dynamodb().throughput(Throughput::new(1, 1).burst(Duration::from_secs(10)));
    let mut taken = 0;
    while write(&client, "x", 1).await.is_none() {
        taken += 1;
    }
    assert_eq!(taken, 10);
    sleep(3000).await;
    assert_eq!(write(&client, "x", 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_is_paid_for() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.table("leases").throughput(Throughput::new(1, 2));
    assert_eq!(code(renew(&client, "shard-1", 7).send().await), "ConditionalCheckFailedException");
    assert_eq!(code(renew(&client, "shard-1", 7).send().await), "ConditionalCheckFailedException");
    assert_eq!(code(renew(&client, "shard-1", 1).send().await), "ThrottlingException");
    sleep(500).await;
    renew(&client, "shard-1", 1).send().await.unwrap();
    assert_eq!(cloud.table("leases").item("shard-1").unwrap()["leaseCounter"], number(2));
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_index_that_it_changes() {
    let (cloud, client) = leases().await;
    put(&client, "shard-1", "a").await;
    cloud.table("leases").index_throughput("byOwner", Throughput::new(1, 1));
    let hand_over = |owner: &'static str| {
        let update = client.update_item().table_name("leases").key("leaseKey", text("shard-1"));
        update.update_expression("SET leaseOwner = :o").expression_attribute_values(":o", text(owner)).send()
    };
    // From one owner to another: the index loses an entry and gains one. That is more than it holds, so it takes a full
    // second's worth and leaves a debt.
    hand_over("b").await.unwrap();
    let (throttled, message) = refusal(hand_over("c").await);
    assert_eq!(throttled, "ThrottlingException");
    assert!(message.contains("global secondary index"), "{message}");
    assert_eq!(cloud.table("leases").item("shard-1").unwrap()["leaseOwner"], text("b"), "taken back");
    renew(&client, "shard-1", 1).send().await.expect("a renewal does not touch the index");
    sleep(2100).await;
    hand_over("c").await.unwrap();

    let query = || {
        let query = client.query().table_name("leases").index_name("byOwner");
        query.key_condition_expression("leaseOwner = :me").expression_attribute_values(":me", text("c")).send()
    };
    query().await.unwrap();
    query().await.unwrap();
    assert_eq!(code(query().await), "ThrottlingException");
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_unprocessed_what_it_cannot_pay() {
    let (cloud, client) = leases().await;
    put(&client, "old", "a").await;
    cloud.table("leases").throughput(Throughput::new(1000, 4));
    let puts = (0..6).map(|n| {
        let put = PutRequest::builder().set_item(Some(item(&n.to_string(), 1))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    });
    let delete = DeleteRequest::builder().key("leaseKey", text("old")).build().unwrap();
    let mut requests: Vec<_> = puts.collect();
    requests.insert(0, WriteRequest::builder().delete_request(delete).build());
    let batch = |requests: Vec<WriteRequest>| {
        let batch = client.batch_write_item().request_items("leases", requests);
        batch.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
    };
    let answer = batch(requests).await.unwrap();
    let left = answer.unprocessed_items.unwrap().remove("leases").unwrap();
    assert_eq!(left.len(), 3);
    assert_eq!(keys(&cloud), ["0", "1", "2"]);
    let consumed = &answer.consumed_capacity.unwrap()[0];
    assert!(consumed.table.is_none());
    assert_eq!((consumed.table_name(), consumed.capacity_units), (Some("leases"), Some(5.0)), "and the index's one");

    assert_eq!(code(batch(left.clone()).await), "ThrottlingException", "none of them can be paid");
    sleep(1000).await;
    assert!(batch(left).await.unwrap().unprocessed_items.unwrap().is_empty());
    assert_eq!(keys(&cloud).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_reads_leaves_keys_unprocessed() {
    let (cloud, client) = leases().await;
    for n in 0..4 {
        write(&client, &n.to_string(), 5000).await;
    }
    cloud.table("leases").throughput(Throughput::new(4, 1));
    let keys = (0..4).map(|n| HashMap::from([("leaseKey".to_owned(), text(&n.to_string()))])).collect();
    let wish = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build().unwrap();
    let answer = client.batch_get_item().request_items("leases", wish).send().await.unwrap();
    assert_eq!(answer.responses.unwrap()["leases"].len(), 2);
    let left = answer.unprocessed_keys.unwrap().remove("leases").unwrap();
    assert_eq!((left.keys().len(), left.consistent_read()), (2, Some(true)));
    let again = client.batch_get_item().request_items("leases", left.clone()).send().await;
    assert_eq!(code(again), "ThrottlingException");
    sleep(1000).await;
    let rest = client.batch_get_item().request_items("leases", left).send().await.unwrap();
    assert_eq!(rest.responses.unwrap()["leases"].len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_cancelled_with_the_reason_at_its_items() {
    let (cloud, client) = leases().await;
    cloud.table("leases").throughput(Throughput::new(1, 5));
    let transact = async |name: &str| {
        let puts = (0..2).map(|n| {
            let put = Put::builder().table_name("leases").set_item(Some(item(&format!("{name}-{n}"), 1)));
            TransactWriteItem::builder().put(put.build().unwrap()).build()
        });
        client.transact_write_items().set_transact_items(Some(puts.collect())).send().await
    };
    transact("first").await.unwrap();
    let error = transact("second").await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
        cancelled,
    ) = error
    else {
        panic!("{error:?}")
    };
    let reasons: Vec<_> = cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(reasons, ["ThrottlingError"; 2]);
    assert!(cancelled.cancellation_reasons()[0].message().unwrap().contains("automatically scaling"));
    assert_eq!(keys(&cloud), ["first-0", "first-1"]);
    sleep(1000).await;
    transact("second").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_provisioned_table_gives_what_it_provisioned() {
    let (cloud, client) = leases().await;
    let throughput = ProvisionedThroughput::builder().read_capacity_units(1).write_capacity_units(1).build().unwrap();
    client
        .create_table()
        .table_name("small")
        .set_attribute_definitions(Some(vec![crate::dynamodb::attribute("id")]))
        .set_key_schema(Some(vec![crate::dynamodb::hash_key("id")]))
        .provisioned_throughput(throughput)
        .send()
        .await
        .unwrap();
    let write = async || client.put_item().table_name("small").item("id", text("x")).send().await;
    // Five minutes' worth is saved up.
    for n in 0..300 {
        assert!(write().await.is_ok(), "{n}");
    }
    let error = write().await.unwrap_err().into_service_error();
    let PutItemError::ProvisionedThroughputExceededException(exceeded) = error else { panic!("{error:?}") };
    assert_eq!(exceeded.throttling_reasons()[0].reason(), Some("TableWriteProvisionedThroughputExceeded"));
    assert_eq!(
        exceeded.message(),
        Some(
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API."
        )
    );
    let more = ProvisionedThroughput::builder().read_capacity_units(1).write_capacity_units(10).build().unwrap();
    client.update_table().table_name("small").provisioned_throughput(more).send().await.unwrap();
    assert!(write().await.is_ok());
    cloud.table("small").throughput(Throughput::new(0, 0));
    assert!(write().await.is_err(), "what the test sets goes before");
}
