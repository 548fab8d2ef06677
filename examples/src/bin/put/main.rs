//! A service that embeds the producer: puts the lines of standard input, `KEY TAB DATA`, into a stream.

mod lines;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use examples::output::{self, Output};
use kinesis_producer::{Aggregation, Producer, PutError, Record};
use tokio::time::Instant;

use crate::lines::{Line, Lines};
use crate::report::{End, Failed, Reporter};

/// Puts the lines of standard input into a stream.
///
/// A line is KEY TAB DATA: the first TAB splits, and only the line feed is stripped. One JSON object a line comes out: `failed` for each line
/// that is not in the stream, `written` with --print, `end`. Ctrl-C and SIGTERM stop reading and deliver what was read; a second time, nothing
/// more is waited for. Exit code 0: all that was read is in the stream.
#[derive(Debug, Parser)]
#[command(name = "put")]
struct Args {
    /// The stream, by name or ARN.
    #[arg(long)]
    stream: String,
    /// Print where each record was written.
    #[arg(long)]
    print: bool,
    /// Keep the order of each key's records.
    #[arg(long)]
    ordered: bool,
    /// Make each record a Kinesis record of its own.
    #[arg(long)]
    no_aggregation: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    output::log_to_stderr();
    if args.ordered {
        eprintln!(
            "put: --ordered is not there yet; without it records of one key may change places when some are sent again"
        );
        return ExitCode::from(2);
    }
    match run(args).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("put: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many of the lines that were read are not in the stream.
async fn run(args: Args) -> anyhow::Result<u64> {
    let config = aws_config::load_from_env().await;
    let client = aws_sdk_kinesis::Client::new(&config);
    let mut builder = Producer::builder(client, args.stream);
    if args.no_aggregation {
        builder = builder.aggregation(Aggregation::Off);
    }
    let producer = builder.build().await.context("the producer cannot start")?;

    let started = Instant::now();
    let output = Output::stdout();
    let mut lines = Lines::of_standard_input(producer.max_record_bytes());
    let reporter = Reporter::start(output.clone(), args.print);
    let mut read = 0;
    let mut not_records = 0;
    let stop = output::stop_signal();
    tokio::pin!(stop);
    let mut trouble = None;
    let interrupted = loop {
        let line = tokio::select! {
            biased;
            () = &mut stop => break true,
            line = lines.next() => match line {
                Ok(Some(line)) => line,
                Ok(None) => break false,
                Err(error) => {
                    trouble = Some(anyhow::Error::new(error).context("standard input cannot be read"));
                    break false;
                }
            },
        };
        read += 1;
        let admitted = tokio::select! {
            biased;
            // In the middle of a wait for room: the line was read, so it is told as one that is not in the stream.
            () = &mut stop => {
                not_records += 1;
                output.print(&Failed::interrupted(read, &line))?;
                break true;
            }
            admitted = admit(&producer, &line) => admitted,
        };
        match admitted {
            Ok(delivery) => reporter.watch(read, line.key_if(args.print), delivery).await?,
            Err(failed) => {
                not_records += 1;
                output.print(&failed.at_line(read))?;
            }
        }
    };
    if interrupted {
        eprintln!("put: told to stop after {read} lines; delivering what was read");
    } else if read == 0 && trouble.is_none() {
        eprintln!("put: standard input is empty: nothing to put");
    }
    let deadline = if interrupted { DRAIN_WITHIN } else { LONGER_THAN_ANY_RECORD_LIVES };
    close(producer, deadline).await;
    let confirmed = reporter.finish().await?;
    let failed = not_records + confirmed.failed;
    output.print(&End::new(read, confirmed.ok, failed, started.elapsed()))?;
    if interrupted && failed > 0 {
        eprintln!("put: {failed} of {read} lines were not confirmed");
    }
    trouble.map_or(Ok(failed), Err)
}

async fn admit(producer: &Producer, line: &Line) -> Result<kinesis_producer::Delivery, Failed> {
    let (key, data) = line.parts().map_err(|unfit| Failed::unfit(line, &unfit))?;
    producer.put(Record::new(key, data)).await.map_err(|error: PutError| Failed::not_admitted(key, &error))
}

/// Delivers what was admitted. The deliveries tell the reporter what was left over.
async fn close(producer: Producer, deadline: Duration) {
    let other = producer.clone();
    let report = tokio::select! {
        biased;
        report = producer.close(deadline) => report,
        () = output::stop_signal() => {
            eprintln!("put: told to stop again; giving up what is not confirmed");
            other.close(Duration::ZERO).await
        }
    };
    if !report.undelivered.is_empty() {
        eprintln!("put: {} of {} records were given up", report.undelivered.len(), report.counts.admitted);
    }
}

/// Most orchestrators kill ten seconds after they said stop, or later: leave time to say what happened.
const DRAIN_WITHIN: Duration = Duration::from_secs(8);
/// At the end of the input each record has all its time: 30 s and one request.
const LONGER_THAN_ANY_RECORD_LIVES: Duration = Duration::from_secs(60);
