//! Starts, and what passes by itself or when somebody acts: `build` is patient for half a minute and says what it waits for.

use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinesis_consumer::lease::DynamoDbLeaseStore;
use kinesis_consumer::{Batch, BuildError, Consumer, ConsumerBuilder, FindingKind};
use kinesis_testkit::{Cloud, Connection, Fault, Limits};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn builder(connection: &Connection) -> ConsumerBuilder {
    let builder = Consumer::builder("app", "clicks").worker_id("w").seed(7);
    builder.kinesis(connection.kinesis.clone()).dynamodb(connection.dynamodb.clone())
}

/// What is delivered within this time.
async fn delivered(consumer: Consumer, time: Duration) -> Vec<String> {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let (handle, sink) = (consumer.handle(), seen.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        let texts = batch.records().iter().map(|record| String::from_utf8_lossy(record.data()).into_owned());
        sink.lock().expect("no panic").extend(texts);
        async { Ok::<(), std::io::Error>(()) }
    }));
    sleep(time).await;
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("a good end");
    let seen = seen.lock().expect("no panic");
    seen.clone()
}

/// An error with its causes.
fn chain(error: &BuildError) -> String {
    let causes = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Q25 (aws-sdk-go #2194): the SDK learns the time from the first refusal, if its client is asked again.
#[tokio::test(start_paused = true)]
async fn a_consumer_starts_and_reads_with_a_wrong_clock() {
    for ahead in [true, false] {
        let cloud = Cloud::new();
        let stream = cloud.create_stream("clicks", 1).await;
        stream.put("a", "hello").await;
        let connection = cloud.connect("w").await;
        match ahead {
            true => cloud.clock_ahead("w", 600 * SECOND),
            false => cloud.clock_behind("w", 600 * SECOND),
        }
        let start = Instant::now();
        let consumer = builder(&connection).build().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
        assert_eq!(delivered(consumer, 30 * SECOND).await, ["hello"], "ahead: {ahead}");
    }
}

/// Q25: the clock steps under a running consumer, forth and back.
#[tokio::test(start_paused = true)]
async fn a_consumer_goes_on_when_its_clock_steps() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 2).await;
    let connection = cloud.connect("w").await;
    let consumer = builder(&connection).build().await.expect("nothing is wrong");
    let writing = tokio::spawn(async move {
        for n in 0..60_u32 {
            stream.put(&format!("k{n}"), n.to_string()).await;
            match n {
                20 => cloud.clock_ahead("w", 600 * SECOND),
                40 => cloud.clock_behind("w", 900 * SECOND),
                _ => {}
            }
            sleep(SECOND).await;
        }
    });
    let mut seen = delivered(consumer, 70 * SECOND).await;
    writing.await.expect("no panic");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 60);
}

/// Q26: what passes by itself, or when somebody renews a token, enables a key or allows an action.
#[tokio::test(start_paused = true)]
async fn a_start_outlasts_twenty_seconds_of_any_refusal_that_passes() {
    for code in [
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "AccessDeniedException",
        "OptInRequired",
        "KMSDisabledException",
        "ThrottledException",
        "RequestThrottled",
        "SomethingNew",
    ] {
        for service in ["both", "Kinesis", "DynamoDB"] {
            let cloud = Cloud::new();
            let stream = cloud.create_stream("clicks", 1).await;
            stream.put("a", "hello").await;
            let connection = cloud.connect("w").await;
            let now = cloud.clock().elapsed();
            let faults = match service {
                "Kinesis" => cloud.faults("w").kinesis(),
                "DynamoDB" => cloud.faults("w").dynamodb(),
                _ => cloud.faults("w"),
            };
            faults.during(now..now + 20 * SECOND, Fault::refuse(code));
            let built = builder(&connection).build().await;
            let consumer = built.unwrap_or_else(|error| panic!("{code} of {service}: {}", chain(&error)));
            assert!((cloud.clock().elapsed() - now) < 30 * SECOND, "{code} of {service}");
            assert_eq!(delivered(consumer, 30 * SECOND).await, ["hello"], "{code} of {service}");
        }
    }
}

/// Section VIII: an error that names its object. Half a minute, not 2.5 s; and the log says at once what is waited for.
#[tokio::test(start_paused = true)]
async fn a_start_that_fails_names_what_where_how_long_and_why() {
    for (service, what) in [("Kinesis", "the stream clicks"), ("DynamoDB", "the lease table app")] {
        for (fault, code) in [
            (Fault::refuse("ExpiredTokenException"), "ExpiredTokenException"),
            (Fault::refuse("AccessDeniedException"), "AccessDeniedException"),
            (Fault::RefuseConnection, "tcp connect error"),
            (Fault::HostNotFound, "dns error"),
        ] {
            let (log, _guard) = Log::start();
            let cloud = Cloud::new();
            cloud.create_stream("clicks", 1).await;
            let connection = cloud.connect("w").await;
            let faults = if service == "Kinesis" { cloud.faults("w").kinesis() } else { cloud.faults("w").dynamodb() };
            faults.always(fault);
            let start = Instant::now();
            let error = builder(&connection).build().await.expect_err("it does not pass");
            let spent = start.elapsed();
            assert!((20 * SECOND..=31 * SECOND).contains(&spent), "{service}, {code}: {spent:?}");
            let text = chain(&error);
            for part in [what, "us-east-1", "http://cloud.test", code, " times in "] {
                assert!(text.contains(part), "{part:?} is not in: {text}");
            }
            let said = log.text();
            assert!(said.lines().any(|line| line.contains("WARN") && line.contains(code)), "{said}");
        }
    }
}

/// Rule *Who waits*: half a minute in all, from the first failure of either.
#[tokio::test(start_paused = true)]
async fn the_stream_and_the_table_share_the_half_minute_of_a_start() {
    for code in ["ExpiredTokenException", "ThrottlingException"] {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let connection = cloud.connect("w").await;
        let now = cloud.clock().elapsed();
        cloud.faults("w").kinesis().during(now..now + 20 * SECOND, Fault::refuse(code));
        cloud.faults("w").dynamodb().always(Fault::refuse(code));
        let start = Instant::now();
        let error = builder(&connection).build().await.expect_err("the table refuses for ever");
        let (spent, text) = (start.elapsed(), chain(&error));
        assert!((25 * SECOND..=31 * SECOND).contains(&spent), "{code}: {spent:?}");
        assert!(text.contains("the lease table app") && text.contains(code), "{text}");
    }
}

/// Rule *Who waits*: what is being created is waited for apart, and takes nothing of the half minute.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_failed_once_still_waits_for_a_stream_and_a_table_that_are_being_created() {
    let mut limits = Limits::default();
    limits.creating = 60 * SECOND;
    let cloud = Cloud::builder().limits(limits).build();
    cloud.dynamodb().creating(60 * SECOND);
    let create = cloud.outside().kinesis.create_stream().stream_name("clicks").shard_count(1);
    create.send().await.expect("created");
    let connection = cloud.connect("w").await;
    let now = cloud.clock().elapsed();
    cloud.faults("w").during(now..now + 5 * SECOND, Fault::refuse("ExpiredTokenException"));
    cloud.faults("w").during(now + 130 * SECOND..now + 135 * SECOND, Fault::refuse("ExpiredTokenException"));
    let built = builder(&connection).build().await;
    built.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let spent = cloud.clock().elapsed() - now;
    assert!((120 * SECOND..140 * SECOND).contains(&spent), "{spent:?}");
}

/// What nobody can mend while one waits ends a start at once.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_ends_a_start_within_five_seconds() {
    let cloud = Cloud::new();
    let connection = cloud.connect("w").await;
    let start = Instant::now();
    let error = builder(&connection).build().await.expect_err("no such stream");
    assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
    assert!(
        chain(&error).contains("the stream clicks does not exist in us-east-1 at http://cloud.test"),
        "{}",
        chain(&error)
    );
}

/// Q29 (guardian/cdk #2600, KCL #190, #509): a policy that lacks one action that a worker cannot do without.
#[tokio::test(start_paused = true)]
async fn a_policy_that_lacks_an_action_is_found_by_build() {
    for lacks in ["ListShards", "DescribeTable", "GetItem", "Scan", "PutItem", "Query", "UpdateItem"] {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let connection = cloud.connect("w").await;
        cloud.faults("w").always_for(lacks, Fault::refuse("AccessDeniedException"));
        let start = Instant::now();
        let error = builder(&connection).build().await.expect_err("it cannot work without");
        assert!(start.elapsed() <= 31 * SECOND, "{lacks}: {:?}", start.elapsed());
        let text = chain(&error);
        assert!(text.contains(lacks), "{lacks} is not in: {text}");
        assert!(text.contains("AccessDeniedException"), "{text}");
    }
}

/// The same where the table is there already, and its preparation asks for little.
#[tokio::test(start_paused = true)]
async fn a_policy_that_lacks_an_action_is_found_by_build_on_a_table_that_is_there() {
    for lacks in ["DescribeTable", "GetItem", "Scan", "PutItem", "DeleteItem", "Query", "UpdateItem"] {
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 1).await;
        let first = cloud.connect("first").await;
        drop(builder(&first).build().await.expect("built"));
        // What it was writing when it was dropped arrives.
        sleep(30 * SECOND).await;
        let before = cloud.table("app").items();
        let connection = cloud.connect("w").await;
        cloud.faults("w").dynamodb().always_for(lacks, Fault::refuse("AccessDeniedException"));
        let error = builder(&connection).build().await.expect_err("it cannot work without");
        let text = chain(&error);
        assert!(text.contains(lacks), "{lacks} is not in: {text}");
        assert_eq!(cloud.table("app").items(), before, "{lacks}");
    }
}

/// Q29: while a worker runs, an action that is denied is one finding, said once, and gone when it is allowed.
#[tokio::test(start_paused = true)]
async fn an_action_that_is_denied_while_a_worker_runs_is_said_once_with_its_name() {
    for (action, of) in [
        ("kinesis:ListShards", "the stream clicks"),
        ("kinesis:DescribeStreamSummary", "the stream clicks"),
        ("dynamodb:UpdateItem", "the lease table app"),
        ("dynamodb:Query", "the lease table app"),
        ("dynamodb:Scan", "the lease table app"),
        ("dynamodb:GetItem", "the lease table app"),
    ] {
        let (log, _guard) = Log::start();
        let cloud = Cloud::new();
        cloud.create_stream("clicks", 2).await;
        let consumer = builder(&cloud.connect("w").await).build().await.expect("nothing is wrong");
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(|_: Batch| async { Ok::<(), std::io::Error>(()) }));
        sleep(10 * SECOND).await;
        assert_eq!(handle.findings(), [], "{action}");

        let (_, operation) = action.split_once(':').expect("service and operation");
        let now = cloud.clock().elapsed();
        let denied = Fault::refuse("AccessDeniedException");
        cloud.faults("w").during_for(operation, now..now + 60 * SECOND, denied);
        sleep(45 * SECOND).await;
        let findings = handle.findings();
        let found = findings.iter().find(|finding| finding.subject == action);
        let found = found.unwrap_or_else(|| panic!("{action} is not among {findings:?}"));
        assert_eq!(found.kind, FindingKind::ActionDenied);
        assert!(found.seen.contains(of) && found.seen.contains("AccessDeniedException"), "{found:?}");
        sleep(10 * SECOND).await;
        let text = log.text();
        let said = text.lines().filter(|line| line.contains(operation) && line.contains("AccessDenied"));
        assert_eq!(said.count(), 1, "{action} is said once: {text}");
        assert!(text.contains("ERROR"), "{text}");

        sleep(45 * SECOND).await;
        assert_eq!(handle.findings(), [], "{action} is allowed again");
        handle.shutdown(SECOND).await;
        running.await.expect("no panic").expect("a good end");
    }
}

/// A call that is denied at the end of a shard is tried again and again, and said once. The finding names the table, whose name need not
/// be the application's.
#[tokio::test(start_paused = true)]
async fn what_is_denied_at_the_end_of_a_shard_is_said_once_with_the_name_of_the_table() {
    let (log, _guard) = Log::start();
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let connection = cloud.connect("w").await;
    let store = Arc::new(DynamoDbLeaseStore::new(connection.dynamodb.clone(), "leases-of-app"));
    let consumer = builder(&connection).lease_store(store).build().await.expect("nothing is wrong");
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(|_: Batch| async { Ok::<(), std::io::Error>(()) }));
    sleep(10 * SECOND).await;
    let now = cloud.clock().elapsed();
    let denied = Fault::refuse("AccessDeniedException");
    cloud.faults("w").dynamodb().during_for("PutItem", now..now + 60 * SECOND, denied);
    stream.split(0).await;
    sleep(50 * SECOND).await;
    let findings = handle.findings();
    assert_eq!(findings.iter().map(|finding| finding.subject.as_str()).collect::<Vec<_>>(), ["dynamodb:PutItem"]);
    assert!(findings[0].seen.contains("the lease table leases-of-app"), "{findings:?}");
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains("AccessDenied")).count(), 1, "{text}");
    sleep(30 * SECOND).await;
    assert_eq!(handle.findings(), []);
    handle.shutdown(SECOND).await;
    running.await.expect("no panic").expect("a good end");
}

/// The only worker leaves: that nobody takes its leases needs no warning.
#[tokio::test(start_paused = true)]
async fn the_last_worker_that_leaves_does_not_complain_that_nobody_has_room() {
    let (log, _guard) = Log::start();
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 4).await;
    let consumer = builder(&cloud.connect("w").await).build().await.expect("nothing is wrong");
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(|_: Batch| async {
        // The other shards are let go of long before this one.
        sleep(20 * SECOND).await;
        Ok::<(), std::io::Error>(())
    }));
    sleep(10 * SECOND).await;
    stream.put("a", "slow").await;
    sleep(2 * SECOND).await;
    handle.shutdown(30 * SECOND).await;
    running.await.expect("no panic").expect("a good end");
    assert_eq!(log.text(), "");
}

/// The trials write nothing.
#[tokio::test(start_paused = true)]
async fn what_build_tries_leaves_the_table_as_it_was() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let connection = cloud.connect("w").await;
    cloud.table("app").keep_writes(100);
    cloud.faults("w").always_for("Query", Fault::refuse("AccessDeniedException"));
    builder(&connection).build().await.expect_err("it cannot work without");
    let writes = cloud.table("app").writes();
    assert!(writes.iter().all(|write| write.operation == "PutItem"), "{writes:?}");
    assert_eq!(cloud.table("app").items().len(), 1, "the version row alone");
}

/// What is logged, from warnings on, in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).without_time();
        let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}
