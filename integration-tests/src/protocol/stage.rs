//! The world of a script, and how its commands change it.

use std::collections::BTreeSet;
use std::time::Duration;

use kinesis_testkit::{Cloud, Fault, Stream, Throughput};
use tokio::time::{Instant, sleep};

use super::command::{Command, Side, shard_id};
use super::dates::Dates;
use super::expect::{Condition, Expectation, Facts};
use super::operator::Left;
use super::trace::Trace;
use super::workers::Workers;
use super::writer::Writer;
use crate::sim::Shape;
use crate::sim::history::{Recorder, What};
use crate::sim::oracles::{Violation, judge};
use crate::sim::run::{audit, stored};
use crate::sim::table::{APPLICATION, rows, writes};
use crate::sim::workload::{PRODUCER, STREAM};

#[derive(Debug)]
pub(super) struct Stage {
    cloud: Cloud,
    stream: Stream,
    recorder: Recorder,
    workers: Workers,
    writer: Writer,
    dates: Dates,
    trace: Trace,
    /// Put before readers begin, as a script wants it: not to be read.
    unread: BTreeSet<u32>,
    /// When something was last done to the world.
    touched: Duration,
    /// The rows that an operator has written.
    left: Left,
    /// What was broken before the stream was made anew, and how many events are not judged any more.
    judged: (Vec<Violation>, usize),
}

impl Stage {
    pub(super) async fn new(shards: i32) -> Self {
        let cloud = Cloud::builder().seed(7).latency(LATENCY).build();
        cloud.table(APPLICATION).keep_writes(usize::MAX);
        let stream = cloud.create_stream(STREAM, shards).await;
        let recorder = Recorder::new(&cloud);
        tokio::spawn(watch(cloud.clone(), recorder.clone()));
        let dates = Dates::default();
        Self {
            workers: Workers::new(&cloud, &recorder, &dates),
            writer: Writer::new(&cloud, &stream, &recorder, &dates),
            dates,
            trace: Trace::default(),
            unread: BTreeSet::new(),
            touched: Duration::ZERO,
            left: Left::new(),
            judged: (Vec::new(), 0),
            cloud,
            stream,
            recorder,
        }
    }

    /// `text`: the command in the script's words.
    pub(super) async fn perform(&mut self, command: Command, text: &str) -> Result<(), String> {
        match command {
            Command::Wait(time) => sleep(time).await,
            Command::Expect(expectation) => {
                if let Condition::Unread(puts) = &expectation.condition {
                    self.unread.extend(puts.clone());
                }
                return self.expect(&expectation).await;
            }
            Command::ShowLeases => self.trace.show_leases(&rows(&self.cloud).unwrap_or_default()),
            Command::Put(records, to) => return self.writer.put(records, to).await,
            Command::Load(records) => self.writer.set_load(records),
            Command::Producer(profile) => return self.writer.set_profile(profile),
            command => {
                self.touched = self.recorder.now();
                if !command.is_orderly() {
                    self.recorder.add("", "", What::Trouble(text.to_owned()));
                }
                return self.touch(command).await;
            }
        }
        Ok(())
    }

    /// Commands after which nothing may be as it was.
    async fn touch(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Worker(name, profile) => return self.workers.start(&name, Some(profile)),
            Command::Crash(name) => return self.workers.crash(&name),
            Command::Restart(name) => {
                self.workers.crash(&name)?;
                return self.workers.start(&name, None);
            }
            Command::Shutdown(name, within) => return self.workers.shutdown(&name, within).await,
            Command::UserCode(name, habit) => return self.workers.set_habit(&name, habit),
            Command::Freeze(name, time) => {
                self.recorder.add(&name, "", What::Frozen);
                self.cloud.freeze(&name);
                let (cloud, recorder) = (self.cloud.clone(), self.recorder.clone());
                time.map(|time| {
                    tokio::spawn(async move {
                        sleep(time).await;
                        thaw(&cloud, &recorder, &name);
                    })
                });
            }
            Command::Thaw(name) => thaw(&self.cloud, &self.recorder, &name),
            Command::Next { worker, operation, calls, fault } => {
                let faults = self.cloud.faults(&worker);
                let injected = faults.try_next_n(&operation, calls, fault);
                return injected.map(drop).map_err(|refused| refused.to_string());
            }
            Command::Cut(name, side) => {
                let faults = self.cloud.faults(&name);
                _ = match side {
                    Side::Table => faults.dynamodb().always(Fault::BlackHole),
                    Side::Stream => faults.kinesis().always(Fault::BlackHole),
                    Side::Both => faults.black_hole(),
                };
            }
            Command::Heal(name) => self.cloud.faults(&name).heal(),
            Command::ThrottleTable(None) => self.cloud.table(APPLICATION).without_throughput(),
            Command::ThrottleTable(Some(units)) => {
                self.cloud.table(APPLICATION).throughput(Throughput::new(units, units));
            }
            Command::Split(shard) => {
                return self.stream.try_split(shard_id(shard)).await.map(drop).map_err(|refused| refused.to_string());
            }
            Command::Merge(shard, adjacent) => {
                let merged = self.stream.try_merge(shard_id(shard), shard_id(adjacent)).await;
                return merged.map(drop).map_err(|refused| refused.to_string());
            }
            Command::Reshard(shards) => {
                return self.stream.try_update_shard_count(shards).await.map_err(|refused| refused.to_string());
            }
            Command::SetClock(name, jump) => self.dates.jump(&name, jump),
            Command::DeleteLease(shard) => {
                if !self.cloud.table(APPLICATION).delete(shard_id(shard).as_str()) {
                    return Err("there is no such lease".to_owned());
                }
            }
            Command::Act(act) => {
                return act.perform(&self.cloud, &self.stream, &self.recorder, &mut self.left).await;
            }
            Command::MadeAnew(shards) => return self.make_anew(shards).await,
            other => return Err(format!("not possible here: {other:?}")),
        }
        Ok(())
    }

    async fn expect(&self, Expectation { condition, within }: &Expectation) -> Result<(), String> {
        let end = Instant::now() + *within;
        loop {
            self.recorder.look(&self.cloud);
            let facts = Facts {
                touched: self.touched,
                events: self.recorder.since(0),
                rows: rows(&self.cloud).unwrap_or_default(),
                shards: self.stream.shards(),
                stored: stored(&self.stream, &[]),
                unread: &self.unread,
                recorder: &self.recorder,
                workers: &self.workers,
                cloud: &self.cloud,
                left: &self.left,
            };
            match condition.check(&facts) {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() >= end => return Err(format!("not so: {why}")),
                Err(_) => sleep(CHECK_EVERY).await,
            }
        }
    }

    /// What has happened since the last time.
    pub(super) fn trace(&mut self) -> String {
        self.recorder.look(&self.cloud);
        let names = self.workers.names().cloned().chain([PRODUCER.to_owned()]);
        // Whoever has not connected yet has made none.
        let calls = names.filter_map(|name| Some((name.clone(), self.cloud.try_calls(&name).ok()?))).collect();
        self.trace.since(&self.recorder, &calls)
    }

    /// The stream is another one afterwards, with shards of the same names: what was until now is judged by itself.
    async fn make_anew(&mut self, shards: i32) -> Result<(), String> {
        self.recorder.look(&self.cloud);
        let violations = self.judge();
        self.judged.0.extend(violations);
        self.judged.1 = self.recorder.since(0).len();
        let table = self.cloud.table(APPLICATION);
        table.keep_writes(0);
        table.keep_writes(usize::MAX);
        let deleted = self.cloud.outside().kinesis.delete_stream().stream_name(STREAM).send().await;
        deleted.map_err(|error| error.to_string())?;
        sleep(DELETING).await;
        self.stream = self.cloud.try_create_stream(STREAM, shards).await.map_err(|refused| refused.to_string())?;
        Ok(())
    }

    /// The promises that were broken and not allowed to be.
    pub(super) fn broken(self, allowed: &[String]) -> Vec<String> {
        let judged = self.judged.0.iter().cloned().chain(self.judge());
        let kept = |promise: &str| allowed.iter().all(|allowed| allowed != promise);
        judged.filter(|violation| kept(violation.promise)).map(|violation| violation.to_string()).collect()
    }

    fn judge(&self) -> Vec<Violation> {
        let mut shape = Shape::of(0);
        // A script says itself how soon, and whose user code fails.
        (shape.failing_calls, shape.slowest_call) = (0, Duration::ZERO);
        shape.record_ttl = self.writer.profile().ttl.unwrap_or(shape.record_ttl);
        shape.lease_duration = self.workers.profiles().map(|profile| profile.lease_duration).max().unwrap_or_default();
        shape.handoff_time = self.workers.profiles().map(|profile| profile.handoff_time).max().unwrap_or_default();
        let (mut events, puts) = (self.recorder.since(self.judged.1), self.recorder.puts());
        let unread = |put: &u32| self.unread.contains(put);
        events.retain(|event| !matches!(&event.what, What::Put(put) | What::Acked { put, .. } if unread(put)));
        let stored = stored(&self.stream, &puts);
        // Of two processes under one id the table does not say whose a lease is.
        let has_twins = self.workers.profiles().any(|profile| profile.id.is_some());
        let writes = if has_twins { Vec::new() } else { writes(&self.cloud) };
        let mut history = audit(shape, events, writes, puts, stored, &self.stream);
        history.stored.retain(|stored| !stored.put.as_ref().is_some_and(unread));
        judge(&history).into_iter().filter(|violation| violation.promise != "C8").collect()
    }
}

fn thaw(cloud: &Cloud, recorder: &Recorder, name: &str) {
    cloud.thaw(name);
    recorder.add(name, "", What::Thawed);
}

/// Writes down what the table says, at each moment.
async fn watch(cloud: Cloud, recorder: Recorder) {
    loop {
        recorder.look(&cloud);
        sleep(LOOK_EVERY).await;
    }
}

/// Of each call: what one writes stays for so long at least, until another has seen it and answers.
const LATENCY: Duration = Duration::from_millis(25);

/// More often than the table can change twice by calls of which one follows from the other.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Until a deleted stream is gone, and its name is free.
const DELETING: Duration = Duration::from_secs(10);

/// As exactly as times are told.
const CHECK_EVERY: Duration = Duration::from_millis(100);
