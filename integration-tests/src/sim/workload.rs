//! What is put: numbered records, through the real producer, some of whose acknowledgements fail.

use std::time::Duration;

use kinesis_producer::{Aggregation, Delivery, Outcome, Producer, RateLimit, Record};
use kinesis_testkit::Cloud;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::history::{Recorder, What};
use super::shape::Shape;

/// The stream that is written and read.
pub(crate) const STREAM: &str = "clicks";

/// The producer's name in the cloud.
pub(crate) const PRODUCER: &str = "producer";

/// One put: its bytes follow from this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Put {
    /// Among all puts of the run.
    pub(crate) number: u32,
    pub(crate) key: String,
    /// Among the puts of its key.
    pub(crate) of_key: u64,
    pub(crate) bytes: usize,
}

impl Put {
    /// The number first, the rest filled up with what depends on it, so that exchanged bytes are seen.
    pub(crate) fn data(&self) -> Vec<u8> {
        let Self { number, key, of_key, bytes } = self;
        let mut data = format!("{number}|{key}|{of_key}|").into_bytes();
        let mut filling = (b'a'..=b'z').cycle().skip(*number as usize % 26);
        while data.len() < *bytes {
            data.extend(filling.next());
        }
        data
    }

    pub(crate) fn number_in(data: &[u8]) -> Option<u32> {
        let digits = data.split(|byte| *byte == b'|').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    pub(crate) fn is(&self, key: &str, data: &[u8]) -> bool {
        self.key == key && self.data() == data
    }
}

/// Writes until it is told to stop, and then until all puts are resolved.
pub(crate) async fn write(cloud: Cloud, shape: Shape, recorder: Recorder, mut stop: oneshot::Receiver<()>) {
    let producer = start(&cloud, &shape).await;
    let mut gauging = JoinSet::new();
    gauging.spawn(gauge(producer.clone(), recorder.clone()));
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ SALT);
    let mut of_key = vec![0; shape.keys as usize];
    let mut ticks = interval(Duration::from_secs(shape.burst) / shape.records_per_second as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! { biased;
            _ = &mut stop => break,
            _ = ticks.tick() => {}
        }
        for _ in 0..shape.burst {
            put_one(&producer, &shape, &recorder, &mut rng, &mut of_key, &mut waiting).await;
        }
        while waiting.try_join_next().is_some() {}
    }
    let mut within = Duration::from_secs(60);
    if let Some(at_once) = shape.closes_within {
        for _ in 0..LAST_WORDS {
            put_one(&producer, &shape, &recorder, &mut rng, &mut of_key, &mut waiting).await;
        }
        // What is full has been sent by then, and what is not yet waits for more.
        sleep(A_MOMENT).await;
        within = at_once;
        // What was to leave in this instant has left when all tasks have had their turns.
        for _ in 0..TURNS {
            yield_now().await;
        }
        let sent_before = cloud.calls(PRODUCER).count("PutRecords");
        recorder.add(PRODUCER, "", What::Closing { within, sent_before });
    } else {
        // Each record's own delivery is judged; the report would say the same less exactly.
        let _ = producer.flush().await;
        while waiting.try_join_next().is_some() {}
        recorder.add(PRODUCER, "", What::Flushed { bytes: producer.buffered_bytes() as u64 });
    }
    gauging.shutdown().await;
    let report = producer.close(within).await;
    recorder.add(PRODUCER, "", What::Down(format!("closed with {} undelivered", report.undelivered.len())));
    while waiting.join_next().await.is_some() {}
}

async fn put_one(
    producer: &Producer,
    shape: &Shape,
    recorder: &Recorder,
    rng: &mut fastrand::Rng,
    of_key: &mut [u64],
    waiting: &mut JoinSet<()>,
) {
    let key = rng.usize(0..of_key.len());
    let put = recorder.put(|number| Put {
        number,
        key: format!("user-{key}"),
        of_key: of_key[key],
        bytes: shape.record_bytes,
    });
    of_key[key] += 1;
    let data = put.data();
    let delivery = producer.put(Record::new(&put.key, &data[..])).await.expect("the records are small and few");
    waiting.spawn(settle(recorder.clone(), put.number, delivery));
}

/// Looks each second at what the producer holds.
async fn gauge(producer: Producer, recorder: Recorder) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        recorder.add(PRODUCER, "", What::Holds { bytes: producer.buffered_bytes() as u64 });
    }
}

/// Waits for what becomes of a put, and writes it down.
pub(crate) async fn settle(recorder: Recorder, put: u32, delivery: Delivery) {
    match delivery.await {
        Ok(receipt) => {
            let sequence_number = receipt.sequence_number.parse().expect("a receipt has a sequence number");
            let position = kinesis_consumer::Position {
                sequence_number,
                sub_sequence: receipt.sub_sequence,
                shard: (&*receipt.shard).into(),
            };
            recorder.add(PRODUCER, &receipt.shard, What::Acked { put, position, attempts: receipt.attempts });
        }
        Err(error) => {
            let ambiguous = error.attempts().iter().filter(|attempt| attempt.outcome == Outcome::Unknown).count();
            let unknown = error.outcome() == Outcome::Unknown;
            recorder.add(PRODUCER, "", What::GivenUp { put, unknown, ambiguous: ambiguous as u32 });
        }
    }
}

/// As a service does that is started again when it cannot start.
async fn start(cloud: &Cloud, shape: &Shape) -> Producer {
    let client = cloud.connect(PRODUCER).await.kinesis;
    let aggregation = if shape.aggregation { Aggregation::On } else { Aggregation::Off };
    loop {
        let mut limit = RateLimit::default();
        limit.records_per_second = shape.rate_limit.unwrap_or(limit.records_per_second);
        let builder = Producer::builder(client.clone(), STREAM).seed(shape.seed).aggregation(aggregation);
        let builder = builder.rate_limit(limit).max_buffered_bytes(shape.buffered_bytes as usize);
        if let Ok(producer) = builder.build().await {
            return producer;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Records that are put right before the producer is closed.
const LAST_WORDS: usize = 100;

/// Longer than what is ready waits for company, and shorter than a record waits for others.
const A_MOMENT: Duration = Duration::from_millis(25);

/// More than any chain of tasks that wake each other within an instant.
const TURNS: usize = 100;

/// Keeps the keys' chance apart.
const SALT: u64 = 0x5ea1_0000_0000_0003;
