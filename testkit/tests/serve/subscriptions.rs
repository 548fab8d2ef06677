//! Subscriptions over real connections: each is an open call, and an HTTP/2 connection has room for only so many.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream as Event,
};
use kinesis_testkit::{Cloud, Stream, Tls};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::client::{Clients, http1, http2, https};

type Events = EventReceiver<Event, SubscribeToShardEventStreamError>;

/// What a consumer of many shards has to avoid: with 40 subscriptions on one connection that allows 10, ten run and the
/// rest wait for one of these to end, up to five minutes, and every other call on the connection waits with them.
#[tokio::test]
async fn subscriptions_over_the_cap_wait_until_one_ends_and_all_other_calls_wait_too() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 40).await;
    let server = cloud.serve().worker("java").max_concurrent_streams(10).start().await.expect("a server");
    let Clients { kinesis, .. } = http2(&server);
    let consumer = register(&kinesis, &stream, "c").await;

    let mut running = subscribe_all(std::slice::from_ref(&kinesis), &consumer, 40);
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(within(running.recv()).await.expect("a subscription"));
    }
    let eleventh = timeout(PAUSE, running.recv()).await;
    assert!(eleventh.is_err(), "ten streams are all there are");
    assert_eq!(cloud.calls("java").count("SubscribeToShard"), 10, "the others have not even been sent");
    let list = timeout(PAUSE, kinesis.list_streams().send()).await;
    assert!(list.is_err(), "another call finds no stream either");

    for waiting in (0..30).rev() {
        drop(open.pop());
        open.push(within(running.recv()).await.expect("one that waited"));
        assert_eq!(cloud.calls("java").count("SubscribeToShard"), 40 - waiting);
    }
    assert!(within(running.recv()).await.is_none(), "all forty had their turn");
    open.clear();
    within(kinesis.list_streams().send()).await.expect("streams");
}

#[tokio::test]
async fn forty_subscriptions_run_at_once_over_four_such_connections() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 40).await;
    let server = cloud.serve().worker("java").max_concurrent_streams(10).start().await.expect("a server");
    let clients: Vec<_> = (0..4).map(|_| http2(&server).kinesis).collect();
    let consumer = register(&clients[0], &stream, "c").await;
    for client in &clients[1..] {
        // The cap comes with the connection's first answer.
        client.list_streams().send().await.expect("streams");
    }

    let mut running = subscribe_all(&clients, &consumer, 40);
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(within(running.recv()).await.expect("a subscription"));
    }
    for shard in stream.shards() {
        stream.put_with_hash_key("k", *shard.hash_keys.start(), shard.id).await;
    }
    let mut heard = BTreeSet::new();
    for events in &mut open {
        heard.insert(next_record(events).await);
    }
    assert_eq!(heard.len(), 40);
}

#[tokio::test]
async fn records_arrive_as_they_are_put_over_tls_and_over_http_1() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().tls(Tls::self_signed()).start().await.expect("a server");
    let plain = cloud.serve().start().await.expect("a server");
    for (name, Clients { kinesis, .. }) in [("tls", https(&server)), ("plain", http1(&plain))] {
        let consumer = register(&kinesis, &stream, name).await;
        let mut running = subscribe_all(&[kinesis], &consumer, 1);
        let mut events = within(running.recv()).await.expect("a subscription");
        stream.put("k", name).await;
        assert_eq!(next_record(&mut events).await, name.as_bytes());
    }
}

#[tokio::test]
async fn shutdown_closes_an_open_subscription_after_its_grace() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().grace(Duration::from_millis(50)).start().await.expect("a server");
    let Clients { kinesis, .. } = http2(&server);
    let consumer = register(&kinesis, &stream, "c").await;
    let mut events = within(subscribe_all(&[kinesis], &consumer, 1).recv()).await.expect("a subscription");
    within(server.shutdown()).await;
    while let Ok(event) = within(events.recv()).await {
        assert!(event.is_some(), "a connection that breaks is no end of the subscription");
    }
}

/// Subscribes to the first `shards` shards, in turns over these clients; the subscriptions come as they are answered.
fn subscribe_all(clients: &[Client], consumer: &str, shards: usize) -> mpsc::Receiver<Events> {
    let start = StartingPosition::builder().r#type(ShardIteratorType::Latest).build().expect("the type is set");
    let (answered, running) = mpsc::channel(shards);
    for shard in 0..shards {
        let subscribe = clients[shard % clients.len()]
            .subscribe_to_shard()
            .consumer_arn(consumer)
            .shard_id(format!("shardId-{shard:012}"))
            .starting_position(start.clone());
        let answered = answered.clone();
        tokio::spawn(async move {
            let answer = subscribe.send().await.expect("subscribed");
            // A test that has seen enough does not wait for it.
            let _ = answered.send(answer.event_stream).await;
        });
    }
    running
}

/// Registers a consumer and waits until it is ACTIVE.
async fn register(kinesis: &Client, stream: &Stream, name: &str) -> String {
    let made = kinesis.register_stream_consumer().stream_arn(stream.arn()).consumer_name(name).send().await;
    let arn = made.expect("registered").consumer.expect("a consumer").consumer_arn;
    loop {
        let seen = kinesis.describe_stream_consumer().consumer_arn(&arn).send().await.expect("a consumer");
        if seen.consumer_description.expect("a consumer").consumer_status == ConsumerStatus::Active {
            return arn;
        }
        sleep(Duration::from_millis(60)).await;
    }
}

async fn next_event(events: &mut Events) -> Option<SubscribeToShardEvent> {
    match within(events.recv()).await.expect("an event or the end")? {
        Event::SubscribeToShardEvent(event) => Some(event),
        other => panic!("unknown event {other:?}"),
    }
}

/// The data of the next record.
async fn next_record(events: &mut Events) -> Vec<u8> {
    loop {
        let event = next_event(events).await.expect("an event");
        if let Some(record) = event.records.into_iter().next() {
            return record.data.into_inner();
        }
    }
}

async fn within<T>(wanted: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(8), wanted).await.expect("within 8 s")
}

/// Long enough for a call to be answered, were there room for it.
const PAUSE: Duration = Duration::from_millis(200);
