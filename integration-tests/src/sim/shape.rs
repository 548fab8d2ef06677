//! What kind of world a seed makes: most are small, a few large, because bugs hide in shapes.

use std::time::Duration;

/// A run's shape, all of it drawn from the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// What it was drawn from.
    pub seed: u64,
    /// Places for workers; each holds one at a time.
    pub workers: usize,
    /// At the beginning.
    pub shards: i32,
    /// That are put, each second.
    pub records_per_second: u64,
    /// That are put at once, and then none until as many are due again.
    pub burst: u64,
    /// Kinesis records a second that the producer may send to a shard, if it is told.
    pub rate_limit: Option<u64>,
    /// That the producer may hold.
    pub buffered_bytes: u64,
    /// After which the producer gives a record up.
    pub record_ttl: Duration,
    /// That a worker may have read and not processed.
    pub read_bytes: u64,
    /// Bytes of each record.
    pub record_bytes: usize,
    /// Partition keys.
    pub keys: u64,
    /// Whether the producer aggregates.
    pub aggregation: bool,
    /// After its last sign of life a worker's leases go to others.
    pub lease_duration: Duration,
    /// A processor gets to finish when its shard is to go.
    pub handoff_time: Duration,
    /// Checkpoints are written that often.
    pub checkpoint_every: Duration,
    /// How user code takes the records.
    pub face: Face,
    /// The longest that a call of user code takes.
    pub slowest_call: Duration,
    /// Of a thousand calls of user code so many fail, until the world heals.
    pub failing_calls: u64,
    /// How long troubles come.
    pub safety: Duration,
    /// So many thousandths the clocks of the workers run too fast or too slow at the most.
    pub drift_per_mille: i32,
    /// So many seconds their wall clocks are ahead or behind at the most.
    pub wall_clocks_off: i64,
    /// What each worker has for the time of a hand-off, where they do not agree.
    pub handoff_times: Vec<Duration>,
    /// Which workers start at a time, not at the oldest record, where they do not agree.
    pub starts_at_a_time: Vec<bool>,
    /// A worker loses the table and goes on reading the stream.
    pub outage: bool,
    /// The producer does not wait until all is written, but is closed within this time.
    pub closes_within: Option<Duration>,
}

/// How user code takes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A closure per batch.
    Batches,
    /// A closure per record, several at a time.
    Records(usize),
    /// Shards as values, which user code reads.
    Shards,
}

impl Shape {
    /// The shape of this seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ SALT);
        let large = rng.u8(0..20) == 0;
        let longest = if rng.u8(0..8) == 0 { 4000 } else { 200 };
        let pick = |rng: &mut fastrand::Rng, from: &[u64]| from[rng.usize(0..from.len())];
        let mut clocks = rng.fork();
        let records_per_second = if large { rng.u64(20..=100) } else { rng.u64(1..=15) };
        let burst = pick(&mut clocks, &[1, 1, 5, 20, 60]);
        // What is put on the average passes, even if all of it goes to one shard.
        let rate_limit = (clocks.u8(0..3) == 0).then_some(3 * records_per_second);
        let buffered_bytes = if clocks.fork().u8(0..3) == 0 { SMALLEST_BUFFER } else { 64 << 20 };
        let mut later = fastrand::Rng::with_seed(seed ^ READING);
        let read_bytes = if later.u8(0..3) == 0 { LEAST_READ } else { 128 << 20 };
        let outlasts_a_hand_off = later.u8(0..4) == 0;
        let outlasts_a_lease = later.u8(0..8) == 0;
        let mut shape = Self {
            seed,
            workers: if large { rng.usize(4..=8) } else { rng.usize(1..=4) },
            shards: if large { rng.i32(8..=20) } else { rng.i32(1..=4) },
            records_per_second,
            burst,
            rate_limit,
            buffered_bytes,
            record_ttl: RECORD_TTL,
            read_bytes,
            record_bytes: rng.usize(40..=longest),
            keys: rng.u64(1..=40),
            aggregation: rng.bool(),
            lease_duration: Duration::from_secs(pick(&mut rng, &[10, 10, 10, 5, 3, 20])),
            handoff_time: Duration::from_secs(pick(&mut rng, &[30, 5, 1])),
            checkpoint_every: Duration::from_millis(pick(&mut rng, &[1000, 1000, 200, 5000])),
            face: match rng.u8(0..4) {
                0 => Face::Records(rng.usize(1..=8)),
                1 => Face::Shards,
                _ => Face::Batches,
            },
            slowest_call: Duration::from_millis(pick(&mut rng, &[0, 20, 300, 3000])),
            failing_calls: pick(&mut rng, &[0, 0, 10, 100]),
            safety: Duration::from_secs(if large { 40 } else { rng.u64(30..=90) }),
            drift_per_mille: [0, 0, 5, 20][clocks.usize(0..4)],
            wall_clocks_off: [0, 0, 30, 300][clocks.usize(0..4)],
            handoff_times: Vec::new(),
            starts_at_a_time: Vec::new(),
            outage: fastrand::Rng::with_seed(seed ^ OUTAGE).u8(0..6) == 0,
            closes_within: None,
        };
        if outlasts_a_hand_off {
            shape.handoff_time = shape.handoff_time.min(Duration::from_secs(5));
            shape.slowest_call = 2 * shape.handoff_time;
        } else if outlasts_a_lease {
            // And gets the time to finish, also from a worker that does not lead, when another one comes back.
            shape.slowest_call = 2 * shape.lease_duration + Duration::from_secs(4);
            shape.handoff_time = 2 * shape.slowest_call + Duration::from_secs(2);
            (shape.workers, shape.shards) = (shape.workers.max(3), shape.shards.max(4));
            shape.safety = shape.safety.max(Duration::from_secs(90));
        }
        if shape.outage {
            // The worker that loses the table has shards, and is never idle: what is wrong shows in the second between the end of a lease and the
            // moment when that is noticed. User code that waits for its checkpoints would stand still by then.
            shape.slowest_call = shape.slowest_call.min(Duration::from_millis(300));
            shape.records_per_second = shape.records_per_second.max(10);
            shape.rate_limit = shape.rate_limit.map(|_| 3 * shape.records_per_second);
            shape.shards = shape.shards.max(2 * shape.workers as i32);
            shape.face = Face::Batches;
        }
        shape.make_unequal();
        shape
    }

    /// Those who start the workers of one application do not always agree on what they tell them, nor does everybody let a producer
    /// finish.
    fn make_unequal(&mut self) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ SETTINGS);
        if rng.fork().u8(0..5) == 0 {
            let times = [0, 0, 100, 1000, 3000].map(Duration::from_millis);
            self.closes_within = Some(times[rng.fork().usize(0..times.len())]);
        }
        if self.workers < 2 {
            return;
        }
        if rng.u8(0..5) == 0 {
            let times = [1, 5, 30].map(Duration::from_secs);
            self.handoff_times = (0..self.workers).map(|_| times[rng.usize(0..times.len())]).collect();
        }
        if rng.u8(0..8) == 0 {
            let at_a_time = rng.usize(0..self.workers);
            self.starts_at_a_time = (0..self.workers).map(|place| place == at_a_time).collect();
        }
    }

    /// Whether a call of user code can take longer than a lease lives, and has the time for it when its shard is handed over.
    pub fn outlasts_a_lease(&self) -> bool {
        self.slowest_call > self.lease_duration && self.handoffs().0 > self.slowest_call
    }

    /// What the worker at this place has for the time of a hand-off.
    pub fn handoff_of(&self, place: usize) -> Duration {
        self.handoff_times.get(place).copied().unwrap_or(self.handoff_time)
    }

    /// The times that workers have for a hand-off: the shortest and the longest.
    pub fn handoffs(&self) -> (Duration, Duration) {
        let times = || (0..self.workers).map(|place| self.handoff_of(place));
        (times().min().unwrap_or(self.handoff_time), times().max().unwrap_or(self.handoff_time))
    }

    /// Whether the worker at this place starts at a time.
    pub fn starts_at_a_time(&self, place: usize) -> bool {
        self.starts_at_a_time.get(place).copied().unwrap_or_default()
    }
}

/// The smallest that a producer takes.
const SMALLEST_BUFFER: u64 = 1_600_000;

/// The least that a consumer takes: one answer of the largest kind at a time, for all shards of the worker.
const LEAST_READ: u64 = 24 << 20;

/// Keeps the chance of what came to shapes later apart.
const READING: u64 = 0x5ea1_0000_0000_0006;

/// Keeps the chance of outages apart.
const OUTAGE: u64 = 0x5ea1_0000_0000_000a;

/// Keeps the chance of unequal settings apart.
const SETTINGS: u64 = 0x5ea1_0000_0000_0008;

/// Keeps the shape's chance apart from that of the schedule and the cloud.
const SALT: u64 = 0x5ea1_0000_0000_0001;

/// The producer's default.
const RECORD_TTL: Duration = Duration::from_secs(30);
