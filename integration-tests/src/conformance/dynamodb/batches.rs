//! Batches and transactions.

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::{
    ConditionCheck, DeleteRequest, Get, KeysAndAttributes, Put, PutRequest, TransactGetItem, TransactWriteItem,
    WriteRequest,
};

use super::table::{Item, Table, item, n, s};
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;

checks! {
    a_batch_puts_and_deletes: "BatchWriteItem", "puts and deletes of many items; UnprocessedItems is empty";
    a_batch_has_at_most_25_writes: "BatchWriteItem", "'as many as 25 item put or delete operations'; ValidationException";
    a_batch_writes_an_item_once: "BatchWriteItem", "'multiple operations on the same item': ValidationException";
    a_batch_into_an_unknown_table_is_refused: "BatchWriteItem", "ResourceNotFoundException";
    a_batch_gets_what_is_there: "BatchGetItem", "missing items are left out";
    a_batch_has_at_most_100_reads: "BatchGetItem", "'as many as 100 items'; ValidationException";
    a_transaction_writes_all: "TransactWriteItems", "all actions succeed";
    a_transaction_writes_all_or_nothing: "TransactWriteItems", "'either all of them succeed, or all of them fail'";
    a_refused_transaction_says_which: "TransactWriteItems", "CancellationReasons: in the order of the actions, None or ConditionalCheckFailed";
    a_transaction_checks_other_items: "TransactWriteItems", "ConditionCheck: an item that is not written";
    a_transaction_writes_an_item_once: "TransactWriteItems", "'No two actions can target the same item'; ValidationException";
    a_transaction_is_idempotent_by_token: "TransactWriteItems", "ClientRequestToken: the same call again does nothing";
    a_token_belongs_to_one_request: "TransactWriteItems", "IdempotentParameterMismatchException: the token with another request";
    a_transaction_reads_in_order: "TransactGetItems", "Responses: in the order of the request, empty for a missing item";
}

async fn a_batch_puts_and_deletes(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("old", [])).await?;
    let delete = DeleteRequest::builder().key("key", s("old")).build()?;
    let writes = vec![put("a")?, put("b")?, WriteRequest::builder().delete_request(delete).build()];
    let answer = table.db.batch_write_item().request_items(&table.name, writes).send().await?;
    ensure!(answer.unprocessed_items.is_none_or(|left| left.is_empty()));
    ensure!(table.get("a").await?.is_some() && table.get("b").await?.is_some() && table.get("old").await?.is_none());
    Ok(())
}

async fn a_batch_has_at_most_25_writes(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let writes = |count: usize| (0..count).map(|n| put(&n.to_string())).collect::<Result<Vec<_>>>();
    table.db.batch_write_item().request_items(&table.name, writes(25)?).send().await?;
    let batch = table.db.batch_write_item().request_items(&table.name, writes(26)?);
    refused(batch.send().await, "ValidationException")
}

async fn a_batch_writes_an_item_once(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let batch = table.db.batch_write_item().request_items(&table.name, vec![put("a")?, put("a")?]);
    refused(batch.send().await, "ValidationException")
}

async fn a_batch_into_an_unknown_table_is_refused(probe: Probe) -> Result<()> {
    let batch = probe.dynamodb.batch_write_item().request_items(probe.name(""), vec![put("a")?]);
    refused(batch.send().await, "ResourceNotFoundException")
}

async fn a_batch_gets_what_is_there(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [])).await?;
    let answer = table.db.batch_get_item().request_items(&table.name, keys(["a", "missing"])?).send().await?;
    let found = answer.responses.context("no responses")?.remove(&table.name).context("no table")?;
    ensure!(found == [item("a", [])], "{found:?}");
    Ok(())
}

async fn a_batch_has_at_most_100_reads(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let names: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let names = || names.iter().map(String::as_str);
    table.db.batch_get_item().request_items(&table.name, keys(names().take(100))?).send().await?;
    refused(table.db.batch_get_item().request_items(&table.name, keys(names())?).send().await, "ValidationException")
}

async fn a_transaction_writes_all(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    transact(&table, None, vec![fresh(&table, "a", 1)?, fresh(&table, "b", 1)?]).await?;
    ensure!(table.get("a").await?.is_some() && table.get("b").await?.is_some());
    Ok(())
}

async fn a_transaction_writes_all_or_nothing(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("b", [])).await?;
    let answer = transact(&table, None, vec![fresh(&table, "a", 1)?, fresh(&table, "b", 1)?]).await;
    refused(answer, "TransactionCanceledException")?;
    ensure!(table.get("a").await?.is_none(), "one of two was written");
    Ok(())
}

async fn a_refused_transaction_says_which(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("b", [])).await?;
    let answer = transact(&table, None, vec![fresh(&table, "a", 1)?, fresh(&table, "b", 1)?]).await;
    let error = answer.err().context("it was accepted")?.into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else { bail!("{error:?}") };
    let codes: Vec<_> = canceled.cancellation_reasons().iter().map(|reason| reason.code()).collect();
    ensure!(codes == [Some("None"), Some("ConditionalCheckFailed")], "{codes:?}");
    Ok(())
}

async fn a_transaction_checks_other_items(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let check = ConditionCheck::builder().table_name(&table.name).key("key", s("lock"));
    let check = check.condition_expression("attribute_exists(#k)").expression_attribute_names("#k", "key").build()?;
    let check = TransactWriteItem::builder().condition_check(check).build();
    let actions = vec![check, fresh(&table, "a", 1)?];
    refused(transact(&table, None, actions.clone()).await, "TransactionCanceledException")?;
    table.put(item("lock", [])).await?;
    transact(&table, None, actions).await?;
    Ok(())
}

async fn a_transaction_writes_an_item_once(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let twice = vec![fresh(&table, "a", 1)?, fresh(&table, "a", 2)?];
    refused(transact(&table, None, twice).await, "ValidationException")
}

async fn a_transaction_is_idempotent_by_token(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    for _ in 0..2 {
        // Without the token the second would be refused.
        transact(&table, Some("token-1"), vec![fresh(&table, "a", 1)?]).await?;
    }
    Ok(())
}

async fn a_token_belongs_to_one_request(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    transact(&table, Some("token-2"), vec![fresh(&table, "a", 1)?]).await?;
    let other = transact(&table, Some("token-2"), vec![fresh(&table, "b", 1)?]).await;
    refused(other, "IdempotentParameterMismatchException")
}

async fn a_transaction_reads_in_order(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [])).await?;
    let mut read = table.db.transact_get_items();
    for key in ["missing", "a"] {
        let get = Get::builder().table_name(&table.name).key("key", s(key)).build()?;
        read = read.transact_items(TransactGetItem::builder().get(get).build());
    }
    let answer = read.send().await?;
    let found: Vec<Option<Item>> = answer.responses().iter().map(|response| response.item.clone()).collect();
    ensure!(found.len() == 2 && found[0].as_ref().is_none_or(|item| item.is_empty()), "{found:?}");
    ensure!(found[1] == Some(item("a", [])), "{found:?}");
    Ok(())
}

fn put(key: &str) -> Result<WriteRequest> {
    let put = PutRequest::builder().set_item(Some(item(key, []))).build()?;
    Ok(WriteRequest::builder().put_request(put).build())
}

fn keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<KeysAndAttributes> {
    let keys = keys.into_iter().map(|key| item(key, [])).collect();
    Ok(KeysAndAttributes::builder().set_keys(Some(keys)).build()?)
}

/// A put on condition that there is no such item.
fn fresh(table: &Table, key: &str, number: i32) -> Result<TransactWriteItem> {
    let put = Put::builder().table_name(&table.name).set_item(Some(item(key, [("x", n(number))])));
    let put = put.condition_expression("attribute_not_exists(#k)").expression_attribute_names("#k", "key").build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

async fn transact(
    table: &Table,
    token: Option<&str>,
    actions: Vec<TransactWriteItem>,
) -> Result<TransactWriteItemsOutput, SdkError<TransactWriteItemsError>> {
    let write = table.db.transact_write_items().set_transact_items(Some(actions));
    write.set_client_request_token(token.map(str::to_owned)).send().await
}
