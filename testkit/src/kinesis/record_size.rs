//! UpdateMaxRecordSize.

use serde::Deserialize;

use super::account::Account;
use crate::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateMaxRecordSize {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_kib: Option<i64>,
}

impl Account {
    /// Larger records that are stored already stay readable.
    pub(crate) fn update_max_record_size(&mut self, request: UpdateMaxRecordSize) -> Result<(), Refusal> {
        let asked = request.max_record_size_kib.ok_or_else(|| Refusal::missing("maxRecordSizeInKiB"))?;
        let max_record_size_kib = check_max_record_size(asked)?;
        let stream = self.stream(None, request.stream_arn.as_deref())?;
        stream.check_active()?;
        stream.max_record_size_kib = max_record_size_kib;
        Ok(())
    }
}

pub(crate) fn check_max_record_size(kib: i64) -> Result<u32, Refusal> {
    let constraint = |what| Err(Refusal::constraint(kib, "maxRecordSizeInKiB", what));
    match u32::try_from(kib) {
        Ok(n @ 1024..=10_240) => Ok(n),
        Ok(10_241..) => constraint("Member must have value less than or equal to 10240"),
        _ => constraint("Member must have value greater than or equal to 1024"),
    }
}
