//! Puts numbered records through a real producer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_producer::{Aggregation, HashKey, Producer, Record};
use kinesis_testkit::{Cloud, Stream};
use tokio::sync::OnceCell;
use tokio::time::interval;

use super::command::{ProducerProfile, shard_id};
use super::dates::Dates;
use crate::sim::history::Recorder;
use crate::sim::workload::{PRODUCER, Put, STREAM, settle};

/// Clones are the same writer.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    cloud: Cloud,
    stream: Stream,
    recorder: Recorder,
    dates: Dates,
    profile: Arc<Mutex<ProducerProfile>>,
    producer: Arc<OnceCell<Producer>>,
    /// Records that the load puts each second.
    load: Arc<Mutex<usize>>,
}

impl Writer {
    /// In a runtime: its load has a task of its own.
    pub(super) fn new(cloud: &Cloud, stream: &Stream, recorder: &Recorder, dates: &Dates) -> Self {
        let writer = Self {
            cloud: cloud.clone(),
            stream: stream.clone(),
            recorder: recorder.clone(),
            dates: dates.clone(),
            profile: Arc::default(),
            producer: Arc::default(),
            load: Arc::default(),
        };
        tokio::spawn(writer.clone().load());
        writer
    }

    pub(super) fn profile(&self) -> ProducerProfile {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_profile(&self, profile: ProducerProfile) -> Result<(), String> {
        *self.profile.lock().unwrap_or_else(PoisonError::into_inner) = profile;
        if self.producer.initialized() { Err("the producer has put already".to_owned()) } else { Ok(()) }
    }

    pub(super) fn set_load(&self, records: usize) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    async fn load(self) {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let records = *self.load.lock().unwrap_or_else(PoisonError::into_inner);
            self.put(records, None).await.expect("records for all shards find one");
        }
    }

    /// In order over the open shards, as evenly as it goes, or all to the one that is open.
    pub(super) async fn put(&self, records: usize, to: Option<usize>) -> Result<(), String> {
        // Without load there may be no stream just now.
        if records == 0 {
            return Ok(());
        }
        let mut shards = self.stream.try_open_shards().map_err(|refused| refused.to_string())?;
        if let Some(to) = to {
            shards.retain(|shard| shard.id == shard_id(to));
        }
        for n in 0..records {
            let shard = shards.get(n * shards.len() / records).ok_or("there is no such open shard")?;
            let put = self.recorder.put(|number| Put { number, key: format!("user-{number}"), of_key: 0, bytes: 20 });
            let hash_key = HashKey::new(shard.hash_keys.start() + u128::from(put.number));
            let data = put.data();
            let record = Record::new(&put.key, &data[..]).explicit_hash_key(hash_key);
            let delivery = self.producer().await.put(record).await.map_err(|error| error.to_string())?;
            tokio::spawn(settle(self.recorder.clone(), put.number, delivery));
        }
        Ok(())
    }

    async fn producer(&self) -> &Producer {
        let start = async || {
            let ProducerProfile { plain, ttl } = self.profile();
            let connection = self.cloud.connect(PRODUCER).await;
            let config = connection.kinesis_config().time_source(self.dates.of(PRODUCER, &connection));
            let client = aws_sdk_kinesis::Client::from_conf(config.build());
            let aggregation = if plain { Aggregation::Off } else { Aggregation::On };
            let builder = Producer::builder(client, STREAM).seed(7).aggregation(aggregation);
            let builder = ttl.into_iter().fold(builder, |builder, ttl| builder.record_ttl(ttl));
            builder.build().await.expect("the stream is there")
        };
        self.producer.get_or_init(start).await
    }
}
