//! Where a key falls: MD5 of the partition key, or the explicit hash key, as a 128-bit number.

use md5::{Digest, Md5};

pub(crate) fn of_partition_key(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_bytes()).into())
}

/// `None` when `text` is not a decimal number from 0 to 2^128 - 1 without leading zeros.
pub(crate) fn parse(text: &str) -> Option<u128> {
    if is_decimal(text) { text.parse().ok() } else { None }
}

/// Whether `text` has the form of a hash key: 0, or at most 39 digits without a leading zero. It may be too large all
/// the same.
pub(crate) fn is_decimal(text: &str) -> bool {
    let plain = text == "0" || text.starts_with(|c: char| ('1'..='9').contains(&c));
    plain && text.len() <= 39 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The ranges of `n` equal shards, in order.
pub(crate) fn split_evenly(n: u32) -> Vec<(u128, u128)> {
    let n = u128::from(n.max(1));
    // 2^128 / n, rounded down, without a 129th bit. A single shard has the whole range and needs no width.
    let width = (u128::MAX - (n - 1)).checked_div(n).map_or(0, |width| width.wrapping_add(1));
    (0..n).map(|i| (i * width, if i + 1 == n { u128::MAX } else { (i + 1) * width - 1 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for n in [1, 2, 3, 7, 16, 1000] {
            let ranges = split_evenly(n);
            assert_eq!(ranges.len() as u32, n);
            assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, u128::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{n}");
        }
        assert_eq!(split_evenly(2)[1].0, 1 << 127);
    }

    #[test]
    fn explicit_hash_keys_are_plain_decimals_of_128_bits() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("340282366920938463463374607431768211455"), Some(u128::MAX));
        for bad in ["", "340282366920938463463374607431768211456", "-1", "+1", "00", "01", "0x1", "1 ", "one"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_partition_key_falls_where_its_md5_says() {
        assert_eq!(of_partition_key(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    }
}
