//! Items between the SDK's types and the API's JSON.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

/// An item: its attributes by name.
pub type Item = HashMap<String, AttributeValue>;

pub(super) fn item(value: &Value) -> Item {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// An attribute from the API's JSON, which DynamoDB has checked.
fn attribute(value: &Value) -> AttributeValue {
    let Some((kind, value)) = value.as_object().and_then(|members| members.iter().next()) else {
        return AttributeValue::Null(true);
    };
    let text = || value.as_str().unwrap_or_default().to_owned();
    let texts = || value.as_array().into_iter().flatten().filter_map(Value::as_str);
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap_or_default()),
        "B" => AttributeValue::B(decode(&text())),
        "SS" => AttributeValue::Ss(texts().map(str::to_owned).collect()),
        "NS" => AttributeValue::Ns(texts().map(str::to_owned).collect()),
        "BS" => AttributeValue::Bs(texts().map(decode).collect()),
        "L" => AttributeValue::L(value.as_array().into_iter().flatten().map(attribute).collect()),
        "M" => AttributeValue::M(item(value)),
        _ => AttributeValue::Null(true),
    }
}

pub(super) fn attributes(item: Item) -> Value {
    let sorted: BTreeMap<String, AttributeValue> = item.into_iter().collect();
    sorted.into_iter().map(|(name, value)| (name, written(value))).collect::<Map<_, _>>().into()
}

fn written(value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        AttributeValue::B(bytes) => json!({ "B": encode(&bytes) }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.iter().map(encode).collect::<Vec<_>>() }),
        AttributeValue::L(list) => json!({ "L": list.into_iter().map(written).collect::<Vec<_>>() }),
        AttributeValue::M(map) => json!({ "M": attributes(map) }),
        _ => json!({ "NULL": true }),
    }
}

fn decode(text: &str) -> Blob {
    Blob::new(aws_smithy_types::base64::decode(text).unwrap_or_default())
}

fn encode(bytes: &Blob) -> String {
    aws_smithy_types::base64::encode(bytes)
}
