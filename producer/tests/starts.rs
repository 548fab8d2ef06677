//! Starts: patient with what passes, quick where there is nothing to wait for, and errors that say where it was.

mod common;

use std::time::Duration;

use common::{builder, cloud, stored};
use kinesis_producer::{BuildError, Producer, Record};
use kinesis_testkit::{Cloud, Fault, Outcome};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Q26: new keys are not known everywhere for some seconds, a policy is being written, a token is renewed.
#[tokio::test(start_paused = true)]
async fn a_start_waits_for_what_passes() {
    let refusals = [
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "AccessDeniedException",
        "ThrottledException",
        "LimitExceededException",
        "KMSAccessDeniedException",
        "InternalFailure",
    ];
    let faults = refusals.into_iter().map(Fault::refuse);
    for fault in faults.chain([Fault::RefuseConnection, Fault::HostNotFound, Fault::HangConnection]) {
        let (cloud, stream, builder) = cloud(2).await;
        let now = cloud.clock().elapsed();
        cloud.faults("a").during(now..now + 15 * SECOND, fault.clone());
        let start = Instant::now();
        let producer = builder.build().await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(start.elapsed() < 25 * SECOND, "{fault:?}: {:?}", start.elapsed());
        producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
        assert_eq!(stored(&stream).len(), 1);
    }
}

/// Thirty seconds in all, and then an error that says what it was.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_where_how_long_and_why() {
    for (fault, code) in [
        (Fault::refuse("UnrecognizedClientException"), "UnrecognizedClientException"),
        (Fault::refuse("AccessDeniedException"), "AccessDeniedException"),
        (Fault::RefuseConnection, "ConnectionError"),
        (Fault::BlackHole, "Timeout"),
    ] {
        let (cloud, _stream, builder) = cloud(1).await;
        cloud.faults("a").always(fault.clone());
        let start = Instant::now();
        let error = builder.build().await.expect_err("nobody mends it");
        assert!((30..37).contains(&start.elapsed().as_secs()), "{fault:?}: {:?}", start.elapsed());
        let (BuildError::Unreachable { sought, .. } | BuildError::Shards { sought, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!((sought.code.as_ref(), sought.region.as_deref()), (code, Some("us-east-1")));
        assert!(sought.spent >= 30 * SECOND);
        let shown = error.to_string();
        for part in ["clicks", "us-east-1", "http://cloud.test", code, "after 3"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}

/// Without the right to describe a stream one can put into it: what it is shows later.
#[tokio::test(start_paused = true)]
async fn a_start_without_the_right_to_describe_goes_on_at_once() {
    let (cloud, _stream, builder) = cloud(1).await;
    cloud.faults("a").always_for("DescribeStreamSummary", Fault::refuse("AccessDeniedException"));
    let start = Instant::now();
    builder.build().await.expect("a producer");
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

/// There is no stream of this name: nobody waits for it.
#[tokio::test(start_paused = true)]
async fn no_such_stream_ends_a_start_at_once() {
    let cloud = Cloud::new();
    let client = cloud.connect("a").await.kinesis;
    let built = timeout(5 * SECOND, Producer::builder(client, "nowhere").build()).await.expect("within five seconds");
    assert!(matches!(built.expect_err("no such stream"), BuildError::StreamNotFound { .. }));
}

/// A stream that is being made is waited for.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_made_is_waited_for() {
    let cloud = Cloud::new();
    let create = cloud.outside().kinesis.create_stream().stream_name("clicks").shard_count(1);
    create.send().await.expect("a new stream");
    let producer = builder(&cloud).await.build().await.expect("a producer");
    producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
}

/// Q28: the pages that came stay, and only the one that was refused is asked for again.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_refused_does_not_cost_the_others() {
    let (cloud, _stream, builder) = cloud(2500).await;
    let now = cloud.clock().elapsed();
    cloud.faults("a").during_for("ListShards", now..now + 5 * SECOND, Fault::ThrottlePage(2));
    builder.build().await.expect("a producer");
    let calls = cloud.calls("a");
    let listings = calls.iter().filter(|call| call.operation == "ListShards");
    let refused = listings.filter(|call| matches!(call.outcome, Outcome::Refused(_))).count();
    assert!(refused >= 2, "{refused}");
    assert_eq!(calls.count("ListShards"), 3 + refused, "three pages, each answered once");
}
