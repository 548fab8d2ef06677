//! What an answer of DynamoDB, or the lack of one, means for the lease protocol.

use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use tokio::time::error::Elapsed;

use super::item::{self, Item};
use crate::lease::{BoxError, StoreError, Written};

/// A call without a good answer.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// Boxed: it holds the whole answer.
    Sdk(Box<SdkError<E, HttpResponse>>),
    /// Given up by our own clock. The SDK's timeouts need a sleep implementation that a client may lack.
    TimedOut(Elapsed),
}

/// Sends one attempt.
pub(super) async fn call<T, E>(
    timeout: Duration,
    operation: &'static str,
    attempt: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
) -> Result<T, Failure<E>>
where
    E: std::fmt::Debug,
{
    let answer = tokio::time::timeout(timeout, attempt).await;
    let answer = match answer {
        Ok(answer) => answer.map_err(|error| Failure::Sdk(Box::new(error))),
        Err(elapsed) => Err(Failure::TimedOut(elapsed)),
    };
    tracing::trace!(operation, ok = answer.is_ok(), "lease table call");
    answer
}

/// Whether the condition of a write held.
pub(super) fn condition_held<T, E: Conditional>(
    operation: &'static str,
    answer: Result<T, Failure<E>>,
) -> Result<bool, StoreError> {
    match answer {
        Ok(_) => Ok(true),
        Err(failure) if failure.refusal().is_some() => Ok(false),
        Err(failure) => Err(failure.into_store_error(operation)),
    }
}

/// The outcome of a write to a lease, with the row that came back.
pub(super) fn written<T, E: Conditional>(
    operation: &'static str,
    answer: Result<T, Failure<E>>,
    new: impl FnOnce(T) -> Option<Item>,
) -> Result<Written, StoreError> {
    // A row that came back and cannot be read is as good as none: the caller reads it, and gets the reason.
    let lease = |item: &Item| item::lease(item).ok().map(Box::new);
    match answer {
        Ok(output) => Ok(Written::Accepted(new(output).as_ref().and_then(lease))),
        Err(failure) => match failure.refusal() {
            Some(refusal) => Ok(Written::Refused(refusal.item().and_then(lease))),
            None => Err(failure.into_store_error(operation)),
        },
    }
}

/// Errors of conditional writes.
pub(super) trait Conditional: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {
    fn refusal(&self) -> Option<&ConditionalCheckFailedException>;
}

macro_rules! conditional {
    ($($error:ident),*) => {
        $(impl Conditional for $error {
            fn refusal(&self) -> Option<&ConditionalCheckFailedException> {
                match self {
                    Self::ConditionalCheckFailedException(refusal) => Some(refusal),
                    _ => None,
                }
            }
        })*
    };
}
conditional!(PutItemError, UpdateItemError, DeleteItemError);

impl<E> Failure<E> {
    /// What the service said, and the status of its answer.
    fn service_error(&self) -> Option<(&E, u16)> {
        match self {
            Self::Sdk(error) => match &**error {
                SdkError::ServiceError(error) => Some((error.err(), error.raw().status().as_u16())),
                _ => None,
            },
            Self::TimedOut(_) => None,
        }
    }
}

impl<E: Conditional> Failure<E> {
    fn refusal(&self) -> Option<&ConditionalCheckFailedException> {
        self.service_error().and_then(|(error, _)| error.refusal())
    }
}

impl<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static> Failure<E> {
    pub(super) fn code(&self) -> Option<&str> {
        self.service_error().and_then(|(error, _)| error.code())
    }

    pub(super) fn into_store_error(self, operation: &'static str) -> StoreError {
        let meaning = self.meaning();
        let source: BoxError = match self {
            Self::Sdk(error) => error,
            Self::TimedOut(elapsed) => elapsed.into(),
        };
        match meaning {
            Meaning::Throttled => StoreError::Throttled(source),
            Meaning::Refused => StoreError::Refused { operation, source },
            Meaning::NoTable => StoreError::NoTable(source),
            Meaning::Unknown => StoreError::Unknown { operation, source },
        }
    }

    fn meaning(&self) -> Meaning {
        if let Some((error, status)) = self.service_error() {
            return Meaning::of(error.code(), status);
        }
        match self {
            Self::Sdk(error) if matches!(**error, SdkError::ConstructionFailure(_)) => Meaning::Refused,
            // Also where the connection could not be made: whether a byte left cannot be told apart for certain.
            Self::Sdk(_) | Self::TimedOut(_) => Meaning::Unknown,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Throttled,
    Refused,
    NoTable,
    Unknown,
}

impl Meaning {
    fn of(code: Option<&str>, status: u16) -> Self {
        match code {
            // A transaction on the row (the KCL migrates tables with them) refuses others for its moment only.
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "TransactionConflictException",
            ) => Self::Throttled,
            Some("ResourceNotFoundException") => Self::NoTable,
            _ if status >= 500 => Self::Unknown,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_service_says_nothing_about_the_write() {
        assert_eq!(Meaning::of(Some("InternalServerError"), 500), Meaning::Unknown);
        assert_eq!(Meaning::of(None, 503), Meaning::Unknown);
        // Said of a throttled call too, with a status of the other kind.
        assert_eq!(Meaning::of(Some("ThrottlingException"), 503), Meaning::Throttled);
    }

    #[test]
    fn refusals_and_throttling_wrote_nothing() {
        for (code, meaning) in [
            ("ProvisionedThroughputExceededException", Meaning::Throttled),
            ("RequestLimitExceeded", Meaning::Throttled),
            ("TransactionConflictException", Meaning::Throttled),
            ("ResourceNotFoundException", Meaning::NoTable),
            ("ValidationException", Meaning::Refused),
            ("AccessDeniedException", Meaning::Refused),
            ("ItemCollectionSizeLimitExceededException", Meaning::Refused),
        ] {
            assert_eq!(Meaning::of(Some(code), 400), meaning, "{code}");
        }
    }
}
