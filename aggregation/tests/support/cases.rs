use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;

/// A line of `testdata/blobs.jsonl`.
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Bytes,
    pub(crate) expected: Expected,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Plain,
    Error,
    Records(Vec<Record>),
}

/// Partition key, explicit hash key, data.
pub(crate) type Record = (String, Option<String>, Bytes);

pub(crate) fn all() -> Vec<Case> {
    include_str!("../../testdata/blobs.jsonl").lines().map(parse).collect()
}

fn parse(line: &str) -> Case {
    let case: Value = serde_json::from_str(line).expect("a line is JSON");
    let expected = match &case["expected"] {
        Value::String(word) if word == "plain" => Expected::Plain,
        Value::String(word) if word == "error" => Expected::Error,
        Value::Array(records) => Expected::Records(records.iter().map(parse_record).collect()),
        other => panic!("no expectation: {other}"),
    };
    Case { id: text(&case["id"]), kind: text(&case["kind"]), data: bytes(&case["base64"]), expected }
}

fn parse_record(record: &Value) -> Record {
    (text(&record[0]), record[1].as_str().map(str::to_owned), bytes(&record[2]))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn bytes(value: &Value) -> Bytes {
    STANDARD.decode(text(value)).expect("base64").into()
}
