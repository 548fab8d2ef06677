//! Items: reading and writing one, on conditions.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeAction, AttributeValue, AttributeValueUpdate, ExpectedAttributeValue, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure,
};

use super::table::{BY_OWNER, Table, item, n, s};
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;

checks! {
    an_item_comes_back_as_it_was_put: "GetItem", "ConsistentRead: reflects all writes that succeeded before";
    a_missing_item_is_no_error: "GetItem", "with no such item 'does not return any data'";
    a_put_replaces_the_whole_item: "PutItem", "'the new item completely replaces the existing item'";
    a_put_if_absent_is_refused_when_present: "PutItem", "ConditionExpression attribute_not_exists; ConditionalCheckFailedException";
    a_refused_put_returns_the_item: "PutItem", "ReturnValuesOnConditionCheckFailure ALL_OLD: the item as it was";
    a_refused_update_returns_the_item: "UpdateItem", "ReturnValuesOnConditionCheckFailure ALL_OLD";
    a_refused_delete_returns_the_item: "DeleteItem", "ReturnValuesOnConditionCheckFailure ALL_OLD";
    a_refused_write_returns_no_item_unasked: "UpdateItem", "ReturnValuesOnConditionCheckFailure: NONE by default";
    a_counter_is_compared_as_a_number: "Condition expressions", "N compares by value: 1 = 1.0";
    an_update_sets_and_removes: "UpdateItem", "SET and REMOVE in one expression";
    an_update_returns_the_new_item: "UpdateItem", "ReturnValues ALL_NEW";
    an_update_returns_the_old_item: "UpdateItem", "ReturnValues ALL_OLD";
    an_update_makes_a_missing_item: "UpdateItem", "'adds a new item to the table if it does not already exist'";
    an_update_of_what_must_exist_makes_none: "UpdateItem", "ConditionExpression attribute_exists; ConditionalCheckFailedException, nothing written";
    add_counts_up: "UpdateItem", "ADD: 'If the existing value is a number', it is added to; a missing one counts from 0";
    add_extends_a_set: "UpdateItem", "ADD: to a set, the elements";
    if_not_exists_keeps_what_is_there: "Update expressions", "if_not_exists(path, value)";
    a_member_of_a_map_is_updated: "Update expressions", "document paths: `m.a`";
    conditions_join_with_and_or_not: "Condition expressions", "AND, OR, NOT, parentheses";
    a_delete_returns_the_old_item: "DeleteItem", "ReturnValues ALL_OLD";
    a_delete_of_a_missing_item_is_no_error: "DeleteItem", "idempotent: without a condition a missing item is no error";
    a_refused_delete_keeps_the_item: "DeleteItem", "ConditionExpression; ConditionalCheckFailedException";
    legacy_updates_put_and_delete_attributes: "Legacy parameters", "AttributeUpdates with the actions PUT and DELETE";
    legacy_updates_add_numbers: "Legacy parameters", "AttributeUpdates with the action ADD";
    legacy_expectations_are_conditions: "Legacy parameters", "Expected: Value, ConditionalCheckFailedException";
    legacy_expectations_may_be_absence: "Legacy parameters", "Expected: Exists false";
    legacy_and_expressions_do_not_mix: "Legacy parameters", "both in one request: ValidationException";
    an_empty_string_is_no_key: "PutItem", "key attributes 'must have length greater than zero'; ValidationException";
    an_empty_string_is_a_value: "PutItem", "'Empty String and Binary values are allowed, if the attribute is not used as a key'";
    an_empty_string_is_no_index_key: "PutItem", "nor 'as a key attribute for a table or index'";
    an_index_key_has_its_type: "PutItem", "a wrong type of an index key: ValidationException";
    an_empty_set_is_refused: "PutItem", "'Set type attributes' must not be empty; ValidationException";
    an_item_has_at_most_400_kb: "Quotas", "'The maximum item size in DynamoDB is 400 KB'; ValidationException";
    a_number_has_38_digits: "Data types", "'up to 38 digits of precision'; more is a ValidationException";
    a_number_loses_needless_zeros: "Data types", "'Leading and trailing zeroes are trimmed'";
    a_reserved_word_needs_a_placeholder: "Reserved words", "in an expression: ValidationException";
    an_unused_value_is_refused: "Expressions", "every value in ExpressionAttributeValues is used; ValidationException";
    an_undefined_value_is_refused: "Expressions", "every `:value` is defined; ValidationException";
    a_projection_names_attributes: "GetItem", "ProjectionExpression: only these attributes";
    a_key_cannot_be_updated: "UpdateItem", "attributes of the key cannot be changed; ValidationException";
    a_key_is_whole_and_nothing_else: "GetItem", "Key: all attributes of the key and no others; ValidationException";
    a_consistent_read_costs_one_unit: "Capacity", "4 KB read consistently: 1, eventually: 0.5";
    a_write_costs_a_unit_in_table_and_index: "Capacity", "1 KB written: 1 in the table and 1 in each index it is in";
    no_capacity_is_told_unasked: "ReturnConsumedCapacity", "NONE by default";
}

async fn an_item_comes_back_as_it_was_put(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let list = AttributeValue::L(vec![AttributeValue::Bool(true), AttributeValue::Null(true), s("x")]);
    let map = AttributeValue::M(HashMap::from([("n".to_owned(), n(-7))]));
    let blob = AttributeValue::B(vec![0, 255].into());
    let put = item("a", [("list", list), ("map", map), ("blob", blob), ("set", AttributeValue::Ss(vec!["x".into()]))]);
    table.put(put.clone()).await?;
    ensure!(table.get("a").await? == Some(put));
    Ok(())
}

async fn a_missing_item_is_no_error(probe: Probe) -> Result<()> {
    ensure!(Table::new(&probe).await?.get("a").await?.is_none());
    Ok(())
}

async fn a_put_replaces_the_whole_item(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [("x", n(1))])).await?;
    table.put(item("a", [("y", n(2))])).await?;
    ensure!(table.get("a").await? == Some(item("a", [("y", n(2))])));
    Ok(())
}

async fn a_put_if_absent_is_refused_when_present(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", [])));
    let put = put.condition_expression("attribute_not_exists(#k)").expression_attribute_names("#k", "key");
    put.clone().send().await?;
    refused(put.send().await, "ConditionalCheckFailedException")
}

async fn a_refused_put_returns_the_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", [])));
    let put = put.condition_expression("attribute_not_exists(#k)").expression_attribute_names("#k", "key");
    let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = put.send().await.err().context("it was accepted")?.into_service_error();
    let refusal = conditional(error.is_conditional_check_failed_exception(), &error)?;
    ensure!(refusal.contains("counter"), "{refusal}");
    Ok(())
}

async fn a_refused_update_returns_the_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let update = expecting(&table, n(9));
    let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = update.send().await.err().context("it was accepted")?.into_service_error();
    let refusal = conditional(error.is_conditional_check_failed_exception(), &error)?;
    ensure!(refusal.contains("counter"), "{refusal}");
    Ok(())
}

async fn a_refused_delete_returns_the_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let delete = table.db.delete_item().table_name(&table.name).key("key", s("a"));
    let delete = delete.condition_expression("attribute_not_exists(#k)").expression_attribute_names("#k", "key");
    let delete = delete.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = delete.send().await.err().context("it was accepted")?.into_service_error();
    let refusal = conditional(error.is_conditional_check_failed_exception(), &error)?;
    ensure!(refusal.contains("counter"), "{refusal}");
    Ok(())
}

async fn a_refused_write_returns_no_item_unasked(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let error = expecting(&table, n(9)).send().await.err().context("it was accepted")?.into_service_error();
    let refusal = conditional(error.is_conditional_check_failed_exception(), &error)?;
    ensure!(!refusal.contains("counter"), "{refusal}");
    Ok(())
}

async fn a_counter_is_compared_as_a_number(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    expecting(&table, n("1.0")).send().await?;
    refused(expecting(&table, n(1)).send().await, "ConditionalCheckFailedException")
}

async fn an_update_sets_and_removes(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let update = update(&table, "SET #o = :o REMOVE #c").expression_attribute_names("#o", "owner");
    update.expression_attribute_names("#c", "counter").expression_attribute_values(":o", s("me")).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("owner", s("me"))])));
    Ok(())
}

async fn an_update_returns_the_new_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let answer = expecting(&table, n(1)).return_values(ReturnValue::AllNew).send().await?;
    ensure!(answer.attributes == Some(item("a", [("counter", n(2))])), "{:?}", answer.attributes);
    Ok(())
}

async fn an_update_returns_the_old_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let answer = expecting(&table, n(1)).return_values(ReturnValue::AllOld).send().await?;
    ensure!(answer.attributes == Some(item("a", [("counter", n(1))])), "{:?}", answer.attributes);
    Ok(())
}

async fn an_update_makes_a_missing_item(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    update(&table, "SET x = :x").expression_attribute_values(":x", n(1)).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("x", n(1))])));
    Ok(())
}

async fn an_update_of_what_must_exist_makes_none(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let update = update(&table, "SET x = :x").expression_attribute_values(":x", n(1));
    let update = update.condition_expression("attribute_exists(#k)").expression_attribute_names("#k", "key");
    refused(update.send().await, "ConditionalCheckFailedException")?;
    ensure!(table.get("a").await?.is_none());
    Ok(())
}

async fn add_counts_up(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let add = update(&table, "ADD #c :one, fresh :one").expression_attribute_names("#c", "counter");
    add.expression_attribute_values(":one", n(1)).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("counter", n(2)), ("fresh", n(1))])));
    Ok(())
}

async fn add_extends_a_set(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    for element in ["x", "y", "x"] {
        let add = update(&table, "ADD tags :t");
        add.expression_attribute_values(":t", AttributeValue::Ss(vec![element.into()])).send().await?;
    }
    let item = table.get("a").await?.context("no item")?;
    let mut set = item["tags"].as_ss().cloned().unwrap_or_default();
    set.sort();
    ensure!(set == ["x", "y"], "{set:?}");
    Ok(())
}

async fn if_not_exists_keeps_what_is_there(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let set = "SET #c = if_not_exists(#c, :seven), fresh = if_not_exists(fresh, :seven)";
    let update = update(&table, set).expression_attribute_names("#c", "counter");
    update.expression_attribute_values(":seven", n(7)).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("counter", n(1)), ("fresh", n(7))])));
    Ok(())
}

async fn a_member_of_a_map_is_updated(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let map = |x: i32| AttributeValue::M(HashMap::from([("x".to_owned(), n(x)), ("y".to_owned(), n(0))]));
    table.put(item("a", [("m", map(1))])).await?;
    update(&table, "SET m.x = :x").expression_attribute_values(":x", n(2)).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("m", map(2))])));
    Ok(())
}

async fn conditions_join_with_and_or_not(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let condition = |condition: &str| {
        let update = update(&table, "SET x = :one").expression_attribute_names("#c", "counter");
        update.expression_attribute_values(":one", n(1)).condition_expression(condition).send()
    };
    condition("(#c > :one OR attribute_not_exists(nothing)) AND NOT #c <> :one").await?;
    refused(
        condition("#c = :one AND (attribute_exists(nothing) OR #c > :one)").await,
        "ConditionalCheckFailedException",
    )
}

async fn a_delete_returns_the_old_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let delete = table.db.delete_item().table_name(&table.name).key("key", s("a"));
    let answer = delete.return_values(ReturnValue::AllOld).send().await?;
    ensure!(answer.attributes == Some(item("a", [("counter", n(1))])), "{:?}", answer.attributes);
    ensure!(table.get("a").await?.is_none());
    Ok(())
}

async fn a_delete_of_a_missing_item_is_no_error(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.db.delete_item().table_name(&table.name).key("key", s("a")).send().await?;
    Ok(())
}

async fn a_refused_delete_keeps_the_item(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let delete = table.db.delete_item().table_name(&table.name).key("key", s("a")).condition_expression("#c = :n");
    let delete = delete.expression_attribute_names("#c", "counter").expression_attribute_values(":n", n(9));
    refused(delete.send().await, "ConditionalCheckFailedException")?;
    ensure!(table.get("a").await?.is_some());
    Ok(())
}

async fn legacy_updates_put_and_delete_attributes(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let put = AttributeValueUpdate::builder().action(AttributeAction::Put).value(s("me")).build();
    let delete = AttributeValueUpdate::builder().action(AttributeAction::Delete).build();
    let update = table.db.update_item().table_name(&table.name).key("key", s("a"));
    update.attribute_updates("owner", put).attribute_updates("counter", delete).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("owner", s("me"))])));
    Ok(())
}

async fn legacy_updates_add_numbers(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let add = AttributeValueUpdate::builder().action(AttributeAction::Add).value(n(4)).build();
    let update = table.db.update_item().table_name(&table.name).key("key", s("a"));
    update.attribute_updates("counter", add).send().await?;
    ensure!(table.get("a").await? == Some(item("a", [("counter", n(5))])));
    Ok(())
}

async fn legacy_expectations_are_conditions(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let legacy = |expected: i32| {
        let put = AttributeValueUpdate::builder().action(AttributeAction::Put).value(n(2)).build();
        let expected = ExpectedAttributeValue::builder().value(n(expected)).build();
        let update = table.db.update_item().table_name(&table.name).key("key", s("a"));
        update.attribute_updates("counter", put).expected("counter", expected).send()
    };
    refused(legacy(9).await, "ConditionalCheckFailedException")?;
    legacy(1).await?;
    Ok(())
}

async fn legacy_expectations_may_be_absence(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let absent = ExpectedAttributeValue::builder().exists(false).build();
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", []))).expected("key", absent);
    put.clone().send().await?;
    refused(put.send().await, "ConditionalCheckFailedException")
}

async fn legacy_and_expressions_do_not_mix(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let expected = ExpectedAttributeValue::builder().value(n(1)).build();
    refused(expecting(&table, n(1)).expected("counter", expected).send().await, "ValidationException")
}

async fn an_empty_string_is_no_key(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("", [])));
    refused(put.send().await, "ValidationException")
}

async fn an_empty_string_is_a_value(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [("x", s(""))])).await?;
    ensure!(table.get("a").await? == Some(item("a", [("x", s(""))])));
    Ok(())
}

async fn an_empty_string_is_no_index_key(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", [("owner", s(""))])));
    refused(put.send().await, "ValidationException")
}

async fn an_index_key_has_its_type(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", [("owner", n(1))])));
    refused(put.send().await, "ValidationException")
}

async fn an_empty_set_is_refused(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let put = table.db.put_item().table_name(&table.name);
    let put = put.set_item(Some(item("a", [("tags", AttributeValue::Ss(Vec::new()))])));
    refused(put.send().await, "ValidationException")
}

async fn an_item_has_at_most_400_kb(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    // The names count too: key, a, x.
    let put = |bytes: usize| {
        let item = item("a", [("x", s(&"x".repeat(bytes)))]);
        table.db.put_item().table_name(&table.name).set_item(Some(item)).send()
    };
    put(400 * 1024 - 5).await?;
    refused(put(400 * 1024 - 4).await, "ValidationException")
}

async fn a_number_has_38_digits(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    let longest = "9".repeat(38);
    table.put(item("a", [("x", n(&longest))])).await?;
    ensure!(table.get("a").await? == Some(item("a", [("x", n(&longest))])));
    let put = table.db.put_item().table_name(&table.name);
    refused(put.set_item(Some(item("a", [("x", n("9".repeat(39)))]))).send().await, "ValidationException")
}

async fn a_number_loses_needless_zeros(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [("x", n("007.50"))])).await?;
    ensure!(table.get("a").await? == Some(item("a", [("x", n("7.5"))])));
    Ok(())
}

async fn a_reserved_word_needs_a_placeholder(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let update = update(&table, "SET counter = :n").expression_attribute_values(":n", n(1));
    refused(update.send().await, "ValidationException")
}

async fn an_unused_value_is_refused(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let update = update(&table, "SET x = :n").expression_attribute_values(":n", n(1));
    refused(update.expression_attribute_values(":unused", n(1)).send().await, "ValidationException")
}

async fn an_undefined_value_is_refused(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    refused(update(&table, "SET x = :n").send().await, "ValidationException")
}

async fn a_projection_names_attributes(probe: Probe) -> Result<()> {
    let table = Table::new(&probe).await?;
    table.put(item("a", [("x", n(1)), ("y", n(2))])).await?;
    let get = table.db.get_item().table_name(&table.name).key("key", s("a")).projection_expression("y, nothing");
    let found = get.consistent_read(true).send().await?.item;
    ensure!(found == Some(HashMap::from([("y".to_owned(), n(2))])), "{found:?}");
    Ok(())
}

async fn a_key_cannot_be_updated(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let update = update(&table, "SET #k = :k").expression_attribute_names("#k", "key");
    refused(update.expression_attribute_values(":k", s("b")).send().await, "ValidationException")
}

async fn a_key_is_whole_and_nothing_else(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let get = table.db.get_item().table_name(&table.name);
    refused(get.clone().key("key", s("a")).key("more", s("b")).send().await, "ValidationException")?;
    refused(get.key("another", s("a")).send().await, "ValidationException")
}

async fn a_consistent_read_costs_one_unit(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    for (consistent, cost) in [(true, 1.0), (false, 0.5)] {
        let get = table.db.get_item().table_name(&table.name).key("key", s("a")).consistent_read(consistent);
        let answer = get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
        let units = answer.consumed_capacity.and_then(|consumed| consumed.capacity_units);
        ensure!(units == Some(cost), "{units:?} instead of {cost}");
    }
    Ok(())
}

async fn a_write_costs_a_unit_in_table_and_index(probe: Probe) -> Result<()> {
    let table = Table::with_index(&probe).await?;
    let put = table.db.put_item().table_name(&table.name).set_item(Some(item("a", [("owner", s("me"))])));
    let answer = put.return_consumed_capacity(ReturnConsumedCapacity::Indexes).send().await?;
    let consumed = answer.consumed_capacity.context("no capacity")?;
    ensure!(consumed.capacity_units == Some(2.0), "{consumed:?}");
    ensure!(consumed.table.as_ref().and_then(|table| table.capacity_units) == Some(1.0), "{consumed:?}");
    let index = consumed.global_secondary_indexes.as_ref().and_then(|indexes| indexes.get(BY_OWNER)?.capacity_units);
    ensure!(index == Some(1.0), "{consumed:?}");
    Ok(())
}

async fn no_capacity_is_told_unasked(probe: Probe) -> Result<()> {
    let table = counted(&probe).await?;
    let answer = table.db.get_item().table_name(&table.name).key("key", s("a")).send().await?;
    ensure!(answer.consumed_capacity.is_none());
    Ok(())
}

/// A table with the item `a`, whose counter is 1.
async fn counted(probe: &Probe) -> Result<Table> {
    let table = Table::new(probe).await?;
    table.put(item("a", [("counter", n(1))])).await?;
    Ok(table)
}

/// An update of `a`.
fn update(table: &Table, expression: &str) -> UpdateItemFluentBuilder {
    table.db.update_item().table_name(&table.name).key("key", s("a")).update_expression(expression)
}

/// An update of `a` to the counter 2 that expects a counter.
fn expecting(table: &Table, expected: AttributeValue) -> UpdateItemFluentBuilder {
    update(table, "SET #c = :two")
        .condition_expression("#c = :expected")
        .expression_attribute_names("#c", "counter")
        .expression_attribute_values(":two", n(2))
        .expression_attribute_values(":expected", expected)
}

/// What a failed condition tells, the item included if it is there.
fn conditional(is_conditional: bool, error: &impl std::fmt::Debug) -> Result<String> {
    ensure!(is_conditional, "{error:?}");
    Ok(format!("{error:?}"))
}
