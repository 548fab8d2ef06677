//! Queries and scans.

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{KeyType, Select};

use super::table::{BY_OWNER, Item, Table, hash, item, key_element, n, s, string};
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;

checks! {
    an_index_finds_the_items_of_an_owner: "Query", "IndexName: the items with this key in the index";
    an_index_has_only_items_with_its_key: "Global secondary indexes", "sparse: an item without the key is not in the index";
    an_index_follows_its_items: "Global secondary indexes", "an update of the key moves the item, a delete removes it";
    an_index_reads_no_consistent_data: "Query", "ConsistentRead on a global secondary index: ValidationException";
    an_unknown_index_is_refused: "Query", "ValidationException";
    a_query_needs_its_key: "Query", "KeyConditionExpression: the partition key with `=`; ValidationException";
    a_query_goes_by_the_sort_key: "Query", "sorted by the sort key, backwards with ScanIndexForward false";
    a_sort_key_has_ranges: "Query", "BETWEEN and begins_with on the sort key";
    a_query_pages_by_limit: "Query", "Limit and LastEvaluatedKey; ExclusiveStartKey goes on";
    a_scan_pages_by_limit: "Scan", "Limit: each item on one page";
    a_scan_pages_at_one_megabyte: "Scan", "'the total size of scanned items exceeds the maximum dataset size limit of 1 MB'";
    segments_share_a_table: "Scan", "Segment and TotalSegments: each item in one segment";
    a_filter_comes_after_the_limit: "Scan", "FilterExpression: applied after the items are read; Count and ScannedCount";
    a_count_has_no_items: "Scan", "Select COUNT: the number alone";
    a_scan_may_be_consistent: "Scan", "ConsistentRead: all writes that succeeded before";
}

async fn an_index_finds_the_items_of_an_owner(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    for (key, owner) in [("a", "me"), ("b", "you"), ("c", "me")] {
        table.put(item(key, [("owner", s(owner))])).await?;
    }
    ensure!(keys(&of(&table, "me").send().await?.items.unwrap_or_default()) == ["a", "c"]);
    Ok(())
}

async fn an_index_has_only_items_with_its_key(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    table.put(item("a", [("owner", s("me"))])).await?;
    table.put(item("b", [])).await?;
    let found = table.db.scan().table_name(&table.name).index_name(BY_OWNER).send().await?;
    ensure!(keys(found.items()) == ["a"], "{found:?}");
    Ok(())
}

async fn an_index_follows_its_items(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    table.put(item("a", [("owner", s("me"))])).await?;
    table.put(item("a", [("owner", s("you"))])).await?;
    ensure!(of(&table, "me").send().await?.count == 0 && of(&table, "you").send().await?.count == 1);
    table.db.delete_item().table_name(&table.name).key("key", s("a")).send().await?;
    ensure!(of(&table, "you").send().await?.count == 0);
    Ok(())
}

async fn an_index_reads_no_consistent_data(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    refused(of(&table, "me").consistent_read(true).send().await, "ValidationException")
}

async fn an_unknown_index_is_refused(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    refused(of(&table, "me").send().await, "ValidationException")
}

async fn a_query_needs_its_key(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let query = table.db.query().table_name(&table.name).expression_attribute_values(":x", n(1));
    refused(query.clone().key_condition_expression("x = :x").send().await, "ValidationException")?;
    let query = query.expression_attribute_names("#k", "key");
    refused(query.key_condition_expression("#k > :x").send().await, "ValidationException")
}

async fn a_query_goes_by_the_sort_key(probe: Probe) -> Result<()> {
    let table = sorted(&probe).await?;
    ensure!(sorts(&one(&table, "#k = :k").send().await?.items.unwrap_or_default()) == ["1", "2", "20", "3"]);
    let back = one(&table, "#k = :k").scan_index_forward(false).send().await?;
    ensure!(sorts(back.items()) == ["3", "20", "2", "1"], "{back:?}");
    Ok(())
}

async fn a_sort_key_has_ranges(probe: Probe) -> Result<()> {
    let table = sorted(&probe).await?;
    let starts = one(&table, "#k = :k AND begins_with(sort, :two)").expression_attribute_values(":two", s("2"));
    ensure!(sorts(starts.send().await?.items()) == ["2", "20"]);
    let between = one(&table, "#k = :k AND sort BETWEEN :a AND :b").expression_attribute_values(":a", s("2"));
    let between = between.expression_attribute_values(":b", s("3")).send().await?;
    ensure!(sorts(between.items()) == ["2", "20", "3"], "{between:?}");
    Ok(())
}

async fn a_query_pages_by_limit(probe: Probe) -> Result<()> {
    let table = sorted(&probe).await?;
    let first = one(&table, "#k = :k").limit(3).send().await?;
    ensure!(sorts(first.items()) == ["1", "2", "20"], "{first:?}");
    let last = first.last_evaluated_key.context("no LastEvaluatedKey")?;
    let second = one(&table, "#k = :k").limit(3).set_exclusive_start_key(Some(last)).send().await?;
    ensure!(sorts(second.items()) == ["3"] && second.last_evaluated_key.is_none(), "{second:?}");
    Ok(())
}

async fn a_scan_pages_by_limit(probe: Probe) -> Result<()> {
    let table = five(&probe).await?;
    let (mut found, mut start) = (Vec::new(), None::<Item>);
    loop {
        let scan = table.db.scan().table_name(&table.name).limit(2).set_exclusive_start_key(start.take());
        let answer = scan.send().await?;
        ensure!(answer.count <= 2);
        found.extend(answer.items.unwrap_or_default());
        start = answer.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    ensure!(keys(&found) == ["a", "b", "c", "d", "e"], "{found:?}");
    Ok(())
}

async fn a_scan_pages_at_one_megabyte(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    for key in ["a", "b", "c", "d"] {
        table.put(item(key, [("x", s(&"x".repeat(390_000)))])).await?;
    }
    let answer = table.db.scan().table_name(&table.name).send().await?;
    ensure!(matches!(answer.count, 2 | 3) && answer.last_evaluated_key.is_some(), "{} items", answer.count);
    Ok(())
}

async fn segments_share_a_table(probe: Probe) -> Result<()> {
    let table = five(&probe).await?;
    let mut found = Vec::new();
    for segment in 0..3 {
        let scan = table.db.scan().table_name(&table.name).segment(segment).total_segments(3);
        found.extend(scan.send().await?.items.unwrap_or_default());
    }
    ensure!(keys(&found) == ["a", "b", "c", "d", "e"], "{found:?}");
    Ok(())
}

async fn a_filter_comes_after_the_limit(probe: Probe) -> Result<()> {
    let table = five(&probe).await?;
    let scan = table.db.scan().table_name(&table.name).limit(4).filter_expression("x = :none");
    let answer = scan.expression_attribute_values(":none", n(99)).send().await?;
    ensure!(answer.count == 0 && answer.scanned_count == 4 && answer.last_evaluated_key.is_some(), "{answer:?}");
    Ok(())
}

async fn a_count_has_no_items(probe: Probe) -> Result<()> {
    let table = five(&probe).await?;
    let answer = table.db.scan().table_name(&table.name).select(Select::Count).send().await?;
    ensure!(answer.count == 5 && answer.items().is_empty(), "{answer:?}");
    Ok(())
}

async fn a_scan_may_be_consistent(probe: Probe) -> Result<()> {
    let table = five(&probe).await?;
    ensure!(table.db.scan().table_name(&table.name).consistent_read(true).send().await?.count == 5);
    Ok(())
}

fn of(table: &Table, owner: &str) -> QueryFluentBuilder {
    let query = table.db.query().table_name(&table.name).index_name(BY_OWNER);
    let query = query.key_condition_expression("#o = :o").expression_attribute_names("#o", "owner");
    query.expression_attribute_values(":o", s(owner))
}

/// A table with a sort key, and four items under one partition key.
async fn sorted(probe: &Probe) -> Result<Table> {
    let sort = key_element("sort", KeyType::Range);
    let schema = vec![hash("key"), sort];
    let table = Table::made(probe, |create| create.attribute_definitions(string("sort")).set_key_schema(Some(schema)));
    let table = table.await?;
    for sort in ["3", "1", "20", "2"] {
        table.put(item("a", [("sort", s(sort))])).await?;
    }
    table.put(item("b", [("sort", s("1"))])).await?;
    Ok(table)
}

/// A query of the partition `a`.
fn one(table: &Table, condition: &str) -> QueryFluentBuilder {
    let query = table.db.query().table_name(&table.name).key_condition_expression(condition);
    query.expression_attribute_names("#k", "key").expression_attribute_values(":k", s("a"))
}

async fn five(probe: &Probe) -> Result<Table> {
    let table = Table::new(probe).await?;
    for (number, key) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        table.put(item(key, [("x", n(number))])).await?;
    }
    Ok(table)
}

fn keys(items: &[Item]) -> Vec<String> {
    let mut keys = strings(items, "key");
    keys.sort();
    keys
}

fn sorts(items: &[Item]) -> Vec<String> {
    strings(items, "sort")
}

fn strings(items: &[Item], name: &str) -> Vec<String> {
    items.iter().filter_map(|item| item.get(name)?.as_s().ok().cloned()).collect()
}
