//! What no SDK would send, of which nothing may bring the cloud down, and what the SDK for Rust does not: CBOR.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use aws_smithy_eventstream::frame::read_message_from;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::{Body, EVENT_STREAM, Services};
use crate::cloud::Cloud;
use crate::dynamodb;
use crate::service::{DYNAMODB_OPERATIONS, KINESIS_OPERATIONS};
use crate::wire::{Blob, Timestamp, Wire};

/// Sends these bytes and returns status and error code.
async fn send(services: &Services, target: Option<&str>, body: &[u8]) -> (u16, String) {
    let mut request = Request::post("http://cloud.test/");
    if let Some(target) = target {
        request = request.header("x-amz-target", target);
    }
    let response = services.handle(&request.body(body.to_vec().into()).unwrap());
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    (status, body["__type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn bad_requests_get_an_answer() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let a = &cloud.services;
    let refused = |code: &str| (400, code.to_owned());
    assert_eq!(send(a, None, b"{}").await, refused("UnknownOperationException"));
    for target in
        ["", "Kinesis", "Kinesis_20131202", "Kinesis_20131202.", "S3.GetObject", "Kinesis_20131202.Frobnicate"]
    {
        assert_eq!(send(a, Some(target), b"{}").await, refused("UnknownOperationException"), "{target}");
    }
    let operations = [
        "CreateStream",
        "DeleteStream",
        "DescribeStream",
        "DescribeStreamSummary",
        "ListStreams",
        "ListShards",
        "PutRecord",
        "PutRecords",
        "GetShardIterator",
        "GetRecords",
        "SplitShard",
        "MergeShards",
        "RegisterStreamConsumer",
        "DeregisterStreamConsumer",
        "DescribeStreamConsumer",
        "ListStreamConsumers",
        "SubscribeToShard",
    ];
    for operation in operations {
        let target = format!("Kinesis_20131202.{operation}");
        let ignores_the_name = operation == "ListStreams"
            || operation == "GetRecords"
            || operation == "SubscribeToShard"
            || operation.ends_with("Consumer")
            || operation.ends_with("Consumers");
        for body in ["", "{", "[]", "null", "7", r#"{"StreamName": 7}"#, "\u{1}", r#"{"StreamName": "\ud800"}"#] {
            let (status, code) = send(a, Some(&target), body.as_bytes()).await;
            if !(ignores_the_name && body.contains("StreamName")) {
                assert_eq!((status, code.as_str()), (400, "SerializationException"), "{operation} {body}");
            }
        }
        let not_utf8 = send(a, Some(&target), b"{\"StreamName\": \"\xff\"}").await;
        if !ignores_the_name {
            assert_eq!(not_utf8, refused("SerializationException"), "{operation}");
        }
        let (status, code) = send(a, Some(&target), b"{}").await;
        if operation == "ListStreams" {
            assert_eq!(status, 200);
        } else {
            assert!(
                ["ValidationException", "InvalidArgumentException"].contains(&code.as_str()),
                "{operation}: {code}"
            );
        }
    }
    let put = |data: &str| format!(r#"{{"StreamName": "clicks", "PartitionKey": "k", "Data": "{data}"}}"#).into_bytes();
    for data in ["?", "eA", "eA=", "====", "eHg=x"] {
        let answer = send(a, Some("Kinesis_20131202.PutRecord"), &put(data)).await;
        assert_eq!(answer, refused("SerializationException"), "{data}");
    }
    assert_eq!(send(a, Some("Kinesis_20131202.PutRecord"), &put("eA==")).await.0, 200);
    for time in ["-1", "1e300", "\"now\""] {
        let body = format!(
            r#"{{"StreamName": "clicks", "ShardId": "{FIRST}", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": {time}}}"#
        );
        let answer = send(a, Some("Kinesis_20131202.GetShardIterator"), body.as_bytes()).await;
        assert_eq!(answer, refused("SerializationException"), "{time}");
    }
    for operation in ["PutItem", "UpdateItem", "Query", "CreateTable", "DescribeTable", "UpdateContinuousBackups"] {
        for body in ["", "{", "[]", "{}", r#"{"TableName": 7}"#, "\u{1}"] {
            let target = format!("DynamoDB_20120810.{operation}");
            let (status, code) = send(a, Some(&target), body.as_bytes()).await;
            assert_eq!(status, 400, "{operation} {body}: {code}");
            assert!(
                code.ends_with("ValidationException") || code.ends_with("SerializationException"),
                "{operation} {body}: {code}"
            );
        }
    }
}

/// One exchange of a client that speaks CBOR: status, content type and body.
async fn in_cbor<Q: Serialize, A: DeserializeOwned>(services: &Services, target: &str, body: Q) -> (u16, String, A) {
    let request = Request::post("http://cloud.test/").header("x-amz-target", target).header(CONTENT_TYPE, CBOR);
    let response = services.handle(&request.body(Wire::Cbor11.answer(body).into()).unwrap());
    let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, Wire::Cbor11.parse(&bytes).unwrap())
}

#[tokio::test(start_paused = true)]
async fn kinesis_answers_in_the_format_of_the_request() {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Put {
        stream_name: &'static str,
        partition_key: &'static str,
        data: Blob,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Start {
        stream_name: &'static str,
        shard_id: String,
        shard_iterator_type: &'static str,
        timestamp: Timestamp,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Iterator {
        shard_iterator: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        shard_id: String,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        data: Blob,
        partition_key: String,
        approximate_arrival_timestamp: Timestamp,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Records {
        records: Vec<Record>,
    }
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let arrival = Timestamp(Duration::from_millis(cloud.clock().tick().as_millis() as u64));
    let a = &cloud.services;
    let data = Blob(Bytes::from_static(&[0, 159, 146, 150]));
    let put = Put { stream_name: "clicks", partition_key: "k", data: data.clone() };
    let (status, kind, stored) = in_cbor::<_, Stored>(a, "Kinesis_20131202.PutRecord", put).await;
    assert_eq!((status, kind.as_str(), stored.shard_id.as_str()), (200, CBOR, FIRST));
    let start = Start {
        stream_name: "clicks",
        shard_id: stored.shard_id,
        shard_iterator_type: "AT_TIMESTAMP",
        timestamp: arrival,
    };
    let (_, _, iterator) = in_cbor::<_, Iterator>(a, "Kinesis_20131202.GetShardIterator", start).await;
    let (_, _, read) = in_cbor::<_, Records>(a, "Kinesis_20131202.GetRecords", iterator).await;
    let record = Record { data, partition_key: "k".to_owned(), approximate_arrival_timestamp: arrival };
    assert_eq!(read.records, [record]);

    let missing = Iterator { shard_iterator: "?".to_owned() };
    let (status, kind, refused) = in_cbor::<_, Refused>(a, "Kinesis_20131202.GetRecords", missing).await;
    assert_eq!((status, kind.as_str(), refused.__type.as_str()), (400, CBOR, "InvalidArgumentException"));
    let (_, kind, refused) = in_cbor::<_, Refused>(a, "Kinesis_20131202.GetRecords", "no map").await;
    assert_eq!((kind.as_str(), refused.__type.as_str()), (CBOR, "SerializationException"));
}

/// The frames of a body: kind of message, what it is, and its payload.
async fn frames(mut body: Body, n: usize) -> Vec<(String, String, Vec<u8>)> {
    let mut frames = Vec::new();
    while frames.len() < n {
        let Some(frame) = body.frame().await else { break };
        let message = read_message_from(frame.unwrap().into_data().unwrap()).unwrap();
        let header = |name: &str| {
            let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
            Some(header.value().as_string().unwrap().as_str().to_owned())
        };
        assert_eq!(header(":content-type").as_deref(), Some(CBOR));
        let what = header(":event-type").or_else(|| header(":exception-type")).unwrap();
        frames.push((header(":message-type").unwrap(), what, message.payload().to_vec()));
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn events_and_exceptions_are_in_the_format_of_the_request() {
    #[derive(Serialize)]
    struct Subscribe {
        #[serde(rename = "ConsumerARN")]
        consumer_arn: String,
        #[serde(rename = "ShardId")]
        shard_id: &'static str,
        #[serde(rename = "StartingPosition")]
        starting_position: Start,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Start {
        r#type: &'static str,
        timestamp: Timestamp,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        data: Blob,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event {
        records: Vec<Record>,
        continuation_sequence_number: String,
        millis_behind_latest: u64,
        child_shards: Option<IgnoredAny>,
    }
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let outside = cloud.outside().kinesis;
    let made = outside.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send().await.unwrap();
    tokio::time::sleep(cloud.limits().consumer_creating).await;
    let stored = stream.put("k", b"\0\xff".as_slice()).await;
    let arrival = Timestamp(stored.arrival.duration_since(std::time::UNIX_EPOCH).unwrap());
    let body = Wire::Cbor11.answer(Subscribe {
        consumer_arn: made.consumer.unwrap().consumer_arn,
        shard_id: FIRST,
        starting_position: Start { r#type: "AT_TIMESTAMP", timestamp: arrival },
    });
    let request = Request::post("http://cloud.test/").header(CONTENT_TYPE, CBOR);
    let request = request.header("x-amz-target", "Kinesis_20131202.SubscribeToShard").body(body.into()).unwrap();
    let response = cloud.services.handle(&request);
    assert_eq!((response.status(), &response.headers()[CONTENT_TYPE]), (StatusCode::OK, &EVENT_STREAM));

    let delete = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        outside.delete_stream().stream_name("clicks").enforce_consumer_deletion(true).send().await.unwrap();
    };
    let (frames, ()) = tokio::join!(frames(response.into_body(), 9), delete);
    let kinds: Vec<_> = frames.iter().map(|(kind, what, _)| (kind.as_str(), what.as_str())).collect();
    let expected =
        [("event", "initial-response"), ("event", "SubscribeToShardEvent"), ("exception", "ResourceNotFoundException")];
    assert_eq!(kinds, expected, "and then the end");
    Wire::Cbor11.parse::<IgnoredAny>(&frames[0].2).unwrap();
    let event: Event = Wire::Cbor11.parse(&frames[1].2).unwrap();
    assert_eq!(event.records[0].data, Blob(Bytes::from_static(b"\0\xff")));
    assert_eq!((event.continuation_sequence_number, event.millis_behind_latest), (stored.sequence_number, 0));
    assert!(event.child_shards.is_none());
    let refused: Refused = Wire::Cbor11.parse(&frames[2].2).unwrap();
    assert_eq!(refused.__type, "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_ends_its_subscription() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let a = cloud.connect("a").await.kinesis;
    let made = a.register_stream_consumer().stream_arn(stream.arn()).consumer_name("app").send().await.unwrap();
    tokio::time::sleep(cloud.limits().consumer_creating).await;
    let held = || {
        cloud.services.kinesis.with(|account, _| {
            let seat = &account.streams["clicks"].consumers.by_name["app"].seats[&0];
            seat.holder.is_some()
        })
    };
    let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().unwrap();
    let subscribe = a.subscribe_to_shard().consumer_arn(made.consumer.unwrap().consumer_arn).shard_id(FIRST);
    let events = subscribe.starting_position(latest).send().await.unwrap();
    assert!(held());
    drop(events);
    assert!(!held());
}

#[derive(Deserialize)]
struct Refused {
    __type: String,
}

#[tokio::test(start_paused = true)]
async fn each_service_has_its_json() {
    let cloud = Cloud::new();
    for (target, kind) in [
        ("Kinesis_20131202.ListStreams", "application/x-amz-json-1.1"),
        ("DynamoDB_20120810.ListTables", "application/x-amz-json-1.0"),
    ] {
        let request = Request::post("http://cloud.test/").header("x-amz-target", target).body("{}".into()).unwrap();
        assert_eq!(cloud.services.handle(&request).headers()[CONTENT_TYPE], kind);
    }
}

/// No operation gets to the dispatch that its list lacks.
#[tokio::test(start_paused = true)]
async fn every_operation_of_the_lists_is_answered() {
    let cloud = Cloud::new();
    for (prefix, operations) in
        [("Kinesis_20131202", &KINESIS_OPERATIONS[..]), ("DynamoDB_20120810", &DYNAMODB_OPERATIONS[..])]
    {
        for operation in operations {
            let (_, code) = send(&cloud.services, Some(&format!("{prefix}.{operation}")), b"{}").await;
            assert_ne!(code, "UnknownOperationException", "{operation} is in the list alone");
        }
    }
}

/// The other way round, from the source: what the dispatch has an arm for is in the list.
#[test]
fn every_operation_of_the_dispatch_is_in_its_list() {
    fn arms(source: &'static str) -> BTreeSet<&'static str> {
        source
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" =>"))
            .map(|arm| arm.0)
            .collect()
    }
    let mut kinesis = arms(include_str!("../kinesis/dispatch.rs"));
    kinesis.insert("SubscribeToShard");
    assert_eq!(kinesis, BTreeSet::from(KINESIS_OPERATIONS));
    let mut dynamodb = arms(include_str!("../dynamodb/engine.rs"));
    dynamodb.extend(dynamodb::OWN);
    assert_eq!(dynamodb, BTreeSet::from(DYNAMODB_OPERATIONS));
}

const CBOR: &str = "application/x-amz-cbor-1.1";
const FIRST: &str = "shardId-000000000000";
