//! The workers of a script: started, stopped and killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::{Backoff, Batch, BuildError, Consumer, ConsumerHandle, OnError, StartAt};
use kinesis_testkit::{Cloud, Connection};
use tokio::task::JoinHandle;

use super::command::{duration, number};
use super::dates::Dates;
use super::mixed_up;
use super::user_code::{Habit, UserCode};
use crate::sim::call::Witness;
use crate::sim::history::{Recorder, What};
use crate::sim::table::APPLICATION;
use crate::sim::workload::STREAM;

/// What a script says behind a worker's name.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// The id in the table, where it is not the name.
    pub(super) id: Option<String>,
    pub(super) lease_duration: Duration,
    pub(super) handoff_time: Duration,
    checkpoint_every: Duration,
    max_leases: usize,
    start: Start,
    stop_on_error: bool,
    /// It reads shards itself, and confuses their positions.
    mixes_up_positions: bool,
    /// What it reads.
    stream: String,
    /// By an operator's word the table of another stream is emptied and is this one's.
    starts_over: bool,
}

/// Where shards without a checkpoint begin.
#[derive(Debug, Clone, Copy)]
enum Start {
    Horizon,
    Latest,
    /// So long after the making of the cloud.
    At(Duration),
}

#[derive(Debug)]
pub(super) struct Workers {
    cloud: Cloud,
    recorder: Recorder,
    dates: Dates,
    all: BTreeMap<String, Worker>,
}

#[derive(Debug)]
struct Worker {
    profile: Profile,
    lives: usize,
    habit: Arc<Mutex<Habit>>,
    life: Option<Life>,
}

#[derive(Debug)]
struct Life {
    name: String,
    task: JoinHandle<()>,
    /// There when the worker is up.
    handle: Arc<Mutex<Option<ConsumerHandle>>>,
}

impl Profile {
    pub(super) fn parse(mut words: &[&str]) -> Result<Self, String> {
        let mut profile = Self {
            id: None,
            lease_duration: Duration::from_secs(10),
            handoff_time: Duration::from_secs(30),
            checkpoint_every: Duration::from_secs(1),
            max_leases: usize::MAX,
            start: Start::Horizon,
            stop_on_error: false,
            mixes_up_positions: false,
            stream: STREAM.to_owned(),
            starts_over: false,
        };
        loop {
            words = match words {
                [] => return Ok(profile),
                ["as", id, rest @ ..] => {
                    profile.id = Some((*id).to_owned());
                    rest
                }
                ["lease", time, rest @ ..] => {
                    profile.lease_duration = duration(time)?;
                    rest
                }
                ["hand-off", time, rest @ ..] => {
                    profile.handoff_time = duration(time)?;
                    rest
                }
                ["checkpoint", time, rest @ ..] => {
                    profile.checkpoint_every = duration(time)?;
                    rest
                }
                ["at", "most", leases, rest @ ..] => {
                    profile.max_leases = number(leases)?;
                    rest
                }
                ["from", "latest", rest @ ..] => {
                    profile.start = Start::Latest;
                    rest
                }
                ["from", "horizon", rest @ ..] => {
                    profile.start = Start::Horizon;
                    rest
                }
                ["from", time, rest @ ..] => {
                    profile.start = Start::At(duration(time)?);
                    rest
                }
                ["stops", "on", "error", rest @ ..] => {
                    profile.stop_on_error = true;
                    rest
                }
                ["mixing", "up", "positions", rest @ ..] => {
                    profile.mixes_up_positions = true;
                    rest
                }
                ["on", stream, rest @ ..] => {
                    profile.stream = (*stream).to_owned();
                    rest
                }
                ["starting", "over", rest @ ..] => {
                    profile.starts_over = true;
                    rest
                }
                _ => return Err(format!("no setting of a worker: {}", words.join(" "))),
            }
        }
    }
}

impl Workers {
    pub(super) fn new(cloud: &Cloud, recorder: &Recorder, dates: &Dates) -> Self {
        Self { cloud: cloud.clone(), recorder: recorder.clone(), dates: dates.clone(), all: BTreeMap::new() }
    }

    /// A new life of this worker; with its former settings, when none are given.
    pub(super) fn start(&mut self, name: &str, profile: Option<Profile>) -> Result<(), String> {
        let worker = match (self.all.get_mut(name), profile) {
            (None, None) => return Err(format!("there is no {name}")),
            (Some(worker), None) => worker,
            (_, Some(profile)) => {
                let lives = self.all.get(name).map_or(0, |worker| worker.lives);
                let worker = Worker { profile, lives, habit: Arc::default(), life: self.living(name) };
                self.all.entry(name.to_owned()).insert_entry(worker).into_mut()
            }
        };
        if worker.life.is_some() {
            return Err(format!("{name} lives"));
        }
        worker.lives += 1;
        let life = if worker.lives == 1 { name.to_owned() } else { format!("{name}/{}", worker.lives) };
        let handle = Arc::default();
        let id = worker.profile.id.clone().unwrap_or_else(|| name.to_owned());
        let place = Place {
            cloud: self.cloud.clone(),
            recorder: self.recorder.clone(),
            dates: self.dates.clone(),
            network: name.to_owned(),
            id,
            life: life.clone(),
            profile: worker.profile.clone(),
            habit: Arc::clone(&worker.habit),
        };
        let task = tokio::spawn(place.live(Arc::clone(&handle)));
        worker.life = Some(Life { name: life, task, handle });
        Ok(())
    }

    fn living(&mut self, name: &str) -> Option<Life> {
        self.all.get_mut(name)?.life.take().filter(|life| !life.task.is_finished())
    }

    pub(super) fn crash(&mut self, name: &str) -> Result<(), String> {
        let life = self.living(name).ok_or_else(|| format!("no {name} lives"))?;
        life.task.abort();
        self.recorder.add(&life.name, "", What::Down("crash".to_owned()));
        Ok(())
    }

    pub(super) async fn shutdown(&mut self, name: &str, within: Duration) -> Result<(), String> {
        let life = self.living(name).ok_or_else(|| format!("no {name} lives"))?;
        let handle = life.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        handle.ok_or_else(|| format!("{name} is not up yet"))?.shutdown(within).await;
        life.task.await.map_err(|error| error.to_string())?;
        self.recorder.add(&life.name, "", What::Down("left".to_owned()));
        Ok(())
    }

    pub(super) fn set_habit(&self, name: &str, habit: Habit) -> Result<(), String> {
        let worker = self.all.get(name).ok_or_else(|| format!("there is no {name}"))?;
        *worker.habit.lock().unwrap_or_else(PoisonError::into_inner) = habit;
        Ok(())
    }

    /// All names, of the dead too.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }

    /// The ids in the table of those that live.
    pub(super) fn ids(&self) -> Vec<String> {
        let lives = |worker: &Worker| worker.life.as_ref().is_some_and(|life| !life.task.is_finished());
        let living = self.all.iter().filter(|(_, worker)| lives(worker));
        living.map(|(name, worker)| worker.profile.id.clone().unwrap_or_else(|| name.clone())).collect()
    }

    pub(super) fn lives(&self, name: &str) -> bool {
        let worker = self.all.get(name);
        worker.and_then(|worker| worker.life.as_ref()).is_some_and(|life| !life.task.is_finished())
    }

    /// What the living have found to be wrong: its kind, and the lease, row or table.
    pub(super) fn findings(&self) -> BTreeSet<(String, String)> {
        let living = self.all.values().filter_map(|worker| worker.life.as_ref());
        let handles = living.filter(|life| !life.task.is_finished()).filter_map(|life| {
            let handle = life.handle.lock().unwrap_or_else(PoisonError::into_inner);
            handle.as_ref().map(ConsumerHandle::findings)
        });
        handles.flatten().map(|finding| (format!("{:?}", finding.kind), finding.subject)).collect()
    }

    /// The settings that judging needs, of whoever came last.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.all.values().map(|worker| &worker.profile)
    }
}

/// Where a life is lived.
struct Place {
    cloud: Cloud,
    recorder: Recorder,
    dates: Dates,
    network: String,
    id: String,
    life: String,
    profile: Profile,
    habit: Arc<Mutex<Habit>>,
}

impl Place {
    async fn live(self, handle: Arc<Mutex<Option<ConsumerHandle>>>) {
        let connection = self.cloud.connect(&self.network).await;
        match Box::pin(self.build(&connection)).await {
            Ok(consumer) => {
                *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer.handle());
                self.recorder.add(&self.life, "", What::Up(self.id.clone()));
                let user_code = UserCode {
                    habit: Arc::clone(&self.habit),
                    connection: connection.clone(),
                    witness: Witness::new(&self.cloud, &self.recorder, &self.life),
                };
                if self.profile.mixes_up_positions {
                    return connection.run(mixed_up::read_all(consumer, user_code)).await;
                }
                let run = consumer.run(move |batch: Batch| user_code.take(&batch));
                if let Err(error) = connection.run(run).await {
                    self.recorder.add(&self.life, "", What::Down(format!("error: {error}")));
                }
            }
            Err(BuildError::OtherStream(other)) => {
                self.recorder.add(&self.life, "", What::Down(format!("{REFUSED}: {other}")));
            }
            Err(error) => self.recorder.add(&self.life, "", What::Down(format!("cannot start: {error}"))),
        }
    }

    /// The stream that the table belongs to, as the error of a worker that is refused names it.
    fn bound_to(&self) -> String {
        let row = self.cloud.table(APPLICATION).try_item("Migration3.0").ok().flatten();
        let stream = row.and_then(|row| row.get("boundToStream")?.as_s().ok().cloned());
        stream.unwrap_or_default()
    }

    async fn build(&self, connection: &Connection) -> Result<Consumer, BuildError> {
        let Profile { lease_duration, handoff_time, checkpoint_every, max_leases, start, stop_on_error, .. } =
            self.profile;
        let start_at = match start {
            Start::Horizon => StartAt::TrimHorizon,
            Start::Latest => StartAt::Latest,
            Start::At(time) => StartAt::At(self.cloud.clock().now() - self.cloud.clock().elapsed() + time),
        };
        let clock = connection.clock();
        let date = self.dates.of(&self.network, connection);
        let starting = Consumer::builder(APPLICATION, self.profile.stream.as_str())
            .clock(move || clock.boottime())
            .kinesis(aws_sdk_kinesis::Client::from_conf(connection.kinesis_config().time_source(date.clone()).build()))
            .dynamodb(aws_sdk_dynamodb::Client::from_conf(connection.dynamodb_config().time_source(date).build()))
            .worker_id(self.id.clone())
            .lease_duration(lease_duration)
            .handoff_time(handoff_time)
            .checkpoint_every(checkpoint_every)
            .max_leases(max_leases)
            .start_at(start_at)
            .on_error(if stop_on_error { OnError::StopShard } else { OnError::Retry(RETRY) })
            .seed(self.id.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte)));
        let starting = if self.profile.starts_over { starting.start_over_from(self.bound_to()) } else { starting };
        connection.run(Box::pin(starting.build())).await
    }
}

/// Begins the reason of a worker that is down because the table is another stream's.
pub(super) const REFUSED: &str = "refused";

const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
