//! Refusals that pass by themselves or when an operator acts, and requests that never left (docs/rules.md, *Error
//! codes*).

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use common::between::between;
use common::{builder, cloud, copies, millis, stored};
use kinesis_producer::{Aggregation, Delivery, DeliveryErrorKind, Outcome, Producer, Record};
use kinesis_testkit::{Cloud, Fault};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

async fn put(producer: &Producer, data: &str) -> Delivery {
    producer.put(Record::new("k", data)).await.expect("admitted")
}

/// Q26: a refusal that an operator can end is retried until the time to live is over.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_ends_in_time_loses_no_record() {
    for code in [
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "ExpiredTokenException",
        "AccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "ThrottledException",
        "ResourceNotFoundException",
        "ResourceInUseException",
        "SomethingNewException",
    ] {
        let (cloud, stream, builder) = cloud(1).await;
        let producer = builder.build().await.expect("a producer");
        let now = cloud.clock().elapsed();
        cloud.faults("a").during_for("PutRecords", now..now + 20 * SECOND, Fault::refuse(code));
        let start = Instant::now();
        let receipt = put(&producer, "x").await.await.unwrap_or_else(|error| panic!("{code}: {error}"));
        assert!(receipt.attempts > 3 && start.elapsed() < 25 * SECOND, "{code}: {receipt:?}");
        assert_eq!(stored(&stream).len(), 1, "{code}: what is refused is not written");
    }
}

/// Q26: if it does not end, the record may be put again.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_stays_expires_the_record_as_retryable() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(5 * SECOND).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::refuse("AccessDeniedException"));
    let start = Instant::now();
    let error = put(&producer, "x").await.await.expect_err("no access");
    assert!(start.elapsed() >= 5 * SECOND);
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::NotWritten));
    assert!(error.is_retryable());
    assert!(error.attempts().iter().all(|attempt| attempt.code == "AccessDeniedException"));
    assert!(error.to_string().contains(&format!("last of {} attempts: AccessDenied", error.attempts().len())));
    assert!(stored(&stream).is_empty());
}

/// Q26: a refusal that nothing can end fails the record at once.
#[tokio::test(start_paused = true)]
async fn a_final_refusal_fails_at_once() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::refuse("ValidationException"));
    let start = Instant::now();
    let error = put(&producer, "x").await.await.expect_err("not valid");
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Refused, Outcome::NotWritten));
    assert!(!error.is_retryable());
}

/// Q25: the machine's clock is set wrong, and right again, while the producer runs.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_costs_an_attempt_and_no_record() {
    let (cloud, stream, builder) = cloud(1).await;
    let producer = builder.build().await.expect("a producer");
    put(&producer, "before").await.await.expect("written");
    for (n, ahead) in [Some(600), None, Some(0)].into_iter().enumerate() {
        match ahead {
            Some(seconds) => cloud.clock_ahead("a", Duration::from_secs(seconds)),
            None => cloud.clock_behind("a", Duration::from_secs(900)),
        }
        let receipt = put(&producer, &n.to_string()).await.await.expect("written");
        assert_eq!(receipt.attempts, 2, "the refusal tells the right time");
        assert_eq!(put(&producer, &format!("after {n}")).await.await.expect("written").attempts, 1, "and it is kept");
    }
    assert_eq!(stored(&stream).len(), 7);
}

/// Q25: the first put knows what the questions of the start learned about the clock.
#[tokio::test(start_paused = true)]
async fn a_producer_starts_with_a_wrong_clock() {
    for ahead in [true, false] {
        let (cloud, _stream, builder) = cloud(2).await;
        match ahead {
            true => cloud.clock_ahead("a", Duration::from_secs(600)),
            false => cloud.clock_behind("a", Duration::from_secs(600)),
        }
        let producer = builder.build().await.expect("a producer");
        assert_eq!(put(&producer, "x").await.await.expect("written").attempts, 1);
    }
}

/// Q27: a request without a connection has not left, so its records are not in the stream.
#[tokio::test(start_paused = true)]
async fn a_request_that_found_no_connection_is_not_written() {
    for fault in [Fault::HostNotFound, Fault::RefuseConnection, Fault::HangConnection] {
        let (cloud, stream, builder) = cloud(1).await;
        let producer = builder.record_ttl(5 * SECOND).build().await.expect("a producer");
        cloud.faults("a").always(fault.clone());
        let error = put(&producer, "x").await.await.expect_err("no connection");
        assert_eq!(error.outcome(), Outcome::NotWritten, "{fault:?}: {:?}", error.attempts());
        assert!(!error.attempts().is_empty());
        assert!(stored(&stream).is_empty());
    }
}

/// Credentials that hang on demand.
#[derive(Debug)]
struct Slow(Arc<AtomicBool>);

impl ProvideCredentials for Slow {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let slow = Arc::clone(&self.0);
        future::ProvideCredentials::new(async move {
            if slow.load(Ordering::Relaxed) {
                sleep(3600 * SECOND).await;
            }
            // Expired at once, so that each call asks for new ones.
            Ok(Credentials::new("a", "b", None, Some(SystemTime::UNIX_EPOCH), "slow"))
        })
    }
}

/// Q27: a call that waited for credentials until its timeout has not left either, although it ends like one without an
/// answer.
#[tokio::test(start_paused = true)]
async fn a_request_that_waited_for_credentials_is_not_written() {
    for close in [false, true] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        let slow = Arc::new(AtomicBool::new(false));
        let config = cloud.connect("a").await.kinesis_config().credentials_provider(Slow(Arc::clone(&slow))).build();
        let client = aws_sdk_kinesis::Client::from_conf(config);
        let producer =
            Producer::builder(client, "clicks").seed(7).record_ttl(8 * SECOND).build().await.expect("a producer");
        slow.store(true, Ordering::Relaxed);
        let delivery = put(&producer, "x").await;
        let mut left = Vec::new();
        if close {
            sleep(SECOND).await;
            left = producer.close(SECOND).await.undelivered;
        }
        let error = delivery.await.expect_err("no credentials");
        assert_eq!(error.outcome(), Outcome::NotWritten, "{:?}", error.attempts());
        assert_eq!((error.attempts().is_empty(), left.len()), (false, usize::from(close)));
        assert_eq!((stored(&stream).len(), cloud.calls("a").count("PutRecords")), (0, 0));
    }
}

type Answers = Arc<Mutex<Vec<(u16, &'static str)>>>;

/// Answers PutRecords with the given answers, in order.
async fn answering(cloud: &Cloud) -> (kinesis_producer::Builder, Answers) {
    let answers = Answers::default();
    let left = Arc::clone(&answers);
    let builder = between(cloud, move |operation, _| {
        let mut left = left.lock().expect("no panic");
        (operation == "PutRecords" && !left.is_empty())
            .then(|| left.remove(0))
            .map(|(status, body)| (status, body.to_owned()))
    });
    (builder.await, answers)
}

/// Q30: the two answers could belong to the second and the third record (P2).
#[tokio::test(start_paused = true)]
async fn a_short_answer_gives_no_receipts() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let (builder, answers) = answering(&cloud).await;
    let producer = builder.aggregation(Aggregation::Off).build().await.expect("a producer");
    let short = r#"{"FailedRecordCount":0,"Records":[{"ShardId":"shardId-000000000000","SequenceNumber":"2"},{"ShardId":"shardId-000000000000","SequenceNumber":"3"}]}"#;
    answers.lock().expect("no panic").push((200, short));
    let deliveries: Vec<_> =
        (1..=3).map(|n| producer.try_put(Record::new("k", &n.to_string())).expect("admitted")).collect();
    for delivery in deliveries {
        let receipt = delivery.await.expect("written");
        assert!(receipt.sequence_number.len() > 1 && receipt.attempts == 2, "{receipt:?}");
    }
    assert!(copies(&stored(&stream)).values().all(|copies| *copies == 1));
}

/// Q26: an answer of a proxy passes, too. Its page says nothing about the record.
#[tokio::test(start_paused = true)]
async fn an_answer_of_a_proxy_is_not_final() {
    for (status, body) in [
        (403, "<html>proxy says no</html>"),
        (408, "<html>"),
        (413, ""),
        (503, "<html>"),
        (200, r#"{"Records":[{"Seq"#),
    ] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        let (builder, answers) = answering(&cloud).await;
        let producer = builder.build().await.expect("a producer");
        answers.lock().expect("no panic").push((status, body));
        let receipt = put(&producer, "x").await.await.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!((receipt.attempts, stored(&stream).len()), (2, 1), "{status}");
    }
}

/// The service's text is foreign: an error shows it on one line, and never contains the request.
#[tokio::test(start_paused = true)]
async fn the_text_of_the_service_is_cut_and_escaped() {
    let (cloud, _stream, builder) = cloud(1).await;
    let producer = builder.record_ttl(SECOND).build().await.expect("a producer");
    let message = format!("no\n{}\nThe Canonical String for this request should have been 'SECRET'", "x".repeat(1000));
    cloud.faults("a").always_for("PutRecords", Fault::refuse_saying("AccessDeniedException", message));
    let error = put(&producer, "x").await.await.expect_err("no access");
    let shown = error.to_string();
    assert!(shown.contains("no\\u{a}xxx") && !shown.contains('\n') && !shown.contains("SECRET"), "{shown}");
    assert!(error.attempts()[0].message.chars().count() <= 501);
}

/// Q30: an entry with an internal failure may be written.
#[tokio::test(start_paused = true)]
async fn an_entry_with_an_internal_failure_has_an_unknown_outcome() {
    use kinesis_testkit::{Entries, EntryError};
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let producer = builder(&cloud).await.record_ttl(SECOND).build().await.expect("a producer");
    cloud.faults("a").always_for("PutRecords", Fault::FailEntries(Entries::All, EntryError::InternalFailure));
    let error = put(&producer, "x").await.await.expect_err("never");
    assert_eq!((error.kind(), error.outcome()), (DeliveryErrorKind::Expired, Outcome::Unknown));
    sleep(millis(1)).await;
}

/// P2, P3: entries that contradict themselves give no receipt and no promise that nothing is written. The same holds
/// for an answer that cannot be read, whichever way the request took.
#[tokio::test(start_paused = true)]
async fn a_contradictory_answer_proves_nothing() {
    let place = r#""ShardId":"shardId-000000000000","#;
    let entries = [
        r#"{"ShardId":"","SequenceNumber":""}"#.to_owned(),
        format!(r#"{{{place}"SequenceNumber":""}}"#),
        r#"{"ErrorCode":"","ErrorMessage":""}"#.to_owned(),
        format!(r#"{{{place}"SequenceNumber":"4711","ErrorCode":"ProvisionedThroughputExceededException"}}"#),
        "null".to_owned(),
    ];
    let bodies = entries.iter().map(|entry| format!(r#"{{"FailedRecordCount":0,"Records":[{entry}]}}"#));
    for body in bodies.chain(["[]", "null", "", "{}"].map(str::to_owned)) {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let answer = body.clone();
        let builder = between(&cloud, move |operation, _| (operation == "PutRecords").then(|| (200, answer.clone())));
        let producer = builder.await.record_ttl(SECOND).build().await.expect("a producer");
        let error = put(&producer, "x").await.await.expect_err(&body);
        assert_eq!(
            (error.kind(), error.outcome()),
            (DeliveryErrorKind::Expired, Outcome::Unknown),
            "{body}: {error:?}"
        );
        assert!(error.attempts().iter().all(|attempt| !attempt.code.is_empty()), "{body}: {error:?}");
    }
}

/// A delivery error names the stream, the duration and the cause, each once.
#[tokio::test(start_paused = true)]
async fn a_delivery_error_says_where_how_long_and_why() {
    for (answer, said) in [
        ((400, r#"{"__type":"SomethingNew","message":"SomethingNew"}"#), "SomethingNew"),
        ((400, r#"{"__type":"SomethingNew"}"#), "SomethingNew"),
        ((503, "<html>"), "503: response error: "),
        ((200, r#"{"FailedRecordCount":1,"Records":[{"ErrorCode":"KMSDisabledException"}]}"#), "KMSDisabledException"),
    ] {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let builder =
            between(&cloud, move |operation, _| (operation == "PutRecords").then(|| (answer.0, answer.1.to_owned())));
        let producer = builder.await.record_ttl(SECOND).build().await.expect("a producer");
        let error = put(&producer, "x").await.await.expect_err("never");
        let shown = error.to_string();
        let count = error.attempts().len();
        let begins = format!(
            "the record's time to live is over (1s, stream clicks); outcome {}, last of {count} attempts: {said}",
            error.outcome()
        );
        assert!(shown.starts_with(&begins) && (said.ends_with(' ') || shown == begins), "{shown}");
    }
}
