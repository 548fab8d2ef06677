//! UpdateContinuousBackups and DescribeContinuousBackups: remembered per table, nothing is backed up.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;

use crate::refusal::Refusal;
use crate::service::ServiceError;

/// Tables with point-in-time recovery.
#[derive(Debug, Default)]
pub(crate) struct Backups(Mutex<BTreeSet<String>>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    table_name: String,
    point_in_time_recovery_specification: Specification,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Specification {
    point_in_time_recovery_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    table_name: String,
}

impl Backups {
    pub(crate) fn update(&self, body: &[u8], exists: impl Fn(&str) -> bool) -> Result<Vec<u8>, ServiceError> {
        let request: Update = parse(body)?;
        let enabled = request.point_in_time_recovery_specification.point_in_time_recovery_enabled;
        check(&request.table_name, exists)?;
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if enabled {
            tables.insert(request.table_name);
        } else {
            tables.remove(&request.table_name);
        }
        Ok(description(enabled))
    }

    pub(crate) fn forget(&self, table: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    pub(crate) fn describe(&self, body: &[u8], exists: impl Fn(&str) -> bool) -> Result<Vec<u8>, ServiceError> {
        let request: Describe = parse(body)?;
        check(&request.table_name, exists)?;
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(description(tables.contains(&request.table_name)))
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()).into())
}

fn check(table: &str, exists: impl Fn(&str) -> bool) -> Result<(), ServiceError> {
    if exists(table) {
        return Ok(());
    }
    let message = format!("Table not found: {table}");
    Err(Refusal { status: 400, code: "TableNotFoundException", message }.into())
}

fn description(recovery: bool) -> Vec<u8> {
    let status = if recovery { "ENABLED" } else { "DISABLED" };
    let answer = json!({
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        }
    });
    answer.to_string().into_bytes()
}
