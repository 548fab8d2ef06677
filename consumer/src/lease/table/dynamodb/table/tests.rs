use super::*;

fn table() -> aws_sdk_dynamodb::types::builders::TableDescriptionBuilder {
    TableDescription::builder()
        .table_status(TableStatus::Active)
        .key_schema(key(KEY, KeyType::Hash))
        .attribute_definitions(string(KEY))
        .attribute_definitions(string(OWNER))
}

fn index(status: IndexStatus) -> aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription {
    aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription::builder()
        .index_name(INDEX)
        .index_status(status)
        .key_schema(key(OWNER, KeyType::Hash))
        .key_schema(key(KEY, KeyType::Range))
        .build()
}

#[test]
fn a_lease_table_is_ready_when_its_index_is() {
    assert_eq!(judge(&table().global_secondary_indexes(index(IndexStatus::Active)).build()), Ok(State::Ready));
    let building = table().global_secondary_indexes(index(IndexStatus::Creating)).build();
    assert_eq!(judge(&building), Ok(State::Changing("its index is CREATING".to_owned())));
    assert_eq!(judge(&table().build()), Ok(State::WithoutIndex));
}

#[test]
fn a_table_on_its_way_in_or_out_is_waited_for() {
    for status in [TableStatus::Creating, TableStatus::Deleting] {
        let changing = judge(&table().table_status(status.clone()).build());
        assert_eq!(changing, Ok(State::Changing(status.to_string())));
    }
    let archived = judge(&table().table_status(TableStatus::Archived).build());
    assert_eq!(archived, Err("its status is ARCHIVED".to_owned()));
}

#[test]
fn another_schema_is_named() {
    let by_shard =
        TableDescription::builder().table_status(TableStatus::Active).key_schema(key("ShardID", KeyType::Hash)).build();
    let why = judge(&by_shard).expect_err("not a lease table");
    assert!(why.contains("(ShardID)") && why.contains("(leaseKey)"), "{why}");
    let with_range = table().key_schema(key("created", KeyType::Range)).build();
    assert!(judge(&with_range).expect_err("not a lease table").contains("(leaseKey, created)"));
    let numeric = AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::N).build();
    let numeric = TableDescription::builder()
        .table_status(TableStatus::Active)
        .key_schema(key(KEY, KeyType::Hash))
        .attribute_definitions(numeric.expect("name and type are given"))
        .build();
    assert!(judge(&numeric).expect_err("not a lease table").contains("type N"));
    let odd = aws_sdk_dynamodb::types::GlobalSecondaryIndexDescription::builder()
        .index_name(INDEX)
        .index_status(IndexStatus::Active)
        .key_schema(key(KEY, KeyType::Hash))
        .build();
    assert!(judge(&table().global_secondary_indexes(odd).build()).expect_err("another index").contains(INDEX));
}

#[test]
fn an_index_added_later_gets_the_capacity_of_its_table() {
    let throughput_of = |table: &TableDescription| {
        let update = index_update(table);
        let create = update.create().expect("an index is created");
        create.provisioned_throughput().map(|t| (t.read_capacity_units(), t.write_capacity_units()))
    };
    assert_eq!(throughput_of(&table().build()), None);
    let described = |read, write| {
        aws_sdk_dynamodb::types::ProvisionedThroughputDescription::builder()
            .read_capacity_units(read)
            .write_capacity_units(write)
            .build()
    };
    assert_eq!(throughput_of(&table().provisioned_throughput(described(10, 20)).build()), Some((10, 20)));
    // So an on-demand table describes itself.
    assert_eq!(throughput_of(&table().provisioned_throughput(described(0, 0)).build()), None);
}
