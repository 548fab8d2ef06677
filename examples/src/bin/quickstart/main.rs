//! The main job, whole: lines go through a producer, a stream, and a fleet of workers that share a lease table; on the
//! way a shard is split and a worker is killed; at the end stands an account of every line.

mod account;
mod cloud;
mod count_calls;
mod fleet;
mod input;
mod report;
mod write;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use self::cloud::Cloud;
use self::fleet::{Fleet, Ledger, Worker};
use self::input::Input;
use self::report::Summary;
use self::write::{Writing, Written};

/// Writes lines through a producer, reads them with a fleet of workers, and accounts for every one.
///
/// Without --aws everything runs on a Kinesis and a DynamoDB inside this program, with the service's limits.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Args {
    /// Lines to write: a file, or `-` for standard input. Default: a generated clickstream.
    #[arg(long, value_name = "FILE", conflicts_with = "events")]
    input: Option<PathBuf>,
    /// How many events to generate.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Workers in the fleet. One is killed half-way; if it is the only one, another takes its place.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Shards of the stream that is made. One more comes from the split.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=100))]
    shards: i32,
    /// Where every delivered line goes, as delivered.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// End with one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Use AWS, or whatever the SDK's environment points to; no shard is split then, since the stream is yours.
    #[arg(long, requires_all = ["stream", "app"])]
    aws: bool,
    /// With --aws: the stream.
    #[arg(long, value_name = "S", requires = "aws")]
    stream: Option<String>,
    /// With --aws: the application, which is the name of its lease table. Use one that has no leases yet.
    #[arg(long, value_name = "A", requires = "aws")]
    app: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    examples::output::log_to_stderr();
    match run(&args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quickstart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<bool> {
    let input = args.input.clone().map_or(Input::Generated(args.events), Input::File);
    let lines = input.open()?;
    let output = args.output.as_ref().map(|path| create(path)).transpose()?;
    let cloud = match (&args.stream, args.aws) {
        (Some(stream), true) => Cloud::aws(stream).await,
        _ => Cloud::local(args.shards).await,
    };
    let started = Instant::now();
    let fleet = Fleet {
        app: args.app.clone().unwrap_or_else(|| "quickstart".to_owned()),
        stream: cloud.stream().to_owned(),
        lease_duration: LEASE_DURATION,
        ledger: Ledger::new(output),
    };
    let mut workers = Vec::new();
    for number in 1..=args.workers {
        workers.push(start(&cloud, &fleet, number).await?);
    }
    let mut writing =
        Writing::start(cloud.producer_client().await, cloud.stream(), lines, fleet.ledger.clone()).await?;
    let bar = progress_bar(writing.expected());

    let mut run = Run { args, cloud: &cloud, fleet: &fleet, workers, killed: 0, split: 0 };
    let written = run.until_all_delivered(&mut writing, &bar).await?;
    for worker in run.workers {
        worker.shut_down().await?;
    }
    bar.finish_and_clear();
    fleet.ledger.flush()?;

    let balance = fleet.ledger.with(|account| account.balance());
    let summary = Summary {
        lines_in: written.lines,
        lines_out: balance.deliveries,
        lost: balance.lost + written.failed,
        duplicates: balance.duplicates,
        kinesis_records: balance.kinesis_records,
        put_requests: cloud.put_requests(),
        workers_killed: run.killed,
        shards_split: run.split,
        seconds: started.elapsed().as_secs_f64(),
    };
    if args.json {
        println!("{}", serde_json::to_string(&summary).context("a summary is plain data")?);
    } else {
        println!("{}", fleet.ledger.with(|account| report::table(&summary, &balance, account)));
    }
    Ok(balance.is_right() && written.failed == 0 && !written.interrupted)
}

/// A run under way.
struct Run<'a> {
    args: &'a Args,
    cloud: &'a Cloud,
    fleet: &'a Fleet,
    workers: Vec<Worker>,
    killed: u32,
    split: u32,
}

impl Run<'_> {
    /// Waits until every line that was written has been delivered, with a split and a kill on the way.
    async fn until_all_delivered(&mut self, writing: &mut Writing, bar: &ProgressBar) -> anyhow::Result<Written> {
        let mut last = (0, Instant::now());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let written = writing.written().await?;
            let (deliveries, missing) = self.fleet.ledger.with(|account| (account.deliveries(), account.missing()));
            bar.set_position(deliveries);
            if let Some(expected) = writing.expected() {
                bar.set_length(expected);
                self.disturb(deliveries, expected, bar).await?;
            }
            if let Some(written) = written
                && missing == 0
            {
                return Ok(written);
            }
            if deliveries > last.0 {
                last = (deliveries, Instant::now());
            } else if last.1.elapsed() > GIVE_UP {
                bail!("nothing was delivered for {GIVE_UP:?} and {missing} lines are missing");
            }
        }
    }

    /// At a third of the lines a shard is split, at half of them a worker is killed.
    async fn disturb(&mut self, deliveries: u64, expected: u64, bar: &ProgressBar) -> anyhow::Result<()> {
        if self.split == 0 && deliveries * 3 >= expected && self.cloud.split().await {
            bar.println("split a shard");
            self.split = 1;
        }
        if self.killed == 0 && deliveries * 2 >= expected && !self.workers.is_empty() {
            let worker = self.workers.remove(0);
            bar.println(format!("killed {}: its leases run out, and others take them", worker.name));
            self.cloud.cut_off(&worker.name);
            worker.kill().await;
            self.killed = 1;
            if self.workers.is_empty() {
                self.workers.push(start(self.cloud, self.fleet, self.args.workers + 1).await?);
            }
        }
        Ok(())
    }
}

async fn start(cloud: &Cloud, fleet: &Fleet, number: u32) -> anyhow::Result<Worker> {
    let name = format!("worker-{number}");
    let (kinesis, dynamodb) = cloud.worker_clients(&name).await;
    fleet.start(name, kinesis, dynamodb).await
}

fn create(path: &PathBuf) -> anyhow::Result<Box<dyn Write + Send>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// On standard error, and only if that is a terminal.
fn progress_bar(expected: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(expected, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {human_pos}/{human_len} lines delivered, {per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Shorter than the default of ten seconds, so that one does not wait long for the killed worker's shards.
const LEASE_DURATION: Duration = Duration::from_secs(4);

/// Often enough for a smooth bar, rare enough to cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Several times what a take-over needs.
const GIVE_UP: Duration = Duration::from_secs(60);
