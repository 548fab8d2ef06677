//! Real runs in which somebody meddles with the lease table: they must be caught, as a bug of ours would be.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_testkit::{Item, Stream};

use super::fleet::Fleet;
use super::oracles::judge;
use super::run::run;
use super::schedule::{Timed, Trouble};
use super::shape::{Face, Shape};
use super::table::APPLICATION;

/// What somebody does to the lease of the first shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Its checkpoint becomes the stream's last record, done or not.
    SkipAhead,
    /// Its checkpoint becomes the beginning again.
    StartOver,
    /// Another worker becomes its owner, while the one that is goes on until it notices.
    Steal,
}

impl Sabotage {
    pub(crate) fn happen(self, fleet: &Fleet, stream: &Stream) {
        let shard = stream.open_shards()[0].id.clone();
        let table = fleet.cloud().table(APPLICATION);
        let mut item: Item = table.item(shard.as_str()).expect("the fleet has made its leases");
        let text = |text: &str| AttributeValue::S(text.to_owned());
        match self {
            Self::SkipAhead => {
                let last =
                    stream.records().into_iter().rfind(|record| record.shard_id == shard).expect("records were put");
                item.insert("checkpoint".to_owned(), text(&last.sequence_number));
                item.insert("checkpointSubSequenceNumber".to_owned(), AttributeValue::N("0".to_owned()));
            }
            Self::StartOver => _ = item.insert("checkpoint".to_owned(), text("TRIM_HORIZON")),
            Self::Steal => {
                let owner = item["leaseOwner"].as_s().expect("it has an owner").clone();
                let other = fleet.ids().into_iter().find(|id| *id != owner).expect("there are two workers");
                let counter: u64 = item["leaseCounter"].as_n().expect("a number").parse().expect("a number");
                item.insert("leaseOwner".to_owned(), text(&other));
                item.insert("leaseCounter".to_owned(), AttributeValue::N((counter + 1).to_string()));
            }
        }
        table.put(item);
        fleet.recorder().look(fleet.cloud());
    }
}

/// The promises that are seen to be broken in a small world that is well but for this.
fn broken_by(troubles: &[Trouble], slowest_call: Duration) -> Vec<&'static str> {
    let mut shape = Shape::of(1);
    (shape.workers, shape.shards, shape.records_per_second, shape.face) = (2, 1, 20, Face::Batches);
    (shape.failing_calls, shape.slowest_call, shape.safety) = (0, slowest_call, Duration::from_secs(30));
    shape.checkpoint_every = Duration::from_secs(1);
    let at = |(n, what): (usize, &Trouble)| Timed {
        at: Duration::from_millis(20_000 + n as u64),
        lasts: Duration::ZERO,
        what: *what,
    };
    let schedule: Vec<_> = troubles.iter().enumerate().map(at).collect();
    let mut promises: Vec<_> =
        judge(&run(&shape, &schedule).history).iter().map(|violation| violation.promise).collect();
    promises.sort_unstable();
    promises.dedup();
    promises
}

#[test]
fn a_run_without_sabotage_is_clean() {
    assert_eq!(broken_by(&[], Duration::from_secs(3)), [""; 0]);
}

#[test]
fn a_checkpoint_that_skips_records_is_caught() {
    let crash = [0, 1].map(|worker| Trouble::Restart { worker, same_id: false });
    let broken = broken_by(&[Trouble::Sabotage(Sabotage::SkipAhead), crash[0], crash[1]], Duration::from_secs(3));
    assert!(broken.contains(&"C1") && broken.contains(&"C2"), "{broken:?}");
}

#[test]
fn a_checkpoint_that_goes_back_is_caught() {
    let broken = broken_by(&[Trouble::Sabotage(Sabotage::StartOver)], Duration::ZERO);
    assert!(broken.contains(&"C6"), "{broken:?}");
}

#[test]
fn a_lease_that_is_stolen_is_caught() {
    let broken = broken_by(&[Trouble::Sabotage(Sabotage::Steal)], Duration::from_secs(10));
    assert!(broken.contains(&"C7"), "{broken:?}");
}
