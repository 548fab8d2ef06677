//! UpdateStreamMode.

use serde::Deserialize;

use super::account::Account;
use super::create::{StreamModeDetails, parse_mode};
use super::load::Load;
use super::strategy::Strategy;
use super::stream::{Change, Mode, Stream};
use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::ACCOUNT_ID;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateStreamMode {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    stream_mode_details: Option<StreamModeDetails>,
    #[serde(rename = "WarmThroughputMiBps")]
    warm_throughput: Option<i64>,
}

impl Account {
    /// The stream keeps its shards, unless warm throughput is asked for with the on-demand mode.
    pub(crate) fn update_stream_mode(&mut self, request: UpdateStreamMode, now: Tick) -> Result<(), Refusal> {
        let details = request.stream_mode_details.ok_or_else(|| Refusal::missing("streamModeDetails"))?;
        let mode = parse_mode(Some(details))?;
        let warm = self.warm_throughput(request.warm_throughput, mode, now)?;
        let (updating, most) = (self.limits.updating, self.limits.mode_switches_per_day);
        let stream = self.stream(None, request.stream_arn.as_deref())?;
        stream.check_active()?;
        if stream.mode == mode {
            return Ok(());
        }
        if !stream.mode_switches.allows(most, now) {
            return Err(Refusal::limit_exceeded(format!(
                "Stream {} under account {ACCOUNT_ID} cannot switch its mode more than {most} times in 24 hours.",
                stream.name
            )));
        }
        // Not in the reference, but a provisioned stream cannot have AUTO.
        if mode == Mode::Provisioned && stream.distribution.strategy == Strategy::Auto {
            return Err(Refusal::invalid_argument(format!(
                "Stream {} uses RecordDistributionStrategy=AUTO, which is only supported for on-demand streams.",
                stream.name
            )));
        }
        let (name, open) = (stream.name.clone(), stream.open_shards().count());
        match mode {
            Mode::OnDemand => self.check_room_for_on_demand()?,
            Mode::Provisioned => self.check_room_for(open)?,
        }
        let stream = self.stream(Some(&name), None)?;
        stream.mode_switches.count(most, now);
        stream.update(now + updating, Change::Mode { mode, warm });
        Ok(())
    }

    /// Refuses one more on-demand stream when the account has as many as it may have.
    pub(crate) fn check_room_for_on_demand(&self) -> Result<(), Refusal> {
        let (there, limit) = (self.on_demand_streams(), self.limits.on_demand_streams);
        if there < limit {
            return Ok(());
        }
        Err(Refusal::limit_exceeded(format!(
            "Account {ACCOUNT_ID} has {there} on-demand streams, and may not have more. Limit: {limit}."
        )))
    }

    pub(crate) fn on_demand_streams(&self) -> usize {
        self.streams.values().filter(|stream| stream.mode == Mode::OnDemand).count()
    }
}

impl Stream {
    pub(crate) fn switch_mode(&mut self, mode: Mode, warm: Option<u32>, at: Tick) {
        self.mode = mode;
        self.warm_mib_per_second = warm;
        self.demand_since = at;
        for shard in &mut self.shards {
            shard.load = Load::default();
        }
    }
}
