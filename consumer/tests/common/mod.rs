//! Workers that write down what they are given.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer, ConsumerBuilder, Epoch, Position, Record, ShardId, StartAt};
use kinesis_testkit::{Cloud, Stream};

pub(crate) mod odd;

/// One record as it was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) at: Duration,
    pub(crate) worker: String,
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
    pub(crate) key: String,
    pub(crate) data: String,
}

/// What all workers of a test were given, in order.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    cloud: Cloud,
    delivered: Arc<Mutex<Vec<Delivered>>>,
}

impl Ledger {
    pub(crate) fn of(cloud: &Cloud) -> Self {
        Self { cloud: cloud.clone(), delivered: Arc::default() }
    }

    pub(crate) fn note(&self, worker: &str, batch: &Batch) {
        for record in batch.records() {
            self.note_record(worker, batch.shard(), batch.epoch(), record);
        }
    }

    pub(crate) fn note_record(&self, worker: &str, shard: &ShardId, epoch: Epoch, record: &Record) {
        self.delivered.lock().expect("no panic while noting").push(Delivered {
            at: self.cloud.clock().elapsed(),
            worker: worker.to_owned(),
            shard: shard.clone(),
            epoch,
            position: record.position(),
            key: record.partition_key().to_owned(),
            data: String::from_utf8_lossy(record.data()).into_owned(),
        });
    }

    pub(crate) fn all(&self) -> Vec<Delivered> {
        self.delivered.lock().expect("no panic while noting").clone()
    }

    pub(crate) fn data(&self) -> Vec<String> {
        self.all().into_iter().map(|delivered| delivered.data).collect()
    }

    /// Nothing that is in the stream is missing (C1); within an epoch positions strictly increase (C3); and every child
    /// starts after all of its parents' records (C4).
    pub(crate) fn check(&self, stream: &Stream) {
        let all = self.all();
        let seen: BTreeSet<_> = all.iter().map(|d| d.position.sequence_number.to_string()).collect();
        let missing: Vec<_> = stream.records().into_iter().filter(|r| !seen.contains(&r.sequence_number)).collect();
        assert!(missing.is_empty(), "{} records were lost: {missing:?}", missing.len());

        let mut last: BTreeMap<(ShardId, u64), Position> = BTreeMap::new();
        for delivered in &all {
            let epoch = (delivered.shard.clone(), delivered.epoch.0);
            if let Some(before) = last.insert(epoch, delivered.position.clone()) {
                assert!(before < delivered.position, "{delivered:?} came after {before}");
            }
        }

        for shard in stream.shards() {
            let id = ShardId::from(shard.id.as_str());
            let Some(first) = all.iter().position(|d| d.shard == id) else { continue };
            for parent in &shard.parents {
                let parent = ShardId::from(parent.as_str());
                let unseen = stream.records().into_iter().find(|r| {
                    r.shard_id == parent.as_str()
                        && !all[..first].iter().any(|d| d.position.sequence_number.as_str() == r.sequence_number)
                });
                assert!(unseen.is_none(), "{id} started before {parent} was at its end: {unseen:?}");
            }
        }
    }

    /// How many deliveries were of records that had been delivered before.
    pub(crate) fn repeated(&self) -> usize {
        let all = self.all();
        all.len() - all.iter().map(|d| (d.shard.clone(), d.position.clone())).collect::<BTreeSet<_>>().len()
    }

    pub(crate) async fn wait_for(&self, records: usize) {
        let waiting = async {
            while self.delivered.lock().expect("no panic while noting").len() < records {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(300), waiting).await.is_err() {
            panic!("{} of {records} records came: {:?}", self.all().len(), self.data());
        }
    }
}

/// A worker of the application `app`, on a network of its own name.
pub(crate) async fn builder(cloud: &Cloud, worker: &str) -> ConsumerBuilder {
    let connection = cloud.connect(worker).await;
    Consumer::builder("app", "clicks")
        .kinesis(connection.kinesis)
        .dynamodb(connection.dynamodb)
        .start_at(StartAt::TrimHorizon)
        .worker_id(worker)
        .seed(worker.bytes().map(u64::from).sum())
}

/// The attributes of a lease's row.
pub(crate) async fn row(cloud: &Cloud, shard: &str) -> Option<BTreeMap<String, String>> {
    let key = aws_sdk_dynamodb::types::AttributeValue::S(shard.to_owned());
    let answer = cloud.outside().dynamodb.get_item().table_name("app").key("leaseKey", key).send().await;
    let item = answer.expect("a table").item?;
    let text = |value: aws_sdk_dynamodb::types::AttributeValue| match value {
        aws_sdk_dynamodb::types::AttributeValue::S(text) | aws_sdk_dynamodb::types::AttributeValue::N(text) => text,
        other => format!("{other:?}"),
    };
    Some(item.into_iter().map(|(name, value)| (name, text(value))).collect())
}
