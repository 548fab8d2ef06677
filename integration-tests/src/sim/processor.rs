//! User code: it writes down what it is given, is slow, and fails, as the seed wants it.

use std::io;
use std::time::Duration;

use kinesis_consumer::{Position, Record};
use kinesis_testkit::Connection;

use super::call::Witness;
use super::fleet::Fleet;

/// One worker's.
#[derive(Clone)]
pub(crate) struct Processor {
    fleet: Fleet,
    connection: Connection,
    witness: Witness,
}

impl Processor {
    pub(crate) fn new(fleet: &Fleet, connection: &Connection, life: &str) -> Self {
        let witness = Witness::new(fleet.cloud(), fleet.recorder(), life);
        Self { fleet: fleet.clone(), connection: connection.clone(), witness }
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
        let call = self.witness.begin(shard, epoch, records);
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
}

/// The shard that is written in a sequence number: 32 bits before the last four.
pub(crate) fn shard_of(position: &Position) -> String {
    let digits = position.sequence_number.as_str().bytes();
    let low = digits.fold(0_u64, |low, digit| (low * 10 + u64::from(digit - b'0')) & ((1 << 36) - 1));
    format!("shardId-{:012}", low >> 4)
}

/// Spreads call numbers over the seeds.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;
