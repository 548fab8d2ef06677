//! Starts: errors that pass are retried, others fail at once, and each error says where and why.

mod common;

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::between::between;
use common::{builder, cloud, stored};
use kinesis_producer::{BuildError, Producer, Record};
use kinesis_testkit::{Cloud, Fault, Limits, Outcome};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// Q26: new keys are not known everywhere for some seconds, a policy is being written, a token is renewed.
#[tokio::test(start_paused = true)]
async fn a_start_retries_errors_that_pass() {
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

/// Thirty seconds in all, and then an error with the cause.
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

/// Without the permission to describe the stream, records can be put. The stream's kind shows later.
#[tokio::test(start_paused = true)]
async fn a_start_without_the_right_to_describe_goes_on_at_once() {
    let (cloud, _stream, builder) = cloud(1).await;
    cloud.faults("a").always_for("DescribeStreamSummary", Fault::refuse("AccessDeniedException"));
    let start = Instant::now();
    builder.build().await.expect("a producer");
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

/// A missing stream is not waited for.
#[tokio::test(start_paused = true)]
async fn a_missing_stream_ends_a_start_at_once() {
    let cloud = Cloud::new();
    let client = cloud.connect("a").await.kinesis;
    let built = timeout(5 * SECOND, Producer::builder(client, "nowhere").build()).await.expect("within five seconds");
    assert!(matches!(built.expect_err("no such stream"), BuildError::StreamNotFound { .. }));
}

/// A stream that is neither a name nor an ARN is refused before a call.
#[tokio::test(start_paused = true)]
async fn an_invalid_stream_name_is_refused_with_its_value_before_any_call() {
    let cloud = Cloud::new();
    let client = cloud.connect("a").await.kinesis;
    for stream in ["", "two words", "arn:aws:dynamodb:eu-west-1:123456789012:table/clicks"] {
        let error = Producer::builder(client.clone(), stream).build().await.expect_err("no stream");
        let said = error.to_string();
        assert!(matches!(error, BuildError::Setting(_)) && said.contains(&format!("{stream:?}")), "{said}");
        assert!(said.contains("1 to 128"), "{said}");
    }
    assert!(cloud.calls("a").is_empty());
}

/// A stream in CREATING is waited for.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_made_is_waited_for() {
    let cloud = Cloud::new();
    let create = cloud.outside().kinesis.create_stream().stream_name("clicks").shard_count(1);
    create.send().await.expect("a new stream");
    let producer = builder(&cloud).await.build().await.expect("a producer");
    producer.put(Record::new("k", "x")).await.expect("admitted").await.expect("written");
}

/// Q28: the pages that arrived are kept, and only the refused page is asked for again.
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

/// The time in CREATING does not count against the thirty seconds.
#[tokio::test(start_paused = true)]
async fn the_retry_time_begins_when_the_stream_is_active() {
    let mut limits = Limits::default();
    limits.creating = 60 * SECOND;
    let cloud = Cloud::builder().limits(limits).build();
    let create = cloud.outside().kinesis.create_stream().stream_name("clicks").shard_count(1);
    create.send().await.expect("a new stream");
    let now = cloud.clock().elapsed();
    cloud.faults("a").during_for("ListShards", now..now + 75 * SECOND, Fault::Throttle);
    let start = Instant::now();
    builder(&cloud).await.build().await.expect("a producer");
    assert!(start.elapsed() >= 75 * SECOND, "{:?}", start.elapsed());
}

/// The thirty seconds hold even if a single call may take ten minutes.
#[tokio::test(start_paused = true)]
async fn a_start_ends_even_if_a_call_may_take_longer() {
    for operation in ["DescribeStreamSummary", "ListShards"] {
        let (cloud, _stream, builder) = cloud(1).await;
        cloud.faults("a").always_for(operation, Fault::DelayResponse(700 * SECOND));
        let start = Instant::now();
        builder.request_timeout(600 * SECOND).build().await.expect_err("no answer");
        assert!((30..37).contains(&start.elapsed().as_secs()), "{operation}: {:?}", start.elapsed());
    }
}

/// Without a region no request can ever be sent.
#[tokio::test(start_paused = true)]
async fn a_client_without_a_region_is_not_waited_for() {
    let cloud = Cloud::new();
    let mut config = cloud.connect("a").await.kinesis_config();
    config.set_region(None);
    let client = aws_sdk_kinesis::Client::from_conf(config.build());
    let start = Instant::now();
    let error = Producer::builder(client, "clicks").build().await.expect_err("no region");
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    let shown = "stream clicks cannot be reached (no region, no request was sent, NoRegion after 0.0 s)";
    assert_eq!(error.to_string(), shown);
}

/// An expired page token is not used again.
#[tokio::test(start_paused = true)]
async fn a_listing_with_an_expired_token_begins_again() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 2500).await;
    let (whole, pages) = (std::sync::Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let begun = std::sync::Arc::clone(&whole);
    let builder = between(&cloud, move |operation, body| {
        if operation != "ListShards" {
            return None;
        }
        if !body.contains("NextToken") {
            begun.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let refusal = r#"{"__type":"ExpiredNextTokenException","message":"over"}"#;
        (pages.fetch_add(1, Ordering::Relaxed) == 1).then(|| (400, refusal.to_owned()))
    });
    builder.await.build().await.expect("a producer");
    assert_eq!(whole.load(Ordering::Relaxed), 2, "from the first page again");
}

/// A printed error, in any format, says each thing once and contains nothing of the request.
#[tokio::test(start_paused = true)]
async fn an_error_of_a_start_shows_no_token() {
    for operation in ["DescribeStreamSummary", "ListShards"] {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let body = r#"{"__type":"InvalidSignatureException","message":"The signature does not match. The Canonical String for this request should have been 'POST x-amz-security-token:SECRET'"}"#;
        let builder = between(&cloud, move |asked, _| (asked == operation).then(|| (403, body.to_owned())));
        let error = builder.await.build().await.expect_err("refused");
        let causes = std::iter::successors(Some(&error as &dyn Error), |error| (**error).source());
        let chain: Vec<String> = causes.map(ToString::to_string).collect();
        let said = "InvalidSignatureException: The signature does not match.";
        assert_eq!(chain.iter().filter(|text| text.contains(said)).count(), 1, "{chain:?}");
        let debug = format!("{error:?}");
        assert!(debug.contains(said), "{debug}");
        assert!(!format!("{chain:?} {debug}").contains("SECRET"), "{chain:?} {debug}");
    }
}
