//! How servers start and end, and what bounds their connections.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use futures::FutureExt;
use futures::future::join_all;
use kinesis_testkit::{Cloud, Fault, Outcome, ServeError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use crate::calls::served;
use crate::client::{clients, http1, http2};

#[tokio::test]
async fn a_taken_address_a_wrong_one_and_a_zero_are_errors() {
    let (cloud, server) = served().await;
    let taken = cloud.serve().bind(server.addr()).start().await.expect_err("taken");
    assert!(matches!(&taken, ServeError::Bind { address, .. } if *address == server.addr().to_string()), "{taken}");
    let wrong = cloud.serve().bind("nowhere").start().await.expect_err("no address");
    assert_eq!(wrong.to_string(), "cannot listen on nowhere");
    let zero = cloud.serve().max_concurrent_streams(0).start().await.expect_err("zero");
    assert_eq!(zero.to_string(), "max_concurrent_streams is 0: nothing could be served");
    let zero = cloud.serve().read_timeout(Duration::ZERO).start().await.expect_err("zero");
    assert_eq!(zero.to_string(), "read_timeout is 0: nothing could be served");
}

#[test]
fn a_runtime_that_cannot_serve_is_an_error() {
    let start = |builder: &mut Builder| {
        let runtime = builder.build().expect("a runtime");
        runtime.block_on(Cloud::new().serve().start()).map(drop)
    };
    let without = |builder: &mut Builder, what: &str| match start(builder).expect_err("no server") {
        ServeError::Runtime(words) => assert!(words.contains(what), "{words}"),
        other => panic!("{other:?}"),
    };
    without(&mut Builder::new_current_thread(), "enable_time");
    without(Builder::new_current_thread().enable_io(), "enable_time");
    without(Builder::new_current_thread().enable_time(), "enable_io");
    start(Builder::new_current_thread().enable_io().enable_time()).expect("a server");
    let none = Cloud::new().serve().start().now_or_never().expect("at once").expect_err("no runtime at all");
    assert!(none.to_string().starts_with("this runtime cannot serve: "), "{none}");
}

#[tokio::test]
async fn who_listens_everywhere_is_reached_here() {
    let cloud = Cloud::new();
    let server = cloud.serve().bind("0.0.0.0:0").start().await.expect("a server");
    assert_eq!(server.url(), format!("http://127.0.0.1:{}", server.addr().port()));
    http1(&server).kinesis.list_streams().send().await.expect("streams");
}

#[tokio::test]
async fn two_hundred_connections_at_once_are_answered() {
    let (cloud, server) = served().await;
    // Each client has a pool, and so a connection, of its own.
    let puts = (0..200).map(|number| {
        let put = http1(&server).kinesis.put_record().stream_name("clicks").partition_key(number.to_string());
        async move { put.data(Blob::new("x")).send().await }
    });
    for answer in join_all(puts).await {
        answer.expect("written");
    }
    assert_eq!(cloud.stream("clicks").records().len(), 200);
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_until_another_closes() {
    let cloud = Cloud::new();
    let server = cloud.serve().max_connections(1).start().await.expect("a server");
    let mut first = TcpStream::connect(server.addr()).await.expect("a connection");
    first.write_all(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert_ne!(first.read(&mut [0; 1000]).await.expect("an answer"), 0);

    let second = tokio::spawn(async move {
        let answer = http1(&server).kinesis.list_streams().send().await;
        (answer, server)
    });
    sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished());
    drop(first);
    let (answer, _server) = second.await.expect("no panic");
    answer.expect("streams");
}

#[tokio::test]
async fn shutdown_answers_what_is_under_way() {
    let (cloud, _unnamed) = served().await;
    let server = cloud.serve().worker("java").start().await.expect("a server");
    cloud.faults("java").next_n("ListStreams", 2, Fault::DelayRequest(Duration::from_millis(200)));
    let (one, two) = (http1(&server).kinesis, http2(&server).kinesis);
    let calls = [one, two].map(|client| tokio::spawn(async move { client.list_streams().send().await }));
    until(|| cloud.calls("java").len() == 2).await;

    let address = server.addr();
    server.shutdown().await;
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("answered").stream_names, ["clicks"]);
    }
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    drop(cloud.serve().bind(address).start().await.expect("the port is free"));
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_its_grace() {
    let (cloud, _unnamed) = served().await;
    let server = cloud.serve().worker("java").grace(Duration::from_millis(100)).start().await.expect("a server");
    cloud.faults("java").black_hole();
    let (one, two) = (http1(&server).kinesis, http2(&server).kinesis);
    let calls = [one, two].map(|client| tokio::spawn(async move { client.list_streams().send().await }));
    until(|| cloud.calls("java").len() == 2).await;

    let began = Instant::now();
    server.shutdown().await;
    assert!((90..1000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    for call in calls {
        call.await.expect("no panic").expect_err("the connection closed");
    }
}

/// What dropped it ended every task of it: the calls that hung in a black hole are given up, over HTTP/2 too.
#[tokio::test]
async fn a_dropped_server_stops_at_once() {
    let (cloud, _unnamed) = served().await;
    let server = cloud.serve().worker("java").start().await.expect("a server");
    cloud.faults("java").black_hole();
    let (one, two) = (http1(&server).kinesis, http2(&server).kinesis);
    let calls = [one, two].map(|client| tokio::spawn(async move { client.list_streams().send().await }));
    until(|| cloud.calls("java").len() == 2).await;

    let url = server.url();
    drop(server);
    for call in calls {
        call.await.expect("no panic").expect_err("the connection closed");
    }
    until(|| cloud.calls("java").iter().all(|call| call.outcome == Outcome::GivenUp)).await;
    let late = clients(url, aws_smithy_http_client::Builder::new().build_http()).kinesis;
    late.list_streams().send().await.expect_err("nobody listens");
}

async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), wait).await.expect("within 5 s");
}
