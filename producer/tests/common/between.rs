//! A layer between a producer and the cloud. It sees each call, and may answer it.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use kinesis_producer::{Builder, Producer};
use kinesis_testkit::Cloud;

/// Returns status and body for a call's operation and body. `None` lets the cloud answer.
type Answer = Arc<dyn Fn(&str, &str) -> Option<(u16, String)> + Send + Sync>;

/// A builder at worker "a" with this layer.
pub async fn between(
    cloud: &Cloud,
    answer: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Builder {
    let connection = cloud.connect("a").await;
    let inner = connection.kinesis.config().http_client().expect("the cloud's");
    let config = connection.kinesis_config().http_client(Between { inner, answer: Arc::new(answer) }).build();
    Producer::builder(aws_sdk_kinesis::Client::from_conf(config), "clicks").seed(7)
}

#[derive(Clone)]
struct Between<T> {
    inner: T,
    answer: Answer,
}

impl<T> fmt::Debug for Between<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

impl HttpClient for Between<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Between { inner, answer: Arc::clone(&self.answer) })
    }
}

impl HttpConnector for Between<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = request.body().bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        let Some((status, body)) = (self.answer)(target.rsplit('.').next().unwrap_or_default(), body) else {
            return self.inner.call(request);
        };
        let mut response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::from(body));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.1");
        HttpConnectorFuture::ready(Ok(response))
    }
}
