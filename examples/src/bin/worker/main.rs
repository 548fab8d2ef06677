//! One worker of a fleet: prints what it reads, one JSON object a line, and checkpoints what it has printed.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Parser;
use examples::cost::Cost;
use examples::output::{self, Output};
use kinesis_consumer::lease::{Checkpoint, CheckpointError};
use kinesis_consumer::{Batch, Consumer, End, Event, Position, Shard};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::args::{Args, Mode};

mod args;

/// What the shards' tasks share.
#[derive(Debug)]
struct Totals {
    records: AtomicU64,
    bytes: AtomicU64,
    checkpoints: AtomicU64,
    shards_held: AtomicU64,
}

#[derive(Clone)]
struct Printer {
    args: Arc<Args>,
    worker: Arc<str>,
    output: Output,
    totals: Arc<Totals>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    output::log_to_stderr();
    if args.mode == Mode::FanOut {
        eprintln!("worker: --mode fan-out is not there yet; use --mode polling");
        return ExitCode::from(2);
    }
    match Box::pin(run(args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let config = aws_config::load_from_env().await;
    let mut builder = Consumer::builder(&args.app, &args.stream)
        .kinesis(aws_sdk_kinesis::Client::new(&config))
        .dynamodb(aws_sdk_dynamodb::Client::new(&config))
        .start_at(args.from)
        .lease_duration(Duration::from_millis(args.lease_ms))
        .max_idle_poll(Duration::from_millis(args.idle_ms));
    if let Some(worker) = &args.worker {
        builder = builder.worker_id(worker);
    }
    if let Some(other) = &args.start_over_from {
        builder = builder.start_over_from(other);
    }
    if args.adopt_table {
        builder = builder.adopt_table();
    }
    let mut consumer = builder.build().await?;
    let handle = consumer.handle();
    let printer = Printer::new(args, handle.worker_id().as_str());

    let mut shards = JoinSet::new();
    let mut failed = None;
    let stop = stop_wanted(printer.clone());
    tokio::pin!(stop);
    let mut stopping = false;
    loop {
        tokio::select! { biased;
            () = &mut stop, if !stopping => {
                stopping = true;
                let handle = handle.clone();
                tokio::spawn(async move { handle.shutdown(DRAIN_WITHIN).await });
            }
            Some(ended) = shards.join_next() => {
                if let Err(error) = ended.context("the task of a shard panicked").and_then(|result| result) {
                    eprintln!("worker: {error:#}");
                    failed.get_or_insert(error);
                }
            }
            shard = consumer.next_shard() => match shard {
                Some(shard) => {
                    shards.spawn(printer.clone().process(shard));
                }
                None => break,
            }
        }
    }
    while let Some(ended) = shards.join_next().await {
        if let Err(error) = ended.context("the task of a shard panicked").and_then(|result| result) {
            failed.get_or_insert(error);
        }
    }
    printer.print_cost("end")?;
    // The stream was deleted and made again while this worker ran.
    if let Some(other) = handle.other_stream() {
        return Err(other.into());
    }
    failed.map_or(Ok(()), Err)
}

/// Resolves when the worker is to stop; prints figures until then.
async fn stop_wanted(printer: Printer) {
    let started = Instant::now();
    let args = Arc::clone(&printer.args);
    let every = (args.cost_ms > 0).then(|| Duration::from_millis(args.cost_ms));
    let mut next_cost = every.map(|every| started + every);
    let signal = output::stop_signal();
    tokio::pin!(signal);
    loop {
        tokio::select! { biased;
            () = &mut signal => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let enough =
            args.stop_after_records.is_some_and(|limit| printer.totals.records.load(Ordering::Relaxed) >= limit);
        let late = args.seconds.is_some_and(|limit| started.elapsed() >= Duration::from_secs(limit));
        if enough || late {
            return;
        }
        if let (Some(at), Some(every)) = (&mut next_cost, every)
            && *at <= Instant::now()
        {
            *at += every;
            if let Err(error) = printer.print_cost("cost") {
                eprintln!("worker: {error:#}");
                return;
            }
        }
    }
}

impl Printer {
    fn new(args: Args, worker: &str) -> Self {
        let totals = Totals {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            shards_held: AtomicU64::new(0),
        };
        Self { args: Arc::new(args), worker: worker.into(), output: Output::stdout(), totals: Arc::new(totals) }
    }

    /// One shard, from its first event to its last.
    async fn process(self, mut shard: Shard) -> anyhow::Result<()> {
        let id = shard.id().to_string();
        let (from, from_sub) = match shard.start() {
            Checkpoint::At(position) => (position.sequence_number.to_string(), position.sub_sequence),
            Checkpoint::Latest => ("LATEST".to_owned(), 0),
            Checkpoint::AtTimestamp => ("AT_TIMESTAMP".to_owned(), 0),
            _ => ("TRIM_HORIZON".to_owned(), 0),
        };
        self.print(&ShardEvent { from: Some(&from), from_sub: Some(from_sub), ..self.event("initialize", &id) })?;
        self.totals.shards_held.fetch_add(1, Ordering::Relaxed);
        let processed = self.events(&mut shard, &id).await;
        self.totals.shards_held.fetch_sub(1, Ordering::Relaxed);
        match processed {
            // Losing a lease is an ordinary event in a fleet; the new owner goes on from the last checkpoint.
            Err(error) if error.is::<CheckpointError>() => {
                let error = error.to_string();
                self.print(&ShardEvent { error: Some(&error), ..self.event("lease_lost", &id) })
            }
            Ok(Some(last_event)) => self.print(&self.event(last_event, &id)),
            Ok(None) => self.print(&self.event("lease_lost", &id)),
            Err(error) => Err(error).with_context(|| format!("shard {id}")),
        }
    }

    /// Prints batches and checkpoints them; returns the name of the shard's last event, `None` for a lost lease.
    async fn events(&self, shard: &mut Shard, id: &str) -> anyhow::Result<Option<&'static str>> {
        let mut printed: Option<Position> = None;
        let mut last_checkpoint = Instant::now();
        let every = u64::try_from(self.args.checkpoint_ms).ok().map(Duration::from_millis);
        loop {
            let due = every.filter(|_| printed.is_some()).map(|every| last_checkpoint + every);
            // Events first; when none comes, what was printed last is checkpointed all the same.
            let event = tokio::select! { biased;
                event = shard.next() => event,
                () = tokio::time::sleep_until(due.unwrap_or(last_checkpoint)), if due.is_some() => {
                    self.checkpoint(shard, id, printed.take()).await?;
                    last_checkpoint = Instant::now();
                    continue;
                }
            };
            let Some(event) = event else { break };
            match event {
                Event::Batch(batch) => {
                    self.print_batch(&batch, id)?;
                    if self.args.work_ms > 0 {
                        tokio::time::sleep(Duration::from_millis(self.args.work_ms)).await;
                    }
                    printed = Some(batch.last().clone());
                    if every.is_some_and(|every| last_checkpoint.elapsed() >= every) {
                        self.checkpoint(shard, id, printed.take()).await?;
                        last_checkpoint = Instant::now();
                    }
                }
                Event::Revoking { .. } => {
                    self.checkpoint(shard, id, printed.take()).await?;
                    shard.release().await?;
                    return Ok(Some("lease_lost"));
                }
                Event::Ended(end) => return self.end(end).await.map(Some),
                Event::Failed(error) => bail!(error),
                _ => {}
            }
        }
        Ok(None)
    }

    async fn end(&self, end: End) -> anyhow::Result<&'static str> {
        end.complete().await?;
        self.totals.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok("shard_end")
    }

    async fn checkpoint(&self, shard: &Shard, id: &str, position: Option<Position>) -> anyhow::Result<()> {
        let Some(position) = position else { return Ok(()) };
        shard.checkpoint(&position).await?;
        self.totals.checkpoints.fetch_add(1, Ordering::Relaxed);
        if self.args.quiet {
            return Ok(());
        }
        let seq = position.sequence_number.to_string();
        self.print(&ShardEvent { seq: Some(&seq), sub: Some(position.sub_sequence), ..self.event("checkpoint", id) })
    }

    fn print_batch(&self, batch: &Batch, id: &str) -> anyhow::Result<()> {
        self.totals.records.fetch_add(batch.records().len() as u64, Ordering::Relaxed);
        let bytes: usize = batch.records().iter().map(|record| record.data().len()).sum();
        self.totals.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.args.quiet {
            return Ok(());
        }
        let ms = output::now_ms();
        let lines = batch.records().iter().map(|record| {
            let data = if self.args.base64 {
                BASE64.encode(record.data()).into()
            } else {
                String::from_utf8_lossy(record.data())
            };
            RecordEvent {
                event: "record",
                ms,
                worker: &self.worker,
                shard: id,
                seq: record.sequence_number().as_str(),
                sub: record.sub_sequence(),
                key: record.partition_key(),
                ehk: record.explicit_hash_key(),
                data,
            }
        });
        self.output.print_all(lines).context("writing to standard output failed")
    }

    fn print(&self, line: &impl Serialize) -> anyhow::Result<()> {
        self.output.print(line).context("writing to standard output failed")
    }

    fn print_cost(&self, event: &'static str) -> anyhow::Result<()> {
        let Cost { cpu_s, rss_kib } = Cost::so_far()?;
        self.print(&CostEvent {
            event,
            ms: output::now_ms(),
            worker: &self.worker,
            records: self.totals.records.load(Ordering::Relaxed),
            bytes: self.totals.bytes.load(Ordering::Relaxed),
            checkpoints: self.totals.checkpoints.load(Ordering::Relaxed),
            shards_held: self.totals.shards_held.load(Ordering::Relaxed),
            cpu_s,
            rss_kib,
        })
    }

    fn event<'a>(&'a self, event: &'static str, shard: &'a str) -> ShardEvent<'a> {
        let ms = output::now_ms();
        ShardEvent {
            event,
            ms,
            worker: &self.worker,
            shard,
            from: None,
            from_sub: None,
            seq: None,
            sub: None,
            error: None,
        }
    }
}

#[derive(Serialize)]
struct ShardEvent<'a> {
    event: &'static str,
    ms: u64,
    worker: &'a str,
    shard: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_sub: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RecordEvent<'a> {
    event: &'static str,
    ms: u64,
    worker: &'a str,
    shard: &'a str,
    seq: &'a str,
    sub: u64,
    key: &'a str,
    ehk: Option<&'a str>,
    data: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct CostEvent<'a> {
    event: &'static str,
    ms: u64,
    worker: &'a str,
    records: u64,
    bytes: u64,
    checkpoints: u64,
    shards_held: u64,
    cpu_s: f64,
    rss_kib: u64,
}

/// As long as the Java peer waits in its shutdown.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// As often as the Java peer looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);
