//! The numbers that Kinesis gives to records.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The number that Kinesis gave to a record: a decimal number of any length, ordered by value.
///
/// Kept as text: today's numbers have 56 digits, and a number is nothing but an opaque mark that grows.
#[derive(Clone)]
pub struct SequenceNumber(Digits);

/// Every user record has a copy of its number, so one of today's length is kept in place: copying it allocates nothing
/// and counts no references.
#[derive(Clone)]
enum Digits {
    Short { len: u8, digits: [u8; SHORT] },
    Long(Arc<str>),
}

impl SequenceNumber {
    /// The number as decimal text, without leading zeros.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Digits::Short { len, digits } => {
                str::from_utf8(&digits[..usize::from(*len)]).expect("only ASCII digits are ever put there")
            }
            Digits::Long(digits) => digits,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Digits::Short { len, digits } => &digits[..usize::from(*len)],
            Digits::Long(digits) => digits.as_bytes(),
        }
    }
}

impl FromStr for SequenceNumber {
    type Err = ParseSequenceNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseSequenceNumberError(text.to_owned()));
        }
        let digits = match text.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        let mut short = [0; SHORT];
        Ok(Self(match (u8::try_from(digits.len()), short.get_mut(..digits.len())) {
            (Ok(len), Some(place)) => {
                place.copy_from_slice(digits.as_bytes());
                Digits::Short { len, digits: short }
            }
            _ => Digits::Long(Arc::from(digits)),
        }))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SequenceNumber {}

impl Hash for SequenceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for SequenceNumber {
    /// By value: without leading zeros the longer number is the larger one.
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.as_bytes(), other.as_bytes());
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no sequence number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence number is a decimal number, not {0:?}")]
pub struct ParseSequenceNumberError(String);

/// Today's 56 digits and some to grow, in a value of 64 bytes.
const SHORT: usize = 62;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> SequenceNumber {
        text.parse().expect("a number")
    }

    #[test]
    fn refuses_what_is_no_decimal_number() {
        for text in ["", "-1", "+1", "1.0", "TRIM_HORIZON", " 1", "٣"] {
            assert_eq!(text.parse::<SequenceNumber>(), Err(ParseSequenceNumberError(text.to_owned())));
        }
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(number("007"), number("7"));
        assert_eq!(number("000").as_str(), "0");
    }

    #[test]
    fn a_number_of_any_length_keeps_its_digits() {
        for len in [1, SHORT - 1, SHORT, SHORT + 1, 300] {
            let text = "9".repeat(len);
            assert_eq!(number(&text).as_str(), text);
        }
        assert!(number(&"9".repeat(SHORT)) < number(&format!("1{}", "0".repeat(SHORT))));
        assert_eq!(size_of::<SequenceNumber>(), 64);
    }

    /// S135: the service's numbers begin with 49…, those of others need not, and what their digits mean is nobody's business.
    #[test]
    fn numbers_of_another_make_are_numbers_and_ordered_by_value() {
        let ours = number("49680535143221397331707497921426878846729339711503990802");
        let theirs = number("59680535143221397331707497921426878846729339711503990802");
        assert!(ours < theirs && number("1") < ours && theirs < number(&format!("1{}", "0".repeat(56))));
    }

    proptest! {
        #[test]
        fn is_ordered_by_value(a: u128, b: u128, zeros in 0_usize..70) {
            let padded = |n: u128| number(&format!("{}{n}", "0".repeat(zeros)));
            prop_assert_eq!(padded(a).cmp(&number(&b.to_string())), a.cmp(&b));
        }
    }
}
