//! Warm throughput: an on-demand stream that has its shards before the traffic comes.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::stream::{Mode, Stream, shards_for};
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateWarmThroughput {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "WarmThroughputMiBps")]
    mib_per_second: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct WarmThroughput {
    #[serde(rename = "TargetMiBps")]
    target: u32,
    #[serde(rename = "CurrentMiBps")]
    current: usize,
}

impl Account {
    /// Reshards to as many shards as the target needs, a MiB each, and no fewer than a new stream has. Called with a lower
    /// target it gives shards back.
    pub(crate) fn update_warm_throughput(
        &mut self,
        request: UpdateWarmThroughput,
        now: Tick,
    ) -> Result<impl Serialize + use<>, Refusal> {
        let asked = request.mib_per_second.ok_or_else(|| Refusal::missing("warmThroughputMiBps"))?;
        let target = check_warm_throughput(asked)?;
        self.check_commitment(now)?;
        let updating = self.limits.updating;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        if stream.mode != Mode::OnDemand {
            return Err(Refusal::invalid_argument(format!(
                "Stream {} under account {ACCOUNT_ID} is not in On-Demand mode: warm throughput is not supported.",
                stream.name
            )));
        }
        stream.warm_mib_per_second = (target > 0).then_some(target);
        let change = stream.reshard_to(&stream.uniform_targets(shards_for(target)));
        stream.update(now + updating, change);
        Ok(Answer {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            warm_throughput: WarmThroughput { target, current: stream.open_shards().count() },
        })
    }

    /// Warm throughput as CreateStream and UpdateStreamMode may ask for it.
    pub(crate) fn warm_throughput(&self, asked: Option<i64>, mode: Mode, now: Tick) -> Result<Option<u32>, Refusal> {
        let Some(asked) = asked else { return Ok(None) };
        let target = check_warm_throughput(asked)?;
        self.check_commitment(now)?;
        if mode == Mode::Provisioned {
            return Err(Refusal::invalid_argument("Warm throughput is only supported for on-demand streams."));
        }
        Ok((target > 0).then_some(target))
    }

    fn check_commitment(&self, now: Tick) -> Result<(), Refusal> {
        if self.commitment.is_enabled(now) {
            return Ok(());
        }
        Err(Refusal::invalid_argument(format!(
            "Warm throughput needs MinimumThroughputBillingCommitment to be enabled for account {ACCOUNT_ID}."
        )))
    }
}

impl Stream {
    /// As it is described: only where it has been set.
    pub(crate) fn warm_throughput(&self) -> Option<WarmThroughput> {
        let current = self.open_shards().count();
        self.warm_mib_per_second.map(|target| WarmThroughput { target, current })
    }
}

fn check_warm_throughput(asked: i64) -> Result<u32, Refusal> {
    let constraint = |what| Err(Refusal::constraint(asked, "warmThroughputMiBps", what));
    match u32::try_from(asked) {
        Ok(n @ 0..=MOST_MIB_PER_SECOND) => Ok(n),
        Ok(_) => Err(Refusal::limit_exceeded(format!(
            "Warm throughput of {asked} MiBps is more than the limit of {MOST_MIB_PER_SECOND} MiBps."
        ))),
        Err(_) => constraint("Member must have value greater than or equal to 0"),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    warm_throughput: WarmThroughput,
}

/// 10 GiB a second.
const MOST_MIB_PER_SECOND: u32 = 10_240;
