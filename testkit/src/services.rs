//! The two services behind one door: a request comes in, an answer goes out. The connector stands before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::clock::Clock;
use crate::dynamodb::DynamoDb;
use crate::exchange::{Body, Digest, ErrorCode, Sender, http_date};
use crate::faults::{Injected, ModelFaults};
use crate::kinesis::Kinesis;
use crate::kinesis::dispatch::Answer;
use crate::refusal::{Refusal, words};
use crate::service::{Service, Target};
use crate::service_error::ServiceError;
use crate::signature::{self, ChecksSignatureTime};
use crate::wire::Wire;

#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) kinesis: Arc<Kinesis>,
    pub(crate) dynamodb: DynamoDb,
    requests: AtomicU64,
    calls: AtomicU64,
    /// Requests that have been sent and have not arrived.
    pub(crate) under_way: AtomicUsize,
    /// A test's way to a model that panics at its next request.
    #[cfg(test)]
    pub(crate) panics: std::sync::atomic::AtomicBool,
}

impl Services {
    pub(crate) fn new(kinesis: Kinesis, dynamodb: DynamoDb) -> Self {
        Self {
            kinesis: Arc::new(kinesis),
            dynamodb,
            requests: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            #[cfg(test)]
            panics: false.into(),
        }
    }

    /// The clock that both services go by.
    pub(crate) fn clock(&self) -> Clock {
        self.kinesis.clock()
    }

    /// The next place in the order of all calls.
    pub(crate) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Answers one request, now. What else goes wrong with it travels in the request's extensions: an [`Injected`]
    /// refusal, [`ModelFaults`]; that the time of its signature counts too, [`ChecksSignatureTime`].
    pub(crate) fn handle(&self, request: &Request<Bytes>) -> Response<Body> {
        let Some(target) = Target::of(request.headers()) else {
            let wire = Wire::of(Service::Kinesis, request.headers());
            return self.answer(wire, Err(ServiceError::new(&Refusal::unknown_operation(""), wire)));
        };
        #[cfg(test)]
        assert!(!self.panics.swap(false, Ordering::Relaxed), "the model panics");
        let wire = Wire::of(target.service, request.headers());
        if let Some(injected) = request.extensions().get::<Injected>() {
            return self.answer(wire, Err(injected.error(&target, wire)));
        }
        if request.extensions().get::<ChecksSignatureTime>().is_some()
            && let Err(refusal) = signature::check_time(request.headers(), self.kinesis.now())
        {
            return self.answer(wire, Err(ServiceError::new(&refusal, wire)));
        }
        let answer = match target.service {
            service if !service.knows(&target.operation) => {
                Err(ServiceError::new(&Refusal::unknown_operation(&target.operation), wire))
            }
            Service::Kinesis => {
                let none = ModelFaults::default();
                let faults = request.extensions().get::<ModelFaults>().unwrap_or(&none);
                let answer = self.kinesis.call(wire, &target.operation, request.body(), faults);
                answer.map_err(|refusal| ServiceError::new(&refusal, wire))
            }
            Service::DynamoDb => {
                let by = request.extensions().get::<Sender>().map(|Sender(name)| name);
                self.dynamodb.call(&target.operation, request.body(), by).map(Answer::Whole)
            }
        };
        self.answer(wire, answer)
    }

    fn answer(&self, wire: Wire, answer: Result<Answer, ServiceError>) -> Response<Body> {
        let content_type = wire.content_type_header();
        let digest = match &answer {
            Ok(Answer::Whole(body)) => Some(Digest::of(body)),
            Ok(Answer::Events(_)) => None,
            Err(error) => Some(Digest::of(&error.body)),
        };
        let (status, body, content_type, code) = match answer {
            Ok(Answer::Whole(body)) => (200, whole(body), content_type, None),
            Ok(Answer::Events(events)) => (200, events.into_body(), EVENT_STREAM, None),
            Err(error) => (error.status, whole(error.body), content_type, Some(ErrorCode(error.code))),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, content_type);
        if let Some(date) = http_date(self.kinesis.now()) {
            headers.insert(http::header::DATE, date);
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if let Ok(id) = HeaderValue::from_str(&format!("00000000-0000-0000-0000-{number:012x}")) {
            headers.insert("x-amzn-requestid", id);
        }
        if let Some(digest) = digest {
            response.extensions_mut().insert(digest);
        }
        if let Some(code) = code {
            response.extensions_mut().insert(code);
        }
        response
    }
}

fn whole(body: Vec<u8>) -> Body {
    Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed()
}

impl Injected {
    fn error(&self, target: &Target, wire: Wire) -> ServiceError {
        if let Self::Refuse { code, message } = self {
            let status = match code.as_str() {
                "ServiceUnavailable" | "ServiceUnavailableException" => 503,
                "InternalFailure" | "InternalFailureException" | "InternalServerError" => 500,
                _ => 400,
            };
            let message = message.clone().unwrap_or_else(|| words(code, target));
            return ServiceError::of(status, code, &message, wire);
        }
        ServiceError::new(&self.refusal(target), wire)
    }

    fn refusal(&self, target: &Target) -> Refusal {
        let data = DATA_OPERATIONS.contains(&target.operation.as_str());
        match (self, target.service) {
            (Self::ServerError, Service::Kinesis) => Refusal::internal_failure(),
            (Self::ServerError, Service::DynamoDb) => {
                Refusal { code: "InternalServerError", ..Refusal::internal_failure() }
            }
            (Self::Unavailable, _) => {
                Refusal { status: 503, code: "ServiceUnavailable", ..Refusal::internal_failure() }
            }
            (Self::Throttle, _) if data => Refusal::throughput_exceeded("Rate exceeded.".to_owned()),
            (Self::Throttle, Service::Kinesis) => Refusal::limit_exceeded("Rate exceeded.".to_owned()),
            (Self::Throttle, Service::DynamoDb) => {
                Refusal::throttling("Rate of requests exceeds the allowed throughput.".to_owned())
            }
            (Self::ExpireIterator | Self::Refuse { .. }, _) => {
                Refusal::expired_iterator("Iterator expired.".to_owned())
            }
        }
    }
}

/// What reads and writes data, and is throttled by the throughput of a shard or a table. All else is the control plane.
const DATA_OPERATIONS: [&str; 14] = [
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "GetItem",
    "GetRecords",
    "GetShardIterator",
    "PutItem",
    "PutRecord",
    "PutRecords",
    "Query",
    "Scan",
    "TransactGetItems",
    "TransactWriteItems",
    "UpdateItem",
];
/// The content type of event streams, the same in all formats.
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
#[cfg(test)]
mod tests;
