//! Read and write capacity: what tables and indexes may give in a second.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::request;
use super::settings::{Settings, Throughput};
use super::units::Units;
use crate::clock::Tick;
use crate::service_error::ServiceError;

/// A table, or an index of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    pub(crate) table: String,
    pub(crate) index: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// What one call takes of each resource.
pub(crate) type Cost = Vec<(Resource, f64)>;

#[derive(Debug, Default)]
pub(crate) struct Capacity {
    provisioned: BTreeMap<Resource, (Mode, Throughput)>,
    pools: BTreeMap<Resource, Pool>,
}

/// Which capacity mode set the limit: the refusals differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Provisioned,
    OnDemand,
}

#[derive(Debug)]
struct Pool {
    read: Option<Units>,
    write: Option<Units>,
}

impl Capacity {
    /// Remembers what a table provisions, from its description.
    pub(crate) fn describe(&mut self, description: &Value) {
        let Some(table) = description.get("TableName").and_then(Value::as_str) else { return };
        self.forget(table);
        let provisioned = description.pointer("/BillingModeSummary/BillingMode") != Some(&json!("PAY_PER_REQUEST"));
        let indexes = description.get("GlobalSecondaryIndexes").and_then(Value::as_array);
        for part in indexes.into_iter().flatten().chain([description]) {
            let index = part.get("IndexName").and_then(Value::as_str).map(str::to_owned);
            let (mode, throughput) = if provisioned {
                (Mode::Provisioned, units(part, "/ProvisionedThroughput", ["ReadCapacityUnits", "WriteCapacityUnits"]))
            } else {
                let members = ["MaxReadRequestUnits", "MaxWriteRequestUnits"];
                (Mode::OnDemand, units(part, "/OnDemandThroughput", members))
            };
            if let Some(throughput) = throughput {
                let resource = Resource { table: table.to_owned(), index };
                self.provisioned.insert(resource, (mode, throughput));
            }
        }
    }

    /// The table is gone.
    pub(crate) fn forget(&mut self, table: &str) {
        self.provisioned.retain(|resource, _| resource.table != table);
        self.refill(Some(table));
    }

    /// Settings have changed: the pools of these tables start anew, full.
    pub(crate) fn refill(&mut self, table: Option<&str>) {
        self.pools.retain(|resource, _| table.is_some_and(|table| resource.table != table));
    }

    /// Whether anything of `table` has a limit.
    pub(crate) fn limits(&self, table: &str, settings: &Settings) -> bool {
        match settings.throughput(table, None) {
            Some(Some(_)) => true,
            Some(None) => settings.limits_an_index(table),
            None => settings.limits_an_index(table) || self.provisioned.keys().any(|resource| resource.table == table),
        }
    }

    /// Takes what a call costs, or nothing and says which resource had too little.
    pub(crate) fn take(&mut self, cost: &Cost, way: Way, settings: &Settings, now: Tick) -> Result<(), Resource> {
        self.check(cost, way, settings, now)?;
        self.charge(cost, way, settings, now);
        Ok(())
    }

    /// Whether all resources hold this much; the error is the first that does not.
    pub(crate) fn check(&mut self, cost: &Cost, way: Way, settings: &Settings, now: Tick) -> Result<(), Resource> {
        for (resource, units) in cost {
            let pool = self.pool(resource, way, settings, now);
            if pool.is_some_and(|pool| !pool.holds(*units, now)) {
                return Err(resource.clone());
            }
        }
        Ok(())
    }

    /// Takes what a batch costs, if all of it is there: one that is too large for a full burst goes entry by entry.
    pub(crate) fn take_whole(&mut self, cost: &Cost, way: Way, settings: &Settings, now: Tick) -> bool {
        let mut there = true;
        for (resource, units) in cost {
            there &= self.pool(resource, way, settings, now).is_none_or(|pool| pool.has(*units, now));
        }
        if there {
            self.charge(cost, way, settings, now);
        }
        there
    }

    /// Takes this much, even if it is more than there is.
    pub(crate) fn charge(&mut self, cost: &Cost, way: Way, settings: &Settings, now: Tick) {
        for (resource, units) in cost {
            if let Some(pool) = self.pool(resource, way, settings, now) {
                pool.take(*units, now);
            }
        }
    }

    fn pool(&mut self, resource: &Resource, way: Way, settings: &Settings, now: Tick) -> Option<&mut Units> {
        if !self.pools.contains_key(resource) {
            let set = settings.throughput(&resource.table, resource.index.as_deref());
            let throughput = match set {
                Some(own) => own,
                None => self.provisioned.get(resource).map(|(_, throughput)| *throughput),
            };
            let full = |rate: u64, throughput| (rate != u64::MAX).then(|| Units::full(rate, throughput, now));
            let read = throughput.and_then(|throughput| full(throughput.read, throughput));
            let write = throughput.and_then(|throughput| full(throughput.write, throughput));
            self.pools.insert(resource.clone(), Pool { read, write });
        }
        let pool = self.pools.get_mut(resource)?;
        match way {
            Way::Read => pool.read.as_mut(),
            Way::Write => pool.write.as_mut(),
        }
    }

    fn is_provisioned(&self, table: &str) -> bool {
        let own = Resource { table: table.to_owned(), index: None };
        self.provisioned.get(&own).is_some_and(|(mode, _)| *mode == Mode::Provisioned)
    }

    /// The refusal of a call for which `resource` had too little.
    pub(crate) fn refusal(&self, resource: &Resource, way: Way) -> ServiceError {
        let provisioned = self.is_provisioned(&resource.table);
        let code = if provisioned { "ProvisionedThroughputExceededException" } else { "ThrottlingException" };
        let index = resource.index.as_ref();
        let what = if index.is_some() { "Index" } else { "Table" };
        let limit = if provisioned { "Provisioned" } else { "MaxOnDemand" };
        let arn = match index {
            None => request::arn(&resource.table),
            Some(index) => request::arn(&format!("{}/index/{index}", resource.table)),
        };
        // The two errors spell the member differently.
        let reasons = if provisioned { "ThrottlingReasons" } else { "throttlingReasons" };
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": message(provisioned, index.is_some()),
            reasons: [{ "reason": format!("{what}{way:?}{limit}ThroughputExceeded"), "resource": arn }],
        });
        ServiceError { status: 400, code: code.to_owned(), body: body.to_string().into_bytes() }
    }

    /// The refusal of a transaction: the reason stands at each action of the table that had too little.
    pub(crate) fn cancellation(&self, resource: &Resource, request: &Value) -> ServiceError {
        let provisioned = self.is_provisioned(&resource.table);
        let code = if provisioned { "ProvisionedThroughputExceeded" } else { "ThrottlingError" };
        let reasons: Vec<Value> = request::actions(request)
            .map(|action| match action.get("TableName").and_then(Value::as_str) {
                Some(table) if table == resource.table => {
                    json!({ "Code": code, "Message": message(provisioned, resource.index.is_some()) })
                }
                _ => json!({ "Code": "None" }),
            })
            .collect();
        let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": message,
            "CancellationReasons": reasons,
        });
        let code = "TransactionCanceledException".to_owned();
        ServiceError { status: 400, code, body: body.to_string().into_bytes() }
    }
}

/// The service's words, as the API reference gives them for transactions.
const fn message(provisioned: bool, index: bool) -> &'static str {
    match (provisioned, index) {
        (true, false) => {
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
             provisioning level with the UpdateTable API."
        }
        (true, true) => {
            "The level of configured provisioned throughput for one or more global secondary indexes of the table was \
             exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes \
             with the UpdateTable API."
        }
        (false, false) => {
            "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your \
             table or index so please try again shortly. If exceptions persist, check if you have a hot key: \
             https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html."
        }
        (false, true) => {
            "Throughput exceeds the current capacity for one or more global secondary indexes. DynamoDB is \
             automatically scaling your index so please try again shortly."
        }
    }
}

/// Read and write units of a description. A member that is missing or not above zero is no limit.
fn units(description: &Value, at: &str, [read, write]: [&str; 2]) -> Option<Throughput> {
    let part = description.pointer(at)?;
    let units = |member: &str| part.get(member).and_then(Value::as_u64).filter(|units| *units > 0);
    let (read, write) = (units(read), units(write));
    let throughput = Throughput::new(read.unwrap_or(u64::MAX), write.unwrap_or(u64::MAX));
    (read.is_some() || write.is_some()).then(|| throughput.burst(SAVED_UP))
}

/// The units that a call has consumed, from its answer, which must have been asked for with INDEXES.
pub(crate) fn consumed(answer: &Value) -> Cost {
    let mut cost: BTreeMap<Resource, f64> = BTreeMap::new();
    let consumed = answer.get("ConsumedCapacity");
    let each = match consumed {
        Some(Value::Array(each)) => each.iter().collect(),
        other => other.into_iter().collect::<Vec<_>>(),
    };
    for part in each {
        let table = part.get("TableName").and_then(Value::as_str).unwrap_or_default();
        let mut add = |index: Option<&str>, detail: &Value| {
            let units = detail.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default();
            let resource = Resource { table: table.to_owned(), index: index.map(str::to_owned) };
            *cost.entry(resource).or_default() += units;
        };
        part.get("Table").into_iter().for_each(|detail| add(None, detail));
        let details = |kind| part.get(kind).and_then(Value::as_object).into_iter().flatten();
        details("GlobalSecondaryIndexes").for_each(|(index, detail)| add(Some(index), detail));
        // A local index has no capacity of its own.
        details("LocalSecondaryIndexes").for_each(|(_, detail)| add(None, detail));
    }
    cost.into_iter().filter(|(_, units)| *units > 0.0).collect()
}

/// Takes from the answer what the caller did not ask for.
pub(crate) fn reduce(answer: &mut Value, wish: Option<&str>) {
    let Some(members) = answer.as_object_mut() else { return };
    if !matches!(wish, Some("TOTAL" | "INDEXES")) {
        members.remove("ConsumedCapacity");
    }
    if wish == Some("TOTAL") {
        let parts = match members.get_mut("ConsumedCapacity") {
            Some(Value::Array(parts)) => parts.iter_mut().collect(),
            other => other.into_iter().collect::<Vec<_>>(),
        };
        for part in parts.into_iter().filter_map(Value::as_object_mut) {
            part.retain(|member, _| member == "TableName" || member.ends_with("CapacityUnits"));
        }
    }
}

/// Adds the consumed capacity of the answer `part` to that of `whole`, table by table.
pub(crate) fn add_up(whole: &mut Value, part: &Value) {
    let Some(Value::Array(all)) = whole.get_mut("ConsumedCapacity") else { return };
    for part in part.get("ConsumedCapacity").and_then(Value::as_array).into_iter().flatten() {
        match all.iter_mut().find(|own| own.get("TableName") == part.get("TableName")) {
            Some(own) => add(own, part),
            None => all.push(part.clone()),
        }
    }
}

/// Adds number to number, through all members.
fn add(own: &mut Value, other: &Value) {
    match (own, other) {
        (Value::Object(own), Value::Object(other)) => {
            for (member, value) in other {
                match own.get_mut(member) {
                    Some(own) => add(own, value),
                    None => _ = own.insert(member.clone(), value.clone()),
                }
            }
        }
        (own @ Value::Number(_), other) => {
            *own = json!(own.as_f64().unwrap_or_default() + other.as_f64().unwrap_or_default());
        }
        _ => {}
    }
}

/// DynamoDB keeps up to five minutes of a table's unused capacity for bursts.
const SAVED_UP: Duration = Duration::from_secs(300);
