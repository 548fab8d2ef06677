//! What does my service do when the stream takes less than it is given?

use std::time::Duration;

use kinesis_producer::{Producer, Record};
use kinesis_testkit::{Cloud, Entries, EntryError, Fault};
use tokio::time::Instant;

use crate::{line, lines};

#[tokio::test(start_paused = true)]
async fn every_line_is_written_once_though_the_stream_refuses_at_first() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let producer = Producer::builder(cloud.connect("service").await.kinesis, "lines").build().await.expect("a stream");

    let faults = cloud.faults("service");
    faults.next("PutRecords", Fault::FailEntries(Entries::All, EntryError::Throttled)); // each entry, for a full shard
    faults.next("PutRecords", Fault::Throttle); // the call as a whole
    faults.next("PutRecords", Fault::ServerError);
    let delivery = producer.put(Record::new("user-7", b"hello")).await.expect("room");
    let receipt = delivery.await.expect("written in the end");

    assert_eq!(receipt.attempts, 4);
    assert_eq!(stream.records().iter().map(line).collect::<Vec<_>>(), ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_takes_a_mebibyte_a_second_and_no_more() {
    let cloud = Cloud::new();
    let stream = lines(&cloud, 1).await;
    let producer = Producer::builder(cloud.connect("service").await.kinesis, "lines").build().await.expect("a stream");

    let start = Instant::now();
    let line = vec![b'x'; 100 << 10];
    let puts = (0..80).map(|_| producer.put(Record::new("user-7", &line)));
    let deliveries = futures::future::try_join_all(puts).await.expect("room for 8 MiB");
    futures::future::try_join_all(deliveries).await.expect("all are written in the end");

    // The first second's worth is there at once.
    assert!(start.elapsed() > Duration::from_millis(6_500), "took {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(12), "took {:?}", start.elapsed());
    assert_eq!(stream.records().len(), 80);
}
