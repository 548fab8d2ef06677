//! What no SDK would send: nothing of it may bring the cloud down.

use http::Request;
use http_body_util::BodyExt;

use super::Services;
use crate::cloud::Cloud;

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
    ];
    for operation in operations {
        let target = format!("Kinesis_20131202.{operation}");
        for body in ["", "{", "[]", "null", "7", r#"{"StreamName": 7}"#, "\u{1}", r#"{"StreamName": "\ud800"}"#] {
            let (status, code) = send(a, Some(&target), body.as_bytes()).await;
            let ignores_the_name = operation == "ListStreams" || operation == "GetRecords";
            if !(ignores_the_name && body.contains("StreamName")) {
                assert_eq!((status, code.as_str()), (400, "SerializationException"), "{operation} {body}");
            }
        }
        let not_utf8 = send(a, Some(&target), b"{\"StreamName\": \"\xff\"}").await;
        if operation != "ListStreams" && operation != "GetRecords" {
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

const FIRST: &str = "shardId-000000000000";
