//! The parts of JSON 1.1 that serde does not know: base64 data and times in seconds.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clock::Tick;
use crate::refusal::Refusal;

/// A request body. Unknown members are ignored, as the service ignores them.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()))
}

/// Bytes, in base64 on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Blob(pub(crate) Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
                STANDARD.decode(text).map(|bytes| Blob(bytes.into())).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// A time as the API writes it: seconds since 1970 with milliseconds behind the point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) Tick);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_millis() as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Rounded to whole milliseconds: a client that read one of our times may send it back a little smaller.
        let millis = (seconds * 1000.0).round();
        if (0.0..=1e15).contains(&millis) {
            Ok(Self(Duration::from_millis(millis as u64)))
        } else {
            Err(de::Error::custom("time out of range"))
        }
    }
}
