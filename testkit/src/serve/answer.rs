//! From a request on a socket to the services' answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_TYPE, DATE, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::exchange::{Body, http_date};
use crate::network::{Failure, Network, Timeouts};

/// What all connections of a server share.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    network: Network,
    max_request_bytes: usize,
    /// From one piece of a body to the next.
    read_timeout: Duration,
    /// In KiB: the bodies that are being read at one time.
    reading: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(network: Network, max_request_bytes: usize, read_timeout: Duration) -> Self {
        let reading = BODIES_AT_ONCE.saturating_mul(kib(max_request_bytes) as usize).min(Semaphore::MAX_PERMITS);
        Self { network, max_request_bytes, read_timeout, reading: Arc::new(Semaphore::new(reading)) }
    }

    /// The answer to one request. The error says that the connection is to break.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let mut response = match *request.method() {
            Method::POST => self.call(request).await?,
            Method::GET | Method::HEAD => text(StatusCode::OK, "healthy: kinesis-testkit\n"),
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "calls are sent by POST\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, GET, HEAD"));
                response
            }
        };
        // Clients may set their clock by it, so it is the cloud's time and not the machine's.
        if let Some(now) = http_date(self.network.clock.tick()) {
            response.headers_mut().insert(DATE, now);
        }
        Ok(response)
    }

    async fn call(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let (parts, body) = request.into_parts();
        match self.read(&parts.headers, body).await {
            Ok(body) => self.network.carry(parts, async { Ok(body) }, Timeouts::default()).await,
            // The service says no more than the status: its front end refuses before Kinesis sees the request.
            Err(Unread::TooLarge) => Ok(empty(StatusCode::PAYLOAD_TOO_LARGE)),
            Err(Unread::Stalled) => Ok(empty(StatusCode::REQUEST_TIMEOUT)),
            Err(Unread::Broken) => Ok(empty(StatusCode::BAD_REQUEST)),
        }
    }

    /// The whole body. Of one that is too large nothing is kept, but it is read to its end: a client that is still
    /// sending would not look at an answer.
    async fn read(&self, headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Unread> {
        let limit = self.max_request_bytes;
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        if length.is_some_and(|length| length > limit) && headers.contains_key(EXPECT) {
            return Err(Unread::TooLarge);
        }
        let expected = length.unwrap_or(limit).min(limit);
        // Room for the whole body before its first byte, so that no two bodies wait for each other.
        let _room = self.reading.acquire_many(kib(expected)).await;
        let mut whole = BytesMut::new();
        let mut received = 0;
        while let Some(frame) = timeout(self.read_timeout, body.frame()).await.map_err(|_| Unread::Stalled)? {
            let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
            received += data.len();
            if received <= limit {
                whole.extend_from_slice(&data);
            } else {
                whole = BytesMut::new();
            }
        }
        if received > limit { Err(Unread::TooLarge) } else { Ok(whole.freeze()) }
    }
}

/// Why there is no request body.
enum Unread {
    TooLarge,
    /// The client has stopped sending.
    Stalled,
    /// The client went away, or what it sent is no body.
    Broken,
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// So many of the largest bodies are read at one time: 128 MiB by default.
const BODIES_AT_ONCE: usize = 8;
