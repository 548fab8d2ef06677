//! Does my service keep the order of a key when a shard is split under it?

use kinesis_consumer::OnError;
use kinesis_testkit::Cloud;

use crate::{Database, Service, lines};

#[tokio::test(start_paused = true)]
async fn a_user_s_lines_stay_in_order_through_a_split_and_a_merge() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let database = Database::default();
    let service = Service::start(cloud.connect("a").await, &database, OnError::default()).await;

    stream.put("user-7", "first").await;
    let [left, right] = stream.split(0).await;
    stream.put("user-7", "second").await;
    let merged = stream.merge(left, right).await;
    let third = stream.put("user-7", "third").await;
    assert_eq!(third.shard_id, merged);

    database.holds_all_of(&stream).await;
    assert_eq!(database.lines(), ["first", "second", "third"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_worker_dies_in_the_middle_of_a_split() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 2).await;
    let database = Database::default();
    let a = Service::start(cloud.connect("a").await, &database, OnError::default()).await;
    let b = Service::start(cloud.connect("b").await, &database, OnError::default()).await;
    for user in 0..20 {
        stream.put(&format!("user-{user}"), format!("{user} before")).await;
    }
    stream.split(0).await;
    a.kill();
    for user in 0..20 {
        stream.put(&format!("user-{user}"), format!("{user} after")).await;
    }
    database.holds_all_of(&stream).await;
    b.stop().await;
}
