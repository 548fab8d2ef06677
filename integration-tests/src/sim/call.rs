//! Calls of user code, written down from their beginning to their end.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use kinesis_consumer::Record;
use kinesis_testkit::Cloud;

use super::history::{Delivered, Recorder, What};

/// Sees what one life of a worker is given.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    cloud: Cloud,
    recorder: Recorder,
    life: String,
    /// Epochs that have begun here; where the face tells none, shards.
    begun: Arc<Mutex<BTreeSet<Epoch>>>,
}

/// A shard, and an epoch of it.
type Epoch = (String, Option<u64>);

/// A call of user code that is under way. Dropped without an end it says so.
#[derive(Debug)]
pub(crate) struct Call {
    recorder: Recorder,
    life: String,
    shard: String,
    /// Among all calls of the run.
    pub(crate) number: u64,
    ended: bool,
}

impl Witness {
    pub(crate) fn new(cloud: &Cloud, recorder: &Recorder, life: &str) -> Self {
        Self { cloud: cloud.clone(), recorder: recorder.clone(), life: life.to_owned(), begun: Arc::default() }
    }

    pub(crate) fn begin(&self, shard: &str, epoch: Option<u64>, records: &[Record]) -> Call {
        let recorder = &self.recorder;
        let first = self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert((shard.to_owned(), epoch));
        if first {
            // What the table says at the first delivery is what the oracles go by.
            recorder.look(&self.cloud);
        }
        let delivered = |record: &Record| Delivered {
            position: record.position(),
            put: recorder.recognise(record.partition_key(), record.data()),
        };
        let number = recorder.call();
        let records = records.iter().map(delivered).collect();
        recorder.add(&self.life, shard, What::Begin { call: number, epoch, records });
        Call { recorder: recorder.clone(), life: self.life.clone(), shard: shard.to_owned(), number, ended: false }
    }
}

impl Call {
    pub(crate) fn end(mut self, fails: bool) -> io::Result<()> {
        self.ended = true;
        let (what, result) =
            if fails { (What::Failed(self.number), Err(failure())) } else { (What::Done(self.number), Ok(())) };
        self.recorder.add(&self.life, &self.shard, what);
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.recorder.add(&self.life, &self.shard, What::Dropped(self.number));
        }
    }
}

fn failure() -> io::Error {
    io::Error::other("as the test wants it")
}
