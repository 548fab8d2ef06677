//! Sequence numbers: 56-digit decimals that rise within a shard, from parent to child, and over a stream made again.

use std::fmt;

use crate::refusal::Refusal;

/// The 186 bits of a sequence number, from the highest: version (2), when the shard was opened (48, ms), counter within
/// the shard (100, of which 64 are used), shard (32), version (4). Clients of the service that look inside read the
/// version and the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SequenceNumber {
    /// Unix time in milliseconds, moved up where needed so that no two shards of an account share one. Fits 48 bits.
    pub(crate) opened: u64,
    pub(crate) counter: u64,
    pub(crate) shard: u32,
}

impl SequenceNumber {
    /// Whether `text` has the form that the API asks for. What has it need not be a sequence number of the service.
    pub(crate) fn check_form(text: &str, member: &str) -> Result<(), Refusal> {
        let plain = text == "0" || text.starts_with(|c: char| ('1'..='9').contains(&c));
        if plain && text.len() <= 129 && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(());
        }
        Err(Refusal::constraint(text, member, "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,128})"))
    }

    /// `None` when `text` is no number of this form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut limbs = [0u64; 3];
        for digit in text.bytes() {
            let mut carry = u128::from(digit - b'0');
            for limb in &mut limbs {
                carry += u128::from(*limb) * 10;
                *limb = carry as u64;
                carry >>= 64;
            }
        }
        Self::from_limbs(limbs)
    }

    fn from_limbs([low, middle, high]: [u64; 3]) -> Option<Self> {
        let number = Self {
            opened: (high >> 8) & ((1 << OPENED_BITS) - 1),
            counter: (low >> 36) | (middle << 28),
            shard: (low >> 4) as u32,
        };
        // Also refuses what has bits where this layout has none.
        (number.limbs() == [low, middle, high]).then_some(number)
    }

    /// Least significant first: bits 0–63, 64–127, 128–185.
    fn limbs(self) -> [u64; 3] {
        let low = (self.counter << 36) | (u64::from(self.shard) << 4) | VERSION;
        [low, self.counter >> 28, (VERSION << 56) | (self.opened << 8)]
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            let mut remainder = 0u128;
            for limb in limbs.iter_mut().rev() {
                let value = (remainder << 64) | u128::from(*limb);
                *limb = (value / 10) as u64;
                remainder = value % 10;
            }
            *digit += remainder as u8;
        }
        f.write_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

/// 2^185, the version in its place, has 56 digits, and so has everything up to 3 · 2^184.
const DIGITS: usize = 56;
const VERSION: u64 = 2;
const OPENED_BITS: u32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn number(opened: u64, counter: u64, shard: u32) -> SequenceNumber {
        SequenceNumber { opened, counter, shard }
    }

    #[test]
    fn text_and_number_agree_and_have_one_order() {
        let rising = [
            number(0, 0, 0),
            number(0, 0, u32::MAX),
            number(0, 1, 0),
            number(0, 1 << 40, 7),
            number(0, u64::MAX, 7),
            number(1, 0, 0),
            number(1_767_225_600_000, 5, 3),
            number((1 << 48) - 1, u64::MAX, u32::MAX),
        ];
        for pair in rising.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string(), "{pair:?}");
        }
        for n in rising {
            assert_eq!(n.to_string().len(), 56);
            assert_eq!(SequenceNumber::parse(&n.to_string()), Some(n));
        }
    }

    #[test]
    fn looks_like_the_service_s_own() {
        assert!(number(1_767_225_600_000, 0, 0).to_string().starts_with("49"));
    }

    #[test]
    fn refuses_what_is_no_sequence_number() {
        for text in ["", "0", "abc", "LATEST", &"9".repeat(56), &"0".repeat(56), &"1".repeat(57)] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
    }
}
