//! IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod.

use std::time::Duration;

use serde::Deserialize;

use super::account::Account;
use super::stream::Stream;
use crate::clock::Tick;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RetentionPeriod {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    retention_period_hours: Option<i64>,
}

impl Account {
    pub(crate) fn increase_retention(&mut self, request: RetentionPeriod, now: Tick) -> Result<(), Refusal> {
        let (stream, hours) = self.with_retention(&request)?;
        let existing = stream.retention_hours();
        // The period that the stream has already is accepted, as the words of the refusal say, though the reference asks
        // for more than that.
        if hours < existing {
            return Err(Refusal::invalid_argument(format!(
                "Requested retention period ({hours} hours) for stream {} can not be shorter than existing retention \
                 period ({existing} hours). Use DecreaseRetentionPeriod API.",
                stream.name
            )));
        }
        stream.set_retention(hours, now);
        Ok(())
    }

    pub(crate) fn decrease_retention(&mut self, request: RetentionPeriod, now: Tick) -> Result<(), Refusal> {
        let (stream, hours) = self.with_retention(&request)?;
        let existing = stream.retention_hours();
        if hours > existing {
            return Err(Refusal::invalid_argument(format!(
                "Requested retention period ({hours} hours) for stream {} can not be longer than existing retention \
                 period ({existing} hours). Use IncreaseRetentionPeriod API.",
                stream.name
            )));
        }
        stream.set_retention(hours, now);
        Ok(())
    }

    fn with_retention(&mut self, request: &RetentionPeriod) -> Result<(&mut Stream, u64), Refusal> {
        let asked = request.retention_period_hours.ok_or_else(|| Refusal::missing("retentionPeriodHours"))?;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        match u64::try_from(asked) {
            Ok(hours @ MIN_HOURS..=MAX_HOURS) => Ok((stream, hours)),
            Ok(hours) if hours > MAX_HOURS => Err(Refusal::invalid_argument(format!(
                "Maximum allowed retention period is {MAX_HOURS} hours. Requested retention period ({asked} hours) is \
                 too long."
            ))),
            _ => Err(Refusal::invalid_argument(format!(
                "Minimum allowed retention period is {MIN_HOURS} hours. Requested retention period ({asked} hours) is \
                 too short."
            ))),
        }
    }
}

impl Stream {
    pub(crate) const fn retention_hours(&self) -> u64 {
        self.retention.as_secs() / 3600
    }

    /// What arrived before this is gone, and shards that were closed before it.
    pub(crate) fn trim_horizon(&self, now: Tick) -> Tick {
        now.saturating_sub(self.retention).max(self.expired)
    }

    /// What has expired under the old period stays gone under the new one.
    fn set_retention(&mut self, hours: u64, now: Tick) {
        self.expired = self.trim_horizon(now);
        self.retention = Duration::from_secs(hours * 3600);
    }
}

/// A day.
const MIN_HOURS: u64 = 24;
/// 365 days.
const MAX_HOURS: u64 = 8760;
