//! UpdateContinuousBackups and DescribeContinuousBackups: remembered per table, nothing is backed up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service_error::ServiceError;

/// Tables with point-in-time recovery.
#[derive(Debug, Default)]
pub(crate) struct Backups(BTreeMap<String, Recovery>);

#[derive(Debug, Clone, Copy)]
struct Recovery {
    since: Tick,
    days: u32,
}

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
    recovery_period_in_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    table_name: String,
}

impl Backups {
    pub(crate) fn update(
        &mut self,
        request: &Value,
        exists: impl Fn(&str) -> bool,
        creating: impl Fn(&str) -> bool,
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        let Update { table_name: table, point_in_time_recovery_specification: wish } = parse(request)?;
        check(&table, exists)?;
        if creating(&table) {
            let message = format!("Backups are being enabled for the table: {table}. Please retry later");
            return Err(Refusal { status: 400, code: "ContinuousBackupsUnavailableException", message }.into());
        }
        let days = wish.recovery_period_in_days.unwrap_or(LONGEST);
        if !(1..=LONGEST).contains(&days) {
            let place = "pointInTimeRecoverySpecification.recoveryPeriodInDays";
            let bound = format!("Member must have value between 1 and {LONGEST}");
            return Err(Refusal::constraint(days, place, &bound).into());
        }
        if wish.point_in_time_recovery_enabled {
            self.0.entry(table.clone()).or_insert(Recovery { since: now, days }).days = days;
        } else {
            self.0.remove(&table);
        }
        Ok(self.description(&table, now))
    }

    pub(crate) fn describe(
        &self,
        request: &Value,
        exists: impl Fn(&str) -> bool,
        now: Tick,
    ) -> Result<Vec<u8>, ServiceError> {
        let Describe { table_name } = parse(request)?;
        check(&table_name, exists)?;
        Ok(self.description(&table_name, now))
    }

    pub(crate) fn forget(&mut self, table: &str) {
        self.0.remove(table);
    }

    fn description(&self, table: &str, now: Tick) -> Vec<u8> {
        let recovery = match self.0.get(table) {
            None => json!({ "PointInTimeRecoveryStatus": "DISABLED" }),
            Some(recovery) => {
                let kept = Duration::from_secs(u64::from(recovery.days) * 86_400);
                let earliest = recovery.since.max(now.saturating_sub(kept));
                let latest = earliest.max(now.saturating_sub(BEHIND));
                json!({
                    "PointInTimeRecoveryStatus": "ENABLED",
                    "RecoveryPeriodInDays": recovery.days,
                    "EarliestRestorableDateTime": earliest.as_secs(),
                    "LatestRestorableDateTime": latest.as_secs(),
                })
            }
        };
        let answer = json!({
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": recovery,
            }
        });
        answer.to_string().into_bytes()
    }
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Value) -> Result<T, ServiceError> {
    T::deserialize(request).map_err(|error| Refusal::serialization(error.to_string()).into())
}

fn check(table: &str, exists: impl Fn(&str) -> bool) -> Result<(), ServiceError> {
    if exists(table) {
        return Ok(());
    }
    let message = format!("Table not found: {table}");
    Err(Refusal { status: 400, code: "TableNotFoundException", message }.into())
}

/// Days that can be restored, and the default.
const LONGEST: u32 = 35;

/// The latest time that can be restored lies typically five minutes back.
const BEHIND: Duration = Duration::from_secs(300);
