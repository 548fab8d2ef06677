use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::failed_call::message_of;

/// A failed call, in one line.
///
/// The SDK's own error contains the whole answer. The answer to a wrong signature repeats the request with its session
/// token. So the SDK's error appears in neither `Display` nor `Debug`, and is not the [`source`](Error::source) of this
/// one.
pub struct CallError<E>(Box<SdkError<E, HttpResponse>>);

impl<E> CallError<E> {
    pub(crate) fn new(error: SdkError<E, HttpResponse>) -> Self {
        Self(Box::new(error))
    }

    /// Returns the SDK's error, for code that examines it. Do not log it.
    pub fn as_sdk(&self) -> &SdkError<E, HttpResponse> {
        &self.0
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&message_of(&self.0))
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> fmt::Debug for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallError({self})")
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> Error for CallError<E> {}
