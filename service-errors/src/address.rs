use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// Remembers where the latest request was to go, for errors that say so: a client does not tell its endpoint. An interceptor for
/// `.customize().interceptor(address.clone())`.
#[derive(Clone, Debug, Default)]
pub struct Address {
    seen: Arc<Mutex<Option<String>>>,
}

impl Address {
    /// Of no request yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scheme and host, such as `https://kinesis.us-east-1.amazonaws.com`. `None`: no request was ready to be sent.
    pub fn seen(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[dyn_dispatch_hint]
impl Intercept for Address {
    fn name(&self) -> &'static str {
        "Address"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri = context.request().uri();
        let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{scheme}://{host}"));
        Ok(())
    }
}
