use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body::{Body, Frame, SizeHint};

/// Whether the body of a failed call's request can have left the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transmission {
    /// It has not: the service cannot have acted on it.
    NotBegun,
    /// It may have: the service may have acted on it although no answer came.
    MayHaveBegun,
}

/// What the error alone says: [`NotBegun`](Transmission::NotBegun) where it shows that the request was never made, signed, or connected.
///
/// A call that runs into its time limit looks the same whether it waited for credentials, for a connection, or for the answer;
/// [`Departure`] tells these apart.
pub fn transmission<E, R>(error: &SdkError<E, R>) -> Transmission
where
    E: Error + 'static,
    R: fmt::Debug,
{
    let never_left = match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(_) => {
            std::iter::successors(error.source(), |cause| (**cause).source()).any(never_connected)
        }
        _ => false,
    };
    if never_left { Transmission::NotBegun } else { Transmission::MayHaveBegun }
}

/// Whether this cause comes from before the first byte of a request.
fn never_connected(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    if cause.is::<CredentialsError>() {
        return true;
    }
    if let Some(cause) = cause.downcast_ref::<io::Error>() {
        return matches!(cause.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable);
    }
    // The types of these two are private to the SDK's HTTP client, or of a version of hyper's that only it knows. A text that changes is
    // found by the tests over TCP; until then the answer is the safe one.
    let text = cause.to_string();
    text.starts_with("HTTP connect timeout") || text == "client error (Connect)"
}

/// Watches one call: whether the body of its request was given to the network. An interceptor for
/// `.customize().interceptor(departure.clone())`; a new one for each call.
///
/// HTTP clients ask for a body when they have a connection to write it to, so a call that waited for credentials, a name, a connection or a
/// TLS handshake until its time was over has not touched it.
#[derive(Clone, Debug, Default)]
pub struct Departure {
    begun: Arc<AtomicBool>,
}

impl Departure {
    /// For a call that has not been made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether one of the call's attempts can have left, by what was seen now. For a call that was dropped before it ended.
    pub fn so_far(&self) -> Transmission {
        if self.begun.load(Ordering::Acquire) { Transmission::MayHaveBegun } else { Transmission::NotBegun }
    }

    /// Whether the request can have left, by what was seen and by what the [error says](transmission).
    pub fn transmission<E, R>(&self, error: &SdkError<E, R>) -> Transmission
    where
        E: Error + 'static,
        R: fmt::Debug,
    {
        match (self.so_far(), error) {
            // Somebody has answered, by whatever way the request came to them.
            (_, SdkError::ServiceError(_) | SdkError::ResponseError(_)) => Transmission::MayHaveBegun,
            (Transmission::NotBegun, _) => Transmission::NotBegun,
            (Transmission::MayHaveBegun, _) => transmission(error),
        }
    }
}

#[dyn_dispatch_hint]
impl Intercept for Departure {
    fn name(&self) -> &'static str {
        "Departure"
    }

    /// After signing, which reads the body, and right before the HTTP client gets the request.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Watched { inner, begun: Arc::clone(&self.begun) });
        Ok(())
    }
}

/// A body that says when it is asked for.
struct Watched {
    inner: SdkBody,
    begun: Arc<AtomicBool>,
}

impl Body for Watched {
    type Data = <SdkBody as Body>::Data;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.begun.store(true, Ordering::Release);
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}
