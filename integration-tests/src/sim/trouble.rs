//! A schedule's troubles, done to the world; and the heal.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kinesis_testkit::{Entries, EntryError, Fault, Faults, Lag, Stream, Throughput, Weather};
use tokio::time::{Instant, sleep, sleep_until};

use super::enact::{enact, heal_listing, mend};
use super::fleet::{Fleet, network, twin_network};
use super::history::What;
use super::run::networks;
use super::schedule::{From, Leg, Timed, Trouble};
use super::table::{APPLICATION, rows};
use super::workload::PRODUCER;
use crate::world::rough;

/// Lets one trouble happen when its time has come.
pub(crate) async fn strike(timed: Timed, start: Instant, fleet: Fleet, stream: Stream) {
    sleep_until(start + timed.at).await;
    fleet.recorder().add("", "", What::Trouble(timed.to_string()));
    let (cloud, seed) = (fleet.cloud().clone(), fleet.shape().seed);
    match timed.what {
        Trouble::Weather { worker, harsh } => {
            let name = worker.map_or_else(|| PRODUCER.to_owned(), network);
            cloud
                .faults(&name)
                .random(seed ^ timed.at.as_millis() as u64, if harsh { harsh_weather() } else { rough() });
        }
        Trouble::Crash { worker } => fleet.crash(worker),
        Trouble::Restart { worker, same_id } => {
            fleet.crash(worker);
            fleet.start(worker, same_id);
        }
        Trouble::Leave { worker } => fleet.leave(worker).await,
        Trouble::Twin { worker, cut_off } => {
            if cut_off {
                // Long enough for a renewal to be lost, and for its sender to try again.
                let life = fleet.shape().lease_duration;
                cut(&cloud.faults(&network(worker)), timed.at, life.mul_f64(0.5), Leg::Both);
                sleep(life.mul_f64(0.4)).await;
            }
            fleet.start_twin(worker);
            sleep(timed.lasts).await;
            fleet.end_twin(worker);
        }
        Trouble::FarTable { worker, late } => {
            let faults = cloud.faults(&network(worker)).dynamodb();
            faults.during(timed.at..timed.at + timed.lasts, Fault::DelayResponse(late));
        }
        Trouble::Freeze { worker } => {
            fleet.freeze(worker);
            sleep(timed.lasts).await;
            fleet.thaw(worker);
        }
        Trouble::Suspend { worker } => {
            fleet.suspend(worker);
            sleep(timed.lasts).await;
            fleet.thaw(worker);
        }
        Trouble::Cut { worker, from, leg, late } => {
            let faults = to(&cloud.faults(&network(worker)), from);
            faults.during(timed.at..timed.at + LATE, Fault::DelayResponse(late));
            cut(&faults, timed.at + LATE, timed.lasts, leg);
        }
        Trouble::Swizzle => {
            let mut rng = fastrand::Rng::with_seed(seed ^ timed.at.as_millis() as u64);
            for place in networks(fleet.shape()) {
                let half = timed.lasts / 2;
                let (goes, comes) = (half.mul_f64(rng.f64()), half + half.mul_f64(rng.f64()));
                cut(&cloud.faults(&place), timed.at + goes, comes - goes, Leg::Both);
            }
        }
        Trouble::CutProducer => cut(&cloud.faults(PRODUCER), timed.at, timed.lasts, Leg::Both),
        Trouble::Split { shard } => {
            let open = stream.open_shards();
            let shard = open[shard % open.len()].id.clone();
            say(&fleet, stream.try_split(shard.as_str()).await.err());
        }
        Trouble::Merge { shard } => {
            let open = stream.open_shards();
            if let Some(pairs) = open.len().checked_sub(1).filter(|pairs| *pairs > 0) {
                let (one, next) = (open[shard % pairs].id.clone(), open[shard % pairs + 1].id.clone());
                say(&fleet, stream.try_merge(one.as_str(), next.as_str()).await.err());
            }
        }
        Trouble::ThrottleTable { units } => {
            cloud.table(APPLICATION).throughput(Throughput::new(units, units));
            sleep(timed.lasts).await;
            cloud.table(APPLICATION).without_throughput();
        }
        Trouble::IndexLag => {
            cloud.dynamodb().index_lag(Lag::UpTo(timed.lasts / 4));
            sleep(timed.lasts).await;
            cloud.dynamodb().index_lag(Lag::None);
        }
        Trouble::ReadLag => {
            cloud.dynamodb().read_lag(Lag::UpTo(Duration::from_millis(1500)));
            sleep(timed.lasts).await;
            cloud.dynamodb().read_lag(Lag::None);
        }
        Trouble::SetClock { worker, seconds } => fleet.set_clock(worker, seconds),
        Trouble::DeleteLease { shard } => {
            let open = stream.open_shards();
            let shard = open[shard % open.len()].id.clone();
            // Of a table that loses its last lease the fleet makes none anew: an operator has to say what is meant.
            let others = rows(&cloud).is_some_and(|rows| rows.keys().any(|key| *key != shard));
            if others && cloud.table(APPLICATION).try_delete(shard.as_str()).is_ok_and(|there| there) {
                fleet.recorder().look(&cloud);
            }
        }
        Trouble::Mistake(mistake) => enact(mistake, timed.at, timed.lasts, &fleet, &stream).await,
        #[cfg(test)]
        Trouble::Sabotage(sabotage) => sabotage.happen(&fleet, &stream),
    }
}

/// A reshard that the service refuses, because of another one, is no failure of ours.
fn say(fleet: &Fleet, refused: Option<kinesis_testkit::Refused>) {
    if let Some(refused) = refused {
        fleet.recorder().add("", "", What::Trouble(format!("refused: {refused}")));
    }
}

/// Those of the calls to one service, or to both.
fn to(faults: &Faults, from: From) -> Faults {
    match from {
        From::Table => faults.clone().dynamodb(),
        From::Stream => faults.clone().kinesis(),
        From::Both => faults.clone(),
    }
}

fn cut(faults: &Faults, at: Duration, lasts: Duration, leg: Leg) {
    let fault = match leg {
        Leg::Both => Fault::BlackHole,
        Leg::Requests => Fault::SilentRequest,
        Leg::Answers => Fault::SilentAnswer,
    };
    faults.during(at..at + lasts, fault);
}

/// Both services, all networks, all workers' clocks and user code are well from now on.
pub(crate) fn heal(fleet: &Fleet, stream: &Stream) {
    let cloud = fleet.cloud();
    let twins = (0..fleet.shape().workers).map(twin_network);
    for name in networks(fleet.shape()).chain(twins).chain([PRODUCER.to_owned()]) {
        cloud.faults(&name).heal();
    }
    for at in 0..fleet.shape().workers {
        fleet.thaw(at);
        fleet.end_twin(at);
    }
    cloud.dynamodb().index_lag(Lag::None);
    cloud.dynamodb().read_lag(Lag::None);
    cloud.table(APPLICATION).without_throughput();
    heal_listing(stream);
    mend(fleet);
    fleet.healed.store(true, Ordering::Relaxed);
}

/// Every fourth call fails, and some answers take seconds.
fn harsh_weather() -> Weather {
    Weather::calm()
        .chance(0.06, Fault::LoseRequest)
        .chance(0.1, Fault::LoseResponse)
        .chance(0.03, Fault::ServerError)
        .chance(0.03, Fault::Unavailable)
        .chance(0.05, Fault::Throttle)
        .chance(0.02, Fault::ExpireIterator)
        .chance(0.01, Fault::SilentAnswer)
        .chance(0.2, Fault::FailEntries(Entries::Percent(40), EntryError::Throttled))
        .chance(0.3, Fault::Latency(Duration::ZERO..=Duration::from_millis(1500)))
        .chance(0.02, Fault::Latency(Duration::from_secs(2)..=Duration::from_secs(30)))
}

/// How long answers are late before a network is cut: long enough for each lease to be renewed.
const LATE: Duration = Duration::from_secs(8);
