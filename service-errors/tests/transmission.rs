//! Over TCP and with the SDK's own HTTP client: which failures come before the first byte of a request, as the SDK shows them.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Credentials, ProvideCredentials, Region, SharedCredentialsProvider, SharedHttpClient,
};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::put_record::PutRecordError;
use aws_sdk_kinesis::primitives::Blob;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use kinesis_service_errors::{Address, Causes, Departure, Transmission, transmission};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use Transmission::{MayHaveBegun, NotBegun};

/// What the error says, and what was seen.
struct Failed {
    by_error: Transmission,
    seen: Transmission,
    text: String,
    address: Option<String>,
}

struct Call {
    endpoint: String,
    credentials: SharedCredentialsProvider,
    http_client: SharedHttpClient,
    connect_timeout: Duration,
    timeout: Duration,
}

impl Call {
    fn to(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            credentials: SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")),
            http_client: Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).build_https(),
            connect_timeout: Duration::from_millis(300),
            timeout: Duration::from_secs(10),
        }
    }

    async fn fail(self) -> Failed {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.endpoint)
            .credentials_provider(self.credentials)
            .http_client(self.http_client)
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(self.connect_timeout)
                    .read_timeout(Duration::from_secs(1))
                    .operation_timeout(self.timeout)
                    .build(),
            )
            .build();
        let (departure, address) = (Departure::new(), Address::new());
        let call = aws_sdk_kinesis::Client::from_conf(config)
            .put_record()
            .stream_name("clicks")
            .partition_key("k")
            .data(Blob::new("x".repeat(100)));
        let error: SdkError<PutRecordError, HttpResponse> = call
            .customize()
            .interceptor(departure.clone())
            .interceptor(address.clone())
            .send()
            .await
            .expect_err("nobody answers");
        Failed {
            by_error: transmission(&error),
            seen: departure.transmission(&error),
            text: Causes(&error).to_string(),
            address: address.seen(),
        }
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of the loopback");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

#[tokio::test]
async fn a_refused_connection() {
    let (listener, address) = listener().await;
    drop(listener);
    let failed = Call::to(format!("http://{address}/path")).fail().await;
    assert_eq!(failed.address, Some(format!("http://{address}")));
    assert_eq!((failed.by_error, failed.seen), (NotBegun, NotBegun), "{}", failed.text);
}

#[derive(Clone, Debug)]
struct NoSuchName;

impl ResolveDns for NoSuchName {
    fn resolve_dns<'a>(&'a self, _: &'a str) -> DnsFuture<'a> {
        DnsFuture::ready(Err(ResolveDnsError::new("no such name")))
    }
}

#[tokio::test]
async fn a_name_without_an_address() {
    let http_client =
        Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc)).build_with_resolver(NoSuchName);
    let failed = Call { http_client, ..Call::to("https://nowhere.invalid") }.fail().await;
    assert_eq!((failed.by_error, failed.seen), (NotBegun, NotBegun), "{}", failed.text);
}

/// The TLS handshake belongs to the connection, for the SDK too.
#[tokio::test]
async fn a_handshake_that_gets_no_answer() {
    let (_listener, address) = listener().await;
    let failed = Call::to(format!("https://{address}")).fail().await;
    assert_eq!((failed.by_error, failed.seen), (NotBegun, NotBegun), "{}", failed.text);
    assert!(failed.text.contains("connect timeout"), "{}", failed.text);
}

#[tokio::test]
async fn a_handshake_that_fails() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut hello = [0; 16];
            let _ = socket.read(&mut hello).await;
            let _ = socket.try_write(b"HTTP/1.1 400 this is no TLS\r\n\r\n");
        }
    });
    let failed = Call::to(format!("https://{address}")).fail().await;
    assert_eq!((failed.by_error, failed.seen), (NotBegun, NotBegun), "{}", failed.text);
}

/// The time of the whole call is over before that for the connection: the error says nothing.
#[tokio::test]
async fn a_call_whose_time_is_over_while_it_connects() {
    let (_listener, address) = listener().await;
    let call = Call::to(format!("https://{address}"));
    let failed =
        Call { connect_timeout: Duration::from_secs(9), timeout: Duration::from_millis(300), ..call }.fail().await;
    assert_eq!((failed.by_error, failed.seen), (MayHaveBegun, NotBegun), "{}", failed.text);
}

#[derive(Debug)]
struct NeverThere;

impl ProvideCredentials for NeverThere {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        aws_credential_types::provider::future::ProvideCredentials::new(std::future::pending())
    }
}

#[derive(Debug)]
struct Broken;

impl ProvideCredentials for Broken {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = aws_credential_types::provider::error::CredentialsError::provider_error("the file is torn");
        aws_credential_types::provider::future::ProvideCredentials::ready(Err(error))
    }
}

#[tokio::test]
async fn credentials_that_fail() {
    let call = Call::to("http://127.0.0.1:1");
    let failed = Call { credentials: SharedCredentialsProvider::new(Broken), ..call }.fail().await;
    assert_eq!((failed.by_error, failed.seen), (NotBegun, NotBegun), "{}", failed.text);
}

#[tokio::test]
async fn credentials_that_hang() {
    let call = Call { timeout: Duration::from_millis(300), ..Call::to("http://127.0.0.1:1") };
    let failed = Call { credentials: SharedCredentialsProvider::new(NeverThere), ..call }.fail().await;
    assert_eq!((failed.by_error, failed.seen), (MayHaveBegun, NotBegun), "{}", failed.text);
}

/// Reads the request and says nothing, or hangs up.
async fn mute(then_hang_up: bool) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let _ = socket.read(&mut bytes).await;
                if !then_hang_up {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_request_without_an_answer_may_have_been_read() {
    let failed = Call::to(format!("http://{}", mute(false).await)).fail().await;
    assert_eq!((failed.by_error, failed.seen), (MayHaveBegun, MayHaveBegun), "{}", failed.text);
    let address = mute(false).await;
    let failed = Call { timeout: Duration::from_millis(300), ..Call::to(format!("http://{address}")) }.fail().await;
    assert_eq!((failed.by_error, failed.seen), (MayHaveBegun, MayHaveBegun), "{}", failed.text);
}

#[tokio::test]
async fn a_connection_that_ends_under_a_request_may_have_carried_it() {
    let failed = Call::to(format!("http://{}", mute(true).await)).fail().await;
    assert_eq!((failed.by_error, failed.seen), (MayHaveBegun, MayHaveBegun), "{}", failed.text);
}
