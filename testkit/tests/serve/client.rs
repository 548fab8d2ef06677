//! SDK clients and plain sockets that reach a server as a program elsewhere would.

use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, timeout::TimeoutConfig,
};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use kinesis_testkit::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Both clients of one program.
pub(crate) struct Clients {
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
}

/// Over the SDK's own HTTP client, which speaks HTTP/1.1 here.
pub(crate) fn http1(server: &Server) -> Clients {
    clients(server.url(), aws_smithy_http_client::Builder::new().build_http())
}

/// Over HTTP/2 without TLS, one connection for all.
pub(crate) fn http2(server: &Server) -> Clients {
    clients(server.url(), SharedHttpClient::new(PriorKnowledge::new()))
}

/// Over the SDK's own HTTP client with TLS, which trusts the server's certificate and no other.
pub(crate) fn https(server: &Server) -> Clients {
    let certificate = server.certificate_pem().expect("the server has a certificate");
    let trust = TrustStore::empty().with_pem_certificate(certificate);
    let context = TlsContext::builder().with_trust_store(trust).build().expect("a trust store");
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https();
    clients(server.url(), client)
}

/// Clients that do not retry and wait at most ten seconds for an answer.
pub(crate) fn clients(url: String, http: SharedHttpClient) -> Clients {
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(10)).build())
        .http_client(http)
        .build();
    Clients { kinesis: aws_sdk_kinesis::Client::new(&config), dynamodb: aws_sdk_dynamodb::Client::new(&config) }
}

/// hyper's client with HTTP/2 from the first byte on; the SDK's own takes HTTP/2 only by TLS.
#[derive(Clone, Debug)]
struct PriorKnowledge(Client<Tcp, SdkBody>);

impl PriorKnowledge {
    fn new() -> Self {
        let mut tcp = Tcp::new();
        tcp.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).http2_only(true).build(tcp))
    }
}

impl HttpClient for PriorKnowledge {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for PriorKnowledge {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Sends these bytes over a connection of their own and returns what comes back until the server closes it.
pub(crate) async fn raw(server: &Server, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.addr()).await.expect("a connection");
    socket.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
    assert!(matches!(read, Ok(Ok(_))), "{read:?} after {}", String::from_utf8_lossy(&answer));
    String::from_utf8(answer).expect("text")
}
