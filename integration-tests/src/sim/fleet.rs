//! The workers: real consumers, started, stopped and killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use kinesis_consumer::{Backoff, Batch, Concurrency, Consumer, ConsumerHandle, OnError, Record};
use kinesis_testkit::{Cloud, Connection};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::clocks::Clocks;
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
        let life = self.clone().live(at, network, name.clone(), place.id.clone(), seed, Arc::clone(&handle));
        Life { name, task: tokio::spawn(life), handle }
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
            Some(handle) => drop(handle.shutdown(self.shape.handoff_time).await),
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
    async fn live(
        self,
        at: usize,
        network: String,
        name: String,
        id: String,
        seed: u64,
        handle: Arc<Mutex<Option<ConsumerHandle>>>,
    ) {
        let connection = self.cloud.connect(&network).await;
        loop {
            match Box::pin(self.build(at, &connection, &id, seed)).await {
                Ok(consumer) => {
                    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer.handle());
                    self.recorder.add(&name, "", What::Up(id.clone()));
                    let processor = Processor::new(&self, &connection, &name);
                    match Box::pin(connection.run(self.process(consumer, processor))).await {
                        Ok(()) => return,
                        Err(error) => self.recorder.add(&name, "", What::Down(format!("error: {error}"))),
                    }
                }
                Err(error) => self.recorder.add(&name, "", What::Trouble(format!("cannot start: {error}"))),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn build(
        &self,
        at: usize,
        connection: &Connection,
        id: &str,
        seed: u64,
    ) -> Result<Consumer, kinesis_consumer::BuildError> {
        let Shape { lease_duration, handoff_time, checkpoint_every, read_bytes, .. } = self.shape;
        let clocks = self.lock()[at].clocks.clone();
        // The consumer takes the time of day from this client.
        let kinesis = connection.kinesis_config().time_source(clocks.wall_clock(connection.clock())).build();
        let starting = Consumer::builder(APPLICATION, STREAM)
            .clock(clocks.monotonic(connection.clock()))
            .kinesis(Client::from_conf(kinesis))
            .dynamodb(connection.dynamodb.clone())
            .worker_id(id)
            .lease_duration(lease_duration)
            .handoff_time(handoff_time)
            .checkpoint_every(checkpoint_every)
            .max_buffered_bytes(read_bytes)
            .on_error(OnError::Retry(RETRY))
            .seed(seed)
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
            Face::Records(lanes) => {
                let take = move |record: Record| processor.take_one(&record);
                consumer.run_records(Concurrency::per_key(lanes), take).await
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
}

/// Keeps the chance of the clocks apart.
const SALT: u64 = 0x5ea1_0000_0000_0005;

/// Short: the pauses add to every bound of the liveness phase.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
