//! One PutRecords call, and the answer for each of its entries.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use kinesis_service_errors::{Causes, Departure, Foreign, Kind, Recovery, Transmission};

use super::judge::{Answer, Class, Failed};
use crate::failed_call::code_of;
use crate::foreign::caught;
use crate::outcome::{Outcome, code};
use crate::stream::Stream;

/// Sends the entries. Returns the answer for each, in their order. `departure` observes whether the request left.
pub(crate) async fn send(
    client: &Client,
    stream: &Stream,
    entries: Vec<PutRecordsRequestEntry>,
    departure: &Departure,
) -> Vec<Answer> {
    let count = entries.len();
    let call = client
        .put_records()
        .set_stream_name(stream.name())
        .set_stream_arn(stream.arn())
        .set_records(Some(entries))
        .customize()
        .interceptor(departure.clone())
        .send();
    let failed = match caught(Box::pin(call)).await {
        Ok(Ok(output)) => return answers(output, count),
        Ok(Err(error)) => request_failed(&error, departure.transmission(&error)),
        Err(panicked) => Failed {
            class: Class::Transient,
            code: code::PANICKED.into(),
            message: panicked.to_string().into(),
            outcome: unanswered(departure.so_far()),
        },
    };
    vec![Answer::Failed(failed); count]
}

/// Returns the outcome of an attempt without an answer.
pub(crate) const fn unanswered(transmission: Transmission) -> Outcome {
    match transmission {
        Transmission::NotBegun => Outcome::NotWritten,
        Transmission::MayHaveBegun => Outcome::Unknown,
    }
}

/// Reads the answers of the entries. If their number differs from the request's, no answer can be assigned to an entry.
fn answers(output: PutRecordsOutput, count: usize) -> Vec<Answer> {
    if output.records.len() != count {
        let text = format!("the answer has {} entries, the request had {count}", output.records.len());
        return vec![Answer::Failed(no_answer(text)); count];
    }
    output.records.into_iter().map(entry_answer).collect()
}

fn entry_answer(entry: PutRecordsResultEntry) -> Answer {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (given(entry.shard_id), given(entry.sequence_number), given(entry.error_code)) {
        (Some(shard), Some(number), None) => Answer::Written { shard: shard.into(), sequence_number: number.into() },
        (_, number, Some(error_code)) => {
            let message = entry.error_message.unwrap_or_default();
            let kind = Kind::of(&error_code, &message, None);
            Answer::Failed(Failed {
                class: Class::of(kind),
                code: Foreign(&error_code).to_string().into(),
                message: Foreign(&message).to_string().into(),
                // The answer contains an error and a sequence number. It cannot be known which is true.
                outcome: if number.is_some() { Outcome::Unknown } else { outcome_of(kind, None) },
            })
        }
        _ => Answer::Failed(no_answer("the answer says nothing of this entry".to_owned())),
    }
}

/// Returns the outcome of a refusal. Ordinary refusals come before anything is written. A fault of the service can come
/// afterwards, and an unknown code may mean either.
fn outcome_of(kind: Kind, status: Option<u16>) -> Outcome {
    match (kind, status) {
        (Kind::ServiceFault, _) | (_, Some(500..)) | (Kind::Unknown, None) => Outcome::Unknown,
        _ => Outcome::NotWritten,
    }
}

fn no_answer(text: String) -> Failed {
    let code = code::NO_ANSWER.into();
    Failed { class: Class::Transient, code, message: text.into(), outcome: Outcome::Unknown }
}

type CallError = SdkError<PutRecordsError, HttpResponse>;

fn request_failed(error: &CallError, transmission: Transmission) -> Failed {
    if let (SdkError::ServiceError(refusal), Some(kind)) = (error, Kind::of_error(error)) {
        let message = Foreign(refusal.err().message().unwrap_or_default()).to_string().into();
        let outcome = outcome_of(kind, Some(refusal.raw().status().as_u16()));
        return Failed { class: Class::of(kind), code: code_of(error), message, outcome };
    }
    // Without a region or an endpoint the client can never send a request.
    let class = if matches!(error, SdkError::ConstructionFailure(_)) { Class::Invalid } else { Class::Transient };
    Failed { class, code: code_of(error), message: Causes(error).to_string().into(), outcome: unanswered(transmission) }
}

impl Class {
    /// Returns the class of an error code's kind.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind.recovery() {
            _ if kind.is_throttle() => Self::Throttled,
            Recovery::Soon => Self::Transient,
            Recovery::NeedsAction => Self::NeedsAction,
            Recovery::Never => Self::Invalid,
        }
    }
}

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

    /// Q30: the service does not say that an entry with InternalFailure is not written.
    #[test]
    fn each_entry_has_its_own_answer() {
        let entries = vec![
            result(Some("s"), Some("1"), None),
            result(None, None, Some("ProvisionedThroughputExceededException")),
            result(None, None, Some("InternalFailure")),
            result(None, None, Some("KMSDisabledException")),
            result(None, None, Some("SomethingNew")),
            result(None, None, None),
        ];
        let expected = [
            "s/1",
            "Throttled ProvisionedThroughputExceededException not written",
            "Transient InternalFailure unknown",
            "NeedsAction KMSDisabledException not written",
            "NeedsAction SomethingNew unknown",
            "Transient NoAnswer unknown",
        ];
        assert_eq!(read(entries, 6), expected);
    }

    /// S187, Q30: entries of a shorter or a longer answer could be those of other records.
    #[test]
    fn an_answer_of_another_length_is_rejected() {
        let entries = vec![result(Some("s"), Some("1"), None)];
        assert_eq!(read(entries, 3), ["Transient NoAnswer unknown"; 3]);
        assert_eq!(read(vec![result(Some("s"), Some("1"), None); 3], 1), ["Transient NoAnswer unknown"]);
        assert_eq!(read(Vec::new(), 1), ["Transient NoAnswer unknown"]);
    }

    #[test]
    fn a_refusal_is_not_written_and_a_server_error_is_unknown() {
        for (kind, status, outcome) in [
            (Kind::Throttled, Some(400), Outcome::NotWritten),
            (Kind::Access, Some(403), Outcome::NotWritten),
            (Kind::Unknown, Some(413), Outcome::NotWritten),
            (Kind::Unknown, None, Outcome::Unknown),
            (Kind::ServiceFault, Some(408), Outcome::Unknown),
            (Kind::ServiceFault, None, Outcome::Unknown),
            (Kind::Throttled, Some(503), Outcome::Unknown),
        ] {
            assert_eq!(outcome_of(kind, status), outcome, "{kind:?} {status:?}");
        }
    }
}
