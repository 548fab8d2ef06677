//! How to test what you build on the consumer and the producer, without AWS and without waiting: a file a question.
//!
//! The `Service` below stands for your own code. All it needs to know about the tests is that it is given its clients.

mod crash;
mod poison_record;
mod reshard;
mod slow_table;
mod throttle;

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::{Batch, Consumer, ConsumerHandle, OnError};
use kinesis_testkit::{Cloud, Connection, Record, Stream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The service under test: a worker that writes every line that it reads into a database.
struct Service {
    handle: ConsumerHandle,
    task: JoinHandle<()>,
}

/// The database of the service, shared by all its workers. It refuses the line "poison".
#[derive(Debug, Clone, Default)]
struct Database(Arc<Mutex<Vec<String>>>);

impl Service {
    async fn start(connection: Connection, database: &Database, on_error: OnError) -> Self {
        let consumer = Consumer::builder("line-keeper", "lines")
            .kinesis(connection.kinesis)
            .dynamodb(connection.dynamodb)
            .on_error(on_error)
            .build()
            .await
            .expect("the stream is there, and the table is made if need be");
        let (handle, database) = (consumer.handle(), database.clone());
        let run = consumer.run(move |batch: Batch| {
            let database = database.clone();
            async move {
                let lines = batch.records().iter().map(|record| String::from_utf8_lossy(record.data()).into_owned());
                database.insert(lines.collect())
            }
        });
        Self { handle, task: tokio::spawn(async { run.await.expect("nothing that ends a consumer happens here") }) }
    }

    /// Ends as on SIGKILL: nothing is finished, checkpointed or released.
    fn kill(self) {
        self.task.abort();
    }

    /// Ends as on SIGTERM.
    async fn stop(self) {
        self.handle.shutdown(Duration::from_secs(10)).await;
        self.task.await.expect("the consumer does not panic");
    }
}

impl Database {
    fn insert(&self, lines: Vec<String>) -> Result<(), Error> {
        if lines.iter().any(|line| line == "poison") {
            return Err(Error::new(ErrorKind::InvalidData, "a line that the database does not take"));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(())
    }

    /// All lines in the order they came, those that came twice included.
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every record of `stream` is in, in the clock of the test.
    async fn holds_all_of(&self, stream: &Stream) {
        let wanted: BTreeSet<String> = stream.records().iter().map(line).collect();
        for _ in 0..1_200 {
            if self.lines().into_iter().collect::<BTreeSet<_>>() == wanted {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("after a minute {:?} are in, not {wanted:?}", self.lines());
    }
}

fn line(record: &Record) -> String {
    String::from_utf8_lossy(&record.data).into_owned()
}

async fn lines(cloud: &Cloud, shards: i32) -> Stream {
    cloud.create_stream("lines", shards).await
}
