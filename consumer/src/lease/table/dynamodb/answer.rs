//! What an answer of DynamoDB, or the lack of one, means for the lease protocol.

use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use kinesis_service_errors::{Kind, Recovery};
use tokio::time::error::Elapsed;

use crate::lease::table::dynamodb::item::{self, Item};
use crate::lease::table::store::Answered;
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
    /// What the service said.
    fn service_error(&self) -> Option<&E> {
        match self {
            Self::Sdk(error) => error.as_service_error(),
            Self::TimedOut(_) => None,
        }
    }
}

impl<E: Conditional> Failure<E> {
    fn refusal(&self) -> Option<&ConditionalCheckFailedException> {
        self.service_error().and_then(Conditional::refusal)
    }
}

impl<E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static> Failure<E> {
    pub(super) fn code(&self) -> Option<&str> {
        self.service_error().and_then(ProvideErrorMetadata::code)
    }

    pub(super) fn into_store_error(self, operation: &'static str) -> StoreError {
        let (meaning, code, kind) = (self.meaning(), self.code().map(str::to_owned), self.kind());
        let source: BoxError = match self {
            Self::Sdk(error) => error,
            Self::TimedOut(elapsed) => elapsed.into(),
        };
        let source = match (code, kind) {
            (Some(code), Some(kind)) => Answered { code, kind, source }.into(),
            _ => source,
        };
        match meaning {
            Meaning::Throttled => StoreError::Throttled(source),
            Meaning::Denied => StoreError::Denied { operation, source },
            Meaning::Refused => StoreError::Refused { operation, source },
            Meaning::NoTable => StoreError::NoTable(source),
            Meaning::Unknown => StoreError::Unknown { operation, source },
        }
    }

    /// The error of a query of the index. That one is always the same, so it is invalid only where the index is not there.
    pub(super) fn into_query_error(self, operation: &'static str) -> StoreError {
        let no_index = matches!(self.code(), Some("ValidationException" | "IndexNotFoundException"));
        match self.into_store_error(operation) {
            StoreError::Refused { source, .. } | StoreError::NoTable(source) if no_index => StoreError::NoIndex(source),
            other => other,
        }
    }

    fn kind(&self) -> Option<Kind> {
        match self {
            Self::Sdk(error) => Kind::of_error(error),
            Self::TimedOut(_) => None,
        }
    }

    fn meaning(&self) -> Meaning {
        match self {
            Self::Sdk(error) => match (self.kind(), &**error) {
                (Some(kind), _) => Meaning::of(kind),
                (None, SdkError::ConstructionFailure(_)) => Meaning::Refused,
                // Also where the connection could not be made: whether a byte left cannot be told apart for certain.
                (None, _) => Meaning::Unknown,
            },
            Self::TimedOut(_) => Meaning::Unknown,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Throttled,
    Denied,
    Refused,
    NoTable,
    Unknown,
}

impl Meaning {
    fn of(kind: Kind) -> Self {
        match (kind, kind.recovery()) {
            (Kind::NotFound, _) => Self::NoTable,
            // The only one that says nothing about the write.
            (Kind::ServiceFault, _) => Self::Unknown,
            (Kind::Clock, _) => Self::Denied,
            // Also a transaction on the row (the KCL migrates tables with them), which refuses others for its moment only.
            (_, Recovery::Soon) => Self::Throttled,
            (_, Recovery::NeedsAction) => Self::Denied,
            (_, Recovery::Never) => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: &str, status: u16) -> Meaning {
        Meaning::of(Kind::of_code(code, Some(status)))
    }

    #[test]
    fn a_fault_of_the_service_says_nothing_about_the_write() {
        assert_eq!(meaning("InternalServerError", 500), Meaning::Unknown);
        assert_eq!(meaning("", 503), Meaning::Unknown);
        assert_eq!(meaning("RequestTimeout", 400), Meaning::Unknown);
        // Said of a throttled call too, with a status of the other kind.
        assert_eq!(meaning("ThrottlingException", 503), Meaning::Throttled);
    }

    /// Rule `one table of codes`: no code is judged here, only what its kind means for a write.
    #[test]
    fn what_is_refused_wrote_nothing() {
        for (code, expected) in [
            ("ProvisionedThroughputExceededException", Meaning::Throttled),
            ("RequestLimitExceeded", Meaning::Throttled),
            ("RequestThrottled", Meaning::Throttled),
            ("TransactionConflictException", Meaning::Throttled),
            ("ResourceNotFoundException", Meaning::NoTable),
            ("ValidationException", Meaning::Refused),
            ("AccessDeniedException", Meaning::Denied),
            ("ExpiredTokenException", Meaning::Denied),
            ("UnrecognizedClientException", Meaning::Denied),
            ("RequestTimeTooSkewed", Meaning::Denied),
            ("SomethingNew", Meaning::Denied),
        ] {
            assert_eq!(meaning(code, 400), expected, "{code}");
        }
        let skewed = Kind::of("InvalidSignatureException", "Signature expired: 1 is now earlier than 2", Some(400));
        assert_eq!(Meaning::of(skewed), Meaning::Denied);
    }
}
