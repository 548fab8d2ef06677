//! EnableEnhancedMonitoring and DisableEnhancedMonitoring: what is switched on, not the metrics themselves.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::stream::Metrics;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EnhancedMonitoring {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_level_metrics: Option<Vec<String>>,
}

impl Account {
    pub(crate) fn enable_monitoring(&mut self, request: EnhancedMonitoring) -> Result<impl Serialize + use<>, Refusal> {
        self.change_monitoring(request, |on, named| on.union(named).copied().collect())
    }

    pub(crate) fn disable_monitoring(
        &mut self,
        request: EnhancedMonitoring,
    ) -> Result<impl Serialize + use<>, Refusal> {
        self.change_monitoring(request, |on, named| on.difference(named).copied().collect())
    }

    fn change_monitoring(
        &mut self,
        request: EnhancedMonitoring,
        change: impl FnOnce(&Metrics, &Metrics) -> Metrics,
    ) -> Result<MonitoringAnswer, Refusal> {
        let named = parse(request.shard_level_metrics)?;
        let stream = self.stream(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        stream.check_active()?;
        let desired = change(&stream.metrics, &named);
        let current = std::mem::replace(&mut stream.metrics, desired.clone());
        Ok(MonitoringAnswer {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.clone(),
            current_shard_level_metrics: current,
            desired_shard_level_metrics: desired,
        })
    }
}

fn parse(asked: Option<Vec<String>>) -> Result<Metrics, Refusal> {
    let asked = asked.ok_or_else(|| Refusal::missing("shardLevelMetrics"))?;
    if asked.is_empty() {
        return Err(Refusal::constraint(
            "[]",
            "shardLevelMetrics",
            "Member must have length greater than or equal to 1",
        ));
    }
    if asked.len() > ALL.len() {
        return Err(Refusal::too_long("shardLevelMetrics", ALL.len()));
    }
    let mut metrics = Metrics::new();
    for name in asked {
        match ALL.iter().find(|known| **known == name) {
            Some(known) => metrics.extend([*known]),
            None if name == "ALL" => metrics.extend(ALL),
            None => {
                let names = ALL.join(", ");
                return Err(Refusal::constraint(
                    format!("[{name}]"),
                    "shardLevelMetrics",
                    &format!("Member must satisfy constraint: [Member must satisfy enum value set: [{names}, ALL]]"),
                ));
            }
        }
    }
    Ok(metrics)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringAnswer {
    stream_name: String,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    current_shard_level_metrics: Metrics,
    desired_shard_level_metrics: Metrics,
}

/// In the order of the alphabet, as they are answered.
const ALL: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];
