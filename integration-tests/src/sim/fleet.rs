//! The workers: real consumers, started, stopped and killed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use kinesis_consumer::{Backoff, Batch, Concurrency, Consumer, ConsumerHandle, OnError, Record, StartAt};
use kinesis_testkit::{Cloud, Connection};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::clocks::Clocks;
use super::enact::Mend;
use super::history::{Recorder, What};
use super::processor::Processor;
use super::reader::read_all;
use super::shape::{Face, Shape};
use super::table::APPLICATION;
use super::workload::STREAM;

/// Places for workers, each with a network of its own that all its lives share.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    cloud: Cloud,
    shape: Shape,
    recorder: Recorder,
    places: Arc<Mutex<Vec<Place>>>,
    /// From the heal on user code does not fail and is not slow.
    pub(crate) healed: Arc<AtomicBool>,
    wrong: Arc<Mutex<Wrong>>,
}

/// What mistakes have left behind.
#[derive(Debug, Default)]
struct Wrong {
    /// Workers of the application that read another stream.
    strangers: Vec<Life>,
    /// Shards whose rows were damaged, and those of them that are not mended.
    damaged: BTreeSet<String>,
    for_good: BTreeSet<String>,
    to_mend: Vec<Mend>,
}

#[derive(Debug)]
struct Place {
    clocks: Clocks,
    lives: usize,
    /// Its id in the table, which a new life may keep.
    id: String,
    life: Option<Life>,
    /// Another process under the same id.
    twin: Option<Life>,
}

#[derive(Debug)]
struct Life {
    name: String,
    task: JoinHandle<()>,
    /// There when the worker is up.
    handle: Arc<Mutex<Option<ConsumerHandle>>>,
}

/// A process, and what it is told.
#[derive(Debug)]
struct Who {
    network: String,
    name: String,
    id: String,
    stream: &'static str,
    /// Where the stream is, if it is not where the table is.
    elsewhere: Option<Cloud>,
    clocks: Clocks,
    handoff_time: Duration,
    start_at: StartAt,
    seed: u64,
}

/// Of a place in the network.
pub(crate) fn network(place: usize) -> String {
    format!("w{place}")
}

/// Of the second process that runs at a place by mistake.
pub(crate) fn twin_network(place: usize) -> String {
    format!("{}/twin", network(place))
}

/// The place of a life by its name, or of a worker by its id in the table, or of a network: all begin with it.
pub(crate) fn place_of_life(name: &str) -> &str {
    name.split(['.', '-', '/']).next().unwrap_or(name)
}

impl Fleet {
    pub(crate) fn new(cloud: &Cloud, shape: &Shape, recorder: &Recorder) -> Self {
        let mut rng = fastrand::Rng::with_seed(shape.seed ^ SALT);
        let mut place = |_| {
            let (drift, off) = (shape.drift_per_mille, shape.wall_clocks_off);
            let clocks = Clocks::new(rng.i32(-drift..=drift), rng.i64(-off..=off));
            Place { clocks, lives: 0, id: String::new(), life: None, twin: None }
        };
        let places = (0..shape.workers).map(&mut place).collect();
        Self {
            cloud: cloud.clone(),
            shape: shape.clone(),
            recorder: recorder.clone(),
            places: Arc::new(Mutex::new(places)),
            healed: Arc::default(),
            wrong: Arc::default(),
        }
    }

    /// Starts a worker where there is none.
    pub(crate) fn start(&self, at: usize, same_id: bool) {
        let mut places = self.lock();
        let place = &mut places[at];
        if place.life.is_some() {
            return;
        }
        if !same_id || place.id.is_empty() {
            place.id = format!("w{at}-{}", place.lives);
        }
        place.life = Some(self.begin(at, place, network(at)));
    }

    /// Starts another process under the id of the worker at this place, by mistake.
    pub(crate) fn start_twin(&self, at: usize) {
        let mut places = self.lock();
        let place = &mut places[at];
        if place.life.is_some() && place.twin.is_none() {
            place.twin = Some(self.begin(at, place, twin_network(at)));
        }
    }

    /// Kills it.
    pub(crate) fn end_twin(&self, at: usize) {
        let twin = self.lock()[at].twin.take();
        twin.into_iter().for_each(|twin| self.kill(&twin));
    }

    fn begin(&self, at: usize, place: &mut Place, network: String) -> Life {
        let name = format!("w{at}.{}", place.lives);
        place.lives += 1;
        let handle = Arc::default();
        let seed = self.shape.seed ^ (SALT.rotate_left(place.lives as u32) + at as u64);
        let who = Who {
            network,
            name: name.clone(),
            id: place.id.clone(),
            stream: STREAM,
            elsewhere: None,
            clocks: place.clocks.clone(),
            handoff_time: self.shape.handoff_of(at),
            start_at: self
                .shape
                .starts_at_a_time(at)
                .then(|| self.long_ago())
                .map_or(StartAt::TrimHorizon, StartAt::At),
            seed,
        };
        let life = self.clone().live(who, Arc::clone(&handle), A_SUPERVISOR);
        Life { name, task: tokio::spawn(life), handle }
    }

    /// Starts a worker of the application that reads another stream, to the end of the run.
    pub(crate) fn start_stranger(&self, stream: &'static str, elsewhere: Option<Cloud>) {
        let mut wrong = self.wrong();
        let at = wrong.strangers.len();
        let name = format!("{STRANGER}{at}.0");
        let who = Who {
            network: format!("{STRANGER}{at}"),
            name: name.clone(),
            id: format!("{STRANGER}{at}-0"),
            stream,
            elsewhere,
            clocks: Clocks::new(0, 0),
            handoff_time: self.shape.handoff_time,
            start_at: StartAt::TrimHorizon,
            seed: self.shape.seed ^ (SALT.rotate_right(7) + at as u64),
        };
        let handle = Arc::default();
        let life = self.clone().live(who, Arc::clone(&handle), A_SLOW_SUPERVISOR);
        wrong.strangers.push(Life { name, task: tokio::spawn(life), handle });
    }

    /// Ends those that read another stream.
    pub(crate) fn end_strangers(&self) {
        self.wrong().strangers.drain(..).for_each(|life| self.kill(&life));
    }

    /// Notes that the row of a shard is to be damaged. `false`: it was before.
    pub(crate) fn damage(&self, shard: &str) -> bool {
        self.wrong().damaged.insert(shard.to_owned())
    }

    pub(crate) fn damage_for_good(&self, shard: &str) {
        self.wrong().for_good.insert(shard.to_owned());
    }

    pub(crate) fn damaged_for_good(&self) -> BTreeSet<String> {
        self.wrong().for_good.clone()
    }

    pub(crate) fn mend_later(&self, mend: Mend) {
        self.wrong().to_mend.push(mend);
    }

    pub(crate) fn to_mend(&self) -> Vec<Mend> {
        std::mem::take(&mut self.wrong().to_mend)
    }

    /// Before the first record, by every clock.
    fn long_ago(&self) -> SystemTime {
        self.cloud.clock().now() - Duration::from_secs(3600)
    }

    fn kill(&self, life: &Life) {
        life.task.abort();
        self.recorder.add(&life.name, "", What::Down("crash".to_owned()));
    }

    /// Kills the worker at this place without a word.
    pub(crate) fn crash(&self, at: usize) {
        let life = self.lock()[at].life.take();
        life.into_iter().for_each(|life| self.kill(&life));
    }

    /// Lets the worker at this place leave in good order.
    pub(crate) async fn leave(&self, at: usize) {
        let Some(life) = self.lock()[at].life.take() else { return };
        let handle = life.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        match handle {
            Some(handle) => drop(handle.shutdown(self.shape.handoff_of(at)).await),
            // Still on its way up.
            None => life.task.abort(),
        }
        self.recorder.add(&life.name, "", What::Down("left".to_owned()));
    }

    /// Stops the worker at this place where it is.
    pub(crate) fn freeze(&self, at: usize) {
        self.recorder.add(&format!("w{at}"), "", What::Frozen);
        [network(at), twin_network(at)].iter().for_each(|network| self.cloud.freeze(network));
    }

    /// Puts the machine at this place to sleep.
    pub(crate) fn suspend(&self, at: usize) {
        self.recorder.add(&format!("w{at}"), "", What::Frozen);
        [network(at), twin_network(at)].iter().for_each(|network| self.cloud.suspend(network));
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, at: usize) {
        [network(at), twin_network(at)].iter().for_each(|network| self.cloud.thaw(network));
        self.recorder.add(&format!("w{at}"), "", What::Thawed);
    }

    /// Sets the wall clock at this place.
    pub(crate) fn set_clock(&self, at: usize, seconds: i64) {
        self.lock()[at].clocks.jump(seconds);
    }

    /// The places where a worker lives.
    pub(crate) fn living(&self) -> Vec<usize> {
        self.lock().iter().enumerate().filter(|(_, place)| place.life.is_some()).map(|(at, _)| at).collect()
    }

    /// The ids in the table of those that live.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.lock().iter().filter(|place| place.life.is_some()).map(|place| place.id.clone()).collect()
    }

    /// Writes down what the consumers that are up hold.
    pub(crate) fn gauge(&self) {
        for life in self.lock().iter().flat_map(|place| place.life.iter().chain(&place.twin)) {
            let held =
                life.handle.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ConsumerHandle::buffered_bytes);
            if let Some(bytes) = held {
                self.recorder.add(&life.name, "", What::Holds { bytes });
            }
        }
    }

    /// A life: up as soon as the services let it, and up again when it ends by itself, as under a supervisor.
    async fn live(self, who: Who, handle: Arc<Mutex<Option<ConsumerHandle>>>, pause: Duration) {
        let connection = self.cloud.connect(&who.network).await;
        let name = &who.name;
        loop {
            match Box::pin(self.build(&who, &connection)).await {
                Ok(consumer) => {
                    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer.handle());
                    self.recorder.add(name, "", What::Up(who.id.clone()));
                    let processor = Processor::new(&self, &connection, name);
                    match Box::pin(connection.run(self.process(consumer, processor))).await {
                        Ok(()) => return,
                        Err(error) => self.recorder.add(name, "", What::Down(format!("error: {error}"))),
                    }
                }
                Err(error) => self.recorder.add(name, "", What::Trouble(format!("cannot start: {error}"))),
            }
            sleep(pause).await;
        }
    }

    async fn build(&self, who: &Who, connection: &Connection) -> Result<Consumer, kinesis_consumer::BuildError> {
        let Shape { lease_duration, checkpoint_every, read_bytes, .. } = self.shape;
        let elsewhere = match &who.elsewhere {
            Some(cloud) => Some(cloud.connect(&who.network).await),
            None => None,
        };
        // The consumer takes the time of day from this client.
        let kinesis = elsewhere
            .as_ref()
            .unwrap_or(connection)
            .kinesis_config()
            .time_source(who.clocks.wall_clock(connection.clock()))
            .build();
        let starting = Consumer::builder(APPLICATION, who.stream)
            .clock(who.clocks.monotonic(connection.clock()))
            .kinesis(Client::from_conf(kinesis))
            .dynamodb(connection.dynamodb.clone())
            .worker_id(&who.id)
            .start_at(who.start_at)
            .lease_duration(lease_duration)
            .handoff_time(who.handoff_time)
            .checkpoint_every(checkpoint_every)
            .max_buffered_bytes(read_bytes)
            .on_error(OnError::Retry(RETRY))
            .seed(who.seed)
            .build();
        connection.run(Box::pin(starting)).await
    }

    async fn process(&self, consumer: Consumer, processor: Processor) -> Result<(), kinesis_consumer::RunError> {
        match self.shape.face {
            Face::Batches => {
                let take = move |batch: Batch| {
                    let epoch = Some(batch.epoch().0);
                    processor.take(batch.shard().as_str(), epoch, batch.records())
                };
                consumer.run(take).await
            }
            Face::Records(records) => {
                let take = move |record: Record| processor.take_one(&record);
                consumer.run_records(Concurrency::per_key(records), take).await
            }
            Face::Shards => {
                read_all(consumer, processor).await;
                Ok(())
            }
        }
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the chance of the clocks apart.
const SALT: u64 = 0x5ea1_0000_0000_0005;

/// Short: the pauses add to every bound of the liveness phase.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// Of workers that read another stream.
pub(crate) const STRANGER: &str = "stranger";

/// Between the end of a process and the next.
const A_SUPERVISOR: Duration = Duration::from_secs(1);

/// Of one that never comes up.
const A_SLOW_SUPERVISOR: Duration = Duration::from_secs(7);
