//! What becomes of the lines, as JSON lines.

use std::time::Duration;

use anyhow::Context;
use examples::output::{self, Output};
use futures::FutureExt;
use kinesis_producer::{Delivery, DeliveryError, Outcome, PutError, Receipt, Refusal};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lines::{Line, Unfit};

/// Waits for the deliveries in a task of its own, and prints what they say.
pub(crate) struct Reporter {
    watched: mpsc::Sender<Watched>,
    task: JoinHandle<anyhow::Result<Confirmed>>,
}

struct Watched {
    line: u64,
    /// Present if what was written is to be printed.
    key: Option<String>,
    delivery: Delivery,
}

/// How the deliveries ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Confirmed {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
}

impl Reporter {
    pub(crate) fn start(output: Output, print: bool) -> Self {
        let (watched, receiver) = mpsc::channel(MOST_WATCHED);
        Self { watched, task: tokio::spawn(report(receiver, output, print)) }
    }

    /// Waits when many are watched already.
    pub(crate) async fn watch(&self, line: u64, key: Option<String>, delivery: Delivery) -> anyhow::Result<()> {
        self.watched.send(Watched { line, key, delivery }).await.context("what became of the records cannot be printed")
    }

    /// Waits for the last delivery.
    pub(crate) async fn finish(self) -> anyhow::Result<Confirmed> {
        drop(self.watched);
        self.task.await.context("the reporting task panicked")?
    }
}

async fn report(mut watched: mpsc::Receiver<Watched>, output: Output, print: bool) -> anyhow::Result<Confirmed> {
    let mut confirmed = Confirmed::default();
    let mut batch = Vec::new();
    let mut printed: Vec<Event> = Vec::new();
    while watched.recv_many(&mut batch, MOST_WATCHED).await > 0 {
        for Watched { line, key, mut delivery } in batch.drain(..) {
            let end = match (&mut delivery).now_or_never() {
                Some(end) => end,
                None => {
                    // What is known goes out before there is anything to wait for.
                    output.print_all(printed.drain(..))?;
                    delivery.await
                }
            };
            match end {
                Ok(receipt) => {
                    confirmed.ok += 1;
                    if print {
                        printed.push(Event::Written(Written::new(key.unwrap_or_default(), receipt)));
                    }
                }
                Err(error) => {
                    confirmed.failed += 1;
                    printed.push(Event::Failed(Failed::not_delivered(&error).at_line(line)));
                }
            }
        }
        output.print_all(printed.drain(..))?;
    }
    Ok(confirmed)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Event {
    Written(Written),
    Failed(Failed),
}

#[derive(Serialize)]
struct Written {
    event: &'static str,
    ms: u64,
    key: String,
    shard: String,
    seq: String,
    sub: u64,
    attempts: u32,
}

impl Written {
    fn new(key: String, receipt: Receipt) -> Self {
        Self {
            event: "written",
            ms: output::now_ms(),
            key,
            shard: receipt.shard.to_string(),
            seq: receipt.sequence_number.to_string(),
            sub: receipt.sub_sequence,
            attempts: receipt.attempts,
        }
    }
}

/// A line that is not in the stream, or of which that is not known.
#[derive(Serialize)]
pub(crate) struct Failed {
    event: &'static str,
    ms: u64,
    line: u64,
    key: Option<String>,
    outcome: String,
    code: String,
    message: String,
}

impl Failed {
    /// The line cannot be a record.
    pub(crate) fn unfit(line: &Line, unfit: &Unfit) -> Self {
        let code = match unfit {
            Unfit::NoTab => "NoTab",
            Unfit::KeyNotUtf8 => "KeyNotUtf8",
            Unfit::TooLarge { .. } => "TooLarge",
        };
        Self::new(line.shown_key(), Outcome::NotWritten, code.to_owned(), unfit.to_string())
    }

    /// The program was told to stop while the line waited for room.
    pub(crate) fn interrupted(number: u64, line: &Line) -> Self {
        let message = "told to stop before there was room for the record".to_owned();
        Self::new(line.shown_key(), Outcome::NotWritten, "Interrupted".to_owned(), message).at_line(number)
    }

    pub(crate) fn not_admitted(key: &str, error: &PutError) -> Self {
        let (code, message) = match error {
            PutError::Refused { refusal, .. } => {
                let code = match refusal {
                    Refusal::EmptyKey => "EmptyKey",
                    Refusal::KeyTooLong { .. } => "KeyTooLong",
                    Refusal::TooLarge { .. } => "TooLarge",
                    _ => "Refused",
                };
                (code, refusal.to_string())
            }
            other => ("Closed", other.to_string()),
        };
        Self::new(Some(key.to_owned()), error.outcome(), code.to_owned(), message)
    }

    fn not_delivered(error: &DeliveryError) -> Self {
        let key = error.clone().into_record().partition_key().map(str::to_owned);
        let code = error.attempts().last().map_or_else(|| format!("{:?}", error.kind()), |last| last.code.to_string());
        Self::new(key, error.outcome(), code, error.to_string())
    }

    pub(crate) fn at_line(self, line: u64) -> Self {
        Self { line, ..self }
    }

    fn new(key: Option<String>, outcome: Outcome, code: String, message: String) -> Self {
        let outcome = format!("{outcome:?}");
        Self { event: "failed", ms: output::now_ms(), line: 0, key, outcome, code, message }
    }
}

/// The last line.
#[derive(Serialize)]
pub(crate) struct End {
    event: &'static str,
    ms: u64,
    records: u64,
    ok: u64,
    failed: u64,
    seconds: f64,
}

impl End {
    pub(crate) fn new(records: u64, ok: u64, failed: u64, took: Duration) -> Self {
        Self { event: "end", ms: output::now_ms(), records, ok, failed, seconds: took.as_secs_f64() }
    }
}

/// Deliveries that wait to be looked at; the producer's own budget bounds the bytes of those that are not resolved.
const MOST_WATCHED: usize = 10_000;
