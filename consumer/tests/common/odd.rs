//! A client whose answers are rewritten on the way: listings that lack shards, calls that are refused for a while.

use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use kinesis_testkit::Cloud;
use serde_json::{Value, json};

/// What is done to a call: a code with which it is refused instead, or changes to its answer.
type Refuse = Arc<dyn Fn(&str, &str) -> Option<&'static str> + Send + Sync>;
type Rewrite = Arc<dyn Fn(&str, &mut Value) + Send + Sync>;

#[derive(Clone)]
struct Odd<T> {
    inner: T,
    refuse: Refuse,
    rewrite: Rewrite,
}

impl<T> fmt::Debug for Odd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Odd")
    }
}

/// A Kinesis client of that worker: `refuse` gets the operation and the body of each call, `rewrite` the operation and its answer.
pub(crate) async fn client(
    cloud: &Cloud,
    worker: &str,
    refuse: impl Fn(&str, &str) -> Option<&'static str> + Send + Sync + 'static,
    rewrite: impl Fn(&str, &mut Value) + Send + Sync + 'static,
) -> aws_sdk_kinesis::Client {
    let connection = cloud.connect(worker).await;
    let inner = connection.kinesis.config().http_client().expect("the cloud's");
    let odd = Odd { inner, refuse: Arc::new(refuse), rewrite: Arc::new(rewrite) };
    aws_sdk_kinesis::Client::from_conf(connection.kinesis_config().http_client(odd).build())
}

/// Leaves these shards out of a listing.
pub(crate) fn hide(operation: &str, answer: &mut Value, hidden: impl Fn(&str) -> bool) {
    if operation == "ListShards"
        && let Some(shards) = answer["Shards"].as_array_mut()
    {
        shards.retain(|shard| !hidden(shard["ShardId"].as_str().unwrap_or_default()));
    }
}

impl HttpClient for Odd<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Odd {
            inner: self.inner.http_connector(settings, components),
            refuse: Arc::clone(&self.refuse),
            rewrite: Arc::clone(&self.rewrite),
        })
    }
}

impl HttpConnector for Odd<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        if let Some(code) = (self.refuse)(&operation, &body) {
            let body = json!({"__type": code, "message": "refused"}).to_string();
            let mut response = HttpResponse::new(400.try_into().expect("a status"), SdkBody::from(body));
            response.headers_mut().insert("x-amzn-errortype", code);
            return HttpConnectorFuture::ready(Ok(response));
        }
        let (answer, rewrite) = (self.inner.call(request), Arc::clone(&self.rewrite));
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            let body = std::mem::replace(response.body_mut(), SdkBody::taken());
            let read = ByteStream::new(body).collect().await;
            let mut bytes = read.map_err(|error| ConnectorError::other(error.into(), None))?.to_vec();
            if let Ok(mut json) = serde_json::from_slice(&bytes) {
                rewrite(&operation, &mut json);
                bytes = json.to_string().into_bytes();
            }
            response.headers_mut().remove("content-length");
            *response.body_mut() = SdkBody::from(bytes);
            Ok(response)
        })
    }
}
