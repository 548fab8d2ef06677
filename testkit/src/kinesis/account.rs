//! The account: all streams, and how a request finds the one it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bucket::Buckets;
use super::commitment::Commitment;
use super::consumer::{Consumer, ConsumerArn, check_consumer_name, consumer_not_found};
use super::names::{check_stream_name, is_stream_name, stream_not_found};
use super::shard::{Shard, parse_shard_id};
use super::stream::{Lags, Settled, Status, Stream};
use crate::clock::Tick;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::service::{ACCOUNT_ID, REGION};

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) limits: Arc<Limits>,
    pub(crate) streams: BTreeMap<String, Stream>,
    /// By the streams' names, which need not exist.
    pub(crate) lags: BTreeMap<String, Lags>,
    /// Of the operations that are counted over the account.
    pub(crate) control: Buckets,
    pub(crate) commitment: Commitment,
    pub(crate) rng: fastrand::Rng,
    /// Mark of the generation of shards opened last, over all streams, see [`super::sequence::SequenceNumber::opened`].
    pub(crate) last_opened: u64,
    /// Number of the subscription made last.
    pub(crate) last_subscription: u64,
}

impl Account {
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits: Arc::new(limits),
            streams: BTreeMap::new(),
            lags: BTreeMap::new(),
            control: Buckets::new(),
            commitment: Commitment::default(),
            rng: fastrand::Rng::with_seed(seed),
            last_opened: 0,
            last_subscription: 0,
        }
    }

    /// Ends every state whose time has come. Comes before every request.
    pub(crate) fn settle(&mut self, now: Tick) {
        let Self { limits, streams, rng, last_opened, .. } = self;
        streams.retain(|_, stream| stream.settle(now, last_opened, limits, rng) == Settled::Stays);
    }

    /// The stream that a request names, in whatever state.
    pub(crate) fn stream(&mut self, name: Option<&str>, arn: Option<&str>) -> Result<&mut Stream, Refusal> {
        let name = stream_name(name, arn)?;
        self.streams.get_mut(&name).ok_or_else(|| stream_not_found(&name))
    }

    /// The same when it takes records and reads: not while CREATING or DELETING.
    pub(crate) fn usable_stream(&mut self, name: Option<&str>, arn: Option<&str>) -> Result<&mut Stream, Refusal> {
        let stream = self.stream(name, arn)?;
        if stream.takes_calls() { Ok(stream) } else { Err(stream_not_found(&stream.name)) }
    }

    /// The consumer that an ARN names and the name of its stream, in whatever state.
    pub(crate) fn consumer(&mut self, arn: &str) -> Result<(&str, &mut Consumer), Refusal> {
        let parts = ConsumerArn::parse(arn)?;
        let stream = self.stream(None, Some(parts.stream_arn))?;
        let consumer = stream.consumers.by_name.get_mut(parts.name).filter(|consumer| consumer.mark == parts.mark);
        consumer.map(|consumer| (stream.name.as_str(), consumer)).ok_or_else(|| consumer_not_found(arn))
    }

    /// The same by ARN, or by its name and its stream's ARN.
    pub(crate) fn named_consumer(
        &mut self,
        arn: Option<&str>,
        stream_arn: Option<&str>,
        name: Option<&str>,
    ) -> Result<(&str, &mut Consumer), Refusal> {
        match (arn, stream_arn, name) {
            (Some(arn), stream_arn, name) => {
                let parts = ConsumerArn::parse(arn)?;
                if stream_arn.is_some_and(|other| other != parts.stream_arn)
                    || name.is_some_and(|other| other != parts.name)
                {
                    return Err(Refusal::invalid_argument(format!(
                        "ConsumerARN {arn} does not match StreamARN and ConsumerName."
                    )));
                }
                self.consumer(arn)
            }
            (None, Some(stream_arn), Some(name)) => {
                check_consumer_name(name)?;
                let stream = self.stream(None, Some(stream_arn))?;
                let consumer = stream.consumers.by_name.get_mut(name);
                consumer.map(|consumer| (stream.name.as_str(), consumer)).ok_or_else(|| {
                    consumer_not_found(&format!(
                        "{name} of stream {}",
                        stream_arn.rsplit('/').next().unwrap_or_default()
                    ))
                })
            }
            _ => Err(Refusal::invalid_argument(
                "Either ConsumerARN or both StreamARN and ConsumerName must be provided.",
            )),
        }
    }
}

impl Stream {
    /// Changes of a stream wait for each other.
    pub(crate) fn check_active(&self) -> Result<(), Refusal> {
        if self.status == Status::Active {
            return Ok(());
        }
        Err(Refusal::in_use(format!(
            "Stream {} under account {ACCOUNT_ID} not ACTIVE, instead in state {}",
            self.name,
            self.status.as_str()
        )))
    }

    /// The shard that a reader names, when it has not been trimmed away.
    pub(crate) fn readable_shard(&mut self, id: &str, now: Tick) -> Result<&mut Shard, Refusal> {
        let name = self.name.clone();
        self.shard(id, now).map_err(|refusal| match parse_shard_id(id) {
            None => refusal,
            Some(_) => {
                Refusal::not_found(format!("Shard {id} in stream {name} under account {ACCOUNT_ID} does not exist"))
            }
        })
    }

    /// The shard that a request to reshard names.
    pub(crate) fn shard(&mut self, id: &str, now: Tick) -> Result<&mut Shard, Refusal> {
        let (horizon, name) = (self.trim_horizon(now), &self.name);
        let index = parse_shard_id(id).and_then(|index| usize::try_from(index).ok());
        let shard = index.and_then(|index| self.shards.get_mut(index)).filter(|shard| !shard.is_gone(horizon));
        shard.ok_or_else(|| {
            Refusal::not_found(format!("Could not find shard {id} in stream {name} under account {ACCOUNT_ID}."))
        })
    }
}

fn stream_name(name: Option<&str>, arn: Option<&str>) -> Result<String, Refusal> {
    let from_arn = arn.map(name_in_arn).transpose()?;
    match (name, from_arn) {
        (None, None) => Err(Refusal::invalid_argument("Either StreamName or StreamARN must be provided.")),
        (Some(name), Some(other)) if name != other => Err(Refusal::invalid_argument(format!(
            "StreamName {name} does not match the stream of StreamARN, {other}."
        ))),
        (Some(name), _) => {
            check_stream_name(name)?;
            Ok(name.to_owned())
        }
        (None, Some(name)) => Ok(name.to_owned()),
    }
}

fn name_in_arn(arn: &str) -> Result<&str, Refusal> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [partition, service, region, account, resource] = match parts[..] {
        ["arn", partition, service, region, account, resource] => [partition, service, region, account, resource],
        _ => [""; 5],
    };
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name = resource.strip_prefix("stream/").filter(|name| is_stream_name(name));
    let name = name.filter(|_| partition.starts_with("aws") && service == "kinesis" && is_account);
    let name = name.ok_or_else(|| {
        let pattern = "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
        Refusal::constraint(arn, "streamARN", pattern)
    })?;
    if region != REGION || account != ACCOUNT_ID {
        return Err(Refusal::not_found(format!("Stream {arn} not found in {REGION} under account {ACCOUNT_ID}.")));
    }
    Ok(name)
}
