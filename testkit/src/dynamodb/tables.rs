//! What dynoxide takes from the machine, a table's creation time and id and its own region, comes from the cloud
//! instead.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::clock::Clock;
use crate::service::{ACCOUNT_ID, REGION};

#[derive(Debug)]
pub(crate) struct Tables {
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    rng: fastrand::Rng,
    tables: BTreeMap<String, Identity>,
}

#[derive(Debug, Clone)]
struct Identity {
    id: String,
    /// Seconds since 1970.
    created: f64,
}

impl Tables {
    pub(crate) fn new(clock: Clock, seed: u64) -> Self {
        let known = Known { rng: fastrand::Rng::with_seed(seed), tables: BTreeMap::new() };
        Self { clock, known: Mutex::new(known) }
    }

    /// Puts the table's own id and creation time into the answer that describes it.
    pub(crate) fn identify(&self, operation: &str, answer: &mut Value) {
        let member = match operation {
            "CreateTable" | "DeleteTable" | "UpdateTable" => "TableDescription",
            "DescribeTable" => "Table",
            _ => return,
        };
        let Some(table) = answer.get_mut(member) else { return };
        let Some(name) = table.get("TableName").and_then(Value::as_str).map(str::to_owned) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = known.of(&name, self.clock);
        if operation == "DeleteTable" {
            known.tables.remove(&name);
        }
        table["TableId"] = identity.id.into();
        table["CreationDateTime"] = identity.created.into();
    }
}

impl Known {
    fn of(&mut self, table: &str, clock: Clock) -> Identity {
        let Self { rng, tables } = self;
        let identity = tables.entry(table.to_owned()).or_insert_with(|| {
            let id = rng.u128(..);
            let (a, b, c) = ((id >> 96) as u32, (id >> 80) as u16, (id >> 64) as u16);
            let (d, e) = ((id >> 48) as u16, id & 0xffff_ffff_ffff);
            let created = clock.tick().as_millis() as f64 / 1000.0;
            Identity { id: format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}"), created }
        });
        identity.clone()
    }
}

/// The request as dynoxide understands it: with its own region and account in ARNs.
pub(crate) fn arns_inward<'a>(operation: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    match std::str::from_utf8(body) {
        Ok(text) if speaks_of_arns(operation) => text.replace(&outer(), INNER).into_bytes().into(),
        _ => body.into(),
    }
}

pub(crate) fn arns_outward(operation: &str, body: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) if speaks_of_arns(operation) => text.replace(INNER, &outer()).into_bytes(),
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// Others carry items, whose contents are the user's.
fn speaks_of_arns(operation: &str) -> bool {
    operation.ends_with("Table") || operation.ends_with("Resource")
}

fn outer() -> String {
    format!("arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:")
}

const INNER: &str = "arn:aws:dynamodb:dynoxide:000000000000:";
