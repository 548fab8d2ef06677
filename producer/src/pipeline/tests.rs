use std::time::Duration;

use kinesis_testkit::Cloud;
use tokio::sync::mpsc;

use super::dispatch::Dispatcher;
use super::*;
use crate::stream;

/// If the service distributes the records, no shard is predicted. Each record is sent alone, with its key and no hash
/// key, and any shard is right.
#[tokio::test(start_paused = true)]
async fn if_the_service_routes_each_record_is_sent_alone_and_accepted_anywhere() {
    let cloud = Cloud::new();
    let clicks = cloud.create_stream("clicks", 3).await;
    let settings = Settings::default();
    let client = stream::client(&cloud.connect("a").await.kinesis, &settings);
    let pipeline = Pipeline::new(PipelineConfig {
        info: StreamInfo { routed_by_us: false, ..StreamInfo::default() },
        listing: None,
        client,
        stream: Stream::new("clicks".into()),
        seed: 7,
        settings,
    });
    let (_closes, receiver) = mpsc::channel(1);
    let dispatcher = tokio::spawn(Dispatcher::new(Arc::clone(&pipeline), receiver).run());
    let mut deliveries = Vec::new();
    for n in 0..50 {
        let key = format!("k{n}");
        let record = Record::new(&key, "x").explicit_hash_key(5);
        deliveries.push(pipeline.submit(&record).expect("open"));
    }
    for delivery in deliveries {
        assert_eq!(delivery.await.expect("written").attempts, 1);
    }
    let records = clicks.records();
    assert_eq!(records.len(), 50);
    assert!(records.iter().all(|record| record.data == "x" && record.partition_key.starts_with('k')));
    clicks.split(0).await;
    pipeline.submit(&Record::new("k", "y")).expect("open").await.expect("written");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(cloud.calls("a").count("ListShards"), 0);
    dispatcher.abort();
}
