use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ChildShard, HashKeyRange as HashKeyRangeOfSdk};
use kinesis_aggregation::Aggregator;
use kinesis_testkit::{Cloud, Fault, Limits, Stream as CloudStream};
use tokio::time::timeout;

use super::*;
use crate::backoff::StartPatience;
use crate::lease::table::belonging::Word;
use crate::lease::{Checkpoint, LeaseKey, MemoryLeaseStore, UnixSeconds, WorkerId};
use crate::record::Position;

const SHARD: &str = "shardId-000000000000";

/// A running reader, on the network of the worker `w`.
struct Reading {
    fetched: mpsc::Receiver<Fetched>,
    budget: Budget,
    counters: Arc<Counters>,
}

impl Reading {
    async fn start(cloud: &Cloud, checkpoint: Checkpoint) -> Self {
        Self::start_with(cloud, Lease::new(LeaseKey::from(SHARD), checkpoint), 128 << 20).await
    }

    async fn start_with(cloud: &Cloud, lease: Lease, budget: u64) -> Self {
        let connection = cloud.connect("w").await;
        let stream = Stream::new(&connection.kinesis, "clicks");
        let (clock, discover) =
            (Arc::new(Clock::start()), Arc::new(Discover::new(stream.clone(), fastrand::Rng::with_seed(1))));
        let context = ReadContext {
            belonging: belonging(Arc::clone(&discover), Arc::clone(&clock)).await,
            discover,
            stream,
            budget: Budget::new(budget),
            counters: Arc::default(),
            clock,
            time: connection.kinesis.config().time_source().expect("the cloud's"),
            findings: Findings::new(Arc::new(Clock::start()), "w"),
            start_at: None,
            max_idle_poll: Duration::from_secs(1),
        };
        let (sender, fetched) = mpsc::channel(8);
        let (budget, counters) = (context.budget.clone(), Arc::clone(&context.counters));
        let reader = Reader::new(context, &lease, Epoch(7), fastrand::Rng::with_seed(2)).expect("a place to start");
        tokio::spawn(reader.run(sender));
        Self { fetched, budget, counters }
    }

    async fn next(&mut self) -> Fetched {
        timeout(Duration::from_secs(120), self.fetched.recv()).await.expect("in time").expect("a reader")
    }

    async fn batch(&mut self) -> Batch {
        match self.next().await {
            Fetched::Batch(batch) => batch,
            other => panic!("{other:?} instead of a batch"),
        }
    }

    /// Returns the data of the next records, in order, until none comes for ten seconds.
    async fn data(&mut self) -> Vec<String> {
        let mut data = Vec::new();
        while let Ok(Some(fetched)) = timeout(Duration::from_secs(10), self.fetched.recv()).await {
            let Fetched::Batch(batch) = fetched else { panic!("{fetched:?} instead of a batch") };
            data.extend(batch.records().iter().map(|record| String::from_utf8_lossy(record.data()).into_owned()));
        }
        data
    }
}

/// Returns a table in memory that is this stream's.
async fn belonging(discover: Arc<Discover>, clock: Arc<Clock>) -> Arc<Belonging> {
    let identity = discover.identity().await;
    let (store, findings) = (Arc::new(MemoryLeaseStore::new()), Findings::new(Arc::clone(&clock), "w"));
    let belonging = Belonging::new("app".to_owned(), store, discover, clock, findings, "clicks".to_owned(), identity);
    belonging
        .enter(&WorkerId::from("w"), UnixSeconds(0), &[], &Word::Nothing, &StartPatience::new())
        .await
        .expect("a new table");
    Arc::new(belonging)
}

async fn cloud_of(shards: i32) -> (Cloud, CloudStream) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", shards).await;
    (cloud, stream)
}

/// Returns a reader of the shard that has made no call yet.
async fn reader_of(cloud: &Cloud) -> Reader {
    let stream = Stream::new(&cloud.connect("w").await.kinesis, "clicks");
    let (clock, discover) =
        (Arc::new(Clock::start()), Arc::new(Discover::new(stream.clone(), fastrand::Rng::with_seed(1))));
    let context = ReadContext {
        belonging: belonging(Arc::clone(&discover), Arc::clone(&clock)).await,
        discover,
        stream,
        budget: Budget::new(1 << 30),
        counters: Arc::default(),
        clock,
        time: SharedTimeSource::default(),
        findings: Findings::new(Arc::new(Clock::start()), "w"),
        start_at: None,
        max_idle_poll: Duration::from_secs(1),
    };
    let lease = Lease::new(LeaseKey::from(SHARD), Checkpoint::TrimHorizon);
    Reader::new(context, &lease, Epoch(1), fastrand::Rng::with_seed(1)).expect("a place to start")
}

fn at(number: &str, sub_sequence: u64) -> Checkpoint {
    Checkpoint::At(Position { sequence_number: number.parse().expect("a number"), sub_sequence, shard: SHARD.into() })
}

#[tokio::test(start_paused = true)]
async fn reads_what_is_there_then_what_comes() {
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "a").await;
    stream.put("k", "b").await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    let batch = reading.batch().await;
    assert_eq!(batch.records().iter().map(|record| &record.data()[..]).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!((batch.shard().as_str(), batch.epoch(), batch.behind_latest()), (SHARD, Epoch(7), Duration::ZERO));
    assert_eq!(batch.last().to_string(), format!("{}/0", stream.records()[1].sequence_number));
    assert_eq!(batch.records()[0].arrival(), Some(stream.records()[0].arrival));
    drop(batch);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let put = stream.put("k", "c").await;
        let before = cloud.clock().elapsed();
        assert_eq!(reading.batch().await.last().sequence_number.as_str(), put.sequence_number);
        // The longest pause, plus the call.
        assert!(cloud.clock().elapsed() - before <= Duration::from_millis(1010));
    }
    assert_eq!(reading.counters.read().records, 32);
}

#[tokio::test(start_paused = true)]
async fn keeps_to_five_calls_a_second_and_to_one_when_idle() {
    let (cloud, stream) = cloud_of(1).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    assert_eq!(reading.data().await, Vec::<String>::new());
    cloud.clear_calls("w");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((59..=61).contains(&cloud.calls("w").count("GetRecords")));
    // With records at every call, as fast as the service allows.
    let writing = async {
        for n in 0..600 {
            stream.put("k", n.to_string()).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    cloud.clear_calls("w");
    let (data, ()) = futures::join!(reading.data(), writing);
    assert_eq!(data, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
    let calls = cloud.calls("w");
    assert!((140..=175).contains(&calls.count("GetRecords")), "{}", calls.count("GetRecords"));
    assert_eq!(calls.iter().filter(|call| call.outcome != kinesis_testkit::Outcome::Answered).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn resumes_after_a_checkpoint_also_inside_of_an_aggregate() {
    // S147
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "before").await;
    let mut aggregator = Aggregator::new(1000);
    for data in ["0", "1", "2", "3", "4"] {
        assert!(aggregator.try_add("key", None, data.as_bytes()));
    }
    let aggregate = stream.put("a", aggregator.take().expect("five records").data().clone()).await;
    stream.put("k", "after").await;
    let data_after = async |checkpoint| Reading::start(&cloud, checkpoint).await.data().await;
    assert_eq!(data_after(at(&aggregate.sequence_number, 2)).await, ["3", "4", "after"]);
    assert_eq!(data_after(at(&aggregate.sequence_number, 4)).await, ["after"]);
    assert_eq!(data_after(at(&aggregate.sequence_number, 9)).await, ["after"]);
    assert_eq!(data_after(Checkpoint::Latest).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_split_ends_the_shard_after_its_last_record_with_both_children() {
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "last").await;
    let children = stream.split(0).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    assert_eq!(reading.batch().await.records().len(), 1);
    let Fetched::End(ended) = reading.next().await else { panic!("no end") };
    assert_eq!(ended.iter().map(|child| child.id.to_string()).collect::<Vec<_>>(), children);
    for (child, shard) in ended.iter().zip(stream.open_shards()) {
        assert_eq!(child.parents, [ShardId::from(SHARD)]);
        assert_eq!((child.range.start.as_u128(), child.range.end.as_u128()), shard.hash_keys.into_inner());
    }
    assert!(reading.fetched.recv().await.is_none());
    // One listing: a response alone is no proof of children.
    assert_eq!(cloud.calls("w").count("ListShards"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_shard_ends_too_and_a_merge_names_both_parents() {
    // S91
    let (cloud, stream) = cloud_of(2).await;
    let child = stream.merge(0, 1).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    let Fetched::End(ended) = reading.next().await else { panic!("no end") };
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].id.as_str(), child);
    assert_eq!(ended[0].parents, [ShardId::from(SHARD), ShardId::from("shardId-000000000001")]);
}

#[tokio::test(start_paused = true)]
async fn faults_slow_the_reading_and_lose_and_repeat_nothing() {
    // S161
    let (cloud, stream) = cloud_of(1).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    let mut expected = Vec::new();
    let faults = [
        Fault::Throttle,
        Fault::ServerError,
        Fault::Unavailable,
        Fault::LoseRequest,
        Fault::LoseResponse,
        Fault::BlackHole,
        Fault::SilentAnswer,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        cloud.faults("w").next_n("GetRecords", n + 1, fault);
        stream.put("k", n.to_string()).await;
        expected.push(n.to_string());
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    stream.put("k", "end").await;
    expected.push("end".to_owned());
    assert_eq!(reading.data().await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_iterator_that_expires_while_the_processor_is_slow_is_replaced() {
    let mut limits = Limits::default();
    limits.get_records_entries = 1;
    let cloud = Cloud::builder().limits(limits).build();
    let stream = cloud.create_stream("clicks", 1).await;
    for n in 0..6 {
        stream.put("k", n.to_string()).await;
    }
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    // Three batches are all that a shard may hold; the fourth call waits, and its iterator expires.
    let held = [reading.batch().await, reading.batch().await, reading.batch().await];
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(reading.fetched.try_recv().is_err());
    drop(held);
    assert_eq!(reading.data().await, ["3", "4", "5"]);
    assert_eq!(cloud.calls("w").count("GetShardIterator"), 2);
}

#[tokio::test(start_paused = true)]
async fn latest_is_the_moment_of_the_first_iterator_even_if_that_expires() {
    // S139
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "before").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    cloud.faults("w").always_for("GetRecords", Fault::Throttle);
    let mut reading = Reading::start(&cloud, Checkpoint::Latest).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    stream.put("k", "after").await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    cloud.faults("w").heal();
    assert_eq!(reading.data().await, ["after"]);
    assert_eq!(cloud.calls("w").count("GetShardIterator"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_an_earlier_stream_of_that_name_is_refused() {
    // S133
    let (cloud, stream) = cloud_of(1).await;
    let old = stream.put("k", "old").await;
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleting");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let stream = cloud.create_stream("clicks", 1).await;
    stream.put("k", "new").await;
    let mut reading = Reading::start(&cloud, at(&old.sequence_number, 0)).await;
    let Fetched::Failed(error) = reading.next().await else { panic!("no failure") };
    let starting = stream.shards()[0].starting_sequence_number.parse().expect("a number");
    let checkpoint = old.sequence_number.parse().expect("a number");
    let foreign = ForeignCheckpoint { shard: ShardId::from(SHARD), checkpoint, starting };
    assert_eq!(error, ReadError::ForeignCheckpoint(Box::new(foreign)));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_a_younger_stream_does_not_hide_what_is_there() {
    // S133, the other way round.
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "here").await;
    let number = &stream.records()[0].sequence_number;
    let mut reading = Reading::start(&cloud, at(&format!("9{}", &number[1..]), 0)).await;
    let Fetched::Failed(error) = reading.next().await else { panic!("no failure") };
    assert!(matches!(error, ReadError::ForeignCheckpoint(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_expired_is_followed_by_the_oldest_one() {
    // S157
    let (cloud, stream) = cloud_of(1).await;
    let old = stream.put("k", "old").await;
    tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
    stream.put("k", "young").await;
    let mut reading = Reading::start(&cloud, at(&old.sequence_number, 0)).await;
    assert_eq!(reading.data().await, ["young"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_expired_ends_without_children() {
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "old").await;
    stream.split(0).await;
    tokio::time::sleep(Duration::from_secs(60 * 3600)).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    let Fetched::End(children) = reading.next().await else { panic!("no end") };
    assert_eq!(children, []);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_gone_ends_no_shard() {
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "here").await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    assert_eq!(reading.batch().await.records().len(), 1);
    cloud.outside().kinesis.delete_stream().stream_name("clicks").send().await.expect("deleting");
    assert!(timeout(Duration::from_secs(3600), reading.fetched.recv()).await.is_err());
    // Listed again and again, with pauses.
    assert!(cloud.calls("w").count("ListShards") < 3600);
}

#[tokio::test(start_paused = true)]
async fn answers_are_counted_against_the_budget_until_their_batch_is_dropped() {
    let (cloud, stream) = cloud_of(1).await;
    for _ in 0..20 {
        stream.put("k", vec![0; 1_000_000]).await;
    }
    let lease = Lease::new(LeaseKey::from(SHARD), Checkpoint::TrimHorizon);
    let mut reading = Reading::start_with(&cloud, lease, 24 << 20).await;
    let first = reading.batch().await;
    let bytes = first.bytes();
    assert!(bytes > 9 << 20, "{bytes}");
    // Reading ahead would need more than half of the budget.
    assert!(timeout(Duration::from_secs(60), reading.fetched.recv()).await.is_err());
    let mut other = reading.budget.share();
    let rest = (24 << 20) - bytes - 8192;
    assert!(timeout(Duration::from_secs(1), other.reserve(rest, rest, Duration::MAX)).await.is_ok());
    assert!(timeout(Duration::from_secs(1), other.reserve(rest + 8192, rest + 8192, Duration::MAX)).await.is_err());
    let again = first.clone();
    drop(first);
    assert!(timeout(Duration::from_secs(60), reading.fetched.recv()).await.is_err());
    drop(again);
    assert!(reading.batch().await.bytes() > 9 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_none_is_asked_for_again_and_never_passed_over() {
    // The service has no such numbers: a stand-in returns them.
    let bad = GetRecordsOutput::builder()
        .records(
            aws_sdk_kinesis::types::Record::builder()
                .sequence_number("LATEST")
                .data(Blob::new("x"))
                .build()
                .expect("complete"),
        )
        .next_shard_iterator("i2")
        .millis_behind_latest(0)
        .build()
        .expect("complete");
    let (cloud, _stream) = cloud_of(1).await;
    let mut reader = reader_of(&cloud).await;
    reader.polling.iterator("i1".to_owned(), SystemTime::UNIX_EPOCH);
    let permit = reader.share.reserve(1, 1, Duration::MAX).await;
    assert!(reader.take(reader.context.clock.now(), bad, permit).is_none());
    assert!(matches!(reader.polling.step(), Step::GetRecords { iterator, .. } if iterator == "i1"));
}

/// Q53: a response that names children proves neither that they exist nor that the shard is at its end.
#[tokio::test(start_paused = true)]
async fn what_an_answer_says_of_the_end_is_looked_up() {
    for (is_split, parent) in [(true, SHARD), (false, SHARD), (false, "shardId-000000000097")] {
        let (cloud, stream) = cloud_of(1).await;
        if is_split {
            stream.split(0).await;
        }
        let mut reader = reader_of(&cloud).await;
        let children = ["shardId-000000000098", "shardId-000000000099"].map(|id| {
            let range =
                HashKeyRangeOfSdk::builder().starting_hash_key("0").ending_hash_key("9").build().expect("complete");
            ChildShard::builder().shard_id(id).parent_shards(parent).hash_key_range(range).build().expect("complete")
        });
        let last = GetRecordsOutput::builder().set_records(Some(Vec::new())).set_child_shards(Some(children.to_vec()));
        let permit = reader.share.reserve(1, 1, Duration::MAX).await;
        let now = reader.context.clock.now();
        assert!(reader.take(now, last.build().expect("complete"), permit).is_none());
        let (sender, mut fetched) = mpsc::channel(8);
        tokio::spawn(reader.run(sender));
        let end = timeout(Duration::from_secs(600), fetched.recv()).await;
        if is_split {
            let Ok(Some(Fetched::End(listed))) = end else { panic!("{end:?} instead of the end") };
            let ids: Vec<String> = listed.iter().map(|child| child.id.to_string()).collect();
            assert_eq!(ids, ["shardId-000000000001", "shardId-000000000002"]);
        } else {
            assert!(end.is_err(), "an open shard has no end: {end:?}");
            stream.put("k", "later").await;
            let later = timeout(Duration::from_secs(10), fetched.recv()).await;
            assert!(matches!(&later, Ok(Some(Fetched::Batch(_)))), "{later:?}");
        }
    }
}

/// Row 11 of `shard-end`: a listing that fails settles nothing, however often.
#[tokio::test(start_paused = true)]
async fn an_end_is_looked_up_until_the_listing_answers() {
    let (cloud, stream) = cloud_of(1).await;
    stream.put("k", "last").await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    assert_eq!(reading.batch().await.records().len(), 1);
    cloud.faults("w").always_for("ListShards", Fault::refuse("AccessDeniedException"));
    let children = stream.split(0).await;
    let end = timeout(Duration::from_secs(600), reading.fetched.recv()).await;
    assert!(end.is_err(), "{end:?}");
    cloud.faults("w").heal();
    let Fetched::End(ended) = reading.next().await else { panic!("no end") };
    assert_eq!(ended.iter().map(|child| child.id.to_string()).collect::<Vec<_>>(), children);
}

/// The listing is older than the end of the shard, which the response shows already.
#[tokio::test(start_paused = true)]
async fn an_end_that_the_listing_does_not_know_yet_is_looked_up_once_a_second() {
    let (cloud, stream) = cloud_of(1).await;
    let mut reading = Reading::start(&cloud, Checkpoint::TrimHorizon).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    cloud.faults("w").always(Fault::StaleListing(Duration::from_secs(30)));
    let split = cloud.clock().elapsed();
    stream.split(0).await;
    let Fetched::End(ended) = reading.next().await else { panic!("no end") };
    assert_eq!(ended.len(), 2);
    let after = cloud.clock().elapsed() - split;
    assert!((30..=33).contains(&after.as_secs()), "{after:?}");
    assert!(cloud.calls("w").count("ListShards") <= 40, "{}", cloud.calls("w").count("ListShards"));
}
