//! The SDK's way to the services: its HTTP client, without sockets.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::Response;
use http_body_util::{BodyExt, Collected};

use crate::exchange::Body;
use crate::network::{Failure, Network, Timeouts};
use crate::unreachable::{TimedOut, connect_error, connection_refused, host_not_found};

/// One worker's HTTP client: hands requests to its network and gives the answers to the SDK.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) network: Network,
    pub(crate) timeouts: Timeouts,
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let timeouts = Timeouts { connect: settings.connect_timeout(), read: settings.read_timeout() };
        SharedHttpConnector::new(Self { network: self.network.clone(), timeouts })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // The body is asked for when there is a connection to write it to, as by the SDK's own HTTP client.
            let (parts, body) = request.into_parts();
            let body = async { body.collect().await.map(Collected::to_bytes).map_err(Failure::NoBody) };
            let answer = this.network.carry(parts, body, this.timeouts).await;
            match answer {
                Ok(answer) => into_sdk(answer),
                Err(failure) => Err(into_error(failure).await),
            }
        })
    }
}

fn into_sdk(response: Response<Body>) -> Result<HttpResponse, ConnectorError> {
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

async fn into_error(failure: Failure) -> ConnectorError {
    match failure {
        Failure::NoBody(error) => ConnectorError::user(error),
        Failure::Broken => {
            let reset = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer");
            ConnectorError::io(Box::new(reset))
        }
        Failure::NotConnected(after) => {
            ConnectorError::timeout(connect_error(TimedOut { what: "connect", after }).await)
        }
        Failure::ConnectionRefused => ConnectorError::io(connect_error(connection_refused()).await),
        Failure::HostNotFound => ConnectorError::io(connect_error(host_not_found()).await),
        Failure::NotAnswered(after) => ConnectorError::timeout(Box::new(TimedOut { what: "read", after })),
    }
}
