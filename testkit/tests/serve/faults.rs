//! The faults of a worker, for clients on real sockets.

use std::time::Duration;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use kinesis_testkit::{Cloud, Fault, Outcome, Server, Stream};
use tokio::time::timeout;

use crate::client::{Clients, http1, http2};

async fn served() -> (Cloud, Stream, Server) {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().worker("java").start().await.expect("a server");
    (cloud, stream, server)
}

#[tokio::test]
async fn a_lost_response_closes_the_connection_and_the_record_is_there() {
    let (cloud, stream, server) = served().await;
    for (written, Clients { kinesis, .. }) in [http1(&server), http2(&server)].into_iter().enumerate() {
        cloud.faults("java").next("PutRecord", Fault::LoseResponse);
        let put = || kinesis.put_record().stream_name("clicks").partition_key("k").data(Blob::new("x")).send();
        let lost = put().await.expect_err("lost");
        assert!(matches!(lost, SdkError::DispatchFailure(_)), "{lost:?}");
        assert_eq!(stream.records().len(), 2 * written + 1);
        put().await.expect("over a new connection");
    }
    let outcomes: Vec<_> = cloud.calls("java").of("PutRecord").map(|call| call.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::ResponseLost, Outcome::Answered, Outcome::ResponseLost, Outcome::Answered]);
}

#[tokio::test]
async fn a_lost_request_has_no_effect() {
    let (cloud, stream, server) = served().await;
    for Clients { kinesis, .. } in [http1(&server), http2(&server)] {
        cloud.faults("java").next("PutRecord", Fault::LoseRequest);
        let put = kinesis.put_record().stream_name("clicks").partition_key("k").data(Blob::new("x")).send().await;
        assert!(matches!(put, Err(SdkError::DispatchFailure(_))), "{put:?}");
        assert_eq!(stream.records().len(), 0);
    }
}

#[tokio::test]
async fn a_black_hole_never_answers() {
    let (cloud, _stream, server) = served().await;
    for Clients { kinesis, .. } in [http1(&server), http2(&server)] {
        cloud.faults("java").black_hole();
        let silent = timeout(Duration::from_millis(100), kinesis.list_streams().send()).await;
        assert!(silent.is_err(), "{silent:?}");
        cloud.faults("java").heal();
        kinesis.list_streams().send().await.expect("streams");
    }
}

#[tokio::test]
async fn faults_of_one_name_leave_other_servers_alone() {
    let (cloud, _stream, _java) = served().await;
    let python = cloud.serve().worker("python").start().await.expect("a server");
    cloud.faults("java").always(Fault::ServerError);
    cloud.faults("python").next("ListStreams", Fault::Throttle);
    let Clients { kinesis, .. } = http1(&python);
    let throttled = kinesis.list_streams().send().await.expect_err("throttled");
    assert_eq!(throttled.code(), Some("LimitExceededException"));
    kinesis.list_streams().send().await.expect("streams");
}
