//! The producer under generated load, its rate limit lifted: what does a record cost?

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use examples::cost::Cost;
use examples::insecure_tls;
use examples::output::{self, Output};
use kinesis_producer::{Aggregation, Delivery, Producer, RateLimit, Record};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Puts generated records as fast as they are taken, or at a rate, and prints what that cost.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
struct Args {
    /// The stream, by name or ARN.
    #[arg(long)]
    stream: String,
    /// How many records.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    records: u64,
    /// Bytes of data in a record: its number, then `x`.
    #[arg(long, default_value_t = 100, value_name = "B")]
    size: usize,
    /// How many different keys `user-<n>`; 0: as many as records.
    #[arg(long, default_value_t = 0, value_name = "K")]
    keys: u64,
    /// Take any certificate: for a service on this machine that made its own.
    #[arg(long)]
    insecure_tls: bool,
    /// Make each record a Kinesis record of its own.
    #[arg(long)]
    no_aggregation: bool,
    /// Records a second; 0: as many as possible.
    #[arg(long, default_value_t = 0.0, value_name = "N")]
    per_second: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    output::log_to_stderr();
    match run(args).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("load: {failed} records failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many records failed.
async fn run(args: Args) -> anyhow::Result<u64> {
    ensure!(args.per_second >= 0.0, "--per-second is {}, but must be 0 or more", args.per_second);
    let mut config = aws_config::from_env();
    if args.insecure_tls {
        config = config.http_client(insecure_tls::http_client()?);
    }
    let client = aws_sdk_kinesis::Client::new(&config.load().await);
    let mut builder = Producer::builder(client, &args.stream).rate_limit(RateLimit::UNLIMITED);
    if args.no_aggregation {
        builder = builder.aggregation(Aggregation::Off);
    }
    let producer = builder.build().await.context("the producer cannot start")?;

    let before = Cost::so_far()?;
    let started = Instant::now();
    let args = Arc::new(args);
    // Whoever is free takes the next numbers.
    let next = Arc::new(AtomicU64::new(0));
    let mut putters = JoinSet::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
        putters.spawn(put_some(producer.clone(), Arc::clone(&args), Arc::clone(&next), started));
    }
    let mut total = Tally::default();
    while let Some(tally) = putters.join_next().await {
        total.add(tally.context("a putting task panicked")??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = Cost::so_far()?;
    let Tally { ok, failed, attempts } = total;
    let (cpu_s, rss_kib) = (after.cpu_s - before.cpu_s, after.rss_kib);
    let end =
        End { event: "end", ms: output::now_ms(), records: ok + failed, ok, failed, attempts, seconds, cpu_s, rss_kib };
    Output::stdout().print(&end)?;
    let report = producer.close(Duration::ZERO).await;
    ensure!(report.undelivered.is_empty(), "{} records are left over", report.undelivered.len());
    ensure!(report.counts.written == ok, "{} records are written, {ok} deliveries said so", report.counts.written);
    Ok(failed)
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    ok: u64,
    failed: u64,
    attempts: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.attempts += other.attempts;
    }

    async fn wait_for(&mut self, delivery: Delivery) {
        match delivery.await {
            Ok(receipt) => {
                self.ok += 1;
                self.attempts += u64::from(receipt.attempts);
            }
            Err(error) => {
                if self.failed == 0 {
                    eprintln!("load: the first of those that failed: {error}");
                }
                self.failed += 1;
                self.attempts += error.attempts().len() as u64;
            }
        }
    }
}

async fn put_some(
    producer: Producer,
    args: Arc<Args>,
    next: Arc<AtomicU64>,
    started: Instant,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut waiting = VecDeque::with_capacity(MOST_WAITING);
    let mut key = String::new();
    let mut data = vec![b'x'; args.size];
    loop {
        let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
        if first >= args.records {
            break;
        }
        for number in first..args.records.min(first + AT_ONCE) {
            if args.per_second > 0.0 {
                #[expect(clippy::cast_precision_loss, reason = "2^53 records are more than anyone waits for")]
                let due = started + Duration::from_secs_f64(number as f64 / args.per_second);
                // Tokio's timer has steps of a millisecond.
                if due > Instant::now() + Duration::from_millis(1) {
                    sleep_until(due).await;
                }
            }
            key.clear();
            write!(key, "user-{}", if args.keys == 0 { number } else { number % args.keys })?;
            number_in(&mut data, number)?;
            if waiting.len() == MOST_WAITING
                && let Some(oldest) = waiting.pop_front()
            {
                tally.wait_for(oldest).await;
            }
            waiting.push_back(producer.put(Record::new(&key, &data)).await?);
        }
    }
    for delivery in waiting {
        tally.wait_for(delivery).await;
    }
    Ok(tally)
}

/// Writes the number at the beginning of the data, as much of it as there is room for.
fn number_in(data: &mut [u8], number: u64) -> std::io::Result<()> {
    let mut text = [b'x'; 20];
    write!(&mut text[..], "{number}")?;
    let len = data.len().min(text.len());
    data[..len].copy_from_slice(&text[..len]);
    Ok(())
}

#[derive(Serialize)]
struct End {
    event: &'static str,
    ms: u64,
    records: u64,
    ok: u64,
    failed: u64,
    attempts: u64,
    seconds: f64,
    cpu_s: f64,
    rss_kib: u64,
}

/// Numbers that a task takes at a time, so that tasks do not wait for one another.
const AT_ONCE: u64 = 64;
/// Deliveries a task has not looked at yet: the bench peer has 50 000 in flight, too, with two tasks.
const MOST_WAITING: usize = 25_000;
