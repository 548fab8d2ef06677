//! What does one record that cannot be processed do to the others?

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_consumer::{DeadLetter, DeadLetterSink, OnError};
use kinesis_testkit::Cloud;
use tokio::time::sleep;

use crate::{Database, Service, lines};

#[tokio::test(start_paused = true)]
async fn by_default_it_stops_its_shard_and_no_other() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 2).await;
    let database = Database::default();
    let service = Service::start(cloud.connect("a").await, &database, OnError::default()).await;
    stream.put_with_hash_key("left", 0, "poison").await;
    sleep(Duration::from_secs(1)).await;
    stream.put_with_hash_key("left", 0, "waits behind it").await;
    stream.put_with_hash_key("right", u128::MAX, "goes on").await;

    sleep(Duration::from_secs(120)).await; // Two minutes of attempts.
    assert_eq!(database.lines(), ["goes on"]);
    service.kill();
}

#[tokio::test(start_paused = true)]
async fn with_a_dead_letter_sink_it_is_put_aside_and_all_others_go_on() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let (database, aside) = (Database::default(), Aside::default());
    let service = Service::start(cloud.connect("a").await, &database, OnError::dead_letter(aside.clone())).await;
    stream.put("user-7", "poison").await;
    sleep(Duration::from_secs(1)).await; // So that the two do not come in one batch, and go aside together.
    stream.put("user-7", "good").await;

    sleep(Duration::from_secs(5)).await;
    assert_eq!(aside.lines(), ["poison"]);
    assert_eq!(database.lines(), ["good"]);
    service.stop().await;
}

/// Stands for a queue.
#[derive(Debug, Clone, Default)]
struct Aside(Arc<Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl DeadLetterSink for Aside {
    async fn accept(&self, letter: DeadLetter<'_>) -> Result<(), Box<dyn Error + Send + Sync>> {
        let lines = letter.records.iter().map(|record| String::from_utf8_lossy(record.data()).into_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(())
    }
}

impl Aside {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
