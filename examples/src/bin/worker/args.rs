//! What the program is told.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use clap::{Parser, ValueEnum};
use kinesis_consumer::StartAt;

/// One worker of an application that reads a stream. Runs until told to stop; SIGTERM and Ctrl-C drain and release.
#[derive(Clone, Debug, Parser)]
#[command(name = "worker")]
pub(crate) struct Args {
    /// The stream, by name or ARN.
    #[arg(long)]
    pub(crate) stream: String,
    /// The application, which is the name of its lease table; the table is made if it does not exist.
    #[arg(long)]
    pub(crate) app: String,
    /// The table served this other stream, as the error names it: delete its leases, and serve --stream from now on.
    #[arg(long, value_name = "STREAM", conflicts_with = "adopt_table")]
    pub(crate) start_over_from: Option<String>,
    /// The table is this stream's, though nothing in it tells.
    #[arg(long)]
    pub(crate) adopt_table: bool,
    /// The worker's name, unique in the application. Default: host name and random digits.
    #[arg(long)]
    pub(crate) worker: Option<String>,
    /// Where to start shards without a checkpoint: TRIM_HORIZON, LATEST, or a time (ISO 8601 or epoch milliseconds).
    #[arg(long, default_value = "TRIM_HORIZON", value_parser = start_at)]
    pub(crate) from: StartAt,
    /// How to read.
    #[arg(long, value_enum, default_value_t = Mode::Polling)]
    pub(crate) mode: Mode,
    /// The lease duration.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) lease_ms: u64,
    /// The longest pause between two looks at an idle shard.
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    pub(crate) idle_ms: u64,
    /// How often to checkpoint; 0 after each batch, less than 0 only at the end.
    #[arg(long, default_value_t = 0, value_name = "MS", allow_negative_numbers = true)]
    pub(crate) checkpoint_ms: i64,
    /// As if each batch took so long to process.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) work_ms: u64,
    /// Print no records and no ordinary checkpoints.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print data as base64.
    #[arg(long)]
    pub(crate) base64: bool,
    /// Print figures this often; 0: only at the end.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) cost_ms: u64,
    /// Stop after so many records.
    #[arg(long, value_name = "N")]
    pub(crate) stop_after_records: Option<u64>,
    /// Stop after so long.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Polling,
    FanOut,
}

fn start_at(from: &str) -> Result<StartAt, String> {
    let wanted = "TRIM_HORIZON, LATEST, or a time as ISO 8601 or epoch milliseconds";
    match from {
        "TRIM_HORIZON" => Ok(StartAt::TrimHorizon),
        "LATEST" => Ok(StartAt::Latest),
        time => {
            let at = match time.parse::<i64>() {
                Ok(ms) => DateTime::from_millis(ms),
                Err(_) => DateTime::from_str(time, Format::DateTime).map_err(|e| format!("{wanted}: {e}"))?,
            };
            SystemTime::try_from(at).map(StartAt::At).map_err(|e| format!("{wanted}: {e}"))
        }
    }
}
