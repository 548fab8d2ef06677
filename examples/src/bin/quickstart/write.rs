//! The service that writes: puts every line, and books where each one came to stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use aws_sdk_kinesis::Client;
use kinesis_producer::{Delivery, Producer, Record};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::account::hash;
use crate::fleet::Ledger;
use crate::input::Lines;

/// Lines on their way into the stream.
pub(crate) struct Writing {
    task: Option<JoinHandle<anyhow::Result<Written>>>,
    /// How many lines there will be; `u64::MAX` until that is known.
    expected: Arc<AtomicU64>,
    done: Option<Written>,
}

/// The end of the writing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    /// Lines that are not in the stream, each of which was reported.
    pub(crate) failed: u64,
    /// Ctrl-C came before the last line.
    pub(crate) interrupted: bool,
}

impl Writing {
    pub(crate) async fn start(client: Client, stream: &str, lines: Lines, ledger: Ledger) -> anyhow::Result<Self> {
        let producer = Producer::builder(client, stream).build().await.context("the producer cannot start")?;
        let expected = Arc::new(AtomicU64::new(lines.expected().unwrap_or(u64::MAX)));
        let task = tokio::spawn(write(producer, lines, ledger, Arc::clone(&expected)));
        Ok(Self { task: Some(task), expected, done: None })
    }

    /// How many lines there will be, once that is known.
    pub(crate) fn expected(&self) -> Option<u64> {
        Some(self.expected.load(Ordering::Relaxed)).filter(|expected| *expected != u64::MAX)
    }

    /// The result, once the last line is in the stream or given up.
    pub(crate) async fn written(&mut self) -> anyhow::Result<Option<Written>> {
        if self.task.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(task) = self.task.take()
        {
            self.done = Some(task.await.context("the writer panicked")??);
        }
        Ok(self.done)
    }
}

async fn write(
    producer: Producer,
    mut lines: Lines,
    ledger: Ledger,
    expected: Arc<AtomicU64>,
) -> anyhow::Result<Written> {
    // As many deliveries wait to be booked; the producer's own budget bounds their bytes.
    let (deliveries, booked) = mpsc::channel(10_000);
    let booking = tokio::spawn(book(booked, ledger));
    let mut written = Written::default();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    while let Some(line) = lines.next_line()? {
        written.lines += 1;
        let content = hash(&line.data);
        tokio::select! { biased;
            _ = &mut interrupt => {
                written.lines -= 1;
                written.interrupted = true;
                eprintln!("interrupted after {} lines; draining", written.lines);
                break;
            }
            put = producer.put(Record::new(&line.key, line.data)) => match put {
                Ok(delivery) => deliveries.send((written.lines, content, delivery)).await.context("the book-keeper stopped")?,
                Err(error) => {
                    written.failed += 1;
                    eprintln!("line {} was not written: {error}", written.lines);
                }
            }
        }
    }
    expected.store(written.lines - written.failed, Ordering::Relaxed);
    drop(deliveries);
    let report = producer.close(CLOSE_WITHIN).await;
    written.failed += booking.await.context("the book-keeper panicked")?;
    drop(report);
    Ok(written)
}

/// Books each receipt; returns how many lines failed.
async fn book(mut deliveries: mpsc::Receiver<(u64, u64, Delivery)>, ledger: Ledger) -> u64 {
    let mut failed = 0;
    while let Some((line, content, delivery)) = deliveries.recv().await {
        match delivery.await {
            Ok(receipt) => ledger.with(|account| {
                account.written(&receipt.shard, &receipt.sequence_number, receipt.sub_sequence, content);
            }),
            Err(error) => {
                failed += 1;
                eprintln!("line {line}: {:?}: {error}", error.outcome());
            }
        }
    }
    failed
}

/// The producer's time to live for a record and one request's timeout are well below.
const CLOSE_WITHIN: Duration = Duration::from_secs(60);
