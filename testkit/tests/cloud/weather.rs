//! Faults that come by direction, by time and by chance.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_testkit::{Cloud, Entries, EntryError, Fault, Outcome, Weather};
use tokio::time::{Instant, timeout};

use crate::{FIRST, clicks, code, entry, iterator, sleep, without_retries};

async fn put(a: &Client, data: &str) -> bool {
    a.put_record().stream_name("clicks").partition_key("k").data(data.as_bytes().into()).send().await.is_ok()
}

/// Whether a call was answered within a minute.
async fn answered(a: &Client, data: &str) -> bool {
    timeout(Duration::from_secs(60), put(a, data)).await.unwrap_or(false)
}

#[tokio::test(start_paused = true)]
async fn a_network_can_be_cut_in_one_direction() {
    let (cloud, stream, a) = clicks(1).await;
    let faults = cloud.faults("a");
    assert!(answered(&a, "0").await);
    faults.cut_answers();
    assert!(!answered(&a, "1").await);
    assert_eq!(stream.records().len(), 2, "the request arrived");
    faults.heal();
    faults.cut_requests();
    assert!(!answered(&a, "2").await);
    assert_eq!(stream.records().len(), 2, "the request did not arrive");
    faults.heal();
    assert!(answered(&a, "3").await);
}

#[tokio::test(start_paused = true)]
async fn without_answers_there_is_no_new_connection() {
    let (cloud, stream, a) = clicks(1).await;
    assert!(answered(&a, "0").await);
    cloud.faults("a").cut_answers();
    for _ in 0..5 {
        assert!(!answered(&a, "x").await);
    }
    assert_eq!(stream.records().len(), 2, "the only connection took one request more");
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_passes_where_only_requests_are_cut() {
    for (cut_answers, passes) in [(false, true), (true, false)] {
        let (cloud, _stream, a) = clicks(1).await;
        cloud.faults("a").next("PutRecord", Fault::DelayResponse(Duration::from_secs(1)));
        let call = tokio::spawn(async move { put(&a, "x").await });
        sleep(500).await;
        if cut_answers {
            cloud.faults("a").cut_answers();
        } else {
            cloud.faults("a").cut_requests();
        }
        assert_eq!(timeout(Duration::from_secs(60), call).await.is_ok(), passes);
    }
}

#[tokio::test(start_paused = true)]
async fn an_iterator_expires_when_asked_to() {
    let (cloud, _stream, a) = clicks(1).await;
    cloud.faults("a").always(Fault::ExpireIterator);
    let iterator = iterator(&a, FIRST, ShardIteratorType::TrimHorizon).await;
    assert!(put(&a, "other operations do not notice").await);
    let get = || a.get_records().shard_iterator(&iterator).send();
    assert_eq!(code(get().await), "ExpiredIteratorException");
    cloud.faults("a").heal();
    assert_eq!(get().await.unwrap().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_be_given_its_time() {
    let (cloud, stream, a) = clicks(1).await;
    let now = cloud.clock().elapsed();
    let secs = Duration::from_secs;
    cloud.faults("a").during(now + secs(10)..now + secs(20), Fault::LoseRequest);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(put(&a, "x").await);
        tokio::time::sleep(secs(5)).await;
    }
    assert_eq!(seen, [true, true, false, false, true, true]);
    assert_eq!(stream.records().len(), 4);

    // A black hole of a minute takes what falls into it, and nothing after.
    let now = cloud.clock().elapsed();
    cloud.faults("a").during(now..now + secs(60), Fault::BlackHole);
    assert!(!answered(&a, "lost").await);
    assert!(answered(&a, "after").await);
}

/// How long each of ten calls of `worker` took.
async fn spread(seed: u64, worker: &str, others: usize) -> Vec<u128> {
    let cloud = Cloud::builder().seed(seed).build();
    cloud.create_stream("clicks", 1).await;
    let range = Duration::from_millis(5)..=Duration::from_millis(100);
    cloud.faults(worker).always(Fault::Latency(range.clone()));
    cloud.faults("other").always(Fault::Latency(range));
    let other = without_retries(&cloud.connect("other").await);
    for _ in 0..others {
        assert!(put(&other, "x").await);
    }
    let client = without_retries(&cloud.connect(worker).await);
    let mut times = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        assert!(put(&client, "x").await);
        times.push(start.elapsed().as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn latency_is_spread_by_the_worker_s_own_seed() {
    let times = spread(1, "a", 0).await;
    assert!(times.iter().all(|time| (10..=205).contains(time)), "{times:?}");
    assert!(times.iter().max() > times.iter().min());
    assert_eq!(times, spread(1, "a", 7).await, "another worker's calls changed this one's");
    assert_ne!(times, spread(1, "b", 0).await);
    assert_ne!(times, spread(2, "a", 0).await);
}

fn rough() -> Weather {
    Weather::calm()
        .chance(0.10, Fault::LoseRequest)
        .chance(0.10, Fault::LoseResponse)
        .chance(0.10, Fault::ServerError)
        .chance(0.10, Fault::Throttle)
        .chance(0.50, Fault::Latency(Duration::ZERO..=Duration::from_millis(200)))
}

/// What became of 400 calls in rough weather, and when.
async fn weathered(seed: u64, other_calls: usize) -> Vec<(Duration, Outcome)> {
    let (cloud, _stream, a) = clicks(1).await;
    cloud.faults("a").random(seed, rough());
    cloud.faults("b").random(seed, rough());
    let b = without_retries(&cloud.connect("b").await);
    let start = cloud.clock().elapsed();
    for _ in 0..400 {
        put(&a, "x").await;
    }
    for _ in 0..other_calls {
        put(&b, "x").await;
    }
    cloud.calls("a").iter().map(|call| (call.at - start, call.outcome.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn weather_is_drawn_from_its_seed() {
    let calls = weathered(3, 0).await;
    let share = |wanted: fn(&Outcome) -> bool| calls.iter().filter(|(_, outcome)| wanted(outcome)).count();
    for wanted in [
        (|outcome| *outcome == Outcome::RequestLost) as fn(&Outcome) -> bool,
        |outcome| *outcome == Outcome::ResponseLost,
        |outcome| matches!(outcome, Outcome::Refused(code) if code == "InternalFailureException"),
        |outcome| matches!(outcome, Outcome::Refused(code) if code == "ProvisionedThroughputExceededException"),
    ] {
        assert!((15..=60).contains(&share(wanted)), "a tenth of 400 calls, not {}", share(wanted));
    }
    assert!(calls == weathered(3, 50).await, "one seed, two fates");
    assert!(calls != weathered(4, 0).await, "two seeds, one fate");
}

#[tokio::test(start_paused = true)]
async fn weather_clears_when_it_is_healed_and_keeps_to_its_service() {
    let (cloud, _stream, a) = clicks(1).await;
    let dynamodb = cloud.connect("a").await.dynamodb;
    cloud.faults("a").dynamodb().random(1, Weather::calm().chance(1.0, Fault::LoseRequest));
    assert!(put(&a, "x").await);
    assert!(dynamodb.list_tables().send().await.is_err());
    cloud.faults("a").heal();
    assert!(dynamodb.list_tables().send().await.is_ok());
    cloud.faults("a").random(1, Weather::calm().chance(0.0, Fault::LoseRequest));
    assert!(put(&a, "never is never").await);
}

#[tokio::test(start_paused = true)]
async fn entries_fail_by_chance() {
    let (cloud, stream, a) = clicks(1).await;
    cloud.faults("a").always(Fault::FailEntries(Entries::Percent(30), EntryError::InternalFailure));
    let mut failed = Vec::new();
    for _ in 0..2 {
        let records = (0..200).map(|n| entry(&n.to_string(), "x")).collect();
        let answer = a.put_records().stream_name("clicks").set_records(Some(records)).send().await.unwrap();
        failed.push(answer.records.iter().map(|record| record.error_code.is_some()).collect::<Vec<_>>());
    }
    let counts: Vec<usize> = failed.iter().map(|places| places.iter().filter(|failed| **failed).count()).collect();
    assert!(counts.iter().all(|count| (35..=85).contains(count)), "30 % of 200, not {counts:?}");
    assert_ne!(failed[0], failed[1]);
    assert_eq!(stream.records().len(), 400 - counts.iter().sum::<usize>());
}
