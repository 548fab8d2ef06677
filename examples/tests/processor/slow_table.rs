//! Does my service go on while its lease table hardly answers?

use std::time::Duration;

use kinesis_consumer::OnError;
use kinesis_testkit::{Cloud, Fault};
use tokio::time::sleep;

use crate::{Database, Service, lines};

#[tokio::test(start_paused = true)]
async fn lines_flow_while_every_call_to_the_table_takes_two_seconds() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 2).await;
    let database = Database::default();
    let service = Service::start(cloud.connect("a").await, &database, OnError::default()).await;
    sleep(Duration::from_secs(5)).await;

    cloud.faults("a").dynamodb().always(Fault::DelayResponse(Duration::from_secs(2)));
    for i in 0..60 {
        stream.put(&format!("user-{i}"), format!("line {i}")).await;
        sleep(Duration::from_secs(1)).await;
    }
    database.holds_all_of(&stream).await;
    assert_eq!(database.lines().len(), 60, "and none of them twice");
    service.stop().await;
}
