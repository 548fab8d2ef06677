//! The cloud: both services, and a network for each worker.

mod workers;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::calls::Calls;
use crate::clock::{Clock, default_epoch};
use crate::connection::Connection;
use crate::connector::Connector;
use crate::dynamodb::DynamoDb;
use crate::inject::Faults;
use crate::kinesis::Kinesis;
use crate::kinesis::create::CreateStream;
use crate::limits::Limits;
use crate::network::{Network, Timeouts};
use crate::refusal::{Refusal, Refused, panics};
use crate::service::Service;
use crate::services::Services;
use crate::stream::Stream;
use crate::table::Table;
use crate::worker::Worker;

/// A Kinesis and a DynamoDB inside the process. Clones are handles of the same cloud.
#[derive(Debug, Clone)]
pub struct Cloud {
    pub(crate) services: Arc<Services>,
    workers: Arc<Mutex<BTreeMap<String, Arc<Worker>>>>,
    clock: Clock,
    limits: Arc<Limits>,
    latency: Duration,
    seed: u64,
}

impl Cloud {
    /// An empty cloud with the services' limits.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A cloud with other limits, another seed, latency or date.
    pub fn builder() -> CloudBuilder {
        CloudBuilder::default()
    }

    /// SDK clients of the worker `name`. All connections under one name share that worker's faults and call log.
    ///
    /// Cancel safe.
    pub async fn connect(&self, name: &str) -> Connection {
        let worker = self.worker(name);
        worker.connect();
        Connection::new(name, self.connector(worker, self.latency))
    }

    /// SDK clients that no fault and no latency touches: a test's own way to look and to put. They leave no trace in a
    /// call log.
    pub fn outside(&self) -> Connection {
        Connection::new("outside", self.connector(Arc::default(), Duration::ZERO))
    }

    /// Creates a stream of `shards` shards and waits until it is ACTIVE.
    ///
    /// # Panics
    ///
    /// When the service refuses: the name is taken or not allowed, or `shards` is out of range.
    pub async fn create_stream(&self, name: &str, shards: i32) -> Stream {
        self.try_create_stream(name, shards).await.unwrap_or_else(panics)
    }

    /// As [`create_stream`](Self::create_stream).
    ///
    /// # Errors
    ///
    /// When the service refuses: the name is taken or not allowed, or `shards` is out of range.
    pub async fn try_create_stream(&self, name: &str, shards: i32) -> Result<Stream, Refused> {
        self.create(name, CreateStream::provisioned(name, shards)).await
    }

    /// Creates an on-demand stream, of four shards until its traffic wants more, and waits until it is ACTIVE.
    ///
    /// # Panics
    ///
    /// When the service refuses: the name is taken or not allowed, or the account has its fill of on-demand streams.
    pub async fn create_on_demand_stream(&self, name: &str) -> Stream {
        self.try_create_on_demand_stream(name).await.unwrap_or_else(panics)
    }

    /// As [`create_on_demand_stream`](Self::create_on_demand_stream).
    ///
    /// # Errors
    ///
    /// When the service refuses: the name is taken or not allowed, or the account has its fill of on-demand streams.
    pub async fn try_create_on_demand_stream(&self, name: &str) -> Result<Stream, Refused> {
        self.create(name, CreateStream::on_demand(name)).await
    }

    async fn create(&self, name: &str, request: CreateStream) -> Result<Stream, Refused> {
        let created = self.services.kinesis.with(|account, now| account.create_stream(request, now));
        created.map_err(|refusal| Refused::new(name, refusal))?;
        let stream = self.stream(name);
        stream.until_active().await?;
        Ok(stream)
    }

    /// The stream `name`, which need not exist yet.
    pub fn stream(&self, name: &str) -> Stream {
        Stream::new(self.services.kinesis.clone(), name)
    }

    /// How DynamoDB's tables behave, all of them.
    pub fn dynamodb(&self) -> crate::table::DynamoDb {
        crate::table::DynamoDb::new(self.services.clone())
    }

    /// The table `name`, which need not exist yet.
    pub fn table(&self, name: &str) -> Table {
        Table::new(self.services.clone(), name)
    }

    /// The network of the worker `name`, which need not have connected yet.
    pub fn faults(&self, name: &str) -> Faults {
        Faults { worker: self.worker(name), scope: None }
    }

    /// The faults that have struck no call so far, a line each with the worker's name; of a worker under whose name nobody has
    /// connected also that it was frozen. A test that asks at its end finds what it misspelt:
    ///
    /// ```should_panic
    /// # use kinesis_testkit::{Cloud, Fault};
    /// # let cloud = Cloud::new();
    /// cloud.faults("wroker").next("PutRecord", Fault::LoseResponse);
    /// assert_eq!(cloud.unused_faults(), [""; 0]);
    /// // left: ["worker wroker, under whose name nobody has connected: next PutRecord: LoseResponse"]
    /// ```
    ///
    /// A fault that was healed before it struck is one of them. One for several calls is not when it has struck the first:
    /// [`Injection::struck`](crate::Injection::struck) counts.
    pub fn unused_faults(&self) -> Vec<String> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.values().flat_map(|worker| worker.unused_faults()).collect()
    }

    /// How many requests have been sent and have not reached the services yet, those included whose senders wait no longer. Each
    /// is a task in the runtime.
    pub fn requests_under_way(&self) -> usize {
        self.services.under_way.load(Ordering::Relaxed)
    }

    /// All calls of all workers in the order in which they were made, a line each: when (seconds since the making of the
    /// cloud), worker, operation, what came of it, a hash of the answer (of a subscription: of the events that have come). Of
    /// each worker at most the last 100 000; those before them are counted in a line of their own at the top.
    ///
    /// Two runs of one program with one seed in paused time have the same trace, to the byte; a place where it differs is
    /// where chance came in from elsewhere.
    pub fn trace(&self) -> String {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let logs: Vec<_> = workers.iter().map(|(name, worker)| (name, worker.calls())).collect();
        let truncated = logs.iter().filter(|(_, calls)| calls.forgotten() > 0);
        let truncated = truncated.map(|(name, calls)| format!("{name}: {} calls before these\n", calls.forgotten()));
        let mut calls: Vec<_> =
            logs.iter().flat_map(|(name, calls)| calls.iter().map(move |call| (name, call))).collect();
        calls.sort_by_key(|(_, call)| call.order);
        truncated.chain(calls.into_iter().map(|(name, call)| call.trace(name))).collect()
    }

    /// The calls that the worker `name` has made, at most the last 100 000.
    ///
    /// # Panics
    ///
    /// When nobody has connected under this name: no call would be counted, however many were made.
    pub fn calls(&self, name: &str) -> Calls {
        self.try_calls(name).unwrap_or_else(panics)
    }

    /// As [`calls`](Self::calls).
    ///
    /// # Errors
    ///
    /// When nobody has connected under this name.
    pub fn try_calls(&self, name: &str) -> Result<Calls, Refused> {
        self.connected(name).map(|worker| worker.calls())
    }

    /// Forgets the calls that the worker `name` has made.
    ///
    /// # Panics
    ///
    /// When nobody has connected under this name.
    pub fn clear_calls(&self, name: &str) {
        self.connected(name).unwrap_or_else(panics).clear_calls();
    }

    /// The clock that the services and all connections go by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The limits that this cloud was built with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What stands between a server's clients and the services: a worker's network, or nothing.
    #[cfg(feature = "serve")]
    pub(crate) fn served(&self, worker: Option<&str>) -> Network {
        match worker {
            Some(name) => {
                let worker = self.worker(name);
                worker.connect();
                self.network(worker, self.latency)
            }
            None => self.network(Arc::default(), Duration::ZERO),
        }
    }

    fn worker(&self, name: &str) -> Arc<Worker> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.entry(name.to_owned()).or_insert_with(|| Arc::new(Worker::new(self.seed, name))).clone()
    }

    /// The worker `name`, if anybody has connected under this name.
    fn connected(&self, name: &str) -> Result<Arc<Worker>, Refused> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(name).filter(|worker| worker.has_connected()) {
            return Ok(worker.clone());
        }
        let connected = workers.values().filter(|worker| worker.has_connected());
        let connected: Vec<_> = connected.map(|worker| &*worker.name).collect();
        let message = match connected.as_slice() {
            [] => "nobody has connected under any name".to_owned(),
            names => format!("nobody has connected under this name, only under {}", names.join(", ")),
        };
        Err(Refused::of_worker(name, Refusal::not_found(message)))
    }

    fn connector(&self, worker: Arc<Worker>, latency: Duration) -> Connector {
        let network = Network { checks_signature_time: true, ..self.network(worker, latency) };
        Connector { network, timeouts: Timeouts::default() }
    }

    fn network(&self, worker: Arc<Worker>, latency: Duration) -> Network {
        Network { services: self.services.clone(), worker, clock: self.clock, latency, checks_signature_time: false }
    }
}

impl Default for Cloud {
    fn default() -> Self {
        Self::new()
    }
}

/// What a [`Cloud`] may be built with.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct CloudBuilder {
    seed: u64,
    epoch: SystemTime,
    latency: Duration,
    limits: Limits,
}

impl CloudBuilder {
    /// Where all randomness of the cloud comes from, 0 by default: the same seed gives the same answers.
    ///
    /// Building the cloud also seeds this thread's generator of `fastrand`, from which the SDK draws the jitter of its
    /// retries.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The date when the cloud is built, 2026-01-01T00:00:00Z by default.
    pub fn epoch(self, epoch: SystemTime) -> Self {
        Self { epoch, ..self }
    }

    /// How long each call takes when nothing is wrong, 1 ms by default.
    ///
    /// With zero a loop that never sleeps would stop the paused clock.
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// What the Kinesis model allows, the service's own limits by default. An operation in
    /// [`control_calls_per_second`](Limits::control_calls_per_second) that Kinesis does not have is refused when the cloud is
    /// built.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Makes the cloud. Its clock starts now.
    ///
    /// # Panics
    ///
    /// When the limits have a rate for an operation that Kinesis does not have: nothing would go by it.
    pub fn build(self) -> Cloud {
        self.try_build().unwrap_or_else(panics)
    }

    /// As [`build`](Self::build).
    ///
    /// # Errors
    ///
    /// When the limits have a rate for an operation that Kinesis does not have.
    pub fn try_build(self) -> Result<Cloud, Refused> {
        let mut rates = self.limits.control_calls_per_second.keys();
        if let Some(unknown) = rates.find(|operation| !Service::Kinesis.knows(operation)) {
            return Err(Refused::of_limits(Service::Kinesis.unknown(unknown)));
        }
        fastrand::seed(self.seed);
        let clock = Clock::starting_at(self.epoch);
        let kinesis = Kinesis::new(clock, self.limits.clone(), self.seed);
        Ok(Cloud {
            services: Arc::new(Services::new(kinesis, DynamoDb::new(clock, self.seed))),
            workers: Arc::default(),
            clock,
            limits: Arc::new(self.limits),
            latency: self.latency,
            seed: self.seed,
        })
    }
}

impl Default for CloudBuilder {
    fn default() -> Self {
        Self { seed: 0, epoch: default_epoch(), latency: Duration::from_millis(1), limits: Limits::default() }
    }
}
