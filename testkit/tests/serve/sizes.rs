//! Large bodies, bodies in pieces, and bodies that do not come.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use kinesis_testkit::{Cloud, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::{Clients, http1, http2, raw};

/// The largest request the service takes, 13.3 MiB on the wire, there and back.
#[tokio::test]
async fn ten_mebibytes_go_in_and_come_out() {
    let cloud = Cloud::builder().limits(Limits::without_rates()).build();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().start().await.expect("a server");
    for Clients { kinesis, .. } in [http1(&server), http2(&server)] {
        let before = stream.records().len();
        let data = vec![b'x'; (1 << 20) - 1];
        let entry = |_| PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new(data.clone())).build();
        let entries = (0..10).map(entry).collect::<Result<Vec<_>, _>>().expect("complete");
        let put = kinesis.put_records().stream_name("clicks").set_records(Some(entries)).send().await.expect("written");
        assert_eq!(put.failed_record_count, Some(0));
        assert_eq!(stream.records().len() - before, 10);

        let iterator = kinesis.get_shard_iterator().stream_name("clicks").shard_id("shardId-000000000000");
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
        let read = kinesis.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("records");
        assert!(read.records.len() >= 9, "{} records", read.records.len());
    }
}

/// A client that is still sending would not look at an answer, so the body is read to its end.
#[tokio::test]
async fn a_request_over_the_limit_is_413_and_the_connection_goes_on() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().max_request_bytes(1000).start().await.expect("a server");
    for Clients { kinesis, .. } in [http1(&server), http2(&server)] {
        let put = |size| kinesis.put_record().stream_name("clicks").partition_key("k").data(Blob::new(vec![0; size]));
        let refused = put(1_000_000).send().await.expect_err("too large");
        assert_eq!(refused.raw_response().expect("an answer").status().as_u16(), 413);
        put(100).send().await.expect("written");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_too_much_is_told_at_once() {
    let cloud = Cloud::new();
    let server = cloud.serve().max_request_bytes(1000).start().await.expect("a server");
    let head = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1001\r\n\r\n";
    let answer = raw(&server, head).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_in_pieces_is_put_together() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().start().await.expect("a server");
    let body = br#"{"StreamName":"clicks","PartitionKey":"k","Data":"aGVsbG8="}"#;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: Kinesis_20131202.PutRecord\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(server.addr()).await.expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    for piece in [head.as_bytes(), body].concat().chunks(7) {
        socket.write_all(piece).await.expect("sent");
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(stream.records()[0].data, "hello");
}

/// Eight bodies of the largest size are read at one time. When their senders stop, nobody else's call is read before they are
/// given up.
#[tokio::test]
async fn uploads_that_stall_are_given_up_and_the_others_go_on() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().read_timeout(Duration::from_millis(400)).start().await.expect("a server");
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 16777216\r\n\r\nand then nothing";
    let start = Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(server.addr()).await.expect("a connection");
        socket.write_all(head).await.expect("sent");
        stalled.push(socket);
    }
    sleep(Duration::from_millis(100)).await;
    http1(&server).kinesis.list_streams().send().await.expect("streams");
    assert!(start.elapsed() >= Duration::from_millis(400), "it was not kept waiting: {:?}", start.elapsed());
    for mut socket in stalled {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer, and then the end of the connection");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_upload_that_does_not_stall_is_read() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().read_timeout(Duration::from_millis(400)).start().await.expect("a server");
    let body = br#"{"StreamName":"clicks","PartitionKey":"k","Data":"aGVsbG8="}"#;
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: Kinesis_20131202.PutRecord";
    let mut socket = TcpStream::connect(server.addr()).await.expect("a connection");
    let head = format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.expect("sent");
    let start = Instant::now();
    for piece in body.chunks(body.len().div_ceil(6)) {
        sleep(Duration::from_millis(100)).await;
        socket.write_all(piece).await.expect("sent");
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && start.elapsed() > Duration::from_millis(500), "{answer}");
    assert_eq!(stream.records()[0].data, "hello");
}
