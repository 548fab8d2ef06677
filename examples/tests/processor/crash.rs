//! What becomes of a record when the worker that holds it dies?

use std::time::Duration;

use kinesis_consumer::OnError;
use kinesis_testkit::Cloud;
use tokio::time::{Instant, sleep};

use crate::{Database, Service, lines};

#[tokio::test(start_paused = true)]
async fn another_worker_goes_on_where_the_dead_one_stopped() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let database = Database::default();
    let a = Service::start(cloud.connect("a").await, &database, OnError::default()).await;
    stream.put("user-7", "before the crash").await;
    database.holds_all_of(&stream).await;
    sleep(Duration::from_secs(2)).await; // Checkpointed: every second is the default.

    let b = Service::start(cloud.connect("b").await, &database, OnError::default()).await;
    a.kill();
    let died = Instant::now();
    stream.put("user-7", "after the crash").await;

    database.holds_all_of(&stream).await;
    assert!(died.elapsed() < Duration::from_secs(22), "took {:?}", died.elapsed());
    assert_eq!(database.lines(), ["before the crash", "after the crash"], "nothing twice: it had been checkpointed");
    b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_stops_by_itself() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let database = Database::default();
    let a = Service::start(cloud.connect("a").await, &database, OnError::default()).await;
    let b = Service::start(cloud.connect("b").await, &database, OnError::default()).await;
    sleep(Duration::from_secs(5)).await;

    cloud.faults("a").black_hole(); // No request arrives, no answer comes back.
    stream.put("user-7", "hello").await;
    database.holds_all_of(&stream).await;
    cloud.faults("a").heal();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(database.lines(), ["hello"]);
    a.stop().await;
    b.stop().await;
}
