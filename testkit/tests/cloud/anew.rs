//! A stream or a table that is deleted, and made anew under its name.

use aws_sdk_kinesis::types::ShardIteratorType as From;
use kinesis_testkit::{Cloud, Stream};

use crate::{FIRST, clicks, code, iterator, refusal, sleep, without_retries_of_dynamodb};

/// ARN and creation time.
async fn identity(a: &aws_sdk_kinesis::Client) -> (String, f64) {
    let answer = a.describe_stream_summary().stream_name("clicks").send().await.unwrap();
    let summary = answer.stream_description_summary.unwrap();
    (summary.stream_arn, summary.stream_creation_timestamp.as_secs_f64())
}

async fn made_anew(cloud: &Cloud, shards: i32) -> Stream {
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.unwrap();
    sleep(1000).await;
    cloud.create_stream("clicks", shards).await
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_anew_has_its_arn_and_another_creation_time() {
    let (cloud, stream, a) = clicks(2).await;
    let (arn, created) = identity(&a).await;
    stream.put("k", "x").await;
    stream.split(0).await;
    let reading = iterator(&a, FIRST, From::TrimHorizon).await;
    let anew = made_anew(&cloud, 1).await;
    let (arn_now, created_now) = identity(&a).await;
    assert_eq!(arn_now, arn);
    assert!(created_now >= created + 1.0, "{created} and then {created_now}");
    assert_eq!((anew.shards().len(), anew.records()), (1, vec![]), "nothing is left of the old one");
    assert_eq!(anew.shards()[0].id, FIRST);
    assert_eq!(code(a.get_records().shard_iterator(reading).send().await), "InvalidArgumentException");
}

/// Two streams of one shape, and one made anew in the same shape: the shard ids are equal, the numbers are not.
#[tokio::test(start_paused = true)]
async fn a_number_of_another_stream_is_no_position() {
    let (cloud, stream, a) = clicks(2).await;
    let orders = cloud.create_stream("orders", 2).await;
    let own = stream.put_with_hash_key("k", 0, "x").await.sequence_number;
    let foreign = orders.put_with_hash_key("k", 0, "x").await;
    assert_eq!(foreign.shard_id, FIRST);
    let at = async |number: &str, kind: From| {
        let ask = a.get_shard_iterator().stream_name("clicks").shard_id(FIRST).shard_iterator_type(kind);
        ask.starting_sequence_number(number).send().await
    };
    let why = |number: &str| {
        format!(
            "StartingSequenceNumber {number} used in GetShardIterator on shard {FIRST} in stream clicks under account \
             123456789012 is invalid because it did not come from this stream."
        )
    };
    for kind in [From::AtSequenceNumber, From::AfterSequenceNumber] {
        at(&own, kind.clone()).await.unwrap();
        let starting = orders.shards()[0].starting_sequence_number.clone();
        for number in [&foreign.sequence_number, &starting] {
            let refused = refusal(at(number, kind.clone()).await);
            assert_eq!(refused, ("InvalidArgumentException".to_owned(), why(number)));
        }
    }
    // The first number of a shard is below all its records and its own all the same.
    at(&stream.shards()[0].starting_sequence_number, From::AtSequenceNumber).await.unwrap();

    sleep(1000).await;
    let anew = made_anew(&cloud, 2).await;
    let newer = anew.put_with_hash_key("k", 0, "x").await.sequence_number;
    for kind in [From::AtSequenceNumber, From::AfterSequenceNumber] {
        let refused = refusal(at(&own, kind.clone()).await);
        assert_eq!(refused, ("InvalidArgumentException".to_owned(), why(&own)));
        at(&newer, kind).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_deleted_under_its_users_is_not_found_until_it_is_made_anew() {
    use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};

    let cloud = Cloud::new();
    let table = without_retries_of_dynamodb(&cloud.connect("a").await);
    let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let create = || {
        let request = table.create_table().table_name("leases").billing_mode(BillingMode::PayPerRequest);
        request.attribute_definitions(key.clone().build().unwrap()).key_schema(schema.clone().build().unwrap()).send()
    };
    create().await.unwrap();
    let row =
        std::collections::HashMap::from([("id".to_owned(), aws_sdk_dynamodb::types::AttributeValue::S("1".into()))]);
    cloud.table("leases").put(row.clone());
    let scan = || table.scan().table_name("leases").send();
    assert_eq!(scan().await.unwrap().items(), std::slice::from_ref(&row));

    cloud.outside().dynamodb.delete_table().table_name("leases").send().await.unwrap();
    assert_eq!(code(scan().await), "ResourceNotFoundException");
    let put = table.put_item().table_name("leases").set_item(Some(row)).send().await;
    assert_eq!(code(put), "ResourceNotFoundException");
    assert_eq!(code(table.describe_table().table_name("leases").send().await), "ResourceNotFoundException");
    create().await.unwrap();
    assert_eq!(scan().await.unwrap().items(), []);
}
