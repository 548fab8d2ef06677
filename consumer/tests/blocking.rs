//! User code that blocks its thread, over TCP and in real time: leases are kept on a thread of their own (Q32).
#![expect(clippy::disallowed_methods, reason = "real time is what this is about")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_types::SdkConfig;
use kinesis_consumer::{Batch, Consumer, ConsumerBuilder};
use kinesis_testkit::{Cloud, Stream};
use tokio::sync::oneshot;
use tracing_subscriber::fmt::MakeWriter;

const LEASE: Duration = Duration::from_secs(1);
const SHARDS: usize = 8;

/// A cloud on a socket, on a thread of its own as if it were elsewhere. It ends with this value.
struct Elsewhere {
    url: String,
    stream: Stream,
    _stop: oneshot::Sender<()>,
}

impl Elsewhere {
    fn start() -> Self {
        let (started, starting) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let cloud = Cloud::new();
                let stream = cloud.create_stream("clicks", SHARDS as i32).await;
                let server = cloud.serve().start().await.expect("a free port");
                started.send((server.url(), stream.clone())).expect("the test waits");
                let feed = async {
                    loop {
                        for shard in stream.shards() {
                            stream.put_with_hash_key("k", *shard.hash_keys.start(), "a click").await;
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                };
                tokio::select! {
                    _stopped = stopped => {}
                    () = feed => {}
                }
            });
        });
        let (url, stream) = starting.recv().expect("the cloud starts");
        Self { url, stream, _stop: stop }
    }

    fn builder(&self) -> ConsumerBuilder {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Consumer::builder("app", "clicks")
            .kinesis(aws_sdk_kinesis::Client::new(&config))
            .dynamodb(aws_sdk_dynamodb::Client::new(&config))
            .worker_id("w")
            .lease_duration(LEASE)
    }
}

/// What the closure was given: when, of which shard, in which epoch.
type Given = Arc<Mutex<Vec<(Instant, String, u64)>>>;

/// The log of this process from WARN on.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
/// The tests share the log and the threads of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> (MutexGuard<'static, ()>, Log) {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN);
        subscriber.with_writer(log.clone()).init();
        log
    });
    log.0.lock().expect("no panic while logging").clear();
    (guard, log.clone())
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic while logging");
        String::from_utf8_lossy(&bytes).lines().map(ToOwned::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// How many threads of this process keep leases.
#[cfg(target_os = "linux")]
fn lease_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux shows threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "kinesis-leases").count()
}

#[cfg(target_os = "linux")]
async fn no_lease_threads() {
    while lease_threads() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the closure was given, when it began to block, for which shard, and the log from WARN on.
struct Happened {
    given: Vec<(Instant, String, u64)>,
    began: Instant,
    blocked: String,
    lines: Vec<String>,
}

/// Eight shards, and one batch whose closure blocks its thread for three lease durations.
fn blocks_for_three_lease_durations(runtime: &tokio::runtime::Runtime, log: &Log) -> Happened {
    let cloud = Elsewhere::start();
    let blocked = cloud.stream.shards()[0].id.clone();
    let (given, began) = (Given::default(), Arc::new(Mutex::new(None)));
    let mut lines = Vec::new();
    runtime.block_on(async {
        let consumer = cloud.builder().build().await.expect("stream and table are there");
        let handle = consumer.handle();
        let (noted, blocks, began) = (Arc::clone(&given), blocked.clone(), Arc::clone(&began));
        let running = tokio::spawn(consumer.run(move |batch: Batch| {
            noted.lock().expect("no panic").push((Instant::now(), batch.shard().to_string(), batch.epoch().0));
            let all_run =
                noted.lock().expect("no panic").iter().map(|(_, shard, _)| shard).collect::<BTreeSet<_>>().len()
                    == SHARDS;
            let block = all_run && batch.shard().as_str() == blocks && began.lock().expect("no panic").is_none();
            if block {
                *began.lock().expect("no panic") = Some(Instant::now());
            }
            async move {
                if block {
                    std::thread::sleep(3 * LEASE);
                }
                Ok::<(), io::Error>(())
            }
        }));
        tokio::time::sleep(10 * LEASE).await;
        // A worker that leaves may say more.
        lines = log.lines();
        handle.shutdown(LEASE).await;
        #[cfg(target_os = "linux")]
        tokio::time::timeout(LEASE, no_lease_threads()).await.expect("a shutdown ends the thread");
        running.await.expect("no panic").expect("it was shut down");
    });
    let given = given.lock().expect("no panic").clone();
    let began = began.lock().expect("no panic").expect("one blocked");
    Happened { given, began, blocked, lines }
}

fn check(Happened { given, blocked, lines, .. }: &Happened) {
    let mut epochs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (_, shard, epoch) in given {
        epochs.entry(shard).or_default().insert(*epoch);
    }
    assert_eq!(epochs.len(), SHARDS, "{epochs:?}");
    assert!(epochs.values().all(|epochs| epochs.len() == 1), "no lease is lost: {epochs:?}");
    let [line] = lines.as_slice() else { panic!("one line at WARN: {lines:#?}") };
    assert!(line.contains(blocked.as_str()) && line.contains("spawn_blocking"), "{line}");
    let seconds = line.split("seconds=").nth(1).and_then(|rest| rest.split(' ').next()).expect("it says how long");
    let seconds: f64 = seconds.parse().expect("a number");
    assert!((1.0..2.0).contains(&seconds), "{line}");
}

#[test]
fn a_closure_that_blocks_a_thread_costs_no_lease_and_the_other_shards_go_on() {
    let (_alone, log) = alone();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    let happened = blocks_for_three_lease_durations(&runtime, &log);
    check(&happened);
    let Happened { given, began, blocked, .. } = happened;
    // Each half second of the three has batches of the others, and afterwards of all.
    let during = |from: Duration, to: Duration| {
        let given = given.iter().filter(|(at, ..)| (began + from..began + to).contains(at));
        given.map(|(_, shard, _)| shard.as_str()).collect::<BTreeSet<_>>()
    };
    for half_seconds in 1..6 {
        let (from, to) = (LEASE / 2 * half_seconds, LEASE / 2 * (half_seconds + 1));
        let seen = during(from, to);
        assert_eq!((seen.len(), seen.contains(blocked.as_str())), (SHARDS - 1, false), "from {from:?} on: {seen:?}");
    }
    assert_eq!(during(3 * LEASE, 6 * LEASE).len(), SHARDS);
}

#[test]
fn a_closure_that_blocks_the_only_thread_costs_no_lease() {
    let (_alone, log) = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let happened = blocks_for_three_lease_durations(&runtime, &log);
    check(&happened);
    let Happened { given, began, .. } = happened;
    let after = given.iter().filter(|(at, ..)| *at > began + 3 * LEASE).map(|(_, shard, _)| shard);
    assert_eq!(after.collect::<BTreeSet<_>>().len(), SHARDS);
}

#[cfg(target_os = "linux")]
#[test]
fn a_consumer_that_is_dropped_leaves_no_thread() {
    let (_alone, _log) = alone();
    let cloud = Elsewhere::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let consumer = cloud.builder().build().await.expect("stream and table are there");
        let handle = consumer.handle();
        assert_eq!(lease_threads(), 1);
        drop(consumer);
        tokio::time::timeout(LEASE, no_lease_threads()).await.expect("the thread ends with the consumer");
        // There is nothing left to wait for.
        tokio::time::timeout(LEASE, handle.shutdown(LEASE)).await.expect("it is over");

        let starting = tokio::time::timeout(Duration::from_millis(3), cloud.builder().build());
        drop(starting.await);
        tokio::time::sleep(LEASE / 2).await;
        assert_eq!(lease_threads(), 0, "nor does a build that is given up");
    });
}
