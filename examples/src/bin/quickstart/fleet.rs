//! The workers: each one a consumer of its own, with its own connection.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_kinesis::Client as Kinesis;
use kinesis_consumer::{Batch, Consumer, ConsumerHandle, StartAt};
use tokio::task::JoinHandle;

use crate::account::{Account, Delivered};

/// The books and the output file, shared by all workers.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Mutex<Inner>>);

struct Inner {
    account: Account,
    output: Option<Box<dyn Write + Send>>,
}

/// A running worker.
pub(crate) struct Worker {
    pub(crate) name: String,
    handle: ConsumerHandle,
    task: JoinHandle<anyhow::Result<()>>,
}

/// What every worker of the fleet is started with.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) app: String,
    pub(crate) stream: String,
    pub(crate) lease_duration: Duration,
    pub(crate) ledger: Ledger,
}

impl Ledger {
    pub(crate) fn new(output: Option<Box<dyn Write + Send>>) -> Self {
        Self(Arc::new(Mutex::new(Inner { account: Account::default(), output })))
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Account) -> T) -> T {
        look(&mut self.lock().account)
    }

    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        match &mut self.lock().output {
            Some(output) => output.flush().context("writing the output failed"),
            None => Ok(()),
        }
    }

    /// Books a batch, and writes its lines as they came.
    fn deliver(&self, worker: &str, batch: &Batch) -> std::io::Result<()> {
        let mut inner = self.lock();
        for record in batch.records() {
            if let Some(output) = &mut inner.output {
                output.write_all(record.data())?;
                output.write_all(b"\n")?;
            }
            inner.account.delivered(&Delivered {
                worker,
                shard: batch.shard().as_str(),
                epoch: batch.epoch().0,
                sequence_number: record.sequence_number().as_str(),
                sub_sequence: record.sub_sequence(),
                data: record.data(),
            });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    pub(crate) async fn start(&self, name: String, kinesis: Kinesis, dynamodb: DynamoDb) -> anyhow::Result<Worker> {
        let consumer = Consumer::builder(&self.app, &self.stream)
            .kinesis(kinesis)
            .dynamodb(dynamodb)
            .worker_id(name.as_str())
            .start_at(StartAt::TrimHorizon)
            .lease_duration(self.lease_duration)
            .build()
            .await
            .with_context(|| format!("{name} cannot start"))?;
        let handle = consumer.handle();
        let (ledger, worker) = (self.ledger.clone(), Arc::<str>::from(name.as_str()));
        let task = tokio::spawn(async move {
            consumer
                .run(move |batch: Batch| {
                    let (ledger, worker) = (ledger.clone(), Arc::clone(&worker));
                    async move { ledger.deliver(&worker, &batch) }
                })
                .await?;
            anyhow::Ok(())
        });
        Ok(Worker { name, handle, task })
    }
}

impl Worker {
    /// As if the process had been killed: nothing is checkpointed, released or said.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _cancelled = self.task.await;
    }

    /// Drains, checkpoints, releases the leases.
    pub(crate) async fn shut_down(self) -> anyhow::Result<()> {
        self.handle.shutdown(Duration::from_secs(10)).await;
        self.task.await.context("the worker panicked")?.with_context(|| format!("{} failed", self.name))
    }
}
