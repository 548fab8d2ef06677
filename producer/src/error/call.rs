use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::failed_call::said;

/// A call that failed, in one line.
///
/// The SDK's own error holds the whole answer, and that of a wrong signature repeats the request with the session token in it: it is shown by
/// neither `Display` nor `Debug`, and is no [`source`](Error::source) of this.
pub struct CallError<E>(Box<SdkError<E, HttpResponse>>);

impl<E> CallError<E> {
    pub(crate) fn new(error: SdkError<E, HttpResponse>) -> Self {
        Self(Box::new(error))
    }

    /// The SDK's error, for code that looks into it. Not for a log.
    pub fn as_sdk(&self) -> &SdkError<E, HttpResponse> {
        &self.0
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&said(&self.0))
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> fmt::Debug for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallError({self})")
    }
}

impl<E: ProvideErrorMetadata + Error + 'static> Error for CallError<E> {}
