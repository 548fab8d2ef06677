//! The errors of a connection that does not come up, built as the SDK's own HTTP client builds them: code under test may look for
//! their sources to know that nothing was sent.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_async::future::timeout::TimedOutError;
use aws_smithy_runtime_api::client::dns::ResolveDnsError;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioExecutor;
use tower_service::Service;

type BoxError = Box<dyn Error + Send + Sync>;

/// `cause` as the error of a connect in hyper's client, on which the SDK's own is built.
pub(crate) async fn connect_error(cause: impl Into<BoxError>) -> BoxError {
    let connector = Unreachable(Arc::new(Mutex::new(Some(cause.into()))));
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from_static("http://cloud.test/");
    match client.request(request).await {
        Err(error) => error.into(),
        Ok(_) => unreachable!("the connector has no connection to give"),
    }
}

/// As from a port where nobody listens.
pub(crate) fn connection_refused() -> BoxError {
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
    Box::new(Caused { what: "tcp connect error", by: Box::new(refused) })
}

/// As from a resolver that does not know the name.
pub(crate) fn host_not_found() -> BoxError {
    let unknown = io::Error::other("failed to lookup address information: Name or service not known");
    Box::new(Caused { what: "dns error", by: Box::new(ResolveDnsError::new(unknown)) })
}

/// A time that ran out, as the SDK's HTTP client says it.
#[derive(Debug)]
pub(crate) struct TimedOut {
    pub(crate) what: &'static str,
    pub(crate) after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} timeout occurred after {:?}", self.what, self.after)
    }
}

impl Error for TimedOut {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&TimedOutError)
    }
}

#[derive(Debug)]
struct Caused {
    what: &'static str,
    by: BoxError,
}

impl fmt::Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for Caused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.by)
    }
}

/// Fails with its one error.
#[derive(Debug, Clone)]
struct Unreachable(Arc<Mutex<Option<BoxError>>>);

impl Service<Uri> for Unreachable {
    type Response = Never;
    type Error = BoxError;
    type Future = Ready<Result<Never, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let cause = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        ready(Err(cause.unwrap_or_else(connection_refused)))
    }
}

/// The connection that never comes.
#[derive(Debug)]
struct Never(Infallible);

impl Connection for Never {
    fn connected(&self) -> Connected {
        match self.0 {}
    }
}

impl Read for Never {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl Write for Never {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
