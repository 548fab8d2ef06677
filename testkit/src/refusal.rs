//! How the service says no.

use std::fmt;

use crate::service::{ACCOUNT_ID, Service, Target};

/// What a test asked of a stream, a table, a worker's network or the limits is not possible: the service's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Of what it was asked, `stream clicks`, `table leases`, `worker a` or `limits`.
    of: String,
    code: String,
    message: String,
}

impl Refused {
    pub(crate) fn new(stream: &str, refusal: Refusal) -> Self {
        Self { of: format!("stream {stream}"), code: refusal.code.to_owned(), message: refusal.message }
    }

    /// DynamoDB's refusal; `table` is empty when it is no single one's.
    pub(crate) fn of_table(table: &str, code: String, message: String) -> Self {
        Self { of: format!("table {table}"), code, message }
    }

    /// What was asked of the network of the worker `name`.
    pub(crate) fn of_worker(name: &str, refusal: Refusal) -> Self {
        Self { of: format!("worker {name}"), code: refusal.code.to_owned(), message: refusal.message }
    }

    /// What was asked of the limits.
    pub(crate) fn of_limits(refusal: Refusal) -> Self {
        Self { of: "limits".to_owned(), code: refusal.code.to_owned(), message: refusal.message }
    }

    /// The service's error code, for example `"ResourceNotFoundException"`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The service's words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.of, self.code, self.message)
    }
}

impl std::error::Error for Refused {}

/// Ends the test: for the methods that assert.
pub(crate) fn panics<T>(refused: Refused) -> T {
    panic!("{refused}")
}

/// An error answer of the Kinesis API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    const fn new(code: &'static str, message: String) -> Self {
        Self { status: 400, code, message }
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message.into())
    }

    /// A request that breaks the API's own model: `value` at `member` fails `constraint`.
    pub(crate) fn constraint(value: impl fmt::Display, member: &str, constraint: &str) -> Self {
        Self::validation(format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"))
    }

    /// The same without the value, which is too large to be repeated.
    pub(crate) fn too_long(member: &str, most: usize) -> Self {
        Self::validation(format!(
            "Value at '{member}' failed to satisfy constraint: Member must have length less than or equal to {most}"
        ))
    }

    pub(crate) fn missing(member: &str) -> Self {
        Self::validation(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"))
    }

    fn validation(what: String) -> Self {
        Self::new("ValidationException", format!("1 validation error detected: {what}"))
    }

    /// What no service could do.
    pub(crate) fn impossible(message: String) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn not_found(message: String) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub(crate) fn in_use(message: String) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(crate) fn limit_exceeded(message: String) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(crate) fn throughput_exceeded(message: String) -> Self {
        Self::new("ProvisionedThroughputExceededException", message)
    }

    pub(crate) fn throttling(message: String) -> Self {
        Self::new("ThrottlingException", message)
    }

    /// All checks passed, and nothing was done.
    pub(crate) fn dry_run() -> Self {
        let message = "The request would have succeeded, but the DryRun parameter was specified.".to_owned();
        Self::new("DryRunOperationException", message)
    }

    pub(crate) fn invalid_signature(message: String) -> Self {
        Self::new("InvalidSignatureException", message)
    }

    pub(crate) fn expired_iterator(message: String) -> Self {
        Self::new("ExpiredIteratorException", message)
    }

    pub(crate) fn expired_token(message: String) -> Self {
        Self::new("ExpiredNextTokenException", message)
    }

    /// The service failed by itself.
    pub(crate) fn internal_failure() -> Self {
        Self { status: 500, ..Self::new("InternalFailureException", "Internal Service Failure".to_owned()) }
    }

    /// A single entry of PutRecords failed; code and message as the API reference gives them.
    pub(crate) fn entry_failure() -> Self {
        Self { status: 500, ..Self::new("InternalFailure", "Internal Service Failure".to_owned()) }
    }

    /// Not possible for a stream in on-demand mode.
    pub(crate) fn on_demand(stream: &str, account: &str) -> Self {
        let message = format!("Request is invalid. Stream {stream} under account {account} is in On-Demand mode.");
        Self::new("ValidationException", message)
    }

    pub(crate) fn serialization(message: String) -> Self {
        Self::new("SerializationException", message)
    }

    pub(crate) fn unknown_operation(operation: &str) -> Self {
        Self::new("UnknownOperationException", format!("Unknown operation {operation}"))
    }
}

impl Service {
    /// The refusal of an operation that this service does not have.
    pub(crate) fn unknown(self, operation: &str) -> Refusal {
        let message = match self {
            Self::Kinesis => format!("Kinesis has no operation {operation}"),
            Self::DynamoDb => format!("DynamoDB has no operation {operation}"),
        };
        Refusal { message, ..Refusal::unknown_operation(operation) }
    }

    /// Refuses an operation that neither service has.
    pub(crate) fn either(operation: &str) -> Result<(), Refusal> {
        if Self::Kinesis.knows(operation) || Self::DynamoDb.knows(operation) {
            return Ok(());
        }
        let message = format!("neither Kinesis nor DynamoDB has an operation {operation}");
        Err(Refusal { message, ..Refusal::unknown_operation(operation) })
    }
}

/// What the services say with a code that a test has them answer with. The code itself where that is not known.
pub(crate) fn words(code: &str, target: &Target) -> String {
    let action = match target.service {
        Service::Kinesis => format!("kinesis:{}", target.operation),
        Service::DynamoDb => format!("dynamodb:{}", target.operation),
    };
    let text = match code {
        "AccessDeniedException" | "AccessDenied" => {
            return format!(
                "User: arn:aws:iam::{ACCOUNT_ID}:user/test is not authorized to perform: {action} on resource: * because no \
                 identity-based policy allows the {action} action"
            );
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "The security token included in the request is invalid."
        }
        "ExpiredTokenException" | "ExpiredToken" => "The security token included in the request is expired",
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
             signing method. Consult the service documentation for details."
        }
        "MissingAuthenticationTokenException" | "MissingAuthenticationToken" => {
            "Request is missing Authentication Token"
        }
        "OptInRequired" => "The AWS Access Key Id needs a subscription for the service",
        "ResourceNotFoundException" => "Requested resource not found",
        "InternalFailure" | "InternalFailureException" | "InternalServerError" => "Internal Service Failure",
        "ServiceUnavailable" | "ServiceUnavailableException" => "Service is unable to handle request.",
        "ThrottlingException"
        | "ThrottledException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "LimitExceededException" => "Rate exceeded",
        "KMSDisabledException" => "The specified KMS key is disabled.",
        "KMSInvalidStateException" => "The state of the specified KMS key is not valid for this request.",
        "KMSAccessDeniedException" => {
            "The ciphertext refers to a KMS key that does not exist, is not in this region, or may not be used."
        }
        "KMSNotFoundException" => "The specified KMS key was not found.",
        "KMSOptInRequired" => "The AWS Access Key Id needs a subscription for KMS.",
        "KMSThrottlingException" => "Rate exceeded for the specified KMS key.",
        code => code,
    };
    text.to_owned()
}
