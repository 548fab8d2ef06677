//! UpdateStreamRecordDistributionStrategy, and where AUTO puts a record.

use serde::Deserialize;

use super::account::Account;
use super::entry::{Entry, Place};
use super::shard::Shard;
use super::strategy::Strategy;
use super::stream::{Mode, Stream};
use crate::clock::Tick;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateStrategy {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    record_distribution_strategy: Option<String>,
}

impl Account {
    /// Takes effect at once; what is stored stays where it is.
    pub(crate) fn update_record_distribution_strategy(&mut self, request: UpdateStrategy) -> Result<(), Refusal> {
        let asked = request.record_distribution_strategy;
        let strategy =
            Strategy::parse(asked.as_deref().ok_or_else(|| Refusal::missing("recordDistributionStrategy"))?)?;
        let stream = self.stream(None, request.stream_arn.as_deref())?;
        stream.check_active()?;
        strategy.check_mode(stream.mode, &stream.name)?;
        stream.distribution.strategy = strategy;
        Ok(())
    }
}

impl Strategy {
    pub(crate) fn check_mode(self, mode: Mode, stream: &str) -> Result<(), Refusal> {
        if self == Self::UserPartitionKey || mode == Mode::OnDemand {
            return Ok(());
        }
        Err(Refusal::invalid_argument(format!(
            "RecordDistributionStrategy=AUTO is only supported for on-demand streams. Stream {stream} is using \
             PROVISIONED mode."
        )))
    }
}

impl Stream {
    /// A key may be left out under AUTO only.
    pub(crate) fn check_key(&self, at: Place, entry: &Entry) -> Result<(), Refusal> {
        if self.distribution.strategy == Strategy::UserPartitionKey && entry.partition_key.is_empty() {
            return Err(Refusal::missing(&format!("{at}partitionKey")));
        }
        Ok(())
    }

    /// The shard that is to take a record. `None` when the stream has no open shard.
    pub(crate) fn shard_of(&mut self, entry: &Entry, now: Tick) -> Option<&mut Shard> {
        match self.distribution.strategy {
            Strategy::UserPartitionKey => self.shard_for(entry.hash),
            Strategy::Auto => self.next_in_turn(entry.bytes() as u64, now),
        }
    }

    /// The open shards take turns; one that is over its rate is passed over as long as another is not.
    fn next_in_turn(&mut self, bytes: u64, now: Tick) -> Option<&mut Shard> {
        let last = self.distribution.last;
        let open = || self.shards.iter().filter(|shard| shard.is_open()).map(|shard| shard.index);
        let later = open().filter(|index| last.is_some_and(|last| *index > last));
        let turns: Vec<u32> = later.chain(open()).collect();
        let with_room = turns.iter().find(|index| self.shards[**index as usize].rates.may_write(bytes, now));
        let chosen = *with_room.or_else(|| turns.first())?;
        self.distribution.last = Some(chosen);
        self.shards.get_mut(chosen as usize)
    }
}
