//! The network between one worker and the services, the same for the SDK's connector and for real sockets. Faults happen
//! here.

mod line;

use std::future::{Future, pending};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use tokio::time::sleep;

use self::line::{Line, State, UnderWay};
use crate::calls::Outcome;
use crate::clock::Clock;
use crate::exchange::{Body, Digest, ErrorCode, Sender};
use crate::faults::{Connect, Leg, Plan, SubscriptionFaults};
use crate::service::Target;
use crate::services::Services;
use crate::signature::ChecksSignatureTime;
use crate::worker::Worker;
use crate::worker_clock::WorkerClock;

/// The way from one worker to the services and back.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) services: Arc<Services>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) clock: Clock,
    /// How long a call takes when nothing is wrong.
    pub(crate) latency: Duration,
    /// The sender goes by the cloud's clock, so the service looks at the times of its signatures.
    pub(crate) checks_signature_time: bool,
}

/// How long a caller waits. On real sockets its own HTTP client keeps these times.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) read: Option<Duration>,
}

/// Why a caller gets no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's own request could not be read.
    NoBody(BoxError),
    /// The connection broke.
    Broken,
    /// No connection came up within the connect timeout.
    NotConnected(Duration),
    /// The host refused the connection.
    ConnectionRefused,
    /// The host's name was not found.
    HostNotFound,
    /// No answer came within the read timeout.
    NotAnswered(Duration),
}

impl Network {
    /// Brings a call to its service and the answer back, with all that the worker's faults do to it. Waits for ever where
    /// something vanishes and no timeout is set.
    ///
    /// The body is asked for when there is a connection for it.
    pub(crate) async fn carry(
        &self,
        parts: Parts,
        body: impl Future<Output = Result<Bytes, Failure>>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, Failure> {
        // What names no operation goes through without faults, for the service to refuse.
        let Some(target) = Target::of(&parts.headers) else {
            return Ok(self.services.handle(&Request::from_parts(parts, body.await?)));
        };
        // A process that stands still sends nothing, and what has come for it meanwhile it finds when it goes on.
        self.worker.freezing.thawed().await;
        let logged = Logged::begin(self, &target);
        let call = logged.number;
        let (result, outcome) = self.exchange((parts, body), &target, timeouts, call).await;
        self.worker.freezing.thawed().await;
        logged.end(outcome, result.as_ref().ok().and_then(|answer| answer.extensions().get().copied()));
        result
    }

    async fn exchange(
        &self,
        (parts, body): (Parts, impl Future<Output = Result<Bytes, Failure>>),
        target: &Target,
        timeouts: Timeouts,
        call: u64,
    ) -> (Result<Response<Body>, Failure>, Outcome) {
        let plan = self.worker.plan(target, self.clock.elapsed());
        let connected = match plan.connect {
            Connect::Comes => self.worker.take_connection(target.service),
            Connect::Refused | Connect::HostNotFound | Connect::Hangs => self.worker.lose_connections(target.service),
        };
        match plan.connect {
            Connect::Refused => return (Err(Failure::ConnectionRefused), Outcome::NotConnected),
            Connect::HostNotFound => return (Err(Failure::HostNotFound), Outcome::NotConnected),
            Connect::Comes | Connect::Hangs => {}
        }
        if plan.connect == Connect::Hangs || (!connected && self.cannot_connect(target, &plan)) {
            let Some(limit) = timeouts.connect else { return pending().await };
            self.worker_clock().sleep(limit).await;
            return (Err(Failure::NotConnected(limit)), Outcome::TimedOut);
        }
        let request = match body.await {
            Ok(body) => Request::from_parts(parts, body),
            Err(failure) => return (Err(failure), Outcome::NotConnected),
        };
        let (delay, faults) = (self.latency.saturating_add(plan.response_delay), plan.subscription.clone());
        let clock = self.worker_clock();
        let answered = match timeouts.read {
            None => self.deliver(request, target, plan).await,
            Some(limit) => tokio::select! {
                // An answer that is there is read, however late the reader comes.
                biased;
                answered = self.deliver(request, target, plan) => answered,
                () = clock.sleep(limit) => return (Err(Failure::NotAnswered(limit)), Outcome::TimedOut),
            },
        };
        match answered {
            Ok(response) => {
                self.worker.return_connection(target.service);
                let code = response.extensions().get::<ErrorCode>();
                let outcome = code.map_or(Outcome::Answered, |code| Outcome::Refused(code.0.clone()));
                let subscribed = outcome == Outcome::Answered && target.operation == "SubscribeToShard";
                if subscribed {
                    return (Ok(response.map(|events| self.line(target, call, delay, faults, events))), outcome);
                }
                (Ok(response), outcome)
            }
            Err(outcome) => (Err(Failure::Broken), outcome),
        }
    }

    /// A new connection needs an answer too.
    fn cannot_connect(&self, target: &Target, plan: &Plan) -> bool {
        plan.request == Leg::Vanishes || self.worker.swallows_answers(target, self.clock.elapsed())
    }

    pub(crate) fn worker_clock(&self) -> WorkerClock {
        WorkerClock { cloud: self.clock, worker: self.worker.clone() }
    }

    /// Brings the request to the service and the answer back. The error says where the connection broke.
    async fn deliver(
        &self,
        mut request: Request<Bytes>,
        target: &Target,
        mut plan: Plan,
    ) -> Result<Response<Body>, Outcome> {
        match plan.request {
            Leg::Vanishes => return pending().await,
            Leg::Breaks => return Err(Outcome::RequestLost),
            Leg::Arrives => {}
        }
        if let Some(injected) = plan.refusal.take() {
            request.extensions_mut().insert(injected);
        }
        request.extensions_mut().insert(std::mem::take(&mut plan.model));
        if self.checks_signature_time {
            request.extensions_mut().insert(ChecksSignatureTime);
        }
        request.extensions_mut().insert(Sender(self.worker.name.clone()));
        let response = self.arrive(request, plan.request_delay.saturating_add(self.latency)).await;
        plan.arrived();
        match plan.response {
            Leg::Vanishes => return pending().await,
            Leg::Breaks => return Err(Outcome::ResponseLost),
            Leg::Arrives => {}
        }
        if !plan.response_delay.is_zero() {
            sleep(plan.response_delay).await;
        }
        if self.worker.swallows_answers(target, self.clock.elapsed()) {
            return pending().await;
        }
        Ok(response)
    }

    /// The events of a subscription, with all that happens to them on their way.
    fn line(&self, target: &Target, call: u64, delay: Duration, faults: SubscriptionFaults, events: Body) -> Body {
        let (worker, target) = (self.worker.clone(), target.clone());
        let (under_way, state) = (UnderWay::default(), State::Opening);
        Line { worker, target, clock: self.clock, call, delay, faults, events, under_way, state }.into_body()
    }

    /// A request under way arrives even if nobody waits for the answer any more: it runs as a task of its own.
    async fn arrive(&self, request: Request<Bytes>, delay: Duration) -> Response<Body> {
        if delay.is_zero() {
            return self.services.handle(&request);
        }
        let services = self.services.clone();
        services.under_way.fetch_add(1, Ordering::Relaxed);
        let arrival = tokio::spawn(async move {
            sleep(delay).await;
            services.under_way.fetch_sub(1, Ordering::Relaxed);
            services.handle(&request)
        });
        match arrival.await {
            Ok(response) => response,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => pending().await,
            },
        }
    }
}

/// The entry of one call in its worker's log.
struct Logged {
    worker: Arc<Worker>,
    number: u64,
    outcome: Outcome,
    answer: Option<Digest>,
}

impl Logged {
    fn begin(network: &Network, target: &Target) -> Self {
        let order = network.services.next_call();
        let number = network.worker.begin(network.clock.elapsed(), order, target);
        Self { worker: network.worker.clone(), number, outcome: Outcome::GivenUp, answer: None }
    }

    fn end(mut self, outcome: Outcome, answer: Option<Digest>) {
        self.outcome = outcome;
        self.answer = answer;
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.worker.end(self.number, self.outcome.clone(), self.answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use crate::calls::Outcome;
    use crate::cloud::Cloud;

    /// Over a network with latency the model works in a task of its own, without in the caller's.
    #[tokio::test(start_paused = true)]
    async fn a_panic_of_the_model_is_a_panic_in_the_caller() {
        for latency in [Duration::ZERO, Duration::from_millis(1)] {
            let cloud = Cloud::builder().latency(latency).build();
            let a = cloud.connect("a").await.kinesis;
            cloud.services.panics.store(true, Ordering::Relaxed);
            let client = a.clone();
            let call = tokio::spawn(async move { client.list_streams().send().await });
            let panic = call.await.expect_err("the caller panics").into_panic();
            assert_eq!(panic.downcast_ref::<&str>(), Some(&"the model panics"), "{latency:?}");

            a.list_streams().send().await.expect("the cloud goes on");
            let outcomes: Vec<_> = cloud.calls("a").iter().map(|call| call.outcome.clone()).collect();
            assert_eq!(outcomes, [Outcome::GivenUp, Outcome::Answered], "{latency:?}");
        }
    }
}
