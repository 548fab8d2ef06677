//! SubscribeToShard.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::operation::subscribe_to_shard::builders::SubscribeToShardFluentBuilder;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream};
use tokio::time::{Instant, timeout};

use super::consumers::register;
use crate::conformance::checks;
use crate::conformance::probe::Probe;
use crate::conformance::refusal::refused;
use crate::conformance::stream::{Stream, texts};

checks! {
    a_subscription_from_the_horizon_gets_old_records: "StartingPosition", "TRIM_HORIZON: 'the last untrimmed record in the shard'";
    a_subscription_from_latest_gets_new_records: "StartingPosition", "LATEST: 'just after the most recent record'";
    a_subscription_starts_at_a_number: "StartingPosition", "AT_SEQUENCE_NUMBER: 'from the position denoted by the sequence number'";
    a_subscription_starts_after_a_number: "StartingPosition", "AFTER_SEQUENCE_NUMBER: 'right after'";
    a_subscription_starts_at_a_time: "StartingPosition", "AT_TIMESTAMP: that record, or the next";
    a_subscription_goes_on_after_its_continuation: "SubscribeToShardEvent", "ContinuationSequenceNumber: 'in the next call to SubscribeToShard'";
    a_subscription_tells_it_is_caught_up: "SubscribeToShardEvent", "MillisBehindLatest: zero when caught up";
    a_quiet_subscription_has_events_too: "SubscribeToShardEvent", "ContinuationSequenceNumber 'captures your shard progress even when no data is written'";
    a_subscription_gets_records_as_they_come: "SubscribeToShard", "'pushes records from the shard to the consumer over this connection'";
    a_subscription_ends_with_the_shard: "SubscribeToShardEvent", "ChildShards: 'only at the end of the current shard'";
    a_second_subscription_is_refused_at_first: "SubscribeToShard", "'within 5 seconds of a successful call, you'll get a ResourceInUseException'";
    a_second_subscription_takes_over_later: "SubscribeToShard", "'5 seconds or more after a successful call, the second call takes over'";
    two_consumers_do_not_disturb_each_other: "SubscribeToShard", "one call 'per registered consumer per shard'";
    a_subscription_needs_a_consumer: "SubscribeToShard", "ResourceNotFoundException";
    a_subscription_needs_a_shard: "SubscribeToShard", "ResourceNotFoundException";
    a_subscription_by_number_needs_the_number: "SubscribeToShard", "SequenceNumber with AT_ and AFTER_SEQUENCE_NUMBER; InvalidArgumentException";
    a_subscription_lasts_five_minutes: "SubscribeToShard", "'for up to 5 minutes, after which time you need to call SubscribeToShard again'", Hours;
}

const ONLY: &str = "shardId-000000000000";

async fn a_subscription_from_the_horizon_gets_old_records(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let events = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    ensure!(records(events, 3).await? == ["0", "1", "2"]);
    Ok(())
}

async fn a_subscription_from_latest_gets_new_records(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::Latest)).await?;
    ensure!(event(&mut events).await?.records.is_empty());
    stream.put("k", "3").await?;
    ensure!(records(events, 1).await? == ["3"]);
    Ok(())
}

async fn a_subscription_starts_at_a_number(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let at = numbered(&stream, ShardIteratorType::AtSequenceNumber, 1).await?;
    ensure!(records(subscribe(&stream, &consumer, at).await?, 2).await? == ["1", "2"]);
    Ok(())
}

async fn a_subscription_starts_after_a_number(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let after = numbered(&stream, ShardIteratorType::AfterSequenceNumber, 1).await?;
    ensure!(records(subscribe(&stream, &consumer, after).await?, 1).await? == ["2"]);
    Ok(())
}

async fn a_subscription_starts_at_a_time(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let old = stream.drain(&stream.oldest(ONLY).await?).await?;
    let time = old.get(1).and_then(|record| record.approximate_arrival_timestamp).context("no time")?;
    let at = StartingPosition::builder().r#type(ShardIteratorType::AtTimestamp).timestamp(time).build()?;
    ensure!(records(subscribe(&stream, &consumer, at).await?, 2).await? == ["1", "2"]);
    Ok(())
}

async fn a_subscription_goes_on_after_its_continuation(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    let mut last = event(&mut events).await?;
    while last.millis_behind_latest > 0 || last.records.is_empty() {
        last = event(&mut events).await?;
    }
    drop(events);
    stream.put("k", "3").await?;
    probe.pause(Duration::from_millis(5500)).await;
    let after = StartingPosition::builder().r#type(ShardIteratorType::AfterSequenceNumber);
    let after = after.sequence_number(last.continuation_sequence_number).build()?;
    ensure!(records(subscribe(&stream, &consumer, after).await?, 1).await? == ["3"]);
    Ok(())
}

async fn a_subscription_tells_it_is_caught_up(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    let mut seen = 0;
    loop {
        let event = event(&mut events).await?;
        seen += event.records.len();
        if event.millis_behind_latest == 0 {
            ensure!(seen == 3, "caught up after {seen} of 3 records");
            return Ok(());
        }
    }
}

async fn a_quiet_subscription_has_events_too(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::Latest)).await?;
    for _ in 0..2 {
        let event = event(&mut events).await?;
        ensure!(event.records.is_empty() && !event.continuation_sequence_number.is_empty(), "{event:?}");
    }
    Ok(())
}

async fn a_subscription_gets_records_as_they_come(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let events = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    let put = async {
        probe.pause(Duration::from_millis(500)).await;
        stream.put("k", "3").await?;
        probe.pause(Duration::from_millis(500)).await;
        stream.put("k", "4").await
    };
    let (seen, put) = tokio::join!(records(events, 5), put);
    put?;
    ensure!(seen? == ["0", "1", "2", "3", "4"]);
    Ok(())
}

async fn a_subscription_ends_with_the_shard(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    stream.split(&stream.shards().await?[0]).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    let (mut seen, mut children) = (Vec::new(), Vec::new());
    while let Some(event) = next(&mut events).await? {
        ensure!(children.is_empty(), "an event after the end");
        seen.extend(texts(&event.records));
        children = event.child_shards.unwrap_or_default();
    }
    let mut names: Vec<_> = children.iter().map(|child| child.shard_id.as_str()).collect();
    names.sort_unstable();
    ensure!(
        seen == ["0", "1", "2"] && names == ["shardId-000000000001", "shardId-000000000002"],
        "{seen:?}, {names:?}"
    );
    Ok(())
}

async fn a_second_subscription_is_refused_at_first(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let _first = subscribe(&stream, &consumer, from(ShardIteratorType::Latest)).await?;
    in_use(request(&stream, &consumer, from(ShardIteratorType::Latest))).await
}

async fn a_second_subscription_takes_over_later(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut first = subscribe(&stream, &consumer, from(ShardIteratorType::Latest)).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(5500) {
        event(&mut first).await?;
    }
    let second = subscribe(&stream, &consumer, from(ShardIteratorType::TrimHorizon)).await?;
    ensure!(records(second, 3).await? == ["0", "1", "2"]);
    // It may have sent events that it had already; then it ends, or fails with ResourceInUseException.
    for _ in 0..20 {
        if !matches!(next(&mut first).await, Ok(Some(_))) {
            return Ok(());
        }
    }
    bail!("the first goes on")
}

async fn two_consumers_do_not_disturb_each_other(probe: Probe) -> Result<()> {
    let (stream, one) = three_records(&probe).await?;
    let two = register(&stream, "another").await?.consumer_arn;
    let first = subscribe(&stream, &one, from(ShardIteratorType::TrimHorizon)).await?;
    let second = subscribe(&stream, &two, from(ShardIteratorType::TrimHorizon)).await?;
    ensure!(records(first, 3).await? == ["0", "1", "2"] && records(second, 3).await? == ["0", "1", "2"]);
    Ok(())
}

async fn a_subscription_needs_a_consumer(probe: Probe) -> Result<()> {
    let stream = probe.stream(1).await?;
    let nobody = format!("{}/consumer/nobody:1700000000", stream.arn().await?);
    let answer = request(&stream, &nobody, from(ShardIteratorType::Latest)).send().await;
    refused(answer, "ResourceNotFoundException")
}

async fn a_subscription_needs_a_shard(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let request = request(&stream, &consumer, from(ShardIteratorType::Latest)).shard_id("shardId-000000000009");
    refused(request.send().await, "ResourceNotFoundException")
}

async fn a_subscription_by_number_needs_the_number(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let answer = request(&stream, &consumer, from(ShardIteratorType::AtSequenceNumber)).send().await;
    refused(answer, "InvalidArgumentException|ValidationException")
}

async fn a_subscription_lasts_five_minutes(probe: Probe) -> Result<()> {
    let (stream, consumer) = three_records(&probe).await?;
    let mut events = subscribe(&stream, &consumer, from(ShardIteratorType::Latest)).await?;
    let began = Instant::now();
    while next(&mut events).await?.is_some() {}
    let lasted = began.elapsed();
    ensure!((Duration::from_secs(290)..=Duration::from_secs(301)).contains(&lasted), "{lasted:?}");
    Ok(())
}

/// A stream of one shard with the records 0, 1 and 2, and the ARN of its consumer.
async fn three_records(probe: &Probe) -> Result<(Stream, String)> {
    let stream = probe.stream(1).await?;
    for data in ["0", "1", "2"] {
        probe.pause(Duration::from_millis(20)).await;
        stream.put("k", data).await?;
    }
    let consumer = register(&stream, "reader").await?.consumer_arn;
    Ok((stream, consumer))
}

fn from(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().expect("the type is all that it needs")
}

async fn numbered(stream: &Stream, kind: ShardIteratorType, place: usize) -> Result<StartingPosition> {
    let old = stream.drain(&stream.oldest(ONLY).await?).await?;
    let number = &old.get(place).context("a record is missing")?.sequence_number;
    Ok(StartingPosition::builder().r#type(kind).sequence_number(number).build()?)
}

fn request(stream: &Stream, consumer: &str, from: StartingPosition) -> SubscribeToShardFluentBuilder {
    stream.kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(ONLY).starting_position(from)
}

async fn subscribe(stream: &Stream, consumer: &str, from: StartingPosition) -> Result<SubscribeToShardOutput> {
    request(stream, consumer, from).send().await.context("subscribing")
}

/// Refused with ResourceInUseException, by the answer or as its first event.
async fn in_use(request: SubscribeToShardFluentBuilder) -> Result<()> {
    let mut events = match request.send().await {
        Err(error) => return refused(Err::<(), _>(error), "ResourceInUseException"),
        Ok(events) => events,
    };
    match next(&mut events).await {
        Ok(event) => bail!("expected ResourceInUseException, but there is {event:?}"),
        Err(error) if format!("{error:?}").contains("ResourceInUse") => Ok(()),
        Err(error) => Err(error),
    }
}

/// The next event; `None` at the end.
async fn next(events: &mut SubscribeToShardOutput) -> Result<Option<SubscribeToShardEvent>> {
    match timeout(Duration::from_secs(30), events.event_stream.recv()).await.context("no event for 30 s")?? {
        Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => Ok(Some(event)),
        Some(other) => bail!("an unknown event: {other:?}"),
        None => Ok(None),
    }
}

async fn event(events: &mut SubscribeToShardOutput) -> Result<SubscribeToShardEvent> {
    next(events).await?.context("the subscription ended")
}

/// The data of the first records, so many.
async fn records(mut events: SubscribeToShardOutput, count: usize) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(texts(&event(&mut events).await?.records));
    }
    Ok(seen)
}
