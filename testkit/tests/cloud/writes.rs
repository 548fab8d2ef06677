//! The writes of a table, as they took effect.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ConditionCheck, PutRequest, TransactWriteItem, WriteRequest};
use kinesis_testkit::{Fault, Item, TableWrite, Throughput};

use crate::dynamodb::{leases, number, put, renew, text};
use crate::{code, sleep};

/// Who wrote what, and the counter that the write left.
fn told(writes: &[TableWrite]) -> Vec<String> {
    let line = |write: &TableWrite| {
        let counter = |item: &Item| item["leaseCounter"].as_n().unwrap().clone();
        let worker = write.worker.as_deref().unwrap_or("-");
        let left = write.item.as_ref().map_or_else(|| "gone".to_owned(), counter);
        format!("{worker} {} {} {left}", write.operation, write.key["leaseKey"].as_s().unwrap())
    };
    writes.iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn each_accepted_write_is_told_with_its_time_its_worker_and_the_item_after_it() {
    let (cloud, client) = leases().await;
    let table = cloud.table("leases");
    put(&client, "before", "a").await;
    assert_eq!(table.writes(), [], "none are kept");

    table.keep_writes(100);
    put(&client, "shard-1", "a").await;
    sleep(1000).await;
    renew(&client, "shard-1", 1).send().await.unwrap();
    assert_eq!(code(renew(&client, "shard-1", 1).send().await), "ConditionalCheckFailedException");
    client.delete_item().table_name("leases").key("leaseKey", text("shard-1")).send().await.unwrap();
    table.put([("leaseKey".to_owned(), text("shard-2")), ("leaseCounter".to_owned(), number(7))].into());
    table.delete("shard-2");

    let writes = table.writes();
    assert_eq!(
        told(&writes),
        [
            "a PutItem shard-1 1",
            "a UpdateItem shard-1 2",
            "a DeleteItem shard-1 gone",
            "- PutItem shard-2 7",
            "- DeleteItem shard-2 gone",
        ]
    );
    assert_eq!(writes[1].item.as_ref().unwrap()["leaseOwner"], text("a"), "the whole item");
    let after = writes[1].at - writes[0].at;
    assert!((Duration::from_secs(1)..Duration::from_millis(1010)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_told_and_one_that_never_arrives_or_is_throttled_is_not() {
    let (cloud, client) = leases().await;
    let table = cloud.table("leases");
    put(&client, "shard-1", "a").await;
    table.keep_writes(100);
    cloud.faults("a").next("UpdateItem", Fault::LoseResponse);
    renew(&client, "shard-1", 1).send().await.unwrap_err();
    cloud.faults("a").next("UpdateItem", Fault::LoseRequest);
    renew(&client, "shard-1", 2).send().await.unwrap_err();
    table.throughput(Throughput::new(1, 1));
    renew(&client, "shard-1", 2).send().await.unwrap();
    assert_eq!(code(renew(&client, "shard-1", 3).send().await), "ThrottlingException");
    assert_eq!(told(&table.writes()), ["a UpdateItem shard-1 2", "a UpdateItem shard-1 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_and_a_transaction_are_as_many_writes_as_they_wrote_items() {
    let (cloud, client) = leases().await;
    let table = cloud.table("leases");
    put(&client, "shard-1", "a").await;
    table.keep_writes(100);
    table.throughput(Throughput::new(1, 1));
    let item =
        |key: &str| -> Item { [("leaseKey".to_owned(), text(key)), ("leaseCounter".to_owned(), number(5))].into() };
    let request = |key: &str| {
        let put = PutRequest::builder().set_item(Some(item(key))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let batch = client.batch_write_item().request_items("leases", vec![request("shard-2"), request("shard-3")]);
    let left_out = batch.send().await.unwrap().unprocessed_items.unwrap();
    assert_eq!(left_out["leases"].len(), 1, "the throughput is enough for one");

    table.without_throughput();
    let check = ConditionCheck::builder().table_name("leases").key("leaseKey", text("shard-1"));
    let check = check.condition_expression("attribute_exists(leaseKey)").build().unwrap();
    let written = aws_sdk_dynamodb::types::Put::builder().table_name("leases").set_item(Some(item("shard-4")));
    let transaction = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().condition_check(check).build())
        .transact_items(TransactWriteItem::builder().put(written.build().unwrap()).build());
    transaction.send().await.unwrap();
    assert_eq!(told(&table.writes()), ["a BatchWriteItem shard-2 5", "a TransactWriteItems shard-4 5"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_are_kept() {
    let (cloud, client) = leases().await;
    let table = cloud.table("leases");
    table.keep_writes(3);
    put(&client, "shard-1", "a").await;
    for counter in 1..10 {
        renew(&client, "shard-1", counter).send().await.unwrap();
    }
    let update = |counter: u64| format!("a UpdateItem shard-1 {counter}");
    assert_eq!(told(&table.writes()), [8, 9, 10].map(update));
    table.keep_writes(1);
    assert_eq!(told(&table.writes()), [update(10)]);
}
