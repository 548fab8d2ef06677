use serde_json::Value;

use super::*;
use crate::lease::Rows;

/// Rows of tables in use, each with what a reader should make of it.
const CASES: &str = include_str!("../../../../../testdata/lease-items.json");

#[test]
fn reads_every_row_of_the_collection_as_expected() {
    let mut read = 0;
    for case in cases()["items"].as_array().expect("a list of items") {
        let name = case["n"].as_str().expect("a name");
        let found = Row::read(&item(&case["item"]));
        match (&case["expected"], found) {
            // A list of parents is readable, and read: the shard waits for them.
            (_, Ok(Row::Lease(lease))) if name == "L73" => {
                assert_eq!(lease.parents, [ShardId::from("shardId-000000000009")]);
            }
            (Value::String(text), Ok(found)) if text == "not a lease" => {
                assert!(!matches!(found, Row::Lease(_)), "{name}: {found:?}");
            }
            // Left alone like a row that is no lease, and reported besides.
            (Value::String(text), Err(problem)) if text == "not a lease" => {
                assert_eq!((name, problem.attribute), ("L83", ENTITY_TYPE));
            }
            (Value::String(text), found) => assert!(text == "error" && found.is_err(), "{name}: {found:?}"),
            (expected, Ok(Row::Lease(lease))) => assert_eq!(described(&lease), clamped(name, expected), "{name}"),
            (_, other) => panic!("{name}: {other:?}"),
        }
        read += 1;
    }
    assert!(read >= 45, "{read}");
}

#[test]
fn reads_a_whole_table_of_the_real_kcl() {
    let cases = cases();
    let table = &cases["tables"][0];
    let mut rows = Rows::default();
    let mut others = 0;
    for row in table["rows"].as_array().expect("rows") {
        match Row::read(&item(row)).expect("every row is sound") {
            Row::Lease(lease) => rows.leases.push(*lease),
            Row::Worker(worker) => {
                assert!(worker.fit);
                others += 1;
            }
            Row::Lock(lock) => {
                assert_eq!(
                    (lock.owner.as_str(), lock.duration, lock.released),
                    ("worker-a", Duration::from_secs(120), false)
                );
                others += 1;
            }
            Row::Other => others += 1,
        }
    }
    assert_eq!(rows.leases.len(), 5);
    assert_eq!(others, 4);
    let finished = rows.leases.iter().filter(|lease| lease.checkpoint.is_shard_end());
    let finished: Vec<_> = finished.map(|lease| Value::from(lease.key.as_str())).collect();
    assert_eq!(Value::from(finished), table["expected"]["finished"]);
}

/// Golden: what we create is, attribute by attribute and type by type, what Java has in the table.
#[test]
fn a_created_lease_has_the_shape_of_javas() {
    let mut compared = 0;
    for case in cases()["items"].as_array().expect("a list of items") {
        let (name, java) = (case["n"].as_str().expect("a name"), item(&case["item"]));
        if !["kcl-3.5.1", "multi-stream", "handover"].contains(&case["kind"].as_str().expect("a kind")) {
            continue;
        }
        let Ok(Row::Lease(lease)) = Row::read(&java) else { panic!("{name} is a lease") };
        let mut ours = from_lease(&lease);
        // DynamoDB keeps numbers as numbers: 0.0 and 0 are one.
        for item in [&mut ours, &mut java.clone()] {
            if let Some(AttributeValue::N(text)) = item.get_mut(THROUGHPUT) {
                *text = text.parse::<f64>().expect("a number").to_string();
            }
        }
        let mut java = java;
        if let Some(AttributeValue::N(text)) = java.get_mut(THROUGHPUT) {
            *text = text.parse::<f64>().expect("a number").to_string();
        }
        // Rows from before version 3.5 have no type; new ones do.
        java.entry(ENTITY_TYPE.to_owned()).or_insert_with(|| s(LEASE));
        assert_eq!(ours, java, "{name}");
        compared += 1;
    }
    assert!(compared >= 14, "{compared}");
}

#[test]
fn a_lock_has_the_shape_of_javas() {
    let cases = cases();
    let java =
        item(&cases["items"].as_array().expect("items").iter().find(|case| case["n"] == "L20").expect("L20")["item"]);
    let Ok(Row::Lock(lock)) = Row::read(&java) else { panic!("a lock") };
    assert_eq!(lock.duration, Duration::from_secs(120));
    assert_eq!(from_lock(&lock), java);
}

#[test]
fn a_pending_checkpoint_keeps_its_state() {
    let mut lease = Lease::new(LeaseKey::from("shardId-000000000000"), Checkpoint::TrimHorizon);
    let sequence_number = "49593949378240586316257100628612811999143984124999500051".parse().expect("a number");
    lease.pending = Some(PendingCheckpoint {
        checkpoint: Checkpoint::At(Position { sequence_number, sub_sequence: 3, shard: lease.key.shard() }),
        state: Some(Bytes::from_static(b"\x00\xff")),
    });
    let item = from_lease(&lease);
    assert!(matches!(item[PENDING_STATE], AttributeValue::B(_)));
    assert_eq!(crate::lease::table::dynamodb::item::lease(&item), Ok(lease));
}

#[test]
fn a_worker_is_unfit_without_a_time_or_after_a_failed_measurement() {
    let fit = |extra: &str| {
        let row = format!(r#"{{"leaseKey":{{"S":"w"}},"entityType":{{"S":"WORKER_METRIC_STATS"}}{extra}}}"#);
        match Row::read(&item(&serde_json::from_str(&row).expect("JSON"))) {
            Ok(Row::Worker(worker)) => worker.fit,
            other => panic!("{other:?}"),
        }
    };
    let lut = r#","lut":{"N":"1700000000"}"#;
    let cpu = |last: &str, max: &str| {
        format!(
            r#"{lut},"sts":{{"M":{{"C":{{"L":[{{"N":"12.5"}},{{"N":"{last}"}}]}}}}}},"opr":{{"M":{{"C":{{"L":[{{"N":"{max}"}}]}}}}}}"#
        )
    };
    assert!(fit(&format!(r#"{lut},"sts":{{"M":{{}}}},"opr":{{"M":{{}}}}"#)));
    assert!(fit(&cpu("99.0", "100")));
    assert!(!fit(&cpu("-1", "100")), "the last sample failed");
    assert!(!fit(&cpu("5", "0")), "no operating range");
    assert!(!fit(lut), "no measurements at all");
    assert!(!fit(r#","sts":{"M":{}},"opr":{"M":{}}"#), "no time");
}

#[test]
fn sets_hold_no_id_twice_and_are_never_empty() {
    assert_eq!(from_shards(&[]), None);
    let twice = [ShardId::from("b"), ShardId::from("a"), ShardId::from("b")];
    assert_eq!(from_shards(&twice), Some(AttributeValue::Ss(vec!["a".to_owned(), "b".to_owned()])));
}

#[test]
fn a_rate_is_a_number_to_dynamodb_or_not_written() {
    assert_eq!(from_throughput(5.449_945_4), Some(n("5.449945")));
    assert_eq!(from_throughput(0.0), Some(n("0")));
    assert_eq!(from_throughput(1e-9), Some(n("0")));
    assert_eq!(from_throughput(f64::NAN), None);
    assert_eq!(from_throughput(f64::INFINITY), None);
}

fn cases() -> Value {
    serde_json::from_str(CASES).expect("the collection is JSON")
}

/// An item in DynamoDB's JSON.
fn item(json: &Value) -> Item {
    let map = json.as_object().expect("an item is an object");
    map.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().and_then(|map| map.iter().next()).expect("a type and a value");
    let text = || value.as_str().expect("text").to_owned();
    let list = || value.as_array().expect("a list").iter();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "SS" => AttributeValue::Ss(list().map(|id| id.as_str().expect("text").to_owned()).collect()),
        "L" => AttributeValue::L(list().map(attribute).collect()),
        "M" => AttributeValue::M(item(value)),
        "BOOL" => AttributeValue::Bool(value.as_bool().expect("a truth value")),
        "NULL" => AttributeValue::Null(true),
        other => panic!("the collection has no {other}"),
    }
}

/// A lease in the words of the collection.
fn described(lease: &Lease) -> Value {
    let position = |checkpoint: &Checkpoint| match from_checkpoint(checkpoint) {
        Some((AttributeValue::S(text), AttributeValue::N(sub))) => {
            serde_json::json!([text, sub.parse::<u64>().expect("a number")])
        }
        _ => Value::Null,
    };
    let ids = |ids: &[ShardId]| ids.iter().map(|id| Value::from(id.as_str())).collect::<Vec<_>>();
    serde_json::json!({
        "key": lease.key.as_str(),
        "owner": lease.owner.as_ref().map(WorkerId::as_str),
        "checkpointOwner": lease.checkpoint_owner.as_ref().map(WorkerId::as_str),
        "counter": lease.counter,
        "switches": lease.owner_switches,
        "checkpoint": position(&lease.checkpoint),
        "pending": lease.pending.as_ref().map(|pending| position(&pending.checkpoint)),
        "pendingState": lease.pending.as_ref().and_then(|pending| pending.state.as_ref()).map(|state| state.to_vec()),
        "parents": ids(&lease.parents),
        "children": ids(&lease.children),
        "range": lease.range.map(|range| [range.start.to_string(), range.end.to_string()]),
        "throughput": lease.throughput_kib_per_s,
        "stream": lease.stream,
        "shard": lease.shard.as_ref().map(ShardId::as_str),
    })
}

/// The collection keeps an end that lies beyond the last hash key; what it holds is the same as up to the last.
fn clamped(name: &str, expected: &Value) -> Value {
    let mut expected = expected.clone();
    if name == "L79" {
        expected["range"][1] = HashKey::MAX.to_string().into();
    }
    expected
}
