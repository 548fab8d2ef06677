//! The format on the command line, one JSON object a line: how other languages meet this crate.
//!
//! `json_lines encode [MAX_BYTES]` reads user records and writes Kinesis records; `json_lines decode` reads Kinesis records and writes what
//! is inside. Bytes are base64.
//!
//! ```text
//! $ echo '{"key":"pk1","data":"aGVsbG8="}' | json_lines encode
//! {"data":"aGVsbG8=","explicit_hash_key":"329398341438914906102347661116985167824","partition_key":"pk1"}
//! $ echo '{"data":"aGVsbG8="}' | json_lines decode
//! {"is":"plain"}
//! ```

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kinesis_aggregation::{Aggregator, HashKey, Payload, UserRecord};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        // What the KPL closes an aggregate at.
        ["encode"] => encode(51_200),
        ["encode", max_bytes] => encode(max_bytes.parse()?),
        ["decode"] => decode(),
        _ => Err("usage: json_lines encode [MAX_BYTES] | decode".into()),
    }
}

fn encode(max_bytes: usize) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let mut aggregator = Aggregator::new(max_bytes);
    for line in io::stdin().lock().lines() {
        let record: Value = serde_json::from_str(&line?)?;
        let key = record["key"].as_str().ok_or("a record needs a key")?;
        let explicit_hash_key = record["ehk"].as_str().map(str::parse::<HashKey>).transpose()?;
        let data = data_of(&record)?;
        if !aggregator.try_add(key, explicit_hash_key, &data) {
            write_kinesis_record(&mut out, &mut aggregator)?;
            assert!(aggregator.try_add(key, explicit_hash_key, &data), "an empty aggregator takes every record");
        }
    }
    write_kinesis_record(&mut out, &mut aggregator)
}

fn write_kinesis_record(out: &mut impl Write, aggregator: &mut Aggregator) -> Result<(), Box<dyn Error>> {
    if let Some(record) = aggregator.take() {
        let line = json!({
            "partition_key": record.partition_key(),
            "explicit_hash_key": record.explicit_hash_key().to_string(),
            "data": STANDARD.encode(record.data()),
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn decode() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = match Payload::parse(&data_of(&serde_json::from_str(&line?)?)?) {
            Payload::Plain => json!({ "is": "plain" }),
            Payload::Damaged(damage) => json!({ "is": "damaged", "reason": damage.reason() }),
            Payload::Aggregate(aggregate) => {
                json!({ "is": "aggregate", "records": aggregate.into_iter().map(to_json).collect::<Vec<_>>() })
            }
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn to_json(record: UserRecord) -> Value {
    json!({ "key": record.partition_key(), "ehk": record.explicit_hash_key(), "data": STANDARD.encode(&record.data) })
}

fn data_of(record: &Value) -> Result<Bytes, Box<dyn Error>> {
    Ok(STANDARD.decode(record["data"].as_str().ok_or("a record needs data")?)?.into())
}
