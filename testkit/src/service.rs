//! The two services behind one door: a request comes in, an answer goes out. The connector stands before it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

use crate::clock::Tick;
use crate::dynamodb::{self, DynamoDb};
use crate::faults::{Injected, ModelFaults};
use crate::kinesis::{self, Answer, Kinesis};
use crate::refusal::{Refusal, words};
use crate::signature::{self, ChecksSignatureTime};
use crate::wire::Wire;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// Kinesis Data Streams.
    Kinesis,
    /// DynamoDB.
    DynamoDb,
}

impl Service {
    /// Whether the cloud answers this operation, named as the API names it: `"PutRecords"`.
    pub(crate) fn knows(self, operation: &str) -> bool {
        let known: &[&str] = match self {
            Self::Kinesis => &kinesis::OPERATIONS,
            Self::DynamoDb => &dynamodb::OPERATIONS,
        };
        known.contains(&operation)
    }

    /// The refusal of an operation that this service does not have.
    pub(crate) fn unknown(self, operation: &str) -> Refusal {
        let message = match self {
            Self::Kinesis => format!("Kinesis has no operation {operation}"),
            Self::DynamoDb => format!("DynamoDB has no operation {operation}"),
        };
        Refusal { message, ..Refusal::unknown_operation(operation) }
    }

    /// Refuses an operation that neither service has.
    pub(crate) fn either(operation: &str) -> Result<(), Refusal> {
        if Self::Kinesis.knows(operation) || Self::DynamoDb.knows(operation) {
            return Ok(());
        }
        let message = format!("neither Kinesis nor DynamoDB has an operation {operation}");
        Err(Refusal { message, ..Refusal::unknown_operation(operation) })
    }
}

/// The body of an answer. Its error is that of a broken connection.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// Which operation of which service a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: Service,
    pub(crate) operation: String,
}

impl Target {
    /// `None` when the header is missing or names a service that is not here.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (prefix, operation) = headers.get("x-amz-target")?.to_str().ok()?.split_once('.')?;
        let service = match prefix {
            "Kinesis_20131202" => Service::Kinesis,
            "DynamoDB_20120810" => Service::DynamoDb,
            _ => return None,
        };
        Some(Self { service, operation: operation.to_owned() })
    }
}

/// The worker that sent a request, kept beside it for the log of writes.
#[derive(Debug, Clone)]
pub(crate) struct Sender(pub(crate) Arc<str>);

/// The error code of an answer, kept beside it for the call log.
#[derive(Debug, Clone)]
pub(crate) struct ErrorCode(pub(crate) String);

/// The hash of an answer's body, kept beside it for the call log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    /// FNV-1a over eight bytes at a time: not for enemies, and fast enough for answers of 10 MB.
    fn of(body: &[u8]) -> Self {
        Self::after(None, body)
    }

    /// The hash of a body that came in parts, of which this is the last so far.
    pub(crate) fn after(parts: Option<Self>, body: &[u8]) -> Self {
        let before = parts.map_or(0xcbf2_9ce4_8422_2325, |Self(hash)| hash);
        let mix = |hash: u64, part: u64| (hash ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        let (words, rest) = body.as_chunks::<8>();
        let hash = words.iter().fold(before, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        let hash = rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)));
        Self(mix(hash, body.len() as u64))
    }
}

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

/// The time of an answer, by which clients may correct their clocks.
pub(crate) fn http_date(now: Tick) -> Option<HeaderValue> {
    let date = DateTime::from_secs(i64::try_from(now.as_secs()).ok()?);
    HeaderValue::from_str(&date.fmt(Format::HttpDate).ok()?).ok()
}

fn whole(body: Vec<u8>) -> Body {
    Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed()
}

/// An error answer of either service.
#[derive(Debug)]
pub(crate) struct ServiceError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) body: Vec<u8>,
}

impl ServiceError {
    fn new(refusal: &Refusal, wire: Wire) -> Self {
        Self::of(refusal.status, refusal.code, &refusal.message, wire)
    }

    fn of(status: u16, code: &str, message: &str, wire: Wire) -> Self {
        Self { status, code: code.to_owned(), body: wire.refusal(code, message) }
    }
}

/// DynamoDB's: Kinesis refuses in the format of the request.
impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        Self::new(&refusal, Wire::Json10)
    }
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
/// The account number that the services' documentation uses in its examples.
pub(crate) const ACCOUNT_ID: &str = "123456789012";
pub(crate) const REGION: &str = "us-east-1";

#[cfg(test)]
mod tests;
