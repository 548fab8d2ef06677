//! A failed call of the SDK as one line of text, and its code.

use std::borrow::Cow;
use std::error::Error;
use std::iter;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use kinesis_service_errors::{Causes, Foreign};

use crate::outcome::code;

/// Returns one line about a failed call: the service's message, or else the cause.
pub(crate) fn message_of<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let SdkError::ServiceError(refusal) = error else { return Causes(error).to_string() };
    let message = Foreign(refusal.err().message().unwrap_or_default()).to_string();
    with_code(&code_of(error), &message).to_string()
}

/// Joins code and message, and omits the one that adds nothing.
pub(crate) fn with_code<'a>(code: &'a str, message: &'a str) -> Cow<'a, str> {
    if message.is_empty() || message == code { code.into() } else { format!("{code}: {message}").into() }
}

/// Returns the service's code, or else the HTTP status. If the service did not answer, returns one of [`code`].
pub(crate) fn code_of<E>(error: &SdkError<E, HttpResponse>) -> Cow<'static, str>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let no_credentials =
        || iter::successors(error.source(), |cause| (**cause).source()).any(<dyn Error>::is::<CredentialsError>);
    match error {
        SdkError::ServiceError(refusal) => match refusal.err().code().unwrap_or_default() {
            "" => refusal.raw().status().to_string().into(),
            code => Foreign(code).to_string().into(),
        },
        SdkError::TimeoutError(_) => code::TIMEOUT.into(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => code::TIMEOUT.into(),
        SdkError::DispatchFailure(_) if no_credentials() => code::NO_CREDENTIALS.into(),
        // The answer of a proxy between the producer and the service, in another format.
        SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
            answer.raw().status().to_string().into()
        }
        SdkError::ResponseError(_) => code::UNREADABLE.into(),
        _ => code::CONNECTION.into(),
    }
}
