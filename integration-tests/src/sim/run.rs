//! A run: warm-up, safety, liveness, audit.

use std::collections::BTreeMap;
use std::time::Duration;

use kinesis_aggregation::{HashKey, HashKeyRange, Payload};
use kinesis_consumer::Position;
use kinesis_testkit::{Cloud, Stream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::alarms::Alarms;
use super::fleet::{Fleet, network};
use super::history::{Event, History, Lineage, Recorder, Stored, What, with_descendants};
use super::oracles::after_a_death;
use super::schedule::{Timed, WARM_UP};
use super::shape::Shape;
use super::table::{APPLICATION, LeaseWrite, Mark, others, rows, writes};
use super::trouble::{heal, strike};
use super::workload::{PRODUCER, Put, STREAM, write};

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) history: History,
    /// All calls to the cloud.
    pub(crate) calls: String,
}

/// Runs this shape under this schedule, in a runtime of its own with a paused clock.
pub(crate) fn run(shape: &Shape, schedule: &[Timed]) -> Ran {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime without sockets");
    let alarms = Alarms::default();
    let live = live(shape.clone(), schedule.to_vec(), alarms.clone());
    tracing::subscriber::with_default(alarms, || runtime.block_on(live))
}

async fn live(shape: Shape, schedule: Vec<Timed>, alarms: Alarms) -> Ran {
    let start = Instant::now();
    let cloud = Cloud::builder().seed(shape.seed).build();
    cloud.table(APPLICATION).keep_writes(usize::MAX);
    let stream = cloud.create_stream(STREAM, shape.shards).await;
    let recorder = Recorder::new(&cloud);
    alarms.go_to(&recorder);
    let fleet = Fleet::new(&cloud, &shape, &recorder);
    recorder.add("", "", What::Phase("warm-up"));
    (0..shape.workers).for_each(|at| fleet.start(at, false));
    let mut watching = JoinSet::new();
    watching.spawn(watch(cloud.clone(), recorder.clone()));
    watching.spawn(gauge(fleet.clone()));
    let (stop, stopped) = oneshot::channel();
    let mut writing = tokio::spawn(write(cloud.clone(), shape.clone(), recorder.clone(), stopped));

    sleep_until(start + WARM_UP).await;
    recorder.add("", "", What::Phase("safety"));
    let ill = schedule.iter().find(|timed| timed.is_the_producer_s()).map(|timed| timed.at);
    let producer_well_until = ill.unwrap_or(Duration::MAX);
    let mut troubles = JoinSet::new();
    for timed in schedule.clone() {
        troubles.spawn(strike(timed, start, fleet.clone(), stream.clone()));
    }
    sleep_until(start + WARM_UP + shape.safety).await;

    recorder.add("", "", What::Phase("liveness"));
    troubles.shutdown().await;
    heal(&fleet, &stream);
    let healed = Instant::now();
    keep_a_core(&fleet, &shape);
    sleep(STILL_WRITING).await;
    drop(stop);
    let cap = Instant::now() + CAP;
    let mut converged = None;
    while Instant::now() < cap {
        if writing.is_finished() && has_converged(&cloud, &stream, &fleet) {
            let since = *converged.get_or_insert_with(|| {
                recorder.add("", "", What::Converged);
                Instant::now()
            });
            // Whatever comes late is still seen: a copy of a record, say, whose request was on its way all the time; and what has
            // to be cleared away has its time.
            if since.elapsed() >= AFTERWARDS && healed.elapsed() >= after_a_death(&shape) + TO_CLEAR_AWAY {
                break;
            }
        }
        sleep(Duration::from_millis(250)).await;
    }
    let stored = stored(&stream, &recorder.puts());
    writing.abort();
    if let Err(error) = (&mut writing).await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
    recorder.add("", "", What::Phase("audit"));
    recorder.look(&cloud);
    fleet.end_strangers();
    watching.shutdown().await;
    let tasks = Handle::current().metrics().num_alive_tasks() - cloud.requests_under_way();
    recorder.add("", "", What::Tasks { workers: fleet.living().len(), tasks });
    let (events, puts) = recorder.finish();
    let calls = cloud.trace();
    let history = audit(shape, events, writes(&cloud), puts, stored, &stream);
    let sent = cloud.calls(PRODUCER).of("PutRecords").map(|call| call.at).collect();
    Ran { history: History { schedule, producer_well_until, others: others(&cloud), sent, ..history }, calls }
}

async fn watch(cloud: Cloud, recorder: Recorder) {
    loop {
        recorder.look(&cloud);
        sleep(LOOK_EVERY).await;
    }
}

/// Looks each second at what the workers hold.
async fn gauge(fleet: Fleet) {
    loop {
        sleep(Duration::from_secs(1)).await;
        fleet.gauge();
    }
}

/// Some of the living stay, the others die at the heal and stay dead. Where nobody lives, one comes, and where nobody lives who
/// can start every shard.
fn keep_a_core(fleet: &Fleet, shape: &Shape) {
    let mut rng = fastrand::Rng::with_seed(shape.seed ^ SALT);
    let mut living = fleet.living();
    let needed = (0..shape.workers).find(|place| shape.starts_at_a_time(*place));
    if living.is_empty() {
        fleet.start(needed.unwrap_or(0), rng.bool());
        return;
    }
    rng.shuffle(&mut living);
    let core = rng.usize(1..=living.len());
    living[core..].iter().filter(|at| Some(**at) != needed).for_each(|at| fleet.crash(*at));
    if let Some(needed) = needed {
        fleet.start(needed, false);
    }
}

/// Every open shard has one live owner, the load is even to one lease, and everything in the stream is done; but for what
/// cannot be read.
fn has_converged(cloud: &Cloud, stream: &Stream, fleet: &Fleet) -> bool {
    let Some(rows) = rows(cloud) else { return false };
    let out_of_use = with_descendants(fleet.damaged_for_good(), &lineages(stream));
    let mut load: BTreeMap<String, usize> = fleet.ids().into_iter().map(|id| (id, 0)).collect();
    for shard in stream.shards().iter().filter(|shard| !out_of_use.contains(&shard.id)) {
        let row = rows.get(&shard.id);
        match row {
            Some(row) if row.checkpoint == Mark::ShardEnd => continue,
            // Finished and cleaned up.
            None if !shard.open => continue,
            Some(row) if row.checkpoint_owner.is_none() => {
                match row.owner.as_ref().and_then(|owner| load.get_mut(owner)) {
                    Some(load) => *load += 1,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    let (least, most) = (load.values().min(), load.values().max());
    // Who cannot start a shard leaves it to those who can.
    let uneven = if fleet.shape().starts_at_a_time.is_empty() { 1 + out_of_use.len() } else { usize::MAX };
    if least.zip(most).is_some_and(|(least, most)| most - least > uneven) {
        return false;
    }
    let stored = stored(stream, &[]);
    let to_be_done = stored.iter().filter(|stored| !stored.misrouted && !out_of_use.contains(&stored.shard));
    fleet.recorder().are_done(to_be_done.map(|stored| &stored.position))
}

fn lineages(stream: &Stream) -> BTreeMap<String, Lineage> {
    let shards = stream.shards().into_iter();
    shards.map(|shard| (shard.id, Lineage { parents: shard.parents, open: shard.open })).collect()
}

/// When each position was done for the first time.
pub(crate) fn done(events: &[Event]) -> BTreeMap<Position, Duration> {
    let mut calls = BTreeMap::new();
    let mut done = BTreeMap::new();
    for event in events {
        match &event.what {
            What::Begin { call, records, .. } => _ = calls.insert(*call, records),
            What::Done(call) => {
                for record in calls.remove(call).into_iter().flatten() {
                    done.entry(record.position.clone()).or_insert(event.at);
                }
            }
            _ => {}
        }
    }
    done
}

pub(crate) fn audit(
    shape: Shape,
    events: Vec<Event>,
    writes: Vec<LeaseWrite>,
    puts: Vec<Put>,
    stored: Vec<Stored>,
    stream: &Stream,
) -> History {
    let producer_well_until = Duration::ZERO;
    let (schedule, others, sent) = (Vec::new(), Vec::new(), Vec::new());
    History {
        shape,
        schedule,
        producer_well_until,
        events,
        writes,
        others,
        puts,
        sent,
        stored,
        shards: lineages(stream),
    }
}

/// The user records in the stream, in the order of each shard.
pub(crate) fn stored(stream: &Stream, puts: &[Put]) -> Vec<Stored> {
    let ranges: BTreeMap<String, HashKeyRange> = stream
        .shards()
        .into_iter()
        .map(|shard| {
            (shard.id, HashKeyRange::new(HashKey::new(*shard.hash_keys.start()), HashKey::new(*shard.hash_keys.end())))
        })
        .collect();
    let recognise = |key: &str, data: &[u8]| {
        let put = puts.get(Put::number_in(data)? as usize)?;
        put.is(key, data).then_some(put.number)
    };
    let mut stored = Vec::new();
    for record in stream.records() {
        let position = |sub_sequence| Position {
            sequence_number: record.sequence_number.parse().expect("the cloud's sequence numbers are numbers"),
            sub_sequence,
            shard: record.shard_id.as_str().into(),
        };
        match Payload::parse(&record.data) {
            Payload::Aggregate(aggregate) => {
                let misrouted = !aggregate.is_within(&ranges[&record.shard_id]);
                stored.extend(aggregate.into_iter().map(|user| Stored {
                    shard: record.shard_id.clone(),
                    position: position(user.sub_sequence_number),
                    put: recognise(user.partition_key.as_deref().unwrap_or_default(), &user.data),
                    misrouted,
                }));
            }
            _ => stored.push(Stored {
                shard: record.shard_id.clone(),
                position: position(0),
                put: recognise(&record.partition_key, &record.data),
                misrouted: false,
            }),
        }
    }
    stored.sort_by(|a, b| (&a.shard, &a.position).cmp(&(&b.shard, &b.position)));
    stored
}

/// The name of each place's network, for whoever heals them all.
pub(crate) fn networks(shape: &Shape) -> impl Iterator<Item = String> {
    (0..shape.workers).map(network)
}

/// How long the producer goes on after the heal: what it writes then has to be read too.
const STILL_WRITING: Duration = Duration::from_secs(5);

/// A run that has not converged by then never will, or much too late.
const CAP: Duration = Duration::from_secs(150);

/// How long the world goes on when all is well.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How long the world goes on at least, when somebody leads the fleet again.
const TO_CLEAR_AWAY: Duration = Duration::from_secs(14);

/// Between two looks at the lease table, beside those at the first delivery of each epoch.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Keeps the core's chance apart.
const SALT: u64 = 0x5ea1_0000_0000_0004;
