//! One PutRecords call: what goes out, and what its answer says of each entry.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::iter;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::{self, TimeoutConfig};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};

use super::judge::{Answer, Class, Failed};
use crate::error::{Causes, Outcome, code};
use crate::settings::Settings;

/// The stream, by the name or ARN it was given as.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Name(String),
    Arn(String),
}

impl Stream {
    pub(crate) fn new(name_or_arn: String) -> Self {
        if name_or_arn.starts_with("arn:") { Self::Arn(name_or_arn) } else { Self::Name(name_or_arn) }
    }

    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Arn(_) => None,
        }
    }

    pub(crate) fn arn(&self) -> Option<String> {
        match self {
            Self::Name(_) => None,
            Self::Arn(arn) => Some(arn.clone()),
        }
    }
}

/// The user's client as the pipeline needs it: with timeouts on every path (the SDK has none by default), and without retries, since they
/// would send 500 entries again for the sake of one, and hide it.
pub(crate) fn client(users: &Client, settings: &Settings) -> Client {
    let timeouts = timeouts(settings).operation_timeout(settings.request_timeout).build();
    let config = users.config().to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
    Client::from_conf(config)
}

/// The same with the user's own retries, for the questions asked at the start.
pub(crate) fn patient_client(users: &Client, settings: &Settings) -> Client {
    Client::from_conf(users.config().to_builder().timeout_config(timeouts(settings).build()).build())
}

fn timeouts(settings: &Settings) -> timeout::TimeoutConfigBuilder {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.request_timeout)
        .operation_attempt_timeout(settings.request_timeout)
}

/// Sends the entries and says of each what became of it, in their order.
pub(crate) async fn send(client: &Client, stream: &Stream, entries: Vec<PutRecordsRequestEntry>) -> Vec<Answer> {
    let count = entries.len();
    let call = client
        .put_records()
        .set_stream_name(stream.name())
        .set_stream_arn(stream.arn())
        .set_records(Some(entries))
        .send();
    match call.await {
        Ok(output) => answers(output, count),
        Err(error) => {
            let failed = request_failed(&error);
            vec![Answer::Failed(failed); count]
        }
    }
}

fn answers(output: PutRecordsOutput, count: usize) -> Vec<Answer> {
    // An answer that is too short leaves the rest without one: it may have been written.
    let missing = iter::repeat_with(|| Answer::Failed(no_answer()));
    output.records.into_iter().map(entry_answer).chain(missing).take(count).collect()
}

fn entry_answer(entry: PutRecordsResultEntry) -> Answer {
    match (entry.shard_id, entry.sequence_number, entry.error_code) {
        (Some(shard), Some(number), None) => Answer::Written { shard: shard.into(), sequence_number: number.into() },
        (_, _, Some(error_code)) => Answer::Failed(Failed {
            class: if error_code == THROTTLED { Class::Throttled } else { Class::Transient },
            code: error_code.into(),
            message: entry.error_message.unwrap_or_default().into(),
            outcome: Outcome::NotWritten,
        }),
        _ => Answer::Failed(no_answer()),
    }
}

fn no_answer() -> Failed {
    Failed {
        class: Class::Transient,
        code: code::NO_ANSWER.into(),
        message: "the answer says nothing of this entry".into(),
        outcome: Outcome::Unknown,
    }
}

type CallError = SdkError<PutRecordsError, HttpResponse>;

fn request_failed(error: &CallError) -> Failed {
    match error {
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status().as_u16();
            let code = refusal.err().code().unwrap_or_default();
            let message = refusal.err().message().unwrap_or_default().into();
            // An error of the server's can have come when some entries were written already; a refusal comes before.
            let outcome = if status >= 500 { Outcome::Unknown } else { Outcome::NotWritten };
            let code = if code.is_empty() { Cow::Owned(status.to_string()) } else { Cow::Owned(code.to_owned()) };
            Failed { class: class_of(&code, status), code, message, outcome }
        }
        SdkError::TimeoutError(_) => never_answered(code::TIMEOUT, error),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => never_answered(code::TIMEOUT, error),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => not_sent(error),
        SdkError::ResponseError(_) => never_answered(code::UNREADABLE, error),
        _ => never_answered(code::CONNECTION, error),
    }
}

/// The request may have arrived.
fn never_answered(code: &'static str, error: &CallError) -> Failed {
    Failed { class: Class::Transient, code: code.into(), message: message(error), outcome: Outcome::Unknown }
}

/// Nothing, or nothing whole, may have been sent: a closer look shows which.
fn not_sent(error: &CallError) -> Failed {
    if causes(error).any(<dyn Error>::is::<CredentialsError>) {
        let code = code::NO_CREDENTIALS.into();
        return Failed { class: Class::Transient, code, message: message(error), outcome: Outcome::NotWritten };
    }
    if matches!(error, SdkError::ConstructionFailure(_)) {
        let code = code::CONNECTION.into();
        return Failed { class: Class::Fatal, code, message: message(error), outcome: Outcome::NotWritten };
    }
    let never_connected = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
        matches!(cause.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
    });
    let outcome = if never_connected { Outcome::NotWritten } else { Outcome::Unknown };
    Failed { class: Class::Transient, code: code::CONNECTION.into(), message: message(error), outcome }
}

fn causes(error: &CallError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    iter::successors(error.source(), |cause| (**cause).source())
}

fn message(error: &CallError) -> Arc<str> {
    Causes(error).to_string().into()
}

/// By code, else by status: a code that is new to us is final if the service blames the request, and may pass if it blames itself.
fn class_of(code: &str, status: u16) -> Class {
    match code {
        THROTTLED
        | "KMSThrottlingException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException" => Class::Throttled,
        // The next attempt is signed anew: with fresh credentials, and with the clock corrected by the SDK.
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" | "RequestTimeTooSkewed" | "RequestTimeout" => {
            Class::Transient
        }
        "InvalidArgumentException" | "ValidationException" => Class::Invalid,
        _ if status >= 500 || status == 429 => Class::Transient,
        _ => Class::Fatal,
    }
}

/// A shard's limit.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

#[cfg(test)]
mod tests {
    use super::*;

    fn result(shard: Option<&str>, number: Option<&str>, error: Option<&str>) -> PutRecordsResultEntry {
        PutRecordsResultEntry::builder()
            .set_shard_id(shard.map(str::to_owned))
            .set_sequence_number(number.map(str::to_owned))
            .set_error_code(error.map(str::to_owned))
            .build()
    }

    fn read(entries: Vec<PutRecordsResultEntry>, count: usize) -> Vec<String> {
        let output = PutRecordsOutput::builder().set_records(Some(entries)).build().expect("records are set");
        let show = |answer: Answer| match answer {
            Answer::Written { shard, sequence_number } => format!("{shard}/{sequence_number}"),
            Answer::Failed(failed) => format!("{:?} {} {}", failed.class, failed.code, failed.outcome),
        };
        answers(output, count).into_iter().map(show).collect()
    }

    #[test]
    fn each_entry_has_its_own_answer() {
        let entries = vec![
            result(Some("s"), Some("1"), None),
            result(None, None, Some("ProvisionedThroughputExceededException")),
            result(None, None, Some("InternalFailure")),
            result(None, None, None),
        ];
        let expected = [
            "s/1",
            "Throttled ProvisionedThroughputExceededException not written",
            "Transient InternalFailure not written",
            "Transient NoAnswer unknown",
        ];
        assert_eq!(read(entries, 4), expected);
    }

    /// S187
    #[test]
    fn entries_without_an_answer_are_unknown() {
        let entries = vec![result(Some("s"), Some("1"), None)];
        assert_eq!(read(entries, 3), ["s/1", "Transient NoAnswer unknown", "Transient NoAnswer unknown"]);
        assert_eq!(read(vec![result(Some("s"), Some("1"), None); 3], 1), ["s/1"], "and surplus ones mean nothing");
    }

    #[test]
    fn codes_and_statuses_have_their_class() {
        for (code, status, class) in [
            ("ProvisionedThroughputExceededException", 400, Class::Throttled),
            ("KMSThrottlingException", 400, Class::Throttled),
            ("ExpiredTokenException", 400, Class::Transient),
            ("InternalFailureException", 500, Class::Transient),
            ("ServiceUnavailable", 503, Class::Transient),
            ("InvalidArgumentException", 400, Class::Invalid),
            ("ValidationException", 400, Class::Invalid),
            ("AccessDeniedException", 400, Class::Fatal),
            ("ResourceNotFoundException", 400, Class::Fatal),
            ("KMSDisabledException", 400, Class::Fatal),
            ("UnrecognizedClientException", 403, Class::Fatal),
            ("SomethingNew", 400, Class::Fatal),
            ("SomethingNew", 502, Class::Transient),
        ] {
            assert_eq!(class_of(code, status), class, "{code} {status}");
        }
    }

    #[test]
    fn a_stream_is_a_name_or_an_arn() {
        let named = Stream::new("clicks".into());
        assert_eq!((named.name().as_deref(), named.arn()), (Some("clicks"), None));
        let by_arn = Stream::new("arn:aws:kinesis:us-east-1:1:stream/clicks".into());
        assert_eq!((by_arn.name(), by_arn.arn().as_deref()), (None, Some("arn:aws:kinesis:us-east-1:1:stream/clicks")));
    }
}
