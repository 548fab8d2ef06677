//! What is done behind the workers' backs: to the lease table by an operator, to streams by their owner.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_testkit::{Cloud, Fault, Item, Stream, Table};

use super::command::{duration, number, shard_id};
use crate::sim::history::{Recorder, What};
use crate::sim::mistakes::OTHER_STREAM;
use crate::sim::table::APPLICATION;

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// `row 0 endingHashKey 7`, `row Leader ownerName x`: an attribute of a row is a number where it was one before, else a text.
    SetRow { key: String, attribute: String, value: String },
    /// `row Migration3.0 without boundToStream`
    ClearRow { key: String, attribute: String },
    /// `copy row 0 to orders-0`
    CopyRow { from: String, to: String },
    /// `delete table`: the lease table, with all that is in it.
    DeleteTable,
    /// `other-stream 3 shards`: makes the stream `orders`, which `worker x on orders` reads.
    OtherStream(i32),
    /// `listing lags 8s`: listings show each reshard that much later. `listing lags 0s`: at once.
    ListingLags(Duration),
    /// `births lag 8s`: a new shard can be read that much later than it takes records.
    BirthsLag(Duration),
    /// `hide 3 from a`: until it is healed the worker is answered as though this shard did not exist.
    Hide { shard: String, worker: String },
}

/// The rows that an operator has written, as they were left.
pub(super) type Left = BTreeMap<String, Item>;

impl Act {
    /// `None` for words of other commands.
    pub(super) fn parse(words: &[&str]) -> Result<Option<Self>, String> {
        Ok(Some(match words {
            ["row", key, "without", attribute] => {
                Self::ClearRow { key: row_key(key), attribute: (*attribute).to_owned() }
            }
            ["row", key, attribute, value] => {
                let (attribute, value) = ((*attribute).to_owned(), (*value).to_owned());
                Self::SetRow { key: row_key(key), attribute, value }
            }
            ["row", ..] => return Err("a row has a key, and then an attribute and its value".to_owned()),
            ["copy", "row", from, "to", to] => Self::CopyRow { from: row_key(from), to: row_key(to) },
            ["delete", "table"] => Self::DeleteTable,
            ["other-stream", shards, "shards"] => Self::OtherStream(number(shards)?),
            ["listing", "lags", time] => Self::ListingLags(duration(time)?),
            ["births", "lag", time] => Self::BirthsLag(duration(time)?),
            ["hide", shard, "from", worker] => {
                Self::Hide { shard: shard_id(number(shard)?), worker: (*worker).to_owned() }
            }
            _ => return Ok(None),
        }))
    }

    /// Whether the application's workers have no reason to notice.
    pub(super) const fn is_harmless(&self) -> bool {
        matches!(self, Self::OtherStream(_))
    }

    pub(super) async fn perform(
        self,
        cloud: &Cloud,
        stream: &Stream,
        recorder: &Recorder,
        left: &mut Left,
    ) -> Result<(), String> {
        let table = cloud.table(APPLICATION);
        match self {
            Self::SetRow { key, attribute, value } => {
                let mut item = item(&table, &key)?;
                let value = match item.get(&attribute) {
                    Some(AttributeValue::N(_)) => AttributeValue::N(number::<u64>(&value)?.to_string()),
                    _ => AttributeValue::S(value),
                };
                item.insert(attribute, value);
                write(&table, recorder, left, key, item)?;
            }
            Self::ClearRow { key, attribute } => {
                let mut item = item(&table, &key)?;
                item.remove(&attribute).ok_or_else(|| format!("the row {key} has no {attribute}"))?;
                write(&table, recorder, left, key, item)?;
            }
            Self::CopyRow { from, to } => {
                let mut item = item(&table, &from)?;
                item.insert("leaseKey".to_owned(), AttributeValue::S(to.clone()));
                write(&table, recorder, left, to, item)?;
            }
            Self::DeleteTable => delete(cloud, &table, recorder).await?,
            Self::OtherStream(shards) => {
                let made = cloud.try_create_stream(OTHER_STREAM, shards).await;
                made.map_err(|refused| refused.to_string())?;
            }
            Self::ListingLags(time) => stream.listing_lag(time),
            Self::BirthsLag(time) => stream.birth_lag(time),
            Self::Hide { shard, worker } => _ = cloud.faults(&worker).kinesis().always(Fault::HideShard(shard)),
        }
        Ok(())
    }
}

/// A shard's number stands for its lease.
pub(super) fn row_key(word: &str) -> String {
    word.parse().map_or_else(|_| word.to_owned(), shard_id)
}

fn item(table: &Table, key: &str) -> Result<Item, String> {
    let item = table.try_item(key).map_err(|refused| refused.to_string())?;
    item.ok_or_else(|| format!("there is no row {key}"))
}

fn write(table: &Table, recorder: &Recorder, left: &mut Left, key: String, item: Item) -> Result<(), String> {
    if key.starts_with("shardId-") {
        recorder.add("", &key, What::Damaged { for_good: false });
    }
    table.try_put(item.clone()).map_err(|refused| refused.to_string())?;
    left.insert(key, item);
    Ok(())
}

/// Row by row first, in the same moment, so that each lease is seen to go.
async fn delete(cloud: &Cloud, table: &Table, recorder: &Recorder) -> Result<(), String> {
    for row in table.try_items().map_err(|refused| refused.to_string())? {
        let Some(AttributeValue::S(key)) = row.get("leaseKey") else { continue };
        table.delete(key.as_str());
    }
    recorder.look(cloud);
    let deleted = cloud.outside().dynamodb.delete_table().table_name(APPLICATION).send().await;
    deleted.map(drop).map_err(|error| error.to_string())
}
