//! Mistakes, done to the world.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Fault, Item, Lag, Stream};
use tokio::time::{Instant, sleep, sleep_until};

use super::fleet::{Fleet, network};
use super::history::What;
use super::mistakes::{Damage, Denial, Mistake, ODD_KEY, OTHER_STREAM};
use super::table::APPLICATION;
use super::workload::{PRODUCER, STREAM};

/// What is put back into a row when it is mended; an attribute that was not there is taken out again.
#[derive(Debug)]
pub(crate) struct Mend {
    shard: String,
    attribute: &'static str,
    before: Option<AttributeValue>,
}

/// Lets one mistake happen, and stay for its time.
pub(crate) async fn enact(mistake: Mistake, at: Duration, lasts: Duration, fleet: &Fleet, stream: &Stream) {
    match mistake {
        Mistake::Stranger { shards, split, made_again } => {
            let cloud = fleet.cloud();
            let elsewhere = made_again.then(|| Cloud::builder().epoch(cloud.clock().now()).build());
            let (of, name) = elsewhere.as_ref().map_or((cloud, OTHER_STREAM), |elsewhere| (elsewhere, STREAM));
            if let Ok(other) = of.try_create_stream(name, shards).await
                && split
            {
                other.split(0).await;
            }
            fleet.start_stranger(name, elsewhere);
        }
        Mistake::Neighbour { calls } => poll(fleet, stream, calls, Instant::now() + lasts).await,
        Mistake::Listing { lag, birth } => {
            stream.listing_lag(Lag::UpTo(lag));
            stream.birth_lag(Lag::UpTo(birth));
            sleep(lasts).await;
            heal_listing(stream);
        }
        Mistake::Denied { worker, what: Denial { code, operation } } => {
            let faults = fleet.cloud().faults(&worker.map_or_else(|| PRODUCER.to_owned(), network));
            let (time, fault) = (at..at + lasts, Fault::refuse(code));
            match operation {
                Some(operation) => faults.during_for(operation, time, fault),
                None => faults.during(time, fault),
            };
        }
        Mistake::Damaged { shard, how, mended } => {
            let open = stream.open_shards();
            damage(fleet, &open[shard % open.len()].id, how, mended);
        }
        Mistake::OddRow => {
            let table = fleet.cloud().table(APPLICATION);
            let Ok(items) = table.try_items() else { return };
            if let Some(mut item) = items.into_iter().find(|item| item.contains_key("leaseCounter")) {
                item.insert("leaseKey".to_owned(), AttributeValue::S(ODD_KEY.to_owned()));
                item.remove("leaseOwner");
                table.put(item);
            }
        }
    }
}

/// Listings are true from now on.
pub(crate) fn heal_listing(stream: &Stream) {
    stream.listing_lag(Lag::None);
    stream.birth_lag(Lag::None);
}

/// Reads all open shards from another application, until then.
async fn poll(fleet: &Fleet, stream: &Stream, calls: u32, until: Instant) {
    let client = fleet.cloud().connect("neighbour").await.kinesis;
    let mut iterators: BTreeMap<String, String> = BTreeMap::new();
    let mut next = Instant::now();
    while next < until {
        for shard in stream.open_shards() {
            let iterator = match iterators.remove(&shard.id) {
                Some(iterator) => Some(iterator),
                None => newest(&client, &shard.id).await,
            };
            let Some(iterator) = iterator else { continue };
            let answer = client.get_records().shard_iterator(&iterator).send().await;
            let after = match answer {
                Ok(answer) => answer.next_shard_iterator,
                // Throttled, most of the time, by what we read.
                Err(_) => Some(iterator),
            };
            iterators.extend(after.map(|iterator| (shard.id, iterator)));
        }
        next += Duration::from_secs(1) / calls;
        sleep_until(next).await;
    }
}

async fn newest(client: &Client, shard: &str) -> Option<String> {
    let request = client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    request.shard_iterator_type(ShardIteratorType::Latest).send().await.ok()?.shard_iterator
}

/// A row is damaged once: who mends it has to know how it was.
fn damage(fleet: &Fleet, shard: &str, how: Damage, mended: bool) {
    let table = fleet.cloud().table(APPLICATION);
    let Ok(Some(mut item)) = table.try_item(shard) else { return };
    if !fleet.damage(shard) {
        return;
    }
    let (attribute, value) = match how {
        Damage::Range => {
            ("endingHashKey", text(&item, "endingHashKey").and_then(|end| lower(&end)).map(AttributeValue::S))
        }
        Damage::Counter => ("leaseCounter", Some(AttributeValue::N((i64::MAX - 1).to_string()))),
        Damage::Circle => ("parentShardId", Some(AttributeValue::Ss(vec![shard.to_owned()]))),
        Damage::Type => ("entityType", Some(AttributeValue::S("BLEASE".to_owned()))),
        Damage::NoOwner => ("leaseOwner", None),
    };
    let before = match how {
        // Who comes next sees it move, and not back.
        Damage::Counter => number(&item, attribute).map(|counter| AttributeValue::N((counter + A_STRIDE).to_string())),
        _ => item.get(attribute).cloned(),
    };
    set(&mut item, attribute, value);
    table.put(item);
    // A row without an owner is in order.
    let for_good = !mended && !matches!(how, Damage::NoOwner);
    if for_good {
        fleet.damage_for_good(shard);
    } else if mended && !matches!(how, Damage::NoOwner) {
        fleet.mend_later(Mend { shard: shard.to_owned(), attribute, before });
    }
    fleet.recorder().add("", shard, What::Damaged { for_good });
    fleet.recorder().look(fleet.cloud());
}

/// Puts right what is to be put right.
pub(crate) fn mend(fleet: &Fleet) {
    let table = fleet.cloud().table(APPLICATION);
    for Mend { shard, attribute, before } in fleet.to_mend() {
        if let Ok(Some(mut item)) = table.try_item(shard.as_str()) {
            set(&mut item, attribute, before);
            table.put(item);
        }
    }
}

fn set(item: &mut Item, attribute: &str, value: Option<AttributeValue>) {
    match value {
        Some(value) => _ = item.insert(attribute.to_owned(), value),
        None => _ = item.remove(attribute),
    }
}

fn text(item: &Item, attribute: &str) -> Option<String> {
    item.get(attribute)?.as_s().ok().cloned()
}

fn number(item: &Item, attribute: &str) -> Option<u64> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}

fn lower(decimal: &str) -> Option<String> {
    Some((decimal.parse::<u128>().ok()? - 1).to_string())
}

/// More than any adoption moves a counter.
const A_STRIDE: u64 = 1 << 20;
