//! The cloud, asked through the real SDK in paused time.

mod anew;
mod consumers;
mod control;
mod determinism;
mod distribution;
mod dry_run;
mod dynamodb;
mod encryption;
mod extremes;
mod faults;
mod freeze;
mod injections;
mod lag;
mod list;
mod misuse;
mod on_demand;
mod put;
mod read;
mod record_size;
mod refusals;
mod reshard;
mod retention;
mod settings;
mod shard_count;
mod stale;
mod streams;
mod subscribe;
mod subscription_faults;
mod subscription_limits;
mod tables;
mod tags;
mod throughput;
mod unreachable;
mod weather;
mod writes;

use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use kinesis_testkit::{Cloud, Connection, Limits, Stream};

const FIRST: &str = "shardId-000000000000";

/// A cloud with the stream "clicks", and a client of worker "a" that does not retry: each refusal is seen.
async fn clicks(shards: i32) -> (Cloud, Stream, Client) {
    clicks_in(Cloud::new(), shards).await
}

/// The same for tests that ask for much in a short time.
async fn clicks_without_rates(shards: i32) -> (Cloud, Stream, Client) {
    clicks_in(Cloud::builder().limits(Limits::without_rates()).build(), shards).await
}

async fn clicks_in(cloud: Cloud, shards: i32) -> (Cloud, Stream, Client) {
    let stream = cloud.create_stream("clicks", shards).await;
    let a = without_retries(&cloud.connect("a").await);
    (cloud, stream, a)
}

fn without_retries(connection: &Connection) -> Client {
    Client::from_conf(connection.kinesis_config().retry_config(RetryConfig::disabled()).build())
}

fn without_retries_of_dynamodb(connection: &Connection) -> aws_sdk_dynamodb::Client {
    let config = connection.dynamodb_config().retry_config(RetryConfig::disabled());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// Code and message of a refusal.
fn refusal<T: Debug, E>(result: Result<T, SdkError<E>>) -> (String, String)
where
    E: ProvideErrorMetadata + Debug,
{
    let error = result.expect_err("a refusal");
    let error = error.as_service_error().unwrap_or_else(|| panic!("a refusal, not {error:?}"));
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

fn code<T: Debug, E>(result: Result<T, SdkError<E>>) -> String
where
    E: ProvideErrorMetadata + Debug,
{
    refusal(result).0
}

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder()
        .partition_key(key)
        .data(Blob::new(data.into()))
        .build()
        .expect("key and data are set")
}

async fn iterator(client: &Client, shard: &str, kind: ShardIteratorType) -> String {
    let answer =
        client.get_shard_iterator().stream_name("clicks").shard_id(shard).shard_iterator_type(kind).send().await;
    answer.expect("an iterator").shard_iterator.expect("an iterator")
}

async fn get(client: &Client, iterator: impl Into<String>) -> GetRecordsOutput {
    client.get_records().shard_iterator(iterator).send().await.expect("records")
}

/// What the records of an answer say.
fn texts(answer: &GetRecordsOutput) -> Vec<&str> {
    answer.records.iter().map(|record| std::str::from_utf8(record.data.as_ref()).expect("text")).collect()
}

async fn sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
