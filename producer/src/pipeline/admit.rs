//! The check of a record before it is admitted.

use crate::accounts::budget::footprint;
use crate::error::Refusal;
use crate::record::Record;

/// The limits of the service and of the settings for a single record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordLimits {
    /// The stream's maximum record size: data and partition key, in bytes.
    pub(crate) max_record_bytes: usize,
    /// The most that one record can hold of the buffers.
    pub(crate) max_buffered_bytes: usize,
}

impl RecordLimits {
    /// Checks a record. Every refusal happens here, before anything is stored or sent.
    pub(crate) fn check(&self, record: &Record<'_>) -> Result<(), Refusal> {
        match record.partition_key {
            None if record.explicit_hash_key.is_some() => return Err(Refusal::HashKeyWithoutKey),
            Some("") => return Err(Refusal::EmptyKey),
            // A key of at most 256 bytes has at most 256 characters.
            Some(key) if key.len() > MAX_KEY_CHARACTERS => {
                let characters = key.chars().count();
                if characters > MAX_KEY_CHARACTERS {
                    return Err(Refusal::KeyTooLong { characters });
                }
            }
            Some(_) | None => {}
        }
        if record.wire_len() > self.max_record_bytes {
            return Err(Refusal::TooLarge { bytes: record.wire_len(), limit: self.max_record_bytes });
        }
        let bytes = footprint(record.wire_len());
        if bytes > self.max_buffered_bytes {
            return Err(Refusal::LargerThanBuffer { bytes, limit: self.max_buffered_bytes });
        }
        Ok(())
    }
}

/// The service's limit, in Unicode characters.
const MAX_KEY_CHARACTERS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RecordLimits = RecordLimits { max_record_bytes: 1 << 20, max_buffered_bytes: 64 << 20 };

    #[test]
    fn a_refusal_names_limit_and_value() {
        let check = |record: Record<'_>| LIMITS.check(&record).map_err(|refusal| refusal.to_string());
        let long = "ä".repeat(257);
        let data = vec![0; 1 << 20];
        let small = RecordLimits { max_buffered_bytes: 5000, ..LIMITS };

        assert_eq!(check(Record::new("k", &data[1..])), Ok(()));
        assert_eq!(check(Record::new(&long[2..], "")), Ok(()), "256 characters in 512 bytes");
        assert_eq!(check(Record::keyless("")), Ok(()));
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(
            check(Record::new("", "x")),
            refused("the partition key is empty, but must have 1 to 256 characters")
        );
        assert_eq!(check(Record::new(&long, "x")), refused("the partition key has 257 characters, but may have 256"));
        assert_eq!(
            check(Record::new("k", &data)),
            refused("data and partition key are 1048577 bytes, but the stream takes 1048576")
        );
        assert_eq!(
            check(Record::keyless("x").explicit_hash_key(7)),
            refused("the record has an explicit hash key, but no partition key")
        );
        assert_eq!(
            small.check(&Record::new("k", &data[..1000])),
            Err(Refusal::LargerThanBuffer { bytes: 1001 + 4096, limit: 5000 })
        );
    }
}
