//! The account as a whole: DescribeLimits, DescribeAccountSettings, UpdateAccountSettings.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::stream::Stream;
use crate::clock::Tick;
use crate::refusal::Refusal;

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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LimitsAnswer {
    shard_limit: usize,
    open_shard_count: usize,
    on_demand_stream_count: usize,
    on_demand_stream_count_limit: usize,
}
