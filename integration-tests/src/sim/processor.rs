//! User code: it writes down what it is given, is slow, and fails, as the seed wants it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::{Position, Record};
use kinesis_testkit::Connection;

use super::fleet::{Fleet, failure};
use super::history::{Delivered, Recorder, What};

/// One worker's.
#[derive(Clone)]
pub(crate) struct Processor {
    fleet: Fleet,
    connection: Connection,
    life: String,
    /// Epochs that have begun here; where the face tells none, shards.
    begun: Arc<Mutex<BTreeSet<Epoch>>>,
}

/// A shard, and an epoch of it.
type Epoch = (String, Option<u64>);

/// A call of user code that is under way. Dropped without an end it says so.
struct Call {
    recorder: Recorder,
    life: String,
    shard: String,
    number: u64,
    ended: bool,
}

impl Processor {
    pub(crate) fn new(fleet: &Fleet, connection: &Connection, life: &str) -> Self {
        Self { fleet: fleet.clone(), connection: connection.clone(), life: life.to_owned(), begun: Arc::default() }
    }

    /// One record, of a face that does not say from which shard.
    pub(crate) fn take_one(&self, record: &Record) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.take(&shard_of(&record.position()), None, std::slice::from_ref(record))
    }

    pub(crate) fn take(
        &self,
        shard: &str,
        epoch: Option<u64>,
        records: &[Record],
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let call = self.begin(shard, epoch, records);
        let shape = self.fleet.shape();
        let mut rng = fastrand::Rng::with_seed(shape.seed ^ call.number.wrapping_mul(SALT));
        let (mut lasts, mut fails) = (Duration::ZERO, false);
        if !self.fleet.is_healed() {
            lasts = shape.slowest_call.mul_f64(rng.f64());
            fails = rng.u64(0..1000) < shape.failing_calls;
        }
        let connection = self.connection.clone();
        let work = async move {
            if !lasts.is_zero() {
                connection.clock().sleep(lasts).await;
            }
            call.end(fails)
        };
        let connection = self.connection.clone();
        async move { connection.run(work).await }
    }

    fn begin(&self, shard: &str, epoch: Option<u64>, records: &[Record]) -> Call {
        let recorder = self.fleet.recorder();
        let first = self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert((shard.to_owned(), epoch));
        if first {
            // What the table says at the first delivery is what the oracles go by.
            recorder.look(self.fleet.cloud());
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
    fn end(mut self, fails: bool) -> io::Result<()> {
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

/// The shard that is written in a sequence number: 32 bits before the last four.
pub(crate) fn shard_of(position: &Position) -> String {
    let digits = position.sequence_number.as_str().bytes();
    let low = digits.fold(0_u64, |low, digit| (low * 10 + u64::from(digit - b'0')) & ((1 << 36) - 1));
    format!("shardId-{:012}", low >> 4)
}

/// Spreads call numbers over the seeds.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;
