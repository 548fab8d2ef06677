//! Both services through one endpoint, over every kind of connection.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Outcome};

use crate::client::{Clients, http1, http2, raw};

#[tokio::test]
async fn both_services_answer_over_http_1() {
    let (cloud, server) = served().await;
    both_services(&cloud, &http1(&server)).await;
}

#[tokio::test]
async fn both_services_answer_over_http_2() {
    let (cloud, server) = served().await;
    both_services(&cloud, &http2(&server)).await;
}

/// A record there and back, a table and an item, and a refusal of each service.
pub(crate) async fn both_services(cloud: &Cloud, clients: &Clients) {
    let Clients { kinesis, dynamodb } = clients;
    let put = kinesis.put_record().stream_name("clicks").partition_key("k").data(Blob::new("hello")).send().await;
    let put = put.expect("written");
    assert_eq!(cloud.stream("clicks").records()[0].data, "hello");
    let iterator = kinesis
        .get_shard_iterator()
        .stream_name("clicks")
        .shard_id(&put.shard_id)
        .shard_iterator_type(ShardIteratorType::TrimHorizon);
    let iterator = iterator.send().await.expect("an iterator").shard_iterator.expect("an iterator");
    let read = kinesis.get_records().shard_iterator(iterator).send().await.expect("records");
    assert_eq!(read.records[0].data.as_ref(), b"hello");
    assert_eq!(read.records[0].sequence_number, put.sequence_number);

    let missing = kinesis.describe_stream_summary().stream_name("nowhere").send().await.expect_err("a refusal");
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));

    create_table(dynamodb).await;
    let item = dynamodb.put_item().table_name("leases").item("leaseKey", AttributeValue::S("a".into()));
    item.send().await.expect("written");
    let got = dynamodb.get_item().table_name("leases").key("leaseKey", AttributeValue::S("a".into())).send().await;
    assert_eq!(got.expect("read").item.expect("an item")["leaseKey"], AttributeValue::S("a".into()));
    let again = dynamodb.put_item().table_name("leases").item("leaseKey", AttributeValue::S("a".into()));
    let again = again.condition_expression("attribute_not_exists(leaseKey)").send().await.expect_err("a refusal");
    assert_eq!(again.code(), Some("ConditionalCheckFailedException"));
}

async fn create_table(dynamodb: &aws_sdk_dynamodb::Client) {
    let key = KeySchemaElement::builder().attribute_name("leaseKey").key_type(KeyType::Hash).build().expect("a key");
    let attribute = AttributeDefinition::builder().attribute_name("leaseKey").attribute_type(ScalarAttributeType::S);
    let create = dynamodb.create_table().table_name("leases").key_schema(key);
    let create = create.attribute_definitions(attribute.build().expect("an attribute"));
    create.billing_mode(BillingMode::PayPerRequest).send().await.expect("a table");
}

#[tokio::test]
async fn a_get_shows_health_and_other_methods_are_told() {
    let (_cloud, server) = served().await;
    let get = raw(&server, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(get.starts_with("HTTP/1.1 200 OK\r\n") && get.ends_with("\r\n\r\nhealthy: kinesis-testkit\n"), "{get}");
    let head = raw(&server, b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let put = raw(&server, b"PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(put.starts_with("HTTP/1.1 405 ") && put.contains("allow: POST, GET, HEAD\r\n"), "{put}");
}

#[tokio::test]
async fn a_call_without_a_target_is_refused_as_unknown() {
    let (_cloud, server) = served().await;
    let answer = raw(&server, b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(answer.starts_with("HTTP/1.1 4") && answer.contains("UnknownOperationException"), "{answer}");
}

#[tokio::test]
async fn answers_have_a_request_id_and_the_clouds_date() {
    let cloud = Cloud::builder().epoch(UNIX_EPOCH + Duration::from_secs(951_827_696)).build();
    let server = cloud.serve().start().await.expect("a server");
    let answer = raw(&server, &list_streams("connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-type: application/x-amz-json-1.1\r\n"), "{answer}");
    assert!(answer.contains("\r\nx-amzn-requestid: "), "{answer}");
    assert!(answer.contains("\r\ndate: Tue, 29 Feb 2000 12:34:5"), "{answer}");
}

#[tokio::test]
async fn a_chunked_request_is_read_and_one_that_expects_100_is_told_to_go_on() {
    let (_cloud, server) = served().await;
    let head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: Kinesis_20131202.ListStreams\r\n";
    let chunked = [head.as_slice(), b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"].concat();
    let answer = raw(&server, &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("clicks"), "{answer}");
    let answer = raw(&server, &list_streams("connection: close\r\nexpect: 100-continue\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn only_a_server_with_a_name_logs_calls() {
    let (cloud, unnamed) = served().await;
    http1(&unnamed).kinesis.list_streams().send().await.expect("streams");
    let named = cloud.serve().worker("java").start().await.expect("a server");
    http1(&named).kinesis.list_streams().send().await.expect("streams");
    http1(&named).kinesis.describe_stream_summary().stream_name("no").send().await.expect_err("a refusal");

    let calls = cloud.calls("java");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls.of("ListStreams").next().map(|call| &call.outcome), Some(&Outcome::Answered));
    let refused = Outcome::Refused("ResourceNotFoundException".to_owned());
    assert_eq!(calls.of("DescribeStreamSummary").next().map(|call| &call.outcome), Some(&refused));
}

pub(crate) async fn served() -> (Cloud, kinesis_testkit::Server) {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2).await;
    let server = cloud.serve().start().await.expect("a server");
    (cloud, server)
}

/// A ListStreams call with these header lines.
fn list_streams(headers: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nhost: x\r\n{headers}x-amz-target: Kinesis_20131202.ListStreams\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    .into_bytes()
}
