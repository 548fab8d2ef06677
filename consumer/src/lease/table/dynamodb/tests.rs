use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use kinesis_testkit::{Cloud, Fault};

use super::*;
use crate::record::Position;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

fn key() -> LeaseKey {
    LeaseKey::from("shardId-000000000000")
}

fn at(number: &str) -> Checkpoint {
    Checkpoint::At(Position {
        sequence_number: number.parse().expect("a number"),
        sub_sequence: 0,
        shard: key().shard(),
    })
}

async fn prepared(cloud: &Cloud) -> (DynamoDbLeaseStore, Client) {
    let store = DynamoDbLeaseStore::new(cloud.connect("me").await.dynamodb, "app");
    store.prepare(Entry::of(&worker("me"), NOW)).await.expect("a new table can be made");
    (store, cloud.outside().dynamodb)
}

async fn raw(client: &Client, key: impl ToString) -> Item {
    let row =
        client.get_item().table_name("app").key("leaseKey", s(key.to_string())).consistent_read(true).send().await;
    row.expect("the table is there").item.expect("the row is there")
}

/// A row with everything that the KCL can have in it, and something that nobody knows.
async fn full_row(client: &Client) -> Item {
    let mut lease = Lease::new(key(), at("5"));
    lease.owner = Some(worker("a"));
    lease.counter = 3;
    lease.owner_switches = 2;
    lease.pending = Some(crate::lease::PendingCheckpoint { checkpoint: at("9"), state: Some(vec![1].into()) });
    lease.parents = vec![ShardId::from("p")];
    lease.children = vec![ShardId::from("c")];
    lease.range = Some(kinesis_aggregation::HashKeyRange::FULL);
    lease.throughput_kib_per_s = Some(1.5);
    let mut item = item::from_lease(&lease);
    item.insert("fromTheFuture".to_owned(), s("kept"));
    client.put_item().table_name("app").set_item(Some(item.clone())).send().await.expect("the table is there");
    item
}

/// The names of the attributes in which two rows differ.
fn difference(before: &Item, after: &Item) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// Each write touches what the KCL's does, and nothing else: S113 lost a number to a write of the whole row.
#[tokio::test(start_paused = true)]
async fn each_write_touches_its_own_attributes_only() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    let (a, b) = (worker("a"), worker("b"));
    let owners = Owners { owner: Some(a.clone()), checkpoint_owner: None };
    let seen = Seen { owners, counter: Some(3) };
    let key = key();
    type Check<'a> = (&'a str, futures::future::BoxFuture<'a, Result<Written, StoreError>>, &'a [&'a str]);
    let with_rate = Renewal { throughput_kib_per_s: Some(2.5), ..Renewal::by(&a, &key, 3) };
    let position = at("7");
    let children = [ShardId::from("c1")];
    let pending = ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];
    let stored = [&["leaseCounter", "checkpoint", "ownerSwitchesSinceCheckpoint"][..], &pending].concat();
    let checks: [Check<'_>; 7] = [
        ("renew", Box::pin(store.renew(Renewal::by(&a, &key, 3))), &["leaseCounter"]),
        ("renew with a rate", Box::pin(store.renew(with_rate)), &["leaseCounter", "throughputKBps"]),
        ("checkpoint", Box::pin(store.checkpoint(Renewal::by(&a, &key, 3), &position)), &stored),
        (
            "assign",
            Box::pin(store.assign(&key, &seen, &b)),
            &["leaseOwner", "leaseCounter", "ownerSwitchesSinceCheckpoint"],
        ),
        ("start_handoff", Box::pin(store.start_handoff(&key, &a, &b)), &["leaseOwner", "checkpointOwner"]),
        ("evict", Box::pin(store.evict(&key, &seen)), &["leaseOwner", "leaseCounter"]),
        ("set_children", Box::pin(store.set_children(&key, &a, &children)), &["childShardIds"]),
    ];
    for (name, write, touched) in checks {
        let before = full_row(&client).await;
        assert!(matches!(write.await, Ok(Written::Accepted(Some(_)))), "{name}");
        let touched: BTreeSet<String> = touched.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(difference(&before, &raw(&client, &key).await), touched, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_s_row_has_the_shape_of_javas() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    let report = WorkerReport::new(worker("worker-b"), NOW, Duration::from_secs(5));
    let report = WorkerReport { handoff_time: Some(Duration::from_secs(300)), ..report };
    store.report(&report).await.expect("the name is free");
    let rows = store.scan().await.expect("a scan");
    let announced: Vec<_> = rows.workers.iter().map(|row| (row.heartbeat_interval, row.handoff_time)).collect();
    assert_eq!(announced, [(Some(report.heartbeat_interval), report.handoff_time)]);
    let java: Item = [
        ("leaseKey", s("worker-b")),
        ("entityType", s("WORKER_METRIC_STATS")),
        ("lut", n(NOW.0)),
        ("sts", AttributeValue::M(Item::new())),
        ("opr", AttributeValue::M(Item::new())),
        ("sup", n(1)),
        ("slu", n(NOW.0)),
        // Reserved in the KCL, and ours to use: its leader reads it as a map of texts and does nothing with it.
        ("properties", texts([("version", "1"), ("heartbeatIntervalMillis", "5000"), ("handoffTimeMillis", "300000")])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(raw(&client, "worker-b").await, java);
}

fn texts<const N: usize>(entries: [(&str, &str); N]) -> AttributeValue {
    AttributeValue::M(entries.map(|(name, text)| (name.to_owned(), s(text))).into())
}

/// The other way round a version adds names only, so the version before it reads what it knows.
#[tokio::test(start_paused = true)]
async fn the_row_of_a_worker_of_the_next_version_is_read() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    store.report(&WorkerReport::new(worker("this"), NOW, Duration::from_secs(5))).await.expect("the name is free");
    let mut next = raw(&client, "this").await;
    next.insert("leaseKey".to_owned(), s("next"));
    next.insert("newer".to_owned(), n(1));
    let newer = [("version", "2"), ("heartbeatIntervalMillis", "3000"), ("newer", "x")];
    next.insert("properties".to_owned(), texts(newer));
    cloud.table("app").put(next);
    let rows = store.scan().await.expect("a scan");
    let read: Vec<_> = rows.workers.iter().map(|row| (row.worker.as_str(), row.heartbeat_interval, row.fit)).collect();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(read, [("next", seconds(3), true), ("this", seconds(5), true)]);
    assert_eq!(rows.unreadable, []);
}

#[tokio::test(start_paused = true)]
async fn a_worker_named_like_a_shard_does_not_touch_its_lease() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    let before = full_row(&client).await;
    let twin = worker(key().as_str());
    assert!(matches!(
        store.report(&WorkerReport::new(twin.clone(), NOW, Duration::from_secs(5))).await,
        Err(StoreError::Refused { .. })
    ));
    assert!(matches!(store.withdraw(&twin, None).await, Err(StoreError::Refused { .. })));
    assert_eq!(raw(&client, key()).await, before);
}

/// An empty text is nobody, for conditions too.
#[tokio::test(start_paused = true)]
async fn an_edited_row_that_names_an_empty_worker_can_be_written_to() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    let mut edited = full_row(&client).await;
    edited.insert("checkpointOwner".to_owned(), s(""));
    client.put_item().table_name("app").set_item(Some(edited)).send().await.expect("the table is there");
    let row = store.read(&key()).await.expect("it can be read").expect("it is there");
    assert_eq!(row.checkpoint_owner, None);
    let renewed = store.renew(Renewal::by(&worker("a"), &key(), 3)).await;
    assert!(matches!(renewed, Ok(Written::Accepted(_))), "{renewed:?}");
    let assigned = store.assign(&key(), &row.owners().into(), &worker("b")).await;
    assert!(matches!(assigned, Ok(Written::Accepted(_))), "{assigned:?}");
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_read_are_reported_and_others_used() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    full_row(&client).await;
    let broken = [("leaseKey", s("shardId-000000000001")), ("checkpoint", s("TRIM_HORIZON"))];
    let item = broken.map(|(name, value)| (name.to_owned(), value)).into();
    client.put_item().table_name("app").set_item(Some(item)).send().await.expect("the table is there");
    let rows = store.scan().await.expect("the table is there");
    assert_eq!(rows.leases.len(), 1);
    let [(key, problem)] = &rows.unreadable[..] else { panic!("{:?}", rows.unreadable) };
    assert_eq!(key, "shardId-000000000001");
    assert!(problem.contains("leaseCounter is missing"), "{problem}");
    assert!(matches!(store.read(&LeaseKey::from(key.as_str())).await, Err(StoreError::Unreadable { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_write_is_told_from_its_answer_and_it_is_sent_once() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    for (fault, unknown, landed) in [
        (Fault::Throttle, false, false),
        (Fault::LoseRequest, true, false),
        (Fault::LoseResponse, true, true),
        (Fault::ServerError, true, false),
        (Fault::Unavailable, true, false),
        (Fault::BlackHole, true, false),
        (Fault::SilentAnswer, true, true),
    ] {
        let before = full_row(&client).await;
        cloud.clear_calls("me");
        cloud.faults("me").dynamodb().next("UpdateItem", fault.clone());
        let start = tokio::time::Instant::now();
        let error = store.renew(Renewal::by(&worker("a"), &key(), 3)).await.expect_err("there is no good answer");
        assert_eq!(error.is_unknown(), unknown, "{fault:?}: {error:?}");
        assert!(error.is_retryable(), "{fault:?}: {error:?}");
        assert!(start.elapsed() <= CALL_TIMEOUT, "{fault:?}: {:?}", start.elapsed());
        assert_eq!(cloud.calls("me").count("UpdateItem"), 1, "{fault:?}");
        assert_eq!(raw(&client, key()).await != before, landed, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_gone_is_an_error_of_its_own() {
    let cloud = Cloud::new();
    let (store, client) = prepared(&cloud).await;
    client.delete_table().table_name("app").send().await.expect("it was there");
    assert!(matches!(store.scan().await, Err(StoreError::NoTable(_))));
    let written = store.renew(Renewal::by(&worker("a"), &key(), 3)).await;
    assert!(matches!(&written, Err(e @ StoreError::NoTable(_)) if !e.is_retryable()), "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_table_is_read_page_by_page_and_a_failed_page_is_read_again() {
    let cloud = Cloud::new();
    let (store, _) = prepared(&cloud).await;
    // 120 rows of some 20 kB: three pages of a megabyte.
    let children: Vec<ShardId> = (0..1000).map(|id| ShardId::from(format!("shardId-{id:012}"))).collect();
    for number in 0..120 {
        let mut lease = Lease::new(LeaseKey::from(format!("shardId-{number:012}")), Checkpoint::TrimHorizon);
        lease.children.clone_from(&children);
        lease.owner = Some(worker("me"));
        assert!(matches!(store.create(&lease).await, Ok(Written::Accepted(_))));
    }
    cloud.clear_calls("me");
    let rows = store.scan().await.expect("the table is there");
    assert_eq!(rows.leases.len(), 120);
    let pages = cloud.calls("me").count("Scan");
    assert!(pages >= 3, "{pages}");
    cloud.faults("me").dynamodb().next_n("Scan", 3, Fault::Throttle);
    assert_eq!(store.scan().await.expect("throttled for its moment").leases.len(), 120);
    assert_eq!(cloud.calls("me").count("Scan"), 2 * pages + 3);
    cloud.faults("me").dynamodb().always_for("Scan", Fault::Throttle);
    assert!(matches!(store.scan().await, Err(StoreError::Throttled(_))));
    assert_eq!(store.owned_by(&worker("me")).await.expect("the index is there").len(), 120);
}
