//! How requests and answers are written: JSON, or CBOR where a Kinesis client asks for it.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ciborium::tag::Accepted;
use http::{HeaderMap, HeaderValue, header};
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Tick;
use crate::refusal::Refusal;
use crate::service::Service;

/// The format of one exchange, which the request's content type chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// DynamoDB's.
    Json10,
    /// What most SDKs speak with Kinesis.
    Json11,
    /// What the AWS SDK for Java speaks with Kinesis unless it is told not to.
    Cbor11,
}

impl Wire {
    pub(crate) fn of(service: Service, headers: &HeaderMap) -> Self {
        match service {
            Service::DynamoDb => Self::Json10,
            Service::Kinesis => match headers.get(header::CONTENT_TYPE) {
                Some(kind) if kind.as_bytes().starts_with(CBOR_11.as_bytes()) => Self::Cbor11,
                _ => Self::Json11,
            },
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Cbor11 => CBOR_11,
        }
    }

    pub(crate) const fn content_type_header(self) -> HeaderValue {
        HeaderValue::from_static(self.content_type())
    }

    /// A request body. Unknown members are ignored, as the service ignores them.
    pub(crate) fn parse<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Refusal> {
        match self {
            Self::Json10 | Self::Json11 => {
                serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()))
            }
            Self::Cbor11 => from_cbor(body).map_err(Refusal::serialization),
        }
    }

    /// The body of an answer.
    pub(crate) fn answer(self, answer: impl Serialize) -> Vec<u8> {
        match self {
            Self::Json10 | Self::Json11 => {
                serde_json::to_vec(&answer).expect("answers have string keys and finite numbers only")
            }
            Self::Cbor11 => {
                let mut body = Vec::new();
                ciborium::into_writer(&answer, &mut body).expect("answers are structs, and a Vec takes all bytes");
                body
            }
        }
    }

    /// The body of a refusal.
    pub(crate) fn refusal(self, code: &str, message: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "__type")]
            code: &'a str,
            message: &'a str,
        }
        self.answer(Body { code, message })
    }
}

fn from_cbor<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut rest = body;
    let value = ciborium::from_reader(&mut rest).map_err(|error| match error {
        ciborium::de::Error::Io(_) => "the body ends early".to_owned(),
        ciborium::de::Error::Syntax(at) => format!("no CBOR at byte {at}"),
        ciborium::de::Error::Semantic(Some(at), why) => format!("{why} at byte {at}"),
        ciborium::de::Error::Semantic(None, why) => why,
        ciborium::de::Error::RecursionLimitExceeded => "nested too deep".to_owned(),
    })?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes behind the end of the body", rest.len())) }
}

/// Bytes: base64 in JSON, themselves in CBOR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Base64)
        } else {
            deserializer.deserialize_byte_buf(Binary)
        }
    }
}

struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Blob;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
        STANDARD.decode(text).map(|bytes| Blob(bytes.into())).map_err(E::custom)
    }
}

struct Binary;

impl Visitor<'_> for Binary {
    type Value = Blob;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(bytes)))
    }
    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob(bytes.into()))
    }
}

/// A time since 1970. In JSON seconds, with milliseconds behind the point; in CBOR whole milliseconds under tag 1, as the
/// AWS SDK for Java reads and writes them (the CBOR standard would have seconds there).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) Tick);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis() as u64;
        if serializer.is_human_readable() {
            serializer.serialize_f64(millis as f64 / 1000.0)
        } else {
            Accepted::<_, EPOCH_TIME>(millis).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let millis = if deserializer.is_human_readable() {
            Number::deserialize(deserializer)?.0 * 1000.0
        } else {
            Accepted::<Number, EPOCH_TIME>::deserialize(deserializer)?.0.0
        };
        // Rounded to whole milliseconds: a client that read one of our times may send it back a little smaller.
        let millis = millis.round();
        if (0.0..=1e15).contains(&millis) {
            Ok(Self(Duration::from_millis(millis as u64)))
        } else {
            Err(D::Error::custom("time out of range"))
        }
    }
}

/// Any number.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E: Error>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n as f64))
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<Number, E> {
                Ok(Number(n as f64))
            }
            fn visit_f64<E: Error>(self, n: f64) -> Result<Number, E> {
                Ok(Number(n))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

const CBOR_11: &str = "application/x-amz-cbor-1.1";
/// CBOR's tag of a time since 1970.
const EPOCH_TIME: u64 = 1;

#[cfg(test)]
mod tests;
