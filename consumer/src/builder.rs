//! Builds a running worker from clients and settings.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::SharedTimeSource;

use crate::backoff::StartPatience;
use crate::clock::{Clock, Reading};
use crate::consumer::Consumer;
use crate::error::BuildError;
use crate::fetch::budget::Budget;
use crate::fetch::read::ReadContext;
use crate::lease::holder::held::HoldContext;
use crate::lease::leader::LeaderContext;
use crate::lease::table::belonging::{Belonging, Word};
use crate::lease::table::watched::WatchedStore;
use crate::lease::{Checkpoint, DynamoDbLeaseStore, Hints, LeaseStore, UnixSeconds, WorkerId};
use crate::process::OnError;
use crate::settings::{self, SettingError, Settings, StartAt};
use crate::shard::discover::{Discover, ListFilter};
use crate::shard::stream::Stream;
use crate::thread::LeaseThread;
use crate::watch::{Denials, Findings};
use crate::worker::{self, WorkerContext};

/// Builds a [`Consumer`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConsumerBuilder {
    application: String,
    stream: String,
    kinesis: Option<aws_sdk_kinesis::Client>,
    dynamodb: Option<aws_sdk_dynamodb::Client>,
    lease_store: Option<Arc<dyn LeaseStore>>,
    on_error: OnError,
    seed: Option<u64>,
    clock: Option<Reading>,
    word: Word,
    settings: Settings,
}

impl ConsumerBuilder {
    pub(crate) fn new(application: String, stream: String) -> Self {
        Self {
            application,
            stream,
            kinesis: None,
            dynamodb: None,
            lease_store: None,
            on_error: OnError::default(),
            seed: None,
            clock: None,
            word: Word::Nothing,
            settings: Settings::default(),
        }
    }

    /// Sets the client that reads the stream. Required.
    ///
    /// The client's retries are replaced by the consumer's own. Timeouts that the client does not set are set: 3 s to connect,
    /// 30 s for a read and for an attempt. Its time source is the consumer's wall clock.
    pub fn kinesis(mut self, client: aws_sdk_kinesis::Client) -> Self {
        self.kinesis = Some(client);
        self
    }

    /// Sets the client of the lease table. The table has the application's name and is created if it does not exist. Required,
    /// unless a [`lease_store`](Self::lease_store) is set.
    pub fn dynamodb(mut self, client: aws_sdk_dynamodb::Client) -> Self {
        self.dynamodb = Some(client);
        self
    }

    /// Sets a lease table of another kind, or one with other [options](crate::lease::TableOptions). It is called only from the
    /// thread of the leases, either as it is or as the copy that [`apart`](LeaseStore::apart) returns.
    pub fn lease_store(mut self, store: Arc<dyn LeaseStore>) -> Self {
        self.lease_store = Some(store);
        self
    }

    /// Sets what to do with records that the closure of [`Consumer::run`] or [`Consumer::run_records`] cannot process. Default:
    /// retry without limit.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Replaces all settings made so far.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets [`Settings::start_at`].
    pub const fn start_at(mut self, start_at: StartAt) -> Self {
        self.settings.start_at = start_at;
        self
    }

    /// Sets [`Settings::worker_id`].
    pub fn worker_id(mut self, id: impl Into<String>) -> Self {
        self.settings.worker_id = Some(id.into());
        self
    }

    /// Sets [`Settings::lease_duration`].
    pub const fn lease_duration(mut self, duration: Duration) -> Self {
        self.settings.lease_duration = duration;
        self
    }

    /// Sets [`Settings::handoff_time`].
    pub const fn handoff_time(mut self, time: Duration) -> Self {
        self.settings.handoff_time = time;
        self
    }

    /// Sets [`Settings::checkpoint_every`].
    pub const fn checkpoint_every(mut self, every: Duration) -> Self {
        self.settings.checkpoint_every = every;
        self
    }

    /// Sets [`Settings::max_buffered_bytes`].
    pub const fn max_buffered_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_buffered_bytes = bytes;
        self
    }

    /// Sets [`Settings::max_leases`].
    pub const fn max_leases(mut self, leases: usize) -> Self {
        self.settings.max_leases = leases;
        self
    }

    /// Sets [`Settings::max_idle_poll`].
    pub const fn max_idle_poll(mut self, pause: Duration) -> Self {
        self.settings.max_idle_poll = pause;
        self
    }

    /// Sets [`Settings::end_at_unreadable_shard`].
    pub const fn end_at_unreadable_shard(mut self, end: bool) -> Self {
        self.settings.end_at_unreadable_shard = end;
        self
    }

    /// Fixes the random choices of the consumer: pauses, the steps by which it moves the counters of leases that it takes, and
    /// the worker ID if none is set. For repeatable tests. Two processes that share a worker ID by mistake are told apart by
    /// these choices.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the clock by which this worker's leases expire: the time since any fixed moment. It must advance while the process
    /// is frozen, and never go back. Default: tokio's clock, plus the time for which the machine was suspended.
    ///
    /// For tests that freeze a worker: when it resumes, it finds its leases expired, as a stopped process does. With a
    /// connection of the test kit, `connection.clock()` has the time:
    ///
    /// ```no_run
    /// # use kinesis_consumer::Consumer;
    /// # async fn run(cloud: kinesis_testkit::Cloud) {
    /// let connection = cloud.connect("a").await;
    /// let clock = connection.clock();
    /// let builder = Consumer::builder("app", "clicks").clock(move || clock.boottime());
    /// # }
    /// ```
    pub fn clock(mut self, now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Some(Reading::new(now));
        self
    }

    /// Declares that the lease table is this stream's, when the table itself cannot prove it: a Java KCL created it, and no
    /// checkpoint is stored yet. Without this call, such a table is bound to the stream at the first checkpoint.
    ///
    /// A table that names another stream is refused all the same.
    pub fn adopt_table(mut self) -> Self {
        self.word = Word::Adopt;
        self
    }

    /// Lets the table of another stream serve this one from now on, for example after the stream was deleted and created again
    /// under its name. `other` is that stream as [`OtherStream::bound_to`](crate::lease::OtherStream) and the error text name
    /// it. If the table names no stream, `other` is the text "that _table_ does not name".
    ///
    /// All its leases are deleted and created again at the configured start; [epochs](crate::Epoch) count from the start again.
    /// End the workers of the other stream first. Without effect on a table that belongs to this stream already, so the call
    /// may stay in the code. A table of a third stream is refused.
    pub fn start_over_from(mut self, other: impl Into<String>) -> Self {
        self.word = Word::StartOverFrom(other.into());
        self
    }

    /// Finds the stream, prepares the lease table, and starts the worker.
    ///
    /// The worker keeps its leases on a thread of its own, which ends with a shutdown or when the consumer is dropped. On a
    /// runtime with a paused clock (a test in virtual time) it has no such thread, and everything runs on that runtime.
    ///
    /// Waits for a stream or a table that is being created. Waits up to half a minute in all for faults that may pass or be
    /// repaired (docs/rules.md, *Who waits*), and logs them at WARN. Not cancel safe: the table may have been created already.
    /// Calling it again is harmless.
    ///
    /// # Errors
    /// See [`BuildError`]. Nothing is written before the settings are checked and the stream is found.
    pub async fn build(self) -> Result<Consumer, BuildError> {
        // The future of a start is large, and needed once.
        Box::pin(self.start()).await
    }

    async fn start(self) -> Result<Consumer, BuildError> {
        let kinesis = self.kinesis.ok_or(BuildError::Missing { what: "Kinesis client", method: "kinesis" })?;
        let time = kinesis.config().time_source().unwrap_or_else(SharedTimeSource::default);
        self.settings.validate(time.now())?;
        self.on_error.validate()?;
        check_stream(&self.stream)?;
        let store = match (self.lease_store, self.dynamodb) {
            (Some(store), _) => store,
            (None, Some(client)) => {
                check_table_name(&self.application)?;
                Arc::new(DynamoDbLeaseStore::new(client, self.application.clone()))
            }
            (None, None) => return Err(BuildError::Missing { what: "DynamoDB client", method: "dynamodb" }),
        };
        store.validate()?;

        let seed = self.seed.unwrap_or_else(|| fastrand::Rng::new().u64(..));
        let mut rng = fastrand::Rng::with_seed(seed);
        let me = match &self.settings.worker_id {
            Some(id) => WorkerId::from(id.as_str()),
            None => WorkerId::from(format!("{}-{:012x}", host_name(), rng.u64(..) >> 16)),
        };
        let stream = Stream::new(&kinesis, &self.stream);
        let (patience, denials) = (StartPatience::new(), Denials::default());
        let discover = Arc::new(Discover::new(stream.clone(), rng.fork()).starting(&patience).watched(&denials));
        let identity = discover.wait_until_active().await?;
        let thread = LeaseThread::start().map_err(BuildError::Thread)?;
        let home = thread.as_ref().map(LeaseThread::home).unwrap_or_default();
        // The tasks that keep leases share no connection with those that read the stream.
        let (store, listed) = match &thread {
            Some(_) => {
                let listed = Discover::new(stream.apart(), rng.fork()).starting(&patience).watched(&denials);
                (store.apart().unwrap_or(store), Arc::new(listed))
            }
            None => (store, Arc::clone(&discover)),
        };
        let table = store.table_name().map_or(self.application, str::to_owned);
        let store: Arc<dyn LeaseStore> = Arc::new(WatchedStore::new(store, table.clone(), denials.clone()));

        let clock = Arc::new(Clock::start_with(self.clock));
        let findings = Findings::new(Arc::clone(&clock), &me);
        let belonging = Belonging::new(
            table,
            Arc::clone(&store),
            Arc::clone(&listed),
            Arc::clone(&clock),
            findings.clone(),
            self.stream,
            identity,
        );
        let belonging = Arc::new(belonging.asking_at(&home));
        let (asked, listing) = (clock.now(), discover.list(ListFilter::All).await?);
        let (entering, as_worker, now, word) = (Arc::clone(&belonging), me.clone(), unix_seconds(&time), self.word);
        let of_start = patience.clone();
        let entered = home.run(async move {
            let entered = entering.enter(&as_worker, now, &listing, &word, &of_start).await;
            entered.map(|()| entering.listed(asked, listing))
        });
        entered.await.expect("the thread runs as long as its handle is there")?;
        patience.end();
        denials.report_to(&findings);

        let worker_id = me.clone();
        let hold = HoldContext {
            store,
            clock: Arc::clone(&clock),
            me,
            duration: self.settings.lease_duration,
            handoff_time: self.settings.handoff_time,
            hints: Arc::new(Hints::default()),
            moved: Arc::default(),
            findings: findings.clone(),
            home,
            belonging: Arc::clone(&belonging),
            seed: rng.u64(..),
        };
        let read = ReadContext {
            stream,
            discover,
            belonging,
            budget: Budget::new(self.settings.max_buffered_bytes),
            counters: Arc::default(),
            clock,
            time: time.clone(),
            findings,
            start_at: match self.settings.start_at {
                StartAt::At(time) => Some(time),
                StartAt::TrimHorizon | StartAt::Latest => None,
            },
            max_idle_poll: self.settings.max_idle_poll,
        };
        let (start, first_listing) = beginning(self.settings.start_at);
        let leader = LeaderContext {
            max_leases: self.settings.max_leases,
            start,
            first_listing,
            discover: listed,
            wall_clock: Arc::new(move || unix_seconds(&time)),
            wake: hold.hints.wake(),
            hold: hold.clone(),
        };
        let worker = worker::start(WorkerContext { hold, leader, max_leases: self.settings.max_leases }, thread);
        Ok(Consumer::new(worker, read, self.on_error, &self.settings, worker_id, rng))
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("application", &self.application)
            .field("stream", &self.stream)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn check_stream(stream: &str) -> Result<(), SettingError> {
    let limit = "must be a stream's name (1 to 128 of a-z A-Z 0-9 _ . -) or its ARN";
    settings::check("stream", kinesis_service_errors::is_stream(stream), format_args!("{stream:?}"), limit)
}

/// Checks the name against DynamoDB's rules for tables.
fn check_table_name(application: &str) -> Result<(), BuildError> {
    let fits = (3..=255).contains(&application.len())
        && application.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if fits { Ok(()) } else { Err(BuildError::ApplicationName { application: application.to_owned() }) }
}

/// Returns the checkpoint of the first leases, and the filter for the shards that get one.
fn beginning(start_at: StartAt) -> (Checkpoint, ListFilter) {
    match start_at {
        StartAt::TrimHorizon => (Checkpoint::TrimHorizon, ListFilter::AtTrimHorizon),
        StartAt::Latest => (Checkpoint::Latest, ListFilter::AtLatest),
        StartAt::At(time) => (Checkpoint::AtTimestamp, ListFilter::AtTimestamp(time.into())),
    }
}

fn unix_seconds(time: &SharedTimeSource) -> UnixSeconds {
    UnixSeconds(time.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

#[cfg(unix)]
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "worker".to_owned())
}
