//! An error as a service puts it on the wire.

use serde_json::Value;

use crate::refusal::{Refusal, Refused};
use crate::wire::Wire;

/// An error answer of either service.
#[derive(Debug)]
pub(crate) struct ServiceError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) body: Vec<u8>,
}

impl ServiceError {
    pub(crate) fn new(refusal: &Refusal, wire: Wire) -> Self {
        Self::of(refusal.status, refusal.code, &refusal.message, wire)
    }

    pub(crate) fn of(status: u16, code: &str, message: &str, wire: Wire) -> Self {
        Self { status, code: code.to_owned(), body: wire.refusal(code, message) }
    }

    /// As a test sees it that asked `table`, which is empty when it is no single one's.
    pub(crate) fn of_table(self, table: &str) -> Refused {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = body.get("message").or_else(|| body.get("Message")).and_then(Value::as_str);
        Refused::of_table(table, self.code, message.unwrap_or_default().to_owned())
    }
}

/// DynamoDB's: Kinesis refuses in the format of the request.
impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        Self::new(&refusal, Wire::Json10)
    }
}
