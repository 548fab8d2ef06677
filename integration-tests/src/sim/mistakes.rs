//! What people get wrong, and what neighbours do. A seed draws them beside its schedule, from a chance of their own.

use std::time::Duration;

use super::schedule::{Timed, Trouble, WARM_UP};
use super::shape::Shape;

/// Something that somebody gets wrong, or that comes from outside of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A worker of the application is pointed at another stream, and its supervisor starts it again and again, to the end of
    /// the run.
    Stranger {
        shards: i32,
        /// The other stream has split a shard before.
        split: bool,
        /// It has the name of ours, and was made later: the stream as it was made again.
        made_again: bool,
    },
    /// Another application polls the same shards, each so often a second.
    Neighbour { calls: u32 },
    /// Listings show the stream as it was some time ago, each page by itself; a new shard cannot be read for some time.
    Listing { lag: Duration, birth: Duration },
    /// The services refuse calls with an error code that passes. `None`: the producer's.
    Denied { worker: Option<usize>, what: Denial },
    /// An operator damages the row of an open shard. It is mended at the heal, or never.
    Damaged { shard: usize, how: Damage, mended: bool },
    /// An operator makes a row that is no lease of the stream.
    OddRow,
}

/// Which calls are refused, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) code: &'static str,
    /// `None`: all of both services, as when the credentials are wrong.
    pub(crate) operation: Option<&'static str>,
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The last hash key is one too low.
    Range,
    /// The counter has hardly any room left.
    Counter,
    /// The shard is its own parent.
    Circle,
    /// A type of row that nobody knows.
    Type,
    /// The owner is taken out.
    NoOwner,
}

/// The mistakes of a shape, and whether they come alone: then what is wrong is known, and how far it may reach.
pub(crate) fn draw(shape: &Shape) -> (Vec<Timed>, bool) {
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ SALT);
    if rng.bool() {
        return (Vec::new(), false);
    }
    let alone = rng.bool();
    let kinds: Vec<usize> = (0..2).map(|_| rng.usize(0..KINDS)).collect();
    let mistakes = (0..rng.usize(1..=3)).map(|_| {
        let at = WARM_UP + shape.safety.mul_f64(0.7 * rng.f64());
        let lasts = Duration::from_millis(rng.u64(2_000..=40_000));
        let mistake = mistake(kinds[rng.usize(0..kinds.len())], shape, &mut rng);
        Timed { at, lasts, what: Trouble::Mistake(mistake) }
    });
    (mistakes.collect(), alone)
}

fn mistake(kind: usize, shape: &Shape, rng: &mut fastrand::Rng) -> Mistake {
    match kind {
        0 => Mistake::Neighbour { calls: rng.u32(2..=5) },
        1 => Mistake::Denied { worker: Some(rng.usize(0..shape.workers)), what: denial(true, rng) },
        2 => {
            let all = [Damage::Counter, Damage::Circle, Damage::Type, Damage::NoOwner, Damage::Range];
            let how = all[rng.usize(0..all.len())];
            Mistake::Damaged { shard: rng.usize(0..64), how, mended: rng.u8(0..4) > 1 }
        }
        3 => Mistake::Denied { worker: None, what: denial(false, rng) },
        4 => Mistake::Stranger { shards: rng.i32(1..=shape.shards + 2), split: rng.bool(), made_again: rng.bool() },
        5 => Mistake::Listing {
            lag: Duration::from_millis(rng.u64(200..=8_000)),
            birth: Duration::from_millis(rng.u64(0..=8_000)),
        },
        _ => Mistake::OddRow,
    }
}

fn denial(of_worker: bool, rng: &mut fastrand::Rng) -> Denial {
    let mut one = |of: &[&'static str]| of[rng.usize(0..of.len())];
    let data = if of_worker { "GetRecords" } else { "PutRecords" };
    let rights = if of_worker { WORKER_CALLS } else { PRODUCER_CALLS };
    match one(&["credentials", "right", "key", "stream"]) {
        "credentials" => Denial { code: one(CREDENTIALS), operation: None },
        "right" => Denial { code: "AccessDeniedException", operation: Some(one(rights)) },
        "key" => Denial { code: one(KEYS), operation: Some(data) },
        _ => Denial { code: "ResourceNotFoundException", operation: Some(data) },
    }
}

impl Mistake {
    /// Whether the producer's calls are not what they should be.
    pub(crate) const fn is_the_producer_s(self) -> bool {
        matches!(self, Self::Denied { worker: None, .. } | Self::Listing { .. })
    }
}

/// The stream that somebody takes for ours.
pub(crate) const OTHER_STREAM: &str = "orders";

/// The key of a row that is no lease of the stream.
pub(crate) const ODD_KEY: &str = "orders-0";

const CREDENTIALS: &[&str] =
    &["UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "RequestExpired"];

const KEYS: &[&str] = &[
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSAccessDeniedException",
    "KMSNotFoundException",
    "KMSThrottlingException",
];

const WORKER_CALLS: &[&str] = &[
    "GetRecords",
    "GetShardIterator",
    "ListShards",
    "DescribeStreamSummary",
    "Scan",
    "Query",
    "GetItem",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "DescribeTable",
];

const PRODUCER_CALLS: &[&str] = &["PutRecords", "ListShards", "DescribeStreamSummary"];

/// Kinds that [`mistake`] knows.
const KINDS: usize = 7;

/// Keeps the chance of mistakes apart.
const SALT: u64 = 0x5ea1_0000_0000_0007;
