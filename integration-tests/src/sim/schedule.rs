//! What goes wrong, and when, as data: a failing schedule is shrunk by leaving things out.

use std::fmt;
use std::time::Duration;

use super::mistakes::{self, Mistake};
use super::shape::Shape;

/// One trouble, and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timed {
    /// Since the making of the cloud.
    pub(crate) at: Duration,
    /// How long it stays, where it is something that stays.
    pub(crate) lasts: Duration,
    pub(crate) what: Trouble,
}

/// Workers are named by their place in the fleet, shards by their place among the open ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Calls are late, lost, refused, at random and until the world heals. `None`: the producer's.
    Weather {
        worker: Option<usize>,
        harsh: bool,
    },
    /// A worker dies without a word; its place stays empty.
    Crash {
        worker: usize,
    },
    /// A worker dies and comes again at once, under its old id or a new one. An empty place is filled.
    Restart {
        worker: usize,
        same_id: bool,
    },
    /// A worker leaves in good order.
    Leave {
        worker: usize,
    },
    /// A second process runs under the id of a worker: by mistake, or for the first was cut off and is thought to be dead.
    Twin {
        worker: usize,
        cut_off: bool,
    },
    Freeze {
        worker: usize,
    },
    /// A worker's machine sleeps.
    Suspend {
        worker: usize,
    },
    /// Answers come late for a while before none come at all.
    Cut {
        worker: usize,
        from: From,
        leg: Leg,
        late: Duration,
    },
    /// A worker gets the table's answers late, by so much.
    FarTable {
        worker: usize,
        late: Duration,
    },
    /// The workers are cut off one after the other, and come back in another order.
    Swizzle,
    Split {
        shard: usize,
    },
    /// Of a shard with the next one.
    Merge {
        shard: usize,
    },
    /// The table takes that many units a second.
    ThrottleTable {
        units: u64,
    },
    IndexLag,
    ReadLag,
    /// Somebody sets the wall clock of a worker.
    SetClock {
        worker: usize,
        seconds: i64,
    },
    /// An operator deletes the row of an open shard.
    DeleteLease {
        shard: usize,
    },
    /// No call of the producer gets through.
    CutProducer,
    /// Somebody gets something wrong, or comes from outside.
    Mistake(Mistake),
    /// Never drawn: a promise broken from outside, to see that it is noticed.
    #[cfg(test)]
    Sabotage(super::sabotage::Sabotage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Table,
    Stream,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    Both,
    Requests,
    Answers,
}

/// The schedule of a shape, in the order of time. A seed has a few kinds of trouble, not all of them: what hides behind
/// another kind comes out where that kind is absent. Mistakes come beside them, or alone.
pub(crate) fn draw(shape: &Shape) -> Vec<Timed> {
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ SALT);
    let kinds: Vec<usize> = (0..KINDS).filter(|_| rng.u8(0..3) == 0).collect();
    let count = if kinds.is_empty() { 0 } else { rng.usize(1..=12) };
    let mut schedule: Vec<Timed> = (0..count)
        .map(|_| {
            let at = WARM_UP + Duration::from_millis(rng.u64(0..shape.safety.as_millis() as u64));
            let lasts = Duration::from_millis(rng.u64(500..=40_000));
            let kind = kinds[rng.usize(0..kinds.len())];
            Timed { at, lasts, what: trouble(kind, shape, &mut rng) }
        })
        .collect();
    let (mistakes, alone) = mistakes::draw(shape);
    if alone {
        schedule.clear();
    } else {
        schedule.extend(deployment(shape));
        schedule.extend(outage(shape));
        schedule.extend(deletions(shape));
        schedule.extend(mistakes.iter().flat_map(reshards_beside));
    }
    schedule.extend(mistakes);
    schedule.sort_by_key(|timed| timed.at);
    schedule
}

fn trouble(kind: usize, shape: &Shape, rng: &mut fastrand::Rng) -> Trouble {
    let worker = rng.usize(0..shape.workers);
    let shard = rng.usize(0..64);
    match kind {
        0 => Trouble::Weather { worker: Some(worker), harsh: rng.bool() },
        1 => Trouble::Weather { worker: None, harsh: rng.bool() },
        2 => Trouble::Crash { worker },
        3 => Trouble::Restart { worker, same_id: true },
        4 => Trouble::Restart { worker, same_id: false },
        5 => Trouble::Leave { worker },
        6 => Trouble::Freeze { worker },
        7 => {
            let from = [From::Table, From::Table, From::Stream, From::Both][rng.usize(0..4)];
            let leg = [Leg::Both, Leg::Requests, Leg::Answers][rng.usize(0..3)];
            // So late that it matters, and not so late that a call is given up.
            let late = shape.lease_duration.mul_f64(0.2 + 0.1 * rng.f64()).min(LATEST);
            Trouble::Cut { worker, from, leg, late }
        }
        8 => Trouble::Split { shard },
        9 => Trouble::Merge { shard },
        10 => Trouble::ThrottleTable { units: rng.u64(1..=20) },
        11 => Trouble::IndexLag,
        12 => Trouble::ReadLag,
        13 => Trouble::DeleteLease { shard },
        14 => Trouble::SetClock { worker, seconds: rng.i64(-300..=300) },
        15 => Trouble::Suspend { worker },
        16 => Trouble::Swizzle,
        17 => Trouble::Twin { worker, cut_off: rng.bool() },
        18 => Trouble::FarTable { worker, late: shape.lease_duration.mul_f64(0.12) },
        _ => Trouble::CutProducer,
    }
}

/// A new version is deployed: one worker after the other leaves, and comes back under a new ID while the others go on. Drawn from a
/// chance of its own; slow user code always sees one, for then each worker hands shards over that are in the middle of a call.
fn deployment(shape: &Shape) -> Vec<Timed> {
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ DEPLOYMENT);
    let drawn = rng.u8(0..16) == 0;
    if shape.workers < 2 || !(drawn || shape.outlasts_a_lease()) {
        return Vec::new();
    }
    let step = shape.safety / shape.workers as u32;
    let timed = |at, what| Timed { at: WARM_UP + at, lasts: Duration::ZERO, what };
    let workers = (0..shape.workers as u32).zip(0..shape.workers);
    let steps = workers.flat_map(|(turn, worker)| {
        let leaves = step * turn + step.mul_f64(0.2 * rng.f64());
        let returns = leaves + step.mul_f64(0.3 + 0.2 * rng.f64());
        [timed(leaves, Trouble::Leave { worker }), timed(returns, Trouble::Restart { worker, same_id: false })]
    });
    steps.collect()
}

/// A worker gets the table's answers late, and then none for longer than its leases live, while it goes on reading the stream.
fn outage(shape: &Shape) -> Option<Timed> {
    if !shape.outage {
        return None;
    }
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ OUTAGE);
    // Soon: later many a worker is gone, or has no shard.
    let at = WARM_UP + Duration::from_secs(5).mul_f64(rng.f64());
    let worker = rng.usize(0..shape.workers);
    let leg = [Leg::Both, Leg::Requests, Leg::Answers][rng.usize(0..3)];
    let late = shape.lease_duration.mul_f64(0.2 + 0.1 * rng.f64()).min(LATEST);
    let lasts = shape.lease_duration.mul_f64(1.5 + rng.f64());
    Some(Timed { at, lasts, what: Trouble::Cut { worker, from: From::Table, leg, late } })
}

/// An operator deletes the rows of shards that are read, one after the other. Drawn from a chance of its own: what is wrong shows only
/// if the row is back before its owner has noticed.
fn deletions(shape: &Shape) -> Vec<Timed> {
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ DELETIONS);
    if rng.u8(0..8) > 0 || shape.workers < 2 {
        return Vec::new();
    }
    let deletion = |turn| {
        let at = WARM_UP + Duration::from_secs(8) * turn + Duration::from_secs(8).mul_f64(rng.f64());
        Timed { at, lasts: Duration::ZERO, what: Trouble::DeleteLease { shard: rng.usize(0..64) } }
    };
    (0..3).map(deletion).collect()
}

/// Listings that are behind are wrong about new shards: the stream is split while they are.
fn reshards_beside(mistake: &Timed) -> Vec<Timed> {
    if !matches!(mistake.what, Trouble::Mistake(Mistake::Listing { .. })) {
        return Vec::new();
    }
    let split = |part| Timed {
        at: mistake.at + mistake.lasts.mul_f64(part),
        lasts: Duration::ZERO,
        what: Trouble::Split { shard: mistake.at.subsec_millis() as usize },
    };
    [0.1, 0.4].map(split).to_vec()
}

impl Timed {
    /// Whether it is the producer that has it.
    pub(crate) const fn is_the_producer_s(&self) -> bool {
        match self.what {
            Trouble::Weather { worker: None, .. } | Trouble::CutProducer => true,
            Trouble::Mistake(mistake) => mistake.is_the_producer_s(),
            _ => false,
        }
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>4}.{:03} for {:>6.3} s  {:?}",
            self.at.as_secs(),
            self.at.subsec_millis(),
            self.lasts.as_secs_f64(),
            self.what
        )
    }
}

/// The fleet finds itself and reads its first records before anything goes wrong.
pub(crate) const WARM_UP: Duration = Duration::from_secs(15);

/// A call to the table is given up three seconds after it was made.
const LATEST: Duration = Duration::from_millis(2900);

/// Kinds that [`trouble`] knows.
const KINDS: usize = 20;

/// Keeps the chance of deployments apart.
const DEPLOYMENT: u64 = 0x5ea1_0000_0000_0009;

/// Keeps the chance of outages apart.
const OUTAGE: u64 = 0x5ea1_0000_0000_000b;

/// Keeps the chance of deletions apart.
const DELETIONS: u64 = 0x5ea1_0000_0000_000c;

/// Keeps the schedule's chance apart from that of the shape.
const SALT: u64 = 0x5ea1_0000_0000_0002;
