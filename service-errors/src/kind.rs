use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What is wrong, as far as an error's code says. In order of how soon the same call can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Too many calls, too much data, or too many uses of a key: slow down.
    Throttled,
    /// Too many calls of the control plane, or too many of its operations at once.
    ControlLimit,
    /// A fault of the service's, or no answer of its own in time.
    ServiceFault,
    /// The stream, the table or the item is being made or changed.
    InUse,
    /// An iterator or a page token is too old: a new one will do.
    Expired,
    /// This machine's clock is wrong. The SDK learns the difference from the answer, so the next call of the same client is signed right.
    Clock,
    /// The session token is over. It passes when the credentials are renewed.
    Token,
    /// The keys are unknown, disabled or wrong. New keys are unknown everywhere for some seconds.
    Credentials,
    /// A policy does not allow the action.
    Access,
    /// The key that encrypts the stream or the table cannot be used.
    Key,
    /// There is no such stream, consumer, table or index.
    NotFound,
    /// A code that is not in the table, of which the status says no more than that the service blames the request.
    Unknown,
    /// The service does not take an argument, and would not take it again.
    Argument,
    /// The condition of a write does not hold. An answer, no fault.
    Condition,
}

/// Whether the same call can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// By itself, in seconds.
    Soon,
    /// When somebody has mended something: a policy, keys, the stream's name.
    NeedsAction,
    /// It will be answered so again.
    Never,
}

impl Kind {
    /// The kind of an error code, with or without its name space. For a code that is not in the [table](CODES) the HTTP status decides: 429 and
    /// 5xx pass soon, anything else is [`Unknown`](Self::Unknown).
    ///
    /// A signature that is too old or too young has the same code as a wrong one: [`of`](Self::of) tells them apart by the message.
    pub fn of_code(code: &str, status: Option<u16>) -> Self {
        let code = code.rsplit('#').next().unwrap_or(code);
        let code = code.split(':').next().unwrap_or(code);
        if let Some((_, kind)) = CODES.iter().find(|(listed, _)| *listed == code) {
            return *kind;
        }
        match status {
            _ if code.starts_with("KMS") => Self::Key,
            Some(429) => Self::Throttled,
            Some(408 | 500..) => Self::ServiceFault,
            _ => Self::Unknown,
        }
    }

    /// The same, where the service's message is known too.
    pub fn of(code: &str, message: &str, status: Option<u16>) -> Self {
        match Self::of_code(code, status) {
            Self::Credentials if speaks_of_time(message) => Self::Clock,
            kind => kind,
        }
    }

    /// The kind of what the service answered. `None`: the service did not answer, or with something that is no error.
    pub fn of_error<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let SdkError::ServiceError(answer) = error else { return None };
        let (code, message) = (answer.err().code().unwrap_or_default(), answer.err().message().unwrap_or_default());
        Some(Self::of(code, message, Some(answer.raw().status().as_u16())))
    }

    /// Whether, and by what, it passes.
    pub const fn recovery(self) -> Recovery {
        match self {
            Self::Throttled | Self::ControlLimit | Self::ServiceFault | Self::InUse | Self::Expired | Self::Clock => {
                Recovery::Soon
            }
            Self::Token | Self::Credentials | Self::Access | Self::Key | Self::NotFound | Self::Unknown => {
                Recovery::NeedsAction
            }
            Self::Argument | Self::Condition => Recovery::Never,
        }
    }

    /// Whether the service asks for fewer calls.
    pub const fn is_throttle(self) -> bool {
        matches!(self, Self::Throttled | Self::ControlLimit)
    }
}

/// "Signature expired: 20261130T110000Z is now earlier than …", "Signature not yet current: … is still later than …".
fn speaks_of_time(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["signature expired", "not yet current", "is now earlier than", "is still later than", "request time", "clock"]
        .iter()
        .any(|text| message.contains(text))
}

/// All codes that are known, with their kinds.
///
/// From the API references of Kinesis and DynamoDB (the errors of each operation, and those common to all), and from what the AWS SDKs take for
/// throttling, for a passing fault, and for a wrong clock.
pub const CODES: &[(&str, Kind)] = &[
    // The limit of a shard or of a provisioned table. First, since it is by far the most frequent.
    ("ProvisionedThroughputExceededException", Kind::Throttled),
    ("BandwidthLimitExceeded", Kind::Throttled),
    ("EC2ThrottledException", Kind::Throttled),
    ("KMSThrottlingException", Kind::Throttled),
    ("PriorRequestNotComplete", Kind::Throttled),
    ("RequestLimitExceeded", Kind::Throttled),
    ("RequestThrottled", Kind::Throttled),
    ("RequestThrottledException", Kind::Throttled),
    ("SlowDown", Kind::Throttled),
    ("ThrottledException", Kind::Throttled),
    ("Throttling", Kind::Throttled),
    ("ThrottlingException", Kind::Throttled),
    ("TooManyRequestsException", Kind::Throttled),
    ("TransactionInProgressException", Kind::Throttled),
    ("LimitExceededException", Kind::ControlLimit),
    ("InternalError", Kind::ServiceFault),
    ("InternalFailure", Kind::ServiceFault),
    ("InternalFailureException", Kind::ServiceFault),
    ("InternalServerError", Kind::ServiceFault),
    ("InternalServerException", Kind::ServiceFault),
    ("RequestTimeout", Kind::ServiceFault),
    ("RequestTimeoutException", Kind::ServiceFault),
    ("ServiceUnavailable", Kind::ServiceFault),
    ("ServiceUnavailableException", Kind::ServiceFault),
    ("ReplicatedWriteConflictException", Kind::InUse),
    ("ResourceInUseException", Kind::InUse),
    ("TableInUseException", Kind::InUse),
    ("TransactionConflictException", Kind::InUse),
    ("ExpiredIteratorException", Kind::Expired),
    ("ExpiredNextTokenException", Kind::Expired),
    ("AuthFailure", Kind::Clock),
    ("RequestExpired", Kind::Clock),
    ("RequestInTheFuture", Kind::Clock),
    ("RequestTimeTooSkewed", Kind::Clock),
    ("ExpiredToken", Kind::Token),
    ("ExpiredTokenException", Kind::Token),
    ("InvalidToken", Kind::Token),
    ("TokenRefreshRequired", Kind::Token),
    ("IncompleteSignature", Kind::Credentials),
    ("IncompleteSignatureException", Kind::Credentials),
    ("InvalidAccessKeyId", Kind::Credentials),
    ("InvalidClientTokenId", Kind::Credentials),
    ("InvalidSignatureException", Kind::Credentials),
    ("MissingAuthenticationToken", Kind::Credentials),
    ("MissingAuthenticationTokenException", Kind::Credentials),
    ("SignatureDoesNotMatch", Kind::Credentials),
    ("UnrecognizedClientException", Kind::Credentials),
    ("AccessDenied", Kind::Access),
    ("AccessDeniedException", Kind::Access),
    ("NotAuthorized", Kind::Access),
    ("OptInRequired", Kind::Access),
    ("SubscriptionRequiredException", Kind::Access),
    ("UnauthorizedOperation", Kind::Access),
    ("KMSAccessDeniedException", Kind::Key),
    ("KMSDisabledException", Kind::Key),
    ("KMSInvalidStateException", Kind::Key),
    ("KMSNotFoundException", Kind::Key),
    ("KMSOptInRequired", Kind::Key),
    ("IndexNotFoundException", Kind::NotFound),
    ("ResourceNotFoundException", Kind::NotFound),
    ("TableNotFoundException", Kind::NotFound),
    ("InvalidAction", Kind::Argument),
    ("InvalidArgumentException", Kind::Argument),
    ("InvalidParameterCombination", Kind::Argument),
    ("InvalidParameterValue", Kind::Argument),
    ("InvalidQueryParameter", Kind::Argument),
    ("MalformedQueryString", Kind::Argument),
    ("MissingAction", Kind::Argument),
    ("MissingParameter", Kind::Argument),
    ("SerializationException", Kind::Argument),
    ("UnknownOperationException", Kind::Argument),
    ("ValidationError", Kind::Argument),
    ("ValidationException", Kind::Argument),
    ("ConditionalCheckFailedException", Kind::Condition),
];

#[cfg(test)]
mod tests;
