//! The account as a whole: DescribeLimits, DescribeAccountSettings, UpdateAccountSettings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::stream::Stream;
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::wire::Timestamp;

/// The account's commitment to a minimum of throughput ("On-demand Advantage"), which unlocks warm throughput and more
/// consumers of an on-demand stream. It holds for a day at least; ended earlier it ends when the day is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Commitment {
    started: Option<Tick>,
    /// When it was or will be over.
    ends: Option<Tick>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateAccountSettings {
    minimum_throughput_billing_commitment: Option<CommitmentRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentRequest {
    status: Option<String>,
}

impl Account {
    pub(crate) fn describe_limits(&self) -> impl Serialize + use<> {
        LimitsAnswer {
            shard_limit: self.limits.open_shards,
            open_shard_count: self.streams.values().map(|stream| stream.open_shards().count()).sum(),
            on_demand_stream_count: self.on_demand_streams(),
            on_demand_stream_count_limit: self.limits.on_demand_streams,
        }
    }

    pub(crate) fn describe_account_settings(&self, now: Tick) -> impl Serialize + use<> {
        self.commitment.answer(now)
    }

    pub(crate) fn update_account_settings(
        &mut self,
        request: UpdateAccountSettings,
        now: Tick,
    ) -> Result<impl Serialize + use<>, Refusal> {
        let asked = request.minimum_throughput_billing_commitment;
        let asked = asked.ok_or_else(|| Refusal::missing("minimumThroughputBillingCommitment"))?;
        let member = "minimumThroughputBillingCommitment.status";
        match asked.status.as_deref().ok_or_else(|| Refusal::missing(member))? {
            "ENABLED" => self.commitment.enable(now),
            "DISABLED" => {
                if let Some(warm) = self.streams.values().find(|stream| stream.warm_mib_per_second.is_some()) {
                    return Err(warm.refuses_to_cool());
                }
                self.commitment.disable(now);
            }
            other => {
                let what = "Member must satisfy enum value set: [ENABLED, DISABLED]";
                return Err(Refusal::constraint(other, member, what));
            }
        }
        Ok(self.commitment.answer(now))
    }
}

impl Stream {
    fn refuses_to_cool(&self) -> Refusal {
        Refusal::invalid_argument(format!(
            "MinimumThroughputBillingCommitment cannot be disabled while stream {} has warm throughput.",
            self.name
        ))
    }
}

impl Commitment {
    pub(crate) fn is_enabled(&self, now: Tick) -> bool {
        self.started.is_some() && self.ends.is_none_or(|end| now < end)
    }

    fn enable(&mut self, now: Tick) {
        let started = self.started.filter(|_| self.is_enabled(now)).unwrap_or(now);
        *self = Self { started: Some(started), ends: None };
    }

    fn disable(&mut self, now: Tick) {
        if let Some(started) = self.started.filter(|_| self.is_enabled(now)) {
            self.ends = Some(now.max(started + LEAST));
        }
    }

    fn answer(self, now: Tick) -> SettingsAnswer {
        let enabled = self.is_enabled(now);
        SettingsAnswer {
            minimum_throughput_billing_commitment: CommitmentAnswer {
                status: match (enabled, self.ends) {
                    (false, _) => "DISABLED",
                    (true, None) => "ENABLED",
                    (true, Some(_)) => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
                },
                started_at: self.started.map(Timestamp),
                ended_at: self.ends.filter(|_| !enabled).map(Timestamp),
                earliest_allowed_end_at: self.started.filter(|_| enabled).map(|started| Timestamp(started + LEAST)),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LimitsAnswer {
    shard_limit: usize,
    open_shard_count: usize,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SettingsAnswer {
    minimum_throughput_billing_commitment: CommitmentAnswer,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommitmentAnswer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

const LEAST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_holds_for_a_day() {
        let hour = |n: u64| Duration::from_secs(n * 3600);
        let mut commitment = Commitment::default();
        commitment.disable(hour(0));
        assert_eq!(commitment, Commitment::default());
        commitment.enable(hour(1));
        commitment.disable(hour(2));
        assert!(commitment.is_enabled(hour(25) - Duration::from_millis(1)) && !commitment.is_enabled(hour(25)));
        commitment.enable(hour(3));
        assert!(commitment.is_enabled(hour(1000)), "the end was taken back");
        commitment.disable(hour(1000));
        assert!(!commitment.is_enabled(hour(1000)));
        commitment.enable(hour(1001));
        assert_eq!(commitment, Commitment { started: Some(hour(1001)), ends: None });
    }
}
