//! Runs simulated fleets: one seed with its trace, many seeds on all cores, or pairs of runs that have to be the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use integration_tests::sim::{Ledger, simulate};
use rustix::time::{ClockId, clock_gettime};

const USAGE: &str = "sim --seed N                          one run, with the trace of its events
sim --seeds A..B [--ledger FILE]      many runs, those that the ledger has as failed first
sim --seeds A..B --until-broken       many runs, in order, up to the first that breaks a promise
sim --pairs N [--from SEED]           each seed twice: the traces have to be the same, byte for byte";

#[derive(Debug, Default)]
struct Arguments {
    seed: Option<u64>,
    seeds: Option<Range<u64>>,
    pairs: Option<u64>,
    from: u64,
    ledger: Option<PathBuf>,
    until_broken: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = parse(std::env::args().skip(1)).context(USAGE)?;
    let good = match (arguments.seed, arguments.seeds, arguments.pairs) {
        (Some(seed), None, None) => replay(seed),
        (None, Some(seeds), None) if arguments.until_broken => until_broken(seeds),
        (None, Some(seeds), None) => many(seeds, arguments.ledger)?,
        (None, None, Some(pairs)) => twice(arguments.from..arguments.from + pairs),
        _ => bail!("one of --seed, --seeds and --pairs\n{USAGE}"),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        if word == "--until-broken" {
            arguments.until_broken = true;
            continue;
        }
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--seed" => arguments.seed = Some(value.parse()?),
            "--pairs" => arguments.pairs = Some(value.parse()?),
            "--from" => arguments.from = value.parse()?,
            "--ledger" => arguments.ledger = Some(value.into()),
            "--seeds" => {
                let (from, to) = value.split_once("..").context("seeds are given as A..B")?;
                arguments.seeds = Some(from.parse()?..to.parse()?);
            }
            _ => bail!("{word} is not known"),
        }
    }
    Ok(arguments)
}

fn replay(seed: u64) -> bool {
    let report = simulate(seed);
    println!("{}{}", report.events(), report.summary());
    print!("{}", report.failure());
    report.is_clean()
}

/// Runs the seeds on all cores; each run has a thread for itself while it lasts.
fn many(seeds: Range<u64>, path: Option<PathBuf>) -> anyhow::Result<bool> {
    let ledger = path.as_deref().map_or_else(|| Ok(Ledger::default()), Ledger::read)?;
    let seeds = ledger.order(seeds);
    let (ledger, next, failed) = (Mutex::new(ledger), AtomicUsize::new(0), AtomicUsize::new(0));
    let slowest = Mutex::new(Vec::new());
    on_all_cores(|| {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = simulate(*seed);
            println!("{}", report.summary());
            if !report.is_clean() {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("{}", report.failure());
            }
            slowest.lock().expect("no run panics in here").extend(report.converged_after());
            let mut ledger = ledger.lock().expect("no run panics in here");
            ledger.note(*seed, &report.broken());
            if let Some(path) = &path {
                ledger.write(path).expect("the ledger can be written");
            }
        }
    });
    let mut converged = slowest.into_inner().expect("no run panicked");
    converged.sort_unstable();
    let at = |share: usize| converged.get(converged.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    let failed = failed.into_inner();
    println!(
        "{} seeds, {failed} failed; converged after {:.1} s in the middle, 95 % {:.1} s, at most {:.1} s; {:.1} s of CPU, {:.2} s a seed",
        seeds.len(),
        at(50).as_secs_f64(),
        at(95).as_secs_f64(),
        at(100).as_secs_f64(),
        cpu().as_secs_f64(),
        cpu().as_secs_f64() / seeds.len().max(1) as f64,
    );
    if path.is_some() {
        let (clean, failed) = ledger.into_inner().expect("no run panicked").totals();
        println!("in the ledger: {clean} clean, {failed} failed");
    }
    Ok(failed == 0)
}

/// Begins no seed after one that has broken a promise; those that were begun are brought to their end, so that the lowest is
/// the same in all runs.
fn until_broken(seeds: Range<u64>) -> bool {
    let (next, broken) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    on_all_cores(|| {
        while broken.lock().expect("no run panics in here").is_empty() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let report = simulate(seed);
            println!("{}", report.summary());
            if !report.is_clean() {
                broken.lock().expect("no run panics in here").insert(seed, report);
            }
        }
    });
    let broken = broken.into_inner().expect("no run panicked");
    if let Some((seed, report)) = broken.first_key_value() {
        println!("broken: {seed} {}", report.broken().join(" "));
    }
    broken.is_empty()
}

fn twice(seeds: Range<u64>) -> bool {
    let seeds: Vec<_> = seeds.collect();
    let (next, different) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all_cores(|| {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (first, second) = (simulate(*seed).trace(), simulate(*seed).trace());
            match first.lines().zip(second.lines()).enumerate().find(|(_, (one, two))| one != two) {
                None if first.len() == second.len() => {
                    println!("seed {seed}: {} lines, the same twice", first.lines().count())
                }
                None => println!("seed {seed}: one trace is longer"),
                Some((line, (one, two))) => println!("seed {seed}: line {line} differs:\n{one}\n{two}"),
            }
            different.fetch_add(usize::from(first != second), Ordering::Relaxed);
        }
    });
    different.into_inner() == 0
}

fn on_all_cores(work: impl Fn() + Sync) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(&work);
        }
    });
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
