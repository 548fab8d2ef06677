//! The SDK's way to the services: its HTTP client, without sockets. Faults happen here.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

use crate::calls::Outcome;
use crate::clock::Clock;
use crate::faults::{Leg, Plan};
use crate::service::{Body, ErrorCode, Services, Target};
use crate::worker::Worker;

/// The network between one worker and the services.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) services: Arc<Services>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) clock: Clock,
    /// How long a call takes when nothing is wrong.
    pub(crate) latency: Duration,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Self {
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
            ..self.clone()
        })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let request = whole(request).await?;
            // What names no operation goes through without faults, for the service to refuse.
            let Some(target) = Target::of(request.headers()) else {
                return into_sdk(this.services.handle(&request));
            };
            let logged = Logged::begin(&this, &target);
            let (result, outcome) = this.exchange(request, &target).await;
            logged.end(outcome);
            result.and_then(into_sdk)
        })
    }
}

impl Connector {
    async fn exchange(
        &self,
        request: Request<Bytes>,
        target: &Target,
    ) -> (Result<Response<Body>, ConnectorError>, Outcome) {
        let plan = self.worker.plan(target);
        if !self.worker.take_connection(target.service) && plan.request == Leg::Vanishes {
            return (Err(silence("connect", self.connect_timeout).await), Outcome::TimedOut);
        }
        let answered = match self.read_timeout {
            None => self.deliver(request, target, plan).await,
            Some(limit) => match timeout(limit, self.deliver(request, target, plan)).await {
                Ok(answered) => answered,
                Err(_) => return (Err(timed_out("read", limit)), Outcome::TimedOut),
            },
        };
        match answered {
            Ok(response) => {
                self.worker.return_connection(target.service);
                let code = response.extensions().get::<ErrorCode>();
                let outcome = code.map_or(Outcome::Answered, |code| Outcome::Refused(code.0.clone()));
                (Ok(response), outcome)
            }
            Err(outcome) => (Err(broken()), outcome),
        }
    }

    /// Brings the request to the service and the answer back. The error says where the connection broke.
    async fn deliver(
        &self,
        mut request: Request<Bytes>,
        target: &Target,
        plan: Plan,
    ) -> Result<Response<Body>, Outcome> {
        match plan.request {
            Leg::Vanishes => return pending().await,
            Leg::Breaks => return Err(Outcome::RequestLost),
            Leg::Arrives => {}
        }
        if let Some(injected) = plan.refusal {
            request.extensions_mut().insert(injected);
        }
        request.extensions_mut().insert(plan.entries);
        let response = self.arrive(request, plan.request_delay + self.latency).await;
        match plan.response {
            Leg::Vanishes => return pending().await,
            Leg::Breaks => return Err(Outcome::ResponseLost),
            Leg::Arrives => {}
        }
        if !plan.response_delay.is_zero() {
            sleep(plan.response_delay).await;
        }
        if self.worker.script(|script| script.is_black_hole(target.service, &target.operation)) {
            return pending().await;
        }
        Ok(response)
    }

    /// A request under way arrives even if nobody waits for the answer any more: it runs as a task of its own.
    async fn arrive(&self, request: Request<Bytes>, delay: Duration) -> Response<Body> {
        if delay.is_zero() {
            return self.services.handle(&request);
        }
        let services = self.services.clone();
        let arrival = tokio::spawn(async move {
            sleep(delay).await;
            services.handle(&request)
        });
        match arrival.await {
            Ok(response) => response,
            // The runtime is going down, and this task with it.
            Err(_) => pending().await,
        }
    }
}

/// The entry of one call in its worker's log.
struct Logged {
    worker: Arc<Worker>,
    number: u64,
    outcome: Outcome,
}

impl Logged {
    fn begin(connector: &Connector, target: &Target) -> Self {
        let number = connector.worker.begin(connector.clock.elapsed(), target);
        Self { worker: connector.worker.clone(), number, outcome: Outcome::GivenUp }
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.worker.end(self.number, self.outcome.clone());
    }
}

async fn whole(request: HttpRequest) -> Result<Request<Bytes>, ConnectorError> {
    let (parts, body) = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?.into_parts();
    let body = body.collect().await.map_err(ConnectorError::user)?;
    Ok(Request::from_parts(parts, body.to_bytes()))
}

fn into_sdk(response: Response<Body>) -> Result<HttpResponse, ConnectorError> {
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(error.into(), None))
}

async fn silence(what: &'static str, limit: Option<Duration>) -> ConnectorError {
    let Some(limit) = limit else { return pending().await };
    sleep(limit).await;
    timed_out(what, limit)
}

fn timed_out(what: &'static str, after: Duration) -> ConnectorError {
    ConnectorError::timeout(Box::new(TimedOut { what, after }))
}

fn broken() -> ConnectorError {
    ConnectorError::io(Box::new(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset by peer")))
}

#[derive(Debug)]
struct TimedOut {
    what: &'static str,
    after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} timeout occurred after {:?}", self.what, self.after)
    }
}

impl std::error::Error for TimedOut {}
