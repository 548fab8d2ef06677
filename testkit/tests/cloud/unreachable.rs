//! Connections that do not come up, and credentials that cannot be had.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::StalledStreamProtectionConfig;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::{ConnectorError, SdkError};
use aws_smithy_async::future::timeout::TimedOutError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::result::DispatchFailure;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use kinesis_testkit::{Cloud, Connection, Fault, Outcome};
use tokio::time::{Instant, timeout};

use crate::{clicks, sleep, without_retries};

fn client(connection: &Connection) -> Client {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).read_timeout(Duration::from_secs(6));
    let config = connection.kinesis_config().retry_config(RetryConfig::disabled()).timeout_config(timeouts.build());
    Client::from_conf(config.build())
}

async fn failure(client: &Client) -> DispatchFailure {
    match client.list_streams().send().await {
        Err(SdkError::DispatchFailure(failure)) => failure,
        other => panic!("a dispatch failure, not {other:?}"),
    }
}

fn connector_error(failure: &DispatchFailure) -> &ConnectorError {
    failure.as_connector_error().expect("one of the connector")
}

fn source<T: Error + 'static>(failure: &DispatchFailure) -> Option<&T> {
    let mut next: Option<&(dyn Error + 'static)> = Some(connector_error(failure));
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What hyper says when nothing was sent.
fn is_connect(error: &DispatchFailure) -> bool {
    source::<hyper_util::client::legacy::Error>(error).is_some_and(hyper_util::client::legacy::Error::is_connect)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_come_up_looks_as_the_sdk_s_own_client_has_it() {
    let (cloud, _stream, _) = clicks(1).await;
    let a = client(&cloud.connect("a").await);
    // With a connection open: it is gone.
    a.list_streams().send().await.unwrap();
    for fault in [Fault::HostNotFound, Fault::RefuseConnection] {
        let injection = cloud.faults("a").next("ListStreams", fault.clone());
        let start = Instant::now();
        let error = failure(&a).await;
        assert!(error.is_io() && is_connect(&error), "{fault:?}: {error:?}");
        assert_eq!(source::<ResolveDnsError>(&error).is_some(), fault == Fault::HostNotFound);
        let refused = source::<std::io::Error>(&error).map(std::io::Error::kind);
        assert_eq!(
            refused == Some(std::io::ErrorKind::ConnectionRefused),
            fault == Fault::RefuseConnection,
            "{error:?}"
        );
        assert_eq!((start.elapsed().as_millis(), injection.struck()), (0, 1));
        assert_eq!(cloud.calls("a").iter().last().unwrap().outcome, Outcome::NotConnected);
        a.list_streams().send().await.unwrap();
    }
    cloud.faults("a").next("ListStreams", Fault::HangConnection);
    let start = Instant::now();
    let error = failure(&a).await;
    assert!(error.is_timeout() && is_connect(&error) && source::<TimedOutError>(&error).is_some(), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(cloud.calls("a").iter().last().unwrap().outcome, Outcome::TimedOut);
    a.list_streams().send().await.unwrap();
}

/// Notes whether the body of its request was asked for: a call whose body nobody has asked for cannot have had an effect.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<AtomicBool>);

#[dyn_dispatch_hint]
impl Intercept for Asked {
    fn name(&self) -> &'static str {
        "Asked"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let asked = self.0.clone();
        let body = StreamBody::new(futures::stream::once(async move {
            asked.store(true, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"{}")))
        }));
        *context.request_mut().body_mut() = SdkBody::from_body_1_x(body);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_request_is_asked_for_when_there_is_a_connection() {
    let cloud = Cloud::new();
    let a = client(&cloud.connect("a").await);
    let call = async |fault: Option<Fault>| {
        let injection = fault.map(|fault| cloud.faults("a").next("ListStreams", fault));
        let asked = Asked::default();
        let answer = a.list_streams().customize().interceptor(asked.clone()).send().await;
        assert_eq!(answer.is_err(), injection.is_some());
        asked.0.load(Ordering::Relaxed)
    };
    for fault in [Fault::HostNotFound, Fault::RefuseConnection, Fault::HangConnection, Fault::BlackHole] {
        assert!(!call(Some(fault.clone())).await, "{fault:?}");
    }
    assert!(call(None).await);
    assert!(call(Some(Fault::BlackHole)).await, "over the connection that is open now");
}

/// The SDK's own HTTP client with a resolver that fails, beside ours.
#[tokio::test(start_paused = true)]
async fn the_sdk_s_own_client_says_the_same_of_a_host_that_is_not_found() {
    use aws_smithy_http_client::tls::Provider;
    use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
    use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns};

    #[derive(Debug, Clone)]
    struct Nobody;
    impl ResolveDns for Nobody {
        fn resolve_dns<'a>(&'a self, _: &'a str) -> DnsFuture<'a> {
            let unknown = std::io::Error::other("failed to lookup address information: Name or service not known");
            DnsFuture::ready(Err(ResolveDnsError::new(unknown)))
        }
    }

    let cloud = Cloud::new();
    let connection = cloud.connect("a").await;
    cloud.faults("a").always(Fault::HostNotFound);
    let ours = failure(&without_retries(&connection)).await;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_with_resolver(Nobody);
    let config = connection.kinesis_config().retry_config(RetryConfig::disabled()).http_client(http);
    let theirs = failure(&Client::from_conf(config.build())).await;
    for error in [&ours, &theirs] {
        assert!(error.is_io() && is_connect(error) && source::<ResolveDnsError>(error).is_some(), "{error:?}");
    }
    assert_eq!(connector_error(&ours).to_string(), connector_error(&theirs).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_client_without_credentials_makes_no_call() {
    let (cloud, _stream, _) = clicks(1).await;
    let hang = cloud.faults("a").always(Fault::HangCredentials);
    let a = client(&cloud.connect("a").await);
    let start = Instant::now();
    assert!(failure(&a).await.is_other());
    assert!((5..=6).contains(&start.elapsed().as_secs()), "the SDK's own time for it");
    cloud.faults("a").heal();
    let fail = cloud.faults("a").always(Fault::FailCredentials);
    let start = Instant::now();
    assert!(failure(&a).await.is_other());
    assert_eq!(start.elapsed().as_millis(), 0);
    assert!(cloud.calls("a").is_empty());
    assert_eq!((hang.struck(), fail.struck()), (1, 1));

    cloud.faults("a").heal();
    a.list_streams().send().await.unwrap();
    cloud.faults("a").always(Fault::FailCredentials);
    sleep(600_000).await;
    a.list_streams().send().await.expect("credentials that it has are good for a quarter of an hour");
    assert_eq!(cloud.unused_faults(), ["worker a: always: FailCredentials"]);
}

#[tokio::test(start_paused = true)]
async fn credentials_can_expire() {
    let (cloud, _stream, _) = clicks(1).await;
    cloud.credentials_last("a", Duration::from_secs(3600));
    let a = client(&cloud.connect("a").await);
    a.list_streams().send().await.unwrap();
    let now = cloud.clock().elapsed();
    cloud.faults("a").during(now..now + Duration::from_secs(3700), Fault::FailCredentials);
    sleep(1_800_000).await;
    a.list_streams().send().await.expect("they are good for half an hour more");
    sleep(1_800_000).await;
    assert!(failure(&a).await.is_other());
    sleep(100_000).await;
    a.list_streams().send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_connect_timeout_a_connection_that_hangs_is_waited_for() {
    let (cloud, _stream, _) = clicks(1).await;
    let timeouts = TimeoutConfig::disabled();
    // The SDK's watch over slow uploads, on by default, would end the call after some seconds.
    let patient = StalledStreamProtectionConfig::disabled();
    let config = cloud.connect("a").await.kinesis_config().timeout_config(timeouts).stalled_stream_protection(patient);
    let a = Client::from_conf(config.build());
    cloud.faults("a").always_for("ListStreams", Fault::HangConnection);
    let called = timeout(Duration::from_secs(3600), a.list_streams().send()).await;
    assert!(called.is_err(), "{called:?}");
}
